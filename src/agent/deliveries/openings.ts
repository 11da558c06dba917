/**
 * How a node finds from whom to fetch a content: `content.open` and `content.sealed`, both sides.
 *
 * A URL has one owner among the live seeds, chosen by rendezvous hashing: it alone reads the source, for everybody. An owner
 * that can't be reached is passed over for the next in order; where there is no seed the node reads the source itself. A
 * content id is asked for among all members, seeds first, in parallel, and the first that has it is taken.
 */
import type { Ticket } from '../data-plane/data-plane.ts'
import { asPolycastError, fail, isPolycastError } from '../errors.ts'
import type { PolycastError } from '../errors.ts'
import type { Callee, Calls, ServiceLog } from './calls.ts'
import type { Clock } from '../clock.ts'
import { pause } from './pause.ts'
import { openParams, openResult, sealedParams, sealedResult } from './messages.ts'
import type { OpenParams, OpenResult, SealedResult } from './messages.ts'
import type { Publication, Publications, Sealed } from './publications.ts'
import { rendezvousOrder } from './rendezvous.ts'
import { loggable } from './source-name.ts'
import type { Transfers } from './transfers.ts'

/** From whom a content may be fetched. */
export interface Opened {
  readonly ticket: Ticket
  readonly known: Sealed | undefined
  /** Undefined where this node itself publishes it. */
  readonly owner: Callee | undefined
  /** This node's publication, where it is the owner. */
  readonly publication: Publication | undefined
}

/** An owner answers once the source has sent its headers, and tries a source that fails several times before it gives up. */
const OPEN_URL_TIMEOUT_MS = 180_000
const OPEN_ID_TIMEOUT_MS = 5_000
/** Members asked for an id at the same time. */
const MAX_ASKED_AT_ONCE = 64
/** `content.sealed` answers after this time at the latest. */
const SEALED_WAIT_MS = 25_000
const SEALED_TIMEOUT_MS = 40_000

/** Both sides of opening. */
export class Openings {
  readonly #calls: Calls
  readonly #clock: Clock
  readonly #log: ServiceLog
  readonly #publications: Publications
  readonly #transfers: Transfers
  readonly #closing: AbortSignal

  constructor(parts: {
    calls: Calls
    clock: Clock
    log: ServiceLog
    publications: Publications
    transfers: Transfers
    closing: AbortSignal
  }) {
    this.#calls = parts.calls
    this.#clock = parts.clock
    this.#log = parts.log
    this.#publications = parts.publications
    this.#transfers = parts.transfers
    this.#closing = parts.closing
    this.#calls.handle('content.open', openParams, (params) => this.#serveOpen(params))
    this.#calls.handle('content.sealed', sealedParams, ({ swarmId }) => this.#serveSealed(swarmId))
  }

