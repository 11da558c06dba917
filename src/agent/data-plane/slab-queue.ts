/**
 * Bytes that come in parts of any length and leave in runs: copied once into pooled slabs, so that a source of any speed costs
 * no fresh memory. The parts may be used again as soon as `push` has returned.
 */
import { assert } from '../../core/lib/assert.ts'
import { Payload, Slab, SLAB_BYTES } from './slabs.ts'

interface Part {
  readonly slab: Slab
  /** What is still queued of the slab. */
  start: number
  end: number
}

/** A queue of bytes. */
export class SlabQueue {
  readonly #parts: Part[] = []
  #bytes = 0

  /** Bytes that are queued. */
  get bytes(): number {
    return this.#bytes
  }

  /** Adds a copy of the bytes. */
  push(bytes: Uint8Array): void {
    this.#bytes += bytes.length
    for (let copied = 0; copied < bytes.length;) {
      const part = this.#open()
      const piece = bytes.subarray(copied, copied + SLAB_BYTES - part.end)
      part.slab.buffer.set(piece, part.end)
      part.end += piece.length
      copied += piece.length
    }
  }

  /** The next `count` bytes, at least one; the caller releases the payload. A copy only where they lie in two slabs. */
  shift(count: number): Payload {
    assert(count > 0 && count <= this.#bytes, 'bytes that are queued')
    const head = this.#parts[0]!
    if (head.end - head.start >= count) {
      head.slab.retain()
      const bytes = head.slab.buffer.subarray(head.start, head.start + count)
      this.#drop(head, count)
      return new Payload(bytes, head.slab)
    }
    const joined = Slab.take(count)
    for (let filled = 0; filled < count;) {
      const part = this.#parts[0]!
      const taken = Math.min(part.end - part.start, count - filled)
      joined.buffer.set(part.slab.buffer.subarray(part.start, part.start + taken), filled)
      filled += taken
      this.#drop(part, taken)
    }
    return new Payload(joined.buffer.subarray(0, count), joined)
  }

  /** Gives up what is queued. */
  clear(): void {
    for (const part of this.#parts.splice(0)) part.slab.release()
    this.#bytes = 0
  }

  /** The last slab, with room. */
  #open(): Part {
    const last = this.#parts.at(-1)
    if (last !== undefined && last.end < SLAB_BYTES) return last
    const part = { slab: Slab.take(SLAB_BYTES), start: 0, end: 0 }
    this.#parts.push(part)
    return part
  }

  #drop(part: Part, count: number): void {
    part.start += count
    this.#bytes -= count
    // A slab that isn't full yet is gone on with, unless nothing is queued: then it would be held for nothing.
    if (part.start < part.end || (part.end < SLAB_BYTES && this.#bytes > 0)) return
    this.#parts.shift()
    part.slab.release()
  }
}
