/**
 * Reads the primitive fields of `Writer` from bytes that anybody may have sent. Not a judge of what the fields mean: that
 * is the decoder's.
 *
 * Nothing throws. The first field that is cut off, too long or not canonical sets `failed`; from then on every field
 * reads as 0 or empty and `remaining` is 0, so that a decoder reads straight through, its loops end, and it checks once.
 * No field allocates by a length that was not first held against the bytes that are there.
 */
import { utf8Decode } from '../lib/bytes.ts'

const EMPTY: Uint8Array = new Uint8Array(0)

/** A position in bytes, moved forward by reading fields. */
export class Reader {
  readonly #bytes: Uint8Array
  #at = 0
  #failed = false

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Whether some field so far was not there or not allowed. */
  get failed(): boolean {
    return this.#failed
  }

  /** How many bytes are left; 0 after a failure. */
  get remaining(): number {
    return this.#bytes.length - this.#at
  }

  /** Whether every field was good and nothing is left over. */
  done(): boolean {
    return !this.#failed && this.remaining === 0
  }

  /** Makes the reader fail, for a rule of the decoder's own. */
  fail(): void {
    this.#failed = true
    this.#at = this.#bytes.length
  }

  u8(): number {
    if (!this.#has(1)) return 0
    return this.#bytes[this.#at++] as number
  }

  u16(): number {
    if (!this.#has(2)) return 0
    const at = this.#at
    this.#at += 2
    return ((this.#bytes[at] as number) << 8) | (this.#bytes[at + 1] as number)
  }

  u32(): number {
    const high = this.u16()
    const low = this.u16()
    return this.#failed ? 0 : high * 0x10000 + low
  }

  u48(): number {
    const high = this.u16()
    const low = this.u32()
    return this.#failed ? 0 : high * 2 ** 32 + low
  }

  /** An integer from 0 to 2^53 − 1; a needless last byte of 0 fails, so that each value has one encoding. */
  varint(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i++) {
      if (!this.#has(1)) return 0
      const byte = this.#bytes[this.#at++] as number
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if ((byte === 0 && i > 0) || value > Number.MAX_SAFE_INTEGER) break
        return value
      }
      scale *= 128
    }
    this.fail()
    return 0
  }

  /** The next `count` bytes as a view. */
  bytes(count: number): Uint8Array {
    if (!this.#has(count)) return EMPTY
    const view = this.#bytes.subarray(this.#at, this.#at + count)
    this.#at += count
    return view
  }

  /** A varint length of at most `maxBytes`, then that many bytes as a view. */
  lengthBytes(maxBytes: number): Uint8Array {
    const count = this.varint()
    if (count > maxBytes) {
      this.fail()
      return EMPTY
    }
    return this.bytes(count)
  }

  /** A varint length of at most `maxBytes`, then that many bytes of strict UTF-8. */
  text(maxBytes: number): string {
    const text = utf8Decode(this.lengthBytes(maxBytes))
    if (text === undefined) this.fail()
    return text ?? ''
  }

  #has(count: number): boolean {
    if (count >= 0 && count <= this.#bytes.length - this.#at && !this.#failed) return true
    this.fail()
    return false
  }
}
