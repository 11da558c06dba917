/**
 * Bytes in memory that go to other nodes as contents: what an event carries that is too long for it (gossip/large-events.ts). They are
 * shared from here, fetched by those that were told of them, and their receipts go back by a call.
 *
 * Nothing is pinned: the store lets go of them as of any content.
 */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Clock } from '../clock.ts'
import { asPolycastError, fail, fromErrno } from '../errors.ts'
import type { Acquired, Acquisitions } from './acquisitions.ts'
import { isLive, type Calls, type ServiceLog } from './calls.ts'
import { nothing } from './messages.ts'
import { pause } from './pause.ts'
import type { Publications } from './publications.ts'

/** All that a node needs in order to fetch a payload. */
interface Reference {
  readonly contentId: string
  readonly bytes: number
  /** The node that shared it, and its swarm addresses. */
  readonly node: string
  readonly trackers: readonly string[]
}

interface PayloadReceipt {
  readonly report: string
  readonly isHere: boolean
}

/** `payload.receipt`: tells the node that shared a payload whether the caller has it now, or never will. */
const receiptParams: z.ZodType<PayloadReceipt> = z.object({ report: z.string().max(64), isHere: z.boolean() })

/** Attempts to tell of a payload, and the first pause between them; each further one is twice as long. */
const MAX_RECEIPT_TRIES = 4
const RECEIPT_PAUSE_MS = 500
/** What such a content is called for people. */
const NAME = 'event payload'

interface Parts {
  readonly calls: Calls
  readonly clock: Clock
  readonly log: ServiceLog
  readonly publications: Publications
  readonly acquisitions: Acquisitions
  readonly callTimeoutMs: number
  readonly closing: AbortSignal
}

/** The payloads of a node, both ways. */
export class Payloads {
  readonly #parts: Parts
  readonly #directory: string
  #listener: (from: string, receipt: PayloadReceipt) => void = () => undefined

  /** `directory` is its own: what a crash left there is removed. */
  constructor(parts: Parts, directory: string) {
    this.#parts = parts
    this.#directory = directory
    parts.calls.handle('payload.receipt', receiptParams, (receipt, from) => {
      this.#listener(from.name, receipt)
      return Promise.resolve({})
    })
  }

  /** Removes what a crash left behind. Errors: data-dir-unusable. */
  async open(): Promise<void> {
    await this.#write((directory) => rm(directory, { recursive: true, force: true }))
  }

  /** Makes a payload a content that others can fetch. Errors: data-dir-unusable, no-space, quota-exceeded. */
  async share(payload: Uint8Array): Promise<Reference> {
    const { calls, publications } = this.#parts
    const path = join(this.#directory, randomBytes(8).toString('hex'))
    try {
      await this.#write(async (directory) => {
        await mkdir(directory, { recursive: true, mode: 0o700 })
        await writeFile(path, payload, { mode: 0o600, flag: 'wx' })
      })
      const publication = await publications.passing(path, NAME)
      const { contentId, totalBytes } = await publication.sealed
      return { contentId, bytes: totalBytes, node: calls.selfName, trackers: [calls.selfAddress] }
    } finally {
      await rm(path, { force: true })
    }
  }

  /** The bytes, from the node that shared them or from any that has them. Errors: transfer-stalled, content-not-found, content-damaged, no-space, quota-exceeded, cancelled. */
  async fetch(reference: Reference, signal: AbortSignal): Promise<Uint8Array> {
    const { contentId, bytes } = reference
    const tooLong = new AbortController()
    const acquired = await this.#acquire(reference, {
      isFresh: false,
      signal: AbortSignal.any([signal, tooLong.signal]),
      onProgress: ({ totalBytes = 0 }) => {
        if (totalBytes > bytes) tooLong.abort()
      },
    }).catch((error: unknown) => {
      throw tooLong.signal.aborted ? otherThanSaid(contentId) : error
    })
    const { path, totalBytes } = acquired.info
    if (totalBytes !== bytes) throw otherThanSaid(contentId)
    return await readFile(path).catch((error: unknown) => {
      throw fromErrno(error, { doing: 'data-dir', path })
    })
  }

  /** Tells the node that shared a payload; gives up where that one is gone. Never rejects. */
  async acknowledge(node: string, receipt: PayloadReceipt): Promise<void> {
    const { calls, clock, closing, log, callTimeoutMs: timeoutMs } = this.#parts
    for (let tries = 1; !closing.aborted; tries++) {
      try {
        await calls.call({ name: node }, 'payload.receipt', receipt, nothing, { timeoutMs, signal: closing })
        return
      } catch (error) {
        const member = calls.member(node)
        if (tries >= MAX_RECEIPT_TRIES || member === undefined || !isLive(member)) {
          log.debug(
            { member: node, reason: asPolycastError(error).message },
            'the sender of an event was not told that its payload is here',
          )
          return
        }
      }
      await pause(clock, RECEIPT_PAUSE_MS * 2 ** (tries - 1), closing)
    }
  }

  /** Calls back with the receipts for what this node shared. */
  onReceipt(listener: (from: string, receipt: PayloadReceipt) => void): void {
    this.#listener = listener
  }

  /** From the node that shared it as long as that one lives. */
  async #acquire({ contentId, bytes, node, trackers }: Reference, options: Parameters<Acquisitions['opened']>[1]): Promise<Acquired> {
    const { acquisitions, calls } = this.#parts
    const byId = (): Promise<Acquired> => acquisitions.acquire({ kind: 'id', id: contentId }, options)
    const member = calls.member(node)
    if (node === calls.selfName || (member !== undefined && !isLive(member))) return byId()
    const gone = new AbortController()
    const unwatch = calls.onChange((changed) => {
      if (changed.name === node && !isLive(changed)) gone.abort()
    })
    const opened = {
      ticket: { swarmId: contentId, trackers: [...trackers], name: NAME },
      known: { contentId, totalBytes: bytes },
      owner: { name: node, address: trackers[0] ?? '' },
      publication: undefined,
    }
    try {
      return await acquisitions.opened(opened, { ...options, signal: AbortSignal.any([options.signal, gone.signal]) })
    } catch (error) {
      if (!gone.signal.aborted || options.signal.aborted) throw error
      return await byId()
    } finally {
      unwatch()
    }
  }

  /** Does something in the directory. */
  async #write(act: (directory: string) => Promise<void>): Promise<void> {
    try {
      await act(this.#directory)
    } catch (error) {
      throw fromErrno(error, { doing: 'data-dir', path: this.#directory })
    }
  }
}

function otherThanSaid(id: string): Error {
  return fail('content-damaged', { id, reason: 'it is longer or shorter than the node that named it said' })
}
