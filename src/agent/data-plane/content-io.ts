/**
 * The bytes of one session's content on their way between links and store: written when they came, kept for those they are passed
 * on to, read back for others, taken from this disk where another content has them.
 *
 * What is asked for and of whom is not decided here; errors of the store end the session.
 */
import type { StoredContent } from '../store/contract.ts'
import type { Link } from './link.ts'
import { RelayCache } from './relay-cache.ts'
import { Payload, Slab } from './slabs.ts'

const RELAY_CACHE_BYTES = 4 * 1024 * 1024
const MAX_READS_PER_LINK = 4
/** Bytes on their way to the disk above which the session reads no more from the network. */
const MAX_UNWRITTEN_BYTES = 16 * 1024 * 1024

export class ContentIo {
  /** Bytes that other contents on this disk gave. */
  reusedBytes = 0
  readonly #stored: StoredContent
  readonly #fail: (error: unknown) => void
  readonly #cache: RelayCache = new RelayCache(RELAY_CACHE_BYTES)
  readonly #reads: Map<Link, number> = new Map()
  readonly #held: Map<Link, () => void> = new Map()
  #unwrittenBytes = 0
  /** Called when nothing waits to be written any more. */
  #allWritten: (() => void) | undefined
  #isReusing = false
  #reuseUpTo = 0
  #isEnded = false

  constructor(stored: StoredContent, fail: (error: unknown) => void) {
    this.#stored = stored
    this.#fail = fail
  }

  /** Bytes on their way to the disk. */
  get unwrittenBytes(): number {
    return this.#unwrittenBytes
  }

  // ---- in ----

  /** The author's own chunks; takes over one use of the payload, and settles with the write. */
  async ingest(firstChunk: number, count: number, payload: Payload): Promise<void> {
    this.#cache.add(firstChunk, count, payload.retain())
    try {
      await this.#stored.write(firstChunk, count, [payload.bytes])
      this.#cache.written(firstChunk)
    } finally {
      payload.release()
    }
  }

  /** Chunks that a peer sent; takes over one use of the payload. */
  write(firstChunk: number, count: number, payload: Payload): void {
    this.#cache.add(firstChunk, count, payload.retain())
    const bytes = payload.bytes.length
    this.#unwrittenBytes += bytes
    this.#stored.write(firstChunk, count, [payload.bytes]).then(
      () => {
        this.#cache.written(firstChunk)
        payload.release()
        this.#wrote(bytes)
      },
      (error: unknown) => {
        payload.release()
        this.#fail(error)
      },
    )
  }

  /** Reads no more from a link while the disk is far behind. */
  slowDown(link: Link): void {
    if (this.#unwrittenBytes <= MAX_UNWRITTEN_BYTES || link.isClosed || this.#held.has(link)) return
    this.#held.set(link, link.hold())
  }

  /** Resolves once every chunk is written, synced and recorded. */
  async finish(): Promise<void> {
    if (this.#unwrittenBytes > 0) await new Promise<void>((resolve) => (this.#allWritten = resolve))
    await this.#stored.finish()
  }

  /** Searches this disk for the chunks from one on; one search at a time, and what comes meanwhile in the next one. `found` is told each part that was searched. */
  async reuse(fromChunk: number, upTo: number, found: (from: number, to: number) => void): Promise<void> {
    this.#reuseUpTo = upTo
    if (this.#isReusing) return
    this.#isReusing = true
    for (let from = fromChunk; from < this.#reuseUpTo && !this.#isEnded;) {
      const to = this.#reuseUpTo
      try {
        this.reusedBytes += (await this.#stored.reuse(from)).bytes
      } catch (error) {
        return this.#fail(error)
      }
      if (!this.#isEnded) found(from, to)
      from = to
    }
    this.#isReusing = false
  }

  // ---- out ----

  /** Whether a link has as many reads under way as it may. */
  isBusy(link: Link): boolean {
    return (this.#reads.get(link) ?? 0) >= MAX_READS_PER_LINK
  }

  /** Chunks that have just come, with one use more, if they are still here. */
  cached(firstChunk: number, count: number): Payload | undefined {
    return this.#cache.get(firstChunk, count)
  }

  /** Chunks from the disk for a link; undefined when they are gone. */
  async read(link: Link, firstChunk: number, count: number, bytes: number): Promise<Payload | undefined> {
    this.#reads.set(link, (this.#reads.get(link) ?? 0) + 1)
    const unreserve = link.reserve(bytes)
    const slab = Slab.take(bytes)
    const view = slab.buffer.subarray(0, bytes)
    try {
      await this.#stored.read(firstChunk, count, view)
      return new Payload(view, slab)
    } catch {
      // What is wrong with the disk is found and said by who verifies: here it is missing.
      slab.release()
      return undefined
    } finally {
      unreserve()
      if (this.#reads.has(link)) this.#reads.set(link, (this.#reads.get(link) ?? 1) - 1)
    }
  }

  /** A link is gone. */
  forget(link: Link): void {
    this.#reads.delete(link)
    this.#held.delete(link)
  }

  /** Lets go of everything; what is being written still is. */
  end(): void {
    this.#isEnded = true
    this.#resume()
    this.#cache.clear()
  }

  #wrote(bytes: number): void {
    this.#unwrittenBytes -= bytes
    if (this.#unwrittenBytes < MAX_UNWRITTEN_BYTES / 2) this.#resume()
    if (this.#unwrittenBytes === 0) this.#allWritten?.()
  }

  #resume(): void {
    for (const readOn of this.#held.values()) readOn()
    this.#held.clear()
  }
}
