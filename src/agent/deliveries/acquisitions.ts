/**
 * Bringing a content into this node's store: what is here already is taken without a call; what isn't is opened at its
 * owner or at a member that has it, and fetched; when whoever gave it dies on the way, the next one is asked.
 */
import type { ContentInfo, DataPlane, Ticket, TransferProgress } from '../data-plane/data-plane.ts'
import { asPolycastError, fail, isPolycastError } from '../errors.ts'
import type { ServiceLog } from './calls.ts'
import type { Clock } from '../clock.ts'
import type { Opened, Openings } from './openings.ts'
import type { Publication, Publications, Sealed } from './publications.ts'
import type { SourceName } from './source-name.ts'
import { loggable } from './source-name.ts'
import type { TransferHold, TransferResult, Transfers } from './transfers.ts'

/** A content that is complete here now. */
export interface Acquired {
  readonly info: ContentInfo
  readonly receivedBytes: number
  readonly reusedBytes: number
  readonly from: 'store' | 'source' | 'cluster'
}

/** How an acquisition is to go. */
export interface AcquireOptions {
  /** Ask the source even where its content is known. */
  readonly isFresh: boolean
  readonly signal: AbortSignal
  readonly onProgress: (progress: TransferProgress) => void
}

/** Owners or holders that may fail before the acquisition does. */
const MAX_ATTEMPTS = 8
/** A publication of this node has no progress of its own: the store is looked at this often. */
const OWN_PROGRESS_MS = 250

/** The acquisitions of a node. */
export class Acquisitions {
  readonly #dataPlane: DataPlane
  readonly #clock: Clock
  readonly #log: ServiceLog
  readonly #publications: Publications
  readonly #openings: Openings
  readonly #transfers: Transfers

  constructor(parts: {
    dataPlane: DataPlane
    clock: Clock
    log: ServiceLog
    publications: Publications
    openings: Openings
    transfers: Transfers
  }) {
    this.#dataPlane = parts.dataPlane
    this.#clock = parts.clock
    this.#log = parts.log
    this.#publications = parts.publications
    this.#openings = parts.openings
    this.#transfers = parts.transfers
  }

  /** Brings what the source names. Errors: source-…, path-…, content-not-found, transfer-stalled, no-space, quota-exceeded, cancelled. */
  async acquire(source: SourceName, options: AcquireOptions): Promise<Acquired> {
    if (options.signal.aborted) throw cancelled()
    switch (source.kind) {
      case 'path':
        return this.#ownPublication(await this.#publications.path(source.path), options)
      case 'url':
        return this.#url(source.url, source.headers, options)
      case 'id':
        return this.#id(source.id, options)
    }
  }

