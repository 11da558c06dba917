/**
 * Which signed segments a growing manifest was made of, for those who join in the middle: first chunk, count and signature
 * of each; the entries are in the manifest already. Signatures lie in one array, so that many small segments stay cheap.
 */
import { SIGNATURE_BYTES } from './primitives.ts'

/** A segment without its entries. */
export interface LoggedSegment {
  readonly firstChunk: number
  readonly count: number
  readonly signature: Uint8Array
}

export class SegmentLog {
  readonly #firsts: number[] = []
  readonly #counts: number[] = []
  #signatures: Uint8Array = new Uint8Array(0)

  /** Adds a segment; first chunks ascend. */
  push(firstChunk: number, count: number, signature: Uint8Array): void {
    const at = this.#firsts.length * SIGNATURE_BYTES
    if (at + SIGNATURE_BYTES > this.#signatures.length) {
      const signatures = new Uint8Array(Math.max(8 * SIGNATURE_BYTES, 2 * this.#signatures.length))
      signatures.set(this.#signatures)
      this.#signatures = signatures
    }
    this.#signatures.set(signature, at)
    this.#firsts.push(firstChunk)
    this.#counts.push(count)
  }

  /** Segments from the one that holds `chunk` on, as long as there is no gap between them. */
  *from(chunk: number): Generator<LoggedSegment> {
    let next = chunk
    for (let i = this.#indexAt(chunk); i < this.#firsts.length; i++) {
      const firstChunk = this.#firsts[i] as number
      const count = this.#counts[i] as number
      if (firstChunk > next || firstChunk + count <= next) return
      next = firstChunk + count
      yield { firstChunk, count, signature: this.#signatures.slice(i * SIGNATURE_BYTES, (i + 1) * SIGNATURE_BYTES) }
    }
  }

  /** The last segment that begins at or before `chunk`, by bisection; 0 when there is none. */
  #indexAt(chunk: number): number {
    let low = 0
    let high = this.#firsts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((this.#firsts[middle] as number) <= chunk) low = middle
      else high = middle - 1
    }
    return low
  }
}
