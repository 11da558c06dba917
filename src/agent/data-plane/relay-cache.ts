/**
 * Chunks that have just come, kept for those they are passed on to, so that relaying reads nothing from disk.
 *
 * An entry stays at least until it is written; beyond that the oldest go first when there are more bytes than allowed.
 */
import type { Payload } from './slabs.ts'

interface Entry {
  readonly count: number
  readonly payload: Payload
  isWritten: boolean
}

export class RelayCache {
  readonly #maxBytes: number
  readonly #entries: Map<number, Entry> = new Map()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Takes over one use of the payload. */
  add(firstChunk: number, count: number, payload: Payload): void {
    const existing = this.#entries.get(firstChunk)
    if (existing !== undefined) return payload.release()
    this.#entries.set(firstChunk, { count, payload, isWritten: false })
    this.#bytes += payload.bytes.length
    this.#shrink()
  }

  written(firstChunk: number): void {
    const entry = this.#entries.get(firstChunk)
    if (entry === undefined) return
    entry.isWritten = true
    if (this.#bytes > this.#maxBytes) this.#shrink()
  }

  /** The payload of exactly this range, with one use more, if it is here. */
  get(firstChunk: number, count: number): Payload | undefined {
    const entry = this.#entries.get(firstChunk)
    return entry !== undefined && entry.count === count ? entry.payload.retain() : undefined
  }

  clear(): void {
    for (const entry of this.#entries.values()) entry.payload.release()
    this.#entries.clear()
    this.#bytes = 0
  }

  #shrink(): void {
    for (const [firstChunk, entry] of this.#entries) {
      if (this.#bytes <= this.#maxBytes) return
      if (!entry.isWritten) continue
      this.#entries.delete(firstChunk)
      this.#bytes -= entry.payload.bytes.length
      entry.payload.release()
    }
  }
}