  /** Brings what somebody said to have, from that one or, where that fails, from whoever has it. Errors as `acquire`. */
  async opened(opened: Opened & { readonly known: Sealed }, options: AcquireOptions): Promise<Acquired> {
    if (options.signal.aborted) throw cancelled()
    const { contentId } = opened.known
    try {
      return await this.#fetch(opened, options)
    } catch (error) {
      if (options.signal.aborted || !(error instanceof GiverFailed)) throw error
      this.#log.debug(
        { member: error.giver, content: contentId, reason: asPolycastError(error.reason).message },
        'a content did not come from the member that named it; asking others',
      )
      return this.#id(contentId, options)
    }
  }

  async #url(url: string, headers: Record<string, string>, options: AcquireOptions): Promise<Acquired> {
    const here = options.isFresh ? undefined : await this.#publications.contentOfUrl(url, headers)
    if (here !== undefined) return { info: here, receivedBytes: 0, reusedBytes: 0, from: 'store' }
    const avoid = new Set<string>()
    return this.#attempts(loggable(url), avoid, options, async () => {
      const opened = await this.#openings.url(url, headers, { isFresh: options.isFresh, avoid, signal: options.signal })
      const acquired =
        opened.publication === undefined ? await this.#fetch(opened, options) : await this.#ownPublication(opened.publication, options)
      await this.#publications.name(url, headers, acquired.info.id)
      return acquired
    })
  }

  async #id(id: string, options: AcquireOptions): Promise<Acquired> {
    const here = await this.#dataPlane.content(id)
    if (here?.state === 'complete') return { info: here, receivedBytes: 0, reusedBytes: 0, from: 'store' }
    const wanted = here?.id ?? id
    const running = this.#publications.running(wanted)
    if (running !== undefined) return this.#ownPublication(running, options)
    const avoid = new Set<string>()
    return this.#attempts(wanted, avoid, options, async () => {
      const opened = await this.#openings.id(wanted, { avoid, signal: options.signal })
      if (opened === undefined) {
        if (here === undefined) throw fail('content-not-found', { id, where: 'on any live member' })
        throw fail('transfer-stalled', {
          id: here.id,
          missing: here.totalBytes === undefined ? 'unknown' : here.totalBytes - here.haveBytes,
        })
      }
      return this.#fetch(opened, options)
    })
  }

  /** Tries again as long as the failure is that of who gave the content, each giver at most once. */
  async #attempts(what: string, avoid: Set<string>, options: AcquireOptions, attempt: () => Promise<Acquired>): Promise<Acquired> {
    for (let count = 1; ; count++) {
      try {
        return await attempt()
      } catch (error) {
        if (options.signal.aborted) throw cancelled(error)
        const giver = error instanceof GiverFailed ? error.giver : undefined
        const reason = error instanceof GiverFailed ? error.reason : error
        if (giver === undefined || count === MAX_ATTEMPTS) throw asPolycastError(reason)
        avoid.add(giver)
        this.#log.warn(
          { member: giver, source: what, reason: asPolycastError(reason).message },
          'a transfer stopped because the member that gave it is gone; asking another',
        )
      }
    }
  }

  /** Fetches through the swarm; ends early when the owner says that the source failed. */
  async #fetch(opened: Opened, options: AcquireOptions): Promise<Acquired> {
    const here = opened.known === undefined ? undefined : await this.#publications.complete(opened.known.contentId)
    if (here !== undefined) return { info: here, receivedBytes: 0, reusedBytes: 0, from: 'store' }
    const ended = new AbortController()
    const signal = AbortSignal.any([ended.signal, options.signal])
    const hold = this.#transfers.join(opened.ticket, options.onProgress)
    try {
      const result = await firstOf(hold, this.#openings.sealed(opened, signal), options.signal)
      if (opened.known !== undefined && result.contentId !== opened.known.contentId) {
        throw fail('content-damaged', { id: opened.known.contentId, reason: `the member that has it gave ${result.contentId} instead` })
      }
      const info = await this.#mustHave(result.contentId)
      return { info, receivedBytes: result.receivedBytes, reusedBytes: result.reusedBytes, from: 'cluster' }
    } catch (error) {
      if (opened.owner !== undefined && isGiversFault(error)) throw new GiverFailed(opened.owner.name, error)
      throw error
    } finally {
      hold.release()
      ended.abort()
    }
  }

  /** Waits for what this node itself reads from a source. Giving up doesn't stop it: others may be fetching it. */
  async #ownPublication(publication: Publication, options: AcquireOptions): Promise<Acquired> {
    if (publication.known !== undefined) {
      return { info: await this.#mustHave(publication.known.contentId), receivedBytes: 0, reusedBytes: 0, from: 'store' }
    }
    const stop = this.#watchOwn(publication.ticket, options)
    try {
      const sealed = await orCancelled(publication.sealed, options.signal)
      return { info: await this.#mustHave(sealed.contentId), receivedBytes: sealed.totalBytes, reusedBytes: 0, from: 'source' }
    } finally {
      stop()
    }
  }

  #watchOwn(ticket: Ticket, options: AcquireOptions): () => void {
    let isStopped = false
    let cancelTimer = (): void => undefined
    const look = (): void => {
      this.#dataPlane.content(ticket.swarmId).then(
        (info) => {
          if (isStopped) return
          if (info !== undefined)
            options.onProgress({
              haveBytes: info.haveBytes,
              totalBytes: info.totalBytes,
              receivedBytes: info.haveBytes,
              multicastBytes: 0,
              reusedBytes: 0,
              peers: 0,
            })
          cancelTimer = this.#clock.schedule(OWN_PROGRESS_MS, look)
        },
        (error: unknown) => {
          this.#log.debug({ reason: asPolycastError(error).message }, 'the progress of a publication is not known')
        },
      )
    }
    cancelTimer = this.#clock.schedule(OWN_PROGRESS_MS, look)
    return () => {
      isStopped = true
      cancelTimer()
    }
  }

  async #mustHave(contentId: string): Promise<ContentInfo> {
    const info = await this.#dataPlane.content(contentId)
    if (info === undefined) throw fail('content-not-found', { id: contentId, where: 'here' })
    return info
  }
}

/** The failure of a transfer together with the member whose fault it is. */
class GiverFailed extends Error {
  readonly giver: string
  readonly reason: unknown

  constructor(giver: string, reason: unknown) {
    super(`${giver} failed`, { cause: reason })
    this.giver = giver
    this.reason = reason
  }
}

/** Whether another member may give what this one couldn't. */
function isGiversFault(error: unknown): boolean {
  return (
    isPolycastError(error, 'transfer-stalled') || isPolycastError(error, 'member-unreachable') || isPolycastError(error, 'content-damaged')
  )
}

/** The transfer's result, unless the publication fails or the signal aborts first. */
function firstOf(hold: TransferHold, sealed: Promise<unknown>, signal: AbortSignal): Promise<TransferResult> {
  const failed = new Promise<never>((_resolve, reject) => {
    sealed.catch(reject)
  })
  return orCancelled(Promise.race([hold.done, failed]), signal)
}

/** What the promise gives, unless the signal aborts first. */
export function orCancelled<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      reject(cancelled())
    }
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', stop)
    })
  })
}

function cancelled(cause?: unknown): Error {
  return isPolycastError(cause, 'cancelled') ? cause : fail('cancelled', { reason: 'the one who asked for it gave it up' }, cause)
}
