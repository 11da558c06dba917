/**
 * Receive buffers that are used again: sockets read straight into slabs, frames are views of them, and a slab goes back to the
 * pool when nobody holds a view any more.
 *
 * Counted by hand because it pays: fresh memory for every 256 KiB costs page faults, and the collector notices freed buffers
 * late (measured at 500 MB/s: a fifth of the data plane's CPU, and 60 MiB more resident memory).
 */
import { assert } from '../../core/lib/assert.ts'

/** The size of a pooled slab; a longer frame gets a slab of its own that is not pooled. */
export const SLAB_BYTES: number = 256 * 1024
/** Slabs that wait to be used again. */
const MAX_POOLED_SLABS = 32

const pool: Buffer[] = []

/** A buffer with a count of those who use it; made with one user. */
export class Slab {
  readonly buffer: Buffer
  #users = 1

  private constructor(buffer: Buffer) {
    this.buffer = buffer
  }

  /** A slab of at least `bytes`. */
  static take(bytes: number): Slab {
    if (bytes > SLAB_BYTES) return new Slab(Buffer.allocUnsafeSlow(bytes))
    return new Slab(pool.pop() ?? Buffer.allocUnsafeSlow(SLAB_BYTES))
  }

  /** Whether the one who asks is its only user. */
  get isExclusive(): boolean {
    return this.#users === 1
  }

  retain(): void {
    assert(this.#users > 0, 'a slab that is in use')
    this.#users++
  }

  release(): void {
    assert(this.#users > 0, 'a slab that is in use')
    if (--this.#users > 0) return
    if (this.buffer.length === SLAB_BYTES && pool.length < MAX_POOLED_SLABS) pool.push(this.buffer)
  }
}

/** Bytes that several users hold: a view of a slab, or bytes of their own. */
export class Payload {
  readonly bytes: Uint8Array
  readonly #slab: Slab | undefined

  constructor(bytes: Uint8Array, slab?: Slab) {
    this.bytes = bytes
    this.#slab = slab
  }

  /** One user more; each calls `release` once. */
  retain(): this {
    this.#slab?.retain()
    return this
  }

  release(): void {
    this.#slab?.release()
  }
}