  /**
   * Opens a URL at its owner. Owners that fail are added to `avoid` and not asked again.
   * Errors: source-… as the owner met them, cancelled.
   */
  async url(
    url: string,
    headers: Record<string, string>,
    options: { isFresh: boolean; avoid: Set<string>; signal: AbortSignal },
  ): Promise<Opened> {
    const { isFresh, avoid, signal } = options
    for (const owner of rendezvousOrder(this.#calls.seeds(), url)) {
      if (avoid.has(owner.name)) continue
      if (owner.name === this.#calls.selfName) break
      const params: OpenParams = { url, ...(Object.keys(headers).length > 0 ? { headers } : {}), ...(isFresh ? { fresh: true } : {}) }
      try {
        const answer = await this.#calls.call(owner, 'content.open', params, openResult, { timeoutMs: OPEN_URL_TIMEOUT_MS, signal })
        if (answer !== null) return openedAt(owner, answer)
      } catch (error) {
        if (!isOwnersFault(error)) throw error
        this.#log.warn(
          { member: owner.name, source: loggable(url), reason: asPolycastError(error).message },
          'the owner of the source does not answer; asking the next',
        )
      }
      avoid.add(owner.name)
    }
    const publication = await this.#publications.url(url, headers, isFresh)
    return { ticket: publication.ticket, known: publication.known, owner: undefined, publication }
  }

  /** Asks the members who has a content; undefined if none of those that answer does. Errors: cancelled, content-ambiguous. */
  async id(id: string, options: { avoid: ReadonlySet<string>; signal: AbortSignal }): Promise<Opened | undefined> {
    const members = this.#calls.live().filter((member) => !options.avoid.has(member.name))
    const asked = [...members.filter((member) => member.isSeed), ...members.filter((member) => !member.isSeed)].values()
    const abort = new AbortController()
    const stop = (): void => {
      abort.abort()
    }
    options.signal.addEventListener('abort', stop, { once: true })
    let ambiguous: unknown
    let take: (opened: Opened) => void = () => undefined
    const taken = new Promise<Opened>((resolve) => {
      take = resolve
    })
    const ask = async (): Promise<void> => {
      for (const member of asked) {
        if (abort.signal.aborted) return
        try {
          const answer = await this.#calls.call(member, 'content.open', { id }, openResult, {
            timeoutMs: OPEN_ID_TIMEOUT_MS,
            signal: abort.signal,
          })
          if (answer === null || !(answer.ticket.swarmId.startsWith(id) || answer.contentId?.startsWith(id) === true)) continue
          take(openedAt(member, answer))
          stop()
        } catch (error) {
          if (isPolycastError(error, 'content-ambiguous')) ambiguous = error
          else if (!abort.signal.aborted)
            this.#log.debug(
              { member: member.name, reason: asPolycastError(error).message },
              'a member did not say whether it has a content',
            )
        }
      }
    }
    const all = Promise.all(Array.from({ length: Math.min(MAX_ASKED_AT_ONCE, members.length) }, ask)).then(() => undefined)
    const found = await Promise.race([taken, all])
    options.signal.removeEventListener('abort', stop)
    if (found !== undefined) return found
    if (options.signal.aborted) throw fail('cancelled', { reason: 'while the members were asked for it' })
    if (ambiguous !== undefined) throw ambiguous
    return undefined
  }

  /**
   * How the publication of an opened content ends, as its owner tells; rejects with the error that it ended with. Undefined
   * where the owner doesn't know any more or can't be reached: then only the transfer tells.
   */
  async sealed(opened: Opened, signal: AbortSignal): Promise<Sealed | undefined> {
    if (opened.known !== undefined) return opened.known
    if (opened.publication !== undefined) return opened.publication.sealed
    const { owner } = opened
    if (owner === undefined) return undefined
    while (!signal.aborted) {
      let answer: SealedResult
      try {
        answer = await this.#calls.call(owner, 'content.sealed', { swarmId: opened.ticket.swarmId }, sealedResult, {
          timeoutMs: SEALED_TIMEOUT_MS,
          signal,
        })
      } catch (error) {
        if (signal.aborted || isOwnersFault(error)) return undefined
        throw error
      }
      if (answer.state === 'sealed') return { contentId: answer.contentId, totalBytes: answer.totalBytes }
      if (answer.state === 'unknown') return undefined
    }
    return undefined
  }

  async #serveOpen(params: OpenParams): Promise<OpenResult | null> {
    if (params.url !== undefined) {
      // Another node has no business with this machine's files.
      if (!/^https?:\/\//i.test(params.url))
        throw fail('source-unsupported', { url: loggable(params.url), reason: 'a seed fetches http: and https: for others, nothing else' })
      return answerOf(await this.#publications.url(params.url, params.headers ?? {}, params.fresh === true))
    }
    if (params.id === undefined) throw fail('bad-request', { reason: 'content.open needs a url or an id' })
    const info = await this.#publications.complete(params.id)
    if (info !== undefined) return answerOf(this.#publications.ofContent(info))
    const running = this.#publications.running(params.id)
    if (running !== undefined) return answerOf(running)
    const ticket = this.#transfers.ticketOf(params.id)
    return ticket === undefined ? null : { ticket }
  }

  async #serveSealed(swarmId: string): Promise<SealedResult> {
    const publication = this.#publications.running(swarmId)
    if (publication !== undefined) {
      const waited = new AbortController()
      const late = pause(this.#clock, SEALED_WAIT_MS, AbortSignal.any([waited.signal, this.#closing])).then(() => undefined)
      try {
        const sealed = await Promise.race([publication.sealed, late])
        if (sealed === undefined && this.#closing.aborted) throw fail('shutting-down', {})
        return sealed === undefined ? { state: 'running' } : { state: 'sealed', ...sealed }
      } finally {
        waited.abort()
      }
    }
    const end = this.#publications.endOf(swarmId)
    if (end === undefined) return { state: 'unknown' }
    if ('contentId' in end) return { state: 'sealed', contentId: end.contentId, totalBytes: end.totalBytes }
    throw end
  }
}

/** Whether the next owner may do better: the fault is the owner's, not the source's. */
export function isOwnersFault(error: unknown): error is PolycastError {
  return (
    isPolycastError(error, 'member-unreachable') ||
    isPolycastError(error, 'shutting-down') ||
    isPolycastError(error, 'overloaded') ||
    isPolycastError(error, 'bad-request')
  )
}

function openedAt(owner: Callee, answer: OpenResult): Opened {
  const { ticket, contentId, totalBytes } = answer
  const known = contentId === undefined || totalBytes === undefined ? undefined : { contentId, totalBytes }
  return { ticket, known, owner, publication: undefined }
}

function answerOf(publication: Publication): OpenResult {
  return { ticket: publication.ticket, ...publication.known }
}
