/**
 * Receive buffers that are used again: sockets read straight into slabs, frames are views of them, and a slab goes back to the
 * pool when nobody holds a view any more.
 *
 * Counted by hand because it pays: fresh memory for every 256 KiB costs page faults, and the collector notices freed buffers
 * late (measured at 500 MB/s: a fifth of the data plane's CPU, and 60 MiB more resident memory).
 */
import { assert } from '../../core/lib/assert.ts'

/** The size of a slab that sockets read into. */
export const SLAB_BYTES: number = 256 * 1024
/** What is longer (a block of multicast, a large frame) gets one of twice, four or eight times that; beyond, one that is not pooled. */
const LARGEST_SLAB_BYTES = 8 * SLAB_BYTES
/** Bytes of slabs that wait to be used again. */
const MAX_POOLED_BYTES = 32 * SLAB_BYTES

/** By size. */
const pool: Map<number, Buffer[]> = new Map()
let pooledBytes = 0

/** A buffer with a count of those who use it; made with one user. */
export class Slab {
  readonly buffer: Buffer
  #users = 1

  private constructor(buffer: Buffer) {
    this.buffer = buffer
  }

  /** A slab of at least `bytes`. */
  static take(bytes: number): Slab {
    if (bytes > LARGEST_SLAB_BYTES) return new Slab(Buffer.allocUnsafeSlow(bytes))
    let size = SLAB_BYTES
    while (size < bytes) size *= 2
    const pooled = pool.get(size)?.pop()
    if (pooled === undefined) return new Slab(Buffer.allocUnsafeSlow(size))
    pooledBytes -= size
    return new Slab(pooled)
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
    const size = this.buffer.length
    if (size > LARGEST_SLAB_BYTES || pooledBytes + size > MAX_POOLED_BYTES) return
    pooledBytes += size
    const same = pool.get(size)
    if (same === undefined) pool.set(size, [this.buffer])
    else same.push(this.buffer)
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

  /** The payload of bytes that may be a part of this one's, and then hold the same slab: one user more. Others are on their own. */
  holding(bytes: Uint8Array): Payload {
    if (bytes.buffer !== this.bytes.buffer) return new Payload(bytes)
    this.#slab?.retain()
    return new Payload(bytes, this.#slab)
  }
}
