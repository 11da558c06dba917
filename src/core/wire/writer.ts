/**
 * Writes the primitive fields that every format of the project is made of. Not bounded by itself: who writes knows what
 * it writes, and a value outside of its field is a bug.
 *
 *   u8, u16, u32, u48   big endian
 *   varint         0 to 2^53 − 1, LEB128: 7 bits to a byte, low ones first, top bit = more follow, no needless bytes
 *   lengthBytes    varint length, then that many bytes
 *   text           lengthBytes of UTF-8
 */
import { assert } from '../lib/assert.ts'
import { utf8Encode } from '../lib/bytes.ts'

/** Collects fields in one buffer that doubles when it is full. */
export class Writer {
  #buffer: Uint8Array
  #length = 0

  /** `initialBytes` is a guess of the final size; the buffer grows beyond it by itself. */
  constructor(initialBytes: number = 64) {
    this.#buffer = new Uint8Array(Math.max(16, initialBytes))
  }

  /** How many bytes were written so far. */
  get length(): number {
    return this.#length
  }

  u8(value: number): void {
    assert(isUnsigned(value, 0xff), 'an unsigned 8-bit integer')
    this.#reserve(1)
    this.#buffer[this.#length++] = value
  }

  u16(value: number): void {
    assert(isUnsigned(value, 0xffff), 'an unsigned 16-bit integer')
    this.#reserve(2)
    this.#buffer[this.#length++] = value >>> 8
    this.#buffer[this.#length++] = value
  }

  u32(value: number): void {
    assert(isUnsigned(value, 0xffffffff), 'an unsigned 32-bit integer')
    this.#reserve(4)
    this.#buffer[this.#length++] = value >>> 24
    this.#buffer[this.#length++] = value >>> 16
    this.#buffer[this.#length++] = value >>> 8
    this.#buffer[this.#length++] = value
  }

  u48(value: number): void {
    assert(isUnsigned(value, 0xffff_ffff_ffff), 'an unsigned 48-bit integer')
    this.u16(Math.floor(value / 2 ** 32))
    this.u32(value % 2 ** 32)
  }

  varint(value: number): void {
    assert(isUnsigned(value, Number.MAX_SAFE_INTEGER), 'an integer from 0 to 2^53 - 1')
    this.#reserve(8)
    let rest = value
    while (rest >= 0x80000000) {
      this.#buffer[this.#length++] = 0x80 | (rest % 128)
      rest = Math.floor(rest / 128)
    }
    while (rest >= 0x80) {
      this.#buffer[this.#length++] = 0x80 | (rest & 0x7f)
      rest >>>= 7
    }
    this.#buffer[this.#length++] = rest
  }

  /** Raw bytes, copied, without their length. */
  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#length)
    this.#length += bytes.length
  }

  lengthBytes(bytes: Uint8Array): void {
    this.varint(bytes.length)
    this.bytes(bytes)
  }

  text(text: string): void {
    this.lengthBytes(utf8Encode(text))
  }

  /** What was written: a view, so the writer is not used afterwards. */
  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#buffer.length) return
    const buffer = new Uint8Array(Math.max(needed, 2 * this.#buffer.length))
    buffer.set(this.#buffer.subarray(0, this.#length))
    this.#buffer = buffer
  }
}

function isUnsigned(value: number, largest: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= largest
}
