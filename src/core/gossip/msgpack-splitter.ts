/**
 * Cuts a stream of msgpack values, one after the other without lengths before them, into the bytes of each (grammar: `msgpack.ts`).
 *
 * Nothing is decoded: to find where a value ends, it is enough to count how many values are still to come, so each byte is looked at once
 * however the stream is cut into pieces, and nesting costs nothing. A value that cannot end within the limit is refused as soon as its
 * headers say so. Once something was refused, nothing more is given: where the next value begins is not known.
 */
import { wireError, type WireError } from '../wire/wire-error.ts'

const LEAST_BUFFER_BYTES = 256

/** Collects bytes and gives the values in them. */
export class MsgpackSplitter {
  readonly #maxBytes: number
  #buffer: Uint8Array = new Uint8Array(LEAST_BUFFER_BYTES)
  /** Where the bytes end. */
  #end = 0
  /** Where the value begins that comes next; where its next header is, which may lie behind the end; how many of its values are to come. */
  #start = 0
  #at = 0
  #open = 0
  #error: WireError | undefined

  /** `maxBytes` is the most that one value may have. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Bytes that no value was made of yet. */
  get heldBytes(): number {
    return this.#end - this.#start
  }

  /** Takes the next bytes of the stream, as a copy. Take all that `next` gives before: the limit is for the bytes of one value. */
  push(bytes: Uint8Array): void {
    if (this.#error !== undefined) return
    const held = this.heldBytes
    if (held + bytes.length > this.#buffer.length) {
      const buffer = new Uint8Array(Math.max(held + bytes.length, 2 * held))
      buffer.set(this.#buffer.subarray(this.#start, this.#end))
      this.#buffer = buffer
    } else if (this.#start > 0) this.#buffer.copyWithin(0, this.#start, this.#end)
    this.#at -= this.#start
    this.#start = 0
    this.#buffer.set(bytes, held)
    this.#end = held + bytes.length
  }

  /**
   * The bytes of the next value, as a view until the next `push`; undefined while it is not complete; what is wrong with it, again and
   * again, where it is refused.
   */
  next(): Uint8Array | WireError | undefined {
    if (this.#error !== undefined) return this.#error
    if (this.#at === this.#start) this.#open = 1
    while (this.#open > 0) {
      if (this.#at >= this.#end) return undefined
      const head = readHead(this.#buffer.subarray(this.#at, this.#end))
      if (head === 'cut off') return undefined
      if (head === 'malformed') return this.#refuse('a byte that begins no value')
      this.#at += head.bytes
      this.#open += head.values - 1
      // Each value to come has one byte at least.
      if (this.#at - this.#start + this.#open > this.#maxBytes) return this.#refuse(`a value of more than ${this.#maxBytes} bytes`)
    }
    if (this.#at > this.#end) return undefined
    const value = this.#buffer.subarray(this.#start, this.#at)
    this.#start = this.#at
    return value
  }

  #refuse(message: string): WireError {
    this.#error = wireError('disconnect', message)
    this.#buffer = new Uint8Array(0)
    this.#start = 0
    this.#end = 0
    return this.#error
  }
}

/** The first byte of a value, and what of the value follows: its own bytes, and values in it. */
interface Head {
  readonly bytes: number
  readonly values: number
}

function readHead(bytes: Uint8Array): Head | 'cut off' | 'malformed' {
  const tag = bytes[0] as number
  if (tag <= 0x7f || tag >= 0xe0 || tag === 0xc0 || tag === 0xc2 || tag === 0xc3) return { bytes: 1, values: 0 }
  if (tag <= 0x8f) return { bytes: 1, values: 2 * (tag & 0x0f) }
  if (tag <= 0x9f) return { bytes: 1, values: tag & 0x0f }
  if (tag <= 0xbf) return { bytes: 1 + (tag & 0x1f), values: 0 }
  const form = FORMS[tag - 0xc4]
  // c1 alone has no meaning, and lies before the table.
  if (form === undefined) return 'malformed'
  const [lengthBytes, fixedBytes, valuesEach] = form
  if (bytes.length < 1 + lengthBytes) return 'cut off'
  let length = 0
  for (let i = 1; i <= lengthBytes; i++) length = length * 0x100 + (bytes[i] as number)
  const own = 1 + lengthBytes + fixedBytes
  return valuesEach === 0 ? { bytes: own + length, values: 0 } : { bytes: own, values: valuesEach * length }
}

/** Of the tags from c4 to df: bytes of the length, bytes beside what the length says, and values for each of the length (0: bytes). */
const FORMS: readonly (readonly [lengthBytes: number, fixedBytes: number, valuesEach: 0 | 1 | 2])[] = [
  [1, 0, 0],
  [2, 0, 0],
  [4, 0, 0],
  [1, 1, 0],
  [2, 1, 0],
  [4, 1, 0],
  [0, 4, 0],
  [0, 8, 0],
  [0, 1, 0],
  [0, 2, 0],
  [0, 4, 0],
  [0, 8, 0],
  [0, 1, 0],
  [0, 2, 0],
  [0, 4, 0],
  [0, 8, 0],
  [0, 2, 0],
  [0, 3, 0],
  [0, 5, 0],
  [0, 9, 0],
  [0, 17, 0],
  [1, 0, 0],
  [2, 0, 0],
  [4, 0, 0],
  [2, 0, 1],
  [4, 0, 1],
  [2, 0, 2],
  [4, 0, 2],
]
