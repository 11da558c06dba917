/**
 * Cuts the bytes of a connection into frames (docs/specs/02-swarm.md §2), without copying what lies whole in a slab.
 *
 * The socket reads into `space()`; `commit` then hands out every frame that is complete. A frame that does not fit the rest of
 * its slab is moved to the beginning of another one. Nothing is allocated for a length that its type does not allow.
 */
import { FRAME_HEADER_BYTES, maxBodyBytes } from '../../core/swarm/frames.ts'
import { wireError, type WireError } from '../../core/wire/wire-error.ts'
import { Slab } from './slabs.ts'

/** Takes a frame; `body` is valid during the call, or as long as the slab is retained. */
export type FrameListener = (frameType: number, channel: number, body: Buffer, slab: Slab) => void

/** What is left in a slab below which the next read goes to a new one. */
const MIN_SPACE_BYTES = 16 * 1024

export class FrameReader {
  readonly #listener: FrameListener
  #slab: Slab = Slab.take(0)
  /** Where the first unread frame begins, and where the bytes end. */
  #begin = 0
  #end = 0
  #missingBytes = 0
  #isStopped = false

  constructor(listener: FrameListener) {
    this.#listener = listener
  }

  /** What is still to come of the frame that has begun, bytes; 0 where none has. */
  get missingBytes(): number {
    return this.#missingBytes
  }

  /** The length of `space()`. */
  get spaceBytes(): number {
    return this.#slab.buffer.length - this.#end
  }

  /** Where the next bytes of the connection go; never empty. */
  space(): Buffer {
    return this.#slab.buffer.subarray(this.#end)
  }

  /** `count` bytes were read into `space()`. */
  commit(count: number): WireError | undefined {
    this.#end += count
    this.#missingBytes = 0
    let needed = 0
    while (this.#end - this.#begin >= FRAME_HEADER_BYTES) {
      const { buffer } = this.#slab
      const bodyBytes = buffer.readUInt32BE(this.#begin)
      const frameType = buffer[this.#begin + 4]!
      if (bodyBytes > maxBodyBytes(frameType)) {
        return wireError(
          'disconnect',
          `a frame of type ${frameType} with ${bodyBytes} bytes, at most ${maxBodyBytes(frameType)} are allowed`,
        )
      }
      const body = this.#begin + FRAME_HEADER_BYTES
      if (this.#end < body + bodyBytes) {
        needed = FRAME_HEADER_BYTES + bodyBytes
        this.#missingBytes = body + bodyBytes - this.#end
        break
      }
      const channel = buffer.readUInt16BE(this.#begin + 6)
      this.#begin = body + bodyBytes
      this.#listener(frameType, channel, buffer.subarray(body, body + bodyBytes), this.#slab)
      if (this.#isStopped) return undefined
    }
    this.#makeRoom(needed)
    return undefined
  }

  /** No frame is handed out any more. The slab stays: a socket that is being closed may still read into `space()`. */
  stop(): void {
    this.#isStopped = true
  }

  /** Gives the slab back, once nothing reads into it any more; no call may follow. */
  free(): void {
    this.#slab.release()
  }

  #makeRoom(needed: number): void {
    const rest = this.#end - this.#begin
    if (rest === 0 && this.#slab.isExclusive) {
      this.#begin = 0
      this.#end = 0
      return
    }
    const capacity = this.#slab.buffer.length
    if (this.#begin + Math.max(needed, rest + 1) <= capacity && capacity - this.#end >= (needed > 0 ? 1 : MIN_SPACE_BYTES)) return
    const next = Slab.take(Math.max(needed, rest + MIN_SPACE_BYTES))
    this.#slab.buffer.copy(next.buffer, 0, this.#begin, this.#end)
    this.#slab.release()
    this.#slab = next
    this.#begin = 0
    this.#end = rest
  }
}
