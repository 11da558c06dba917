/**
 * What a delivery gives its receivers: the ticket of the content, from this node or from the owner of the source, and a new
 * one when that is gone.
 */
import type { Ticket } from '../data-plane/data-plane.ts'
import { fail } from '../errors.ts'
import type { Calls } from './calls.ts'
import { isLive } from './calls.ts'
import type { OrderRecord } from './catalog.ts'
import type { Openings } from './openings.ts'
import type { Publication, Publications, Sealed } from './publications.ts'
import type { SourceName } from './source-name.ts'

/** A ticket, and what is known of its content. */
export interface Supply {
  readonly ticket: Ticket
  /** This node gives out the neighbours and so sees the progress. */
  readonly isTracker: boolean
  /** Undefined result: nobody who answers knows; the receipts will tell. Rejects when the source failed. */
  readonly sealed: Promise<Sealed | undefined>
}

interface Parts {
  readonly calls: Calls
  readonly publications: Publications
  readonly openings: Openings
}

/** Opens and renews the supplies of deliveries. */
export class Supplies {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Errors: path-…, source-…, content-not-found, content-incomplete, cancelled. */
  async open(source: SourceName, options: { name?: string; avoid?: Set<string>; signal: AbortSignal }): Promise<Supply> {
    const { publications, openings } = this.#parts
    const { signal } = options
    const avoid = options.avoid ?? new Set()
    switch (source.kind) {
      case 'path':
        return own(await publications.path(source.path, options.name))
      case 'url': {
        const opened = await openings.url(source.url, source.headers, { isFresh: false, avoid, signal })
        if (opened.publication !== undefined) return own(opened.publication)
        return { ticket: opened.ticket, isTracker: false, sealed: openings.sealed(opened, signal) }
      }
      case 'id': {
        const info = await publications.complete(source.id)
        if (info !== undefined) return own(publications.ofContent(info))
        const running = publications.running(source.id)
        if (running !== undefined) return own(running)
        const opened = await openings.id(source.id, { avoid, signal })
        if (opened === undefined) throw fail('content-not-found', { id: source.id, where: 'on any live member' })
        return { ticket: opened.ticket, isTracker: false, sealed: openings.sealed(opened, signal) }
      }
    }
  }

  /** A supply for a delivery that goes on after a restart of this node: the same ticket where that still works. Errors as `open`. */
  async reopen(order: OrderRecord, signal: AbortSignal): Promise<Supply> {
    const sealed = order.contentId === undefined ? undefined : { contentId: order.contentId, totalBytes: order.totalBytes ?? 0 }
    if (!order.isTracker) return { ticket: order.ticket, isTracker: false, sealed: Promise.resolve(sealed) }
    const here = await this.#parts.publications.complete(order.contentId ?? order.ticket.swarmId)
    if (here === undefined) return this.#openElsewhere(order, signal)
    const own = this.#parts.publications.ofContent(here)
    // The receivers know the swarm by the id that they were given.
    return { ticket: { ...order.ticket, trackers: own.ticket.trackers }, isTracker: true, sealed: own.sealed }
  }

  /** From the source again; where that is gone, from a receiver that has it already. */
  async #openElsewhere(order: OrderRecord, signal: AbortSignal): Promise<Supply> {
    try {
      return await this.open(this.#sourceOf(order), { name: order.name, signal })
    } catch (error) {
      const opened = await this.#parts.openings.id(order.contentId ?? order.ticket.swarmId, { avoid: new Set(), signal })
      if (opened?.known === undefined) throw error
      return { ticket: opened.ticket, isTracker: false, sealed: Promise.resolve(opened.known) }
    }
  }

  /** A supply for receivers whose transfer stalled: this node's own as long as it has the content, else that of the next owner. `source` is given as long as its headers are known. Errors as `open`. */
  async renew(order: OrderRecord, current: Supply, source: SourceName | undefined, signal: AbortSignal): Promise<Supply> {
    const { calls, publications } = this.#parts
    if (current.isTracker) {
      if (publications.running(current.ticket.swarmId) !== undefined) return current
      return this.reopen(order, signal)
    }
    const tracker = current.ticket.trackers[0]
    const gone = calls.others().filter((member) => !isLive(member) || calls.addressOf(member) === tracker)
    return this.open(source ?? this.#sourceOf(order), { name: order.name, avoid: new Set(gone.map((member) => member.name)), signal })
  }

  #sourceOf({ source, contentId }: OrderRecord): SourceName {
    if (source.kind !== 'url') return source
    if (!source.hasHeaders) return { kind: 'url', url: source.url, headers: {} }
    if (contentId !== undefined) return { kind: 'id', id: contentId }
    throw fail('cancelled', { reason: 'the agent was restarted, and the headers for the source are never written to its disk' })
  }
}

function own(publication: Publication): Supply {
  return { ticket: publication.ticket, isTracker: true, sealed: publication.sealed }
}
