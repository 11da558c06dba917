/**
 * Msgpack as memberlist and Serf write it, and all that they take (docs/specs/04-gossip.md §2). Not a general library: what a field is
 * comes from `msgpack-kinds.ts`, and no value is ever read without knowing what it should be, except to go past it.
 *
 *   value   = nil | bool | integer | float | raw | array | map
 *   nil     = c0                    bool = c2 | c3                 float = cb f64                    (read: ca f32, integers)
 *   integer = 00..7f | cc u8 | cd u16 | ce u32 | cf u64            the shortest one; below 0: e0..ff | d0 | d1 | d2 | d3
 *   raw     = a0..bf | da u16 | db u32, then that many bytes       texts and bytes alike             (read: d9, c4, c5, c6)
 *   array   = 90..9f | dc u16 | dd u32, then the values            map = 80..8f | de u16 | df u32, then keys and values
 *
 * Numbers are big endian. Integers are safe ones (within ±(2^53 − 1)); others are refused, as is a float where an integer belongs.
 */
import { assert } from '../lib/assert.ts'
import { utf8Decode, utf8Encode } from '../lib/bytes.ts'
import { Writer } from '../wire/writer.ts'

const EMPTY: Uint8Array = new Uint8Array(0)
/** Containers in one another that `skip` goes into. */
const MAX_DEPTH = 16
const TWO_32 = 0x1_0000_0000

/**
 * A position in bytes, moved forward by reading values. Nothing throws: the first value that is cut off or wrong sets `failed`, from then
 * on all values read as nil. Nil reads as the zero of whatever is asked for.
 */
export class MsgpackReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at: number
  #failure: 'cut off' | 'malformed' | undefined

  constructor(bytes: Uint8Array, at: number = 0) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = Math.min(at, bytes.length)
  }

  /** Offset of the next value. */
  get at(): number {
    return this.#at
  }

  get failed(): boolean {
    return this.#failure !== undefined
  }

  /** Whether it failed, and only because the bytes came to their end. */
  get isCutOff(): boolean {
    return this.#failure === 'cut off'
  }

  /** Makes the reader fail, for a rule of the decoder's own. */
  refuse(): void {
    this.#fail('malformed')
  }

  /** Goes past a nil, if that is what comes next. */
  takeNil(): boolean {
    if (this.#bytes[this.#at] !== 0xc0) return false
    this.#at++
    return true
  }

  boolean(): boolean {
    const tag = this.#u8()
    if (tag === 0xc3) return true
    if (tag !== 0xc2 && tag !== 0xc0) this.refuse()
    return false
  }

  integer(): number {
    return this.#integer(this.#u8())
  }

  float(): number {
    const tag = this.#u8()
    if (tag === 0xcb) return this.#has(8) ? this.#view.getFloat64(this.#step(8)) : 0
    if (tag === 0xca) return this.#has(4) ? this.#view.getFloat32(this.#step(4)) : 0
    return this.#integer(tag)
  }

  /** At most `maxBytes` as a view; undefined for nil. */
  raw(maxBytes: number): Uint8Array | undefined {
    const tag = this.#u8()
    if (tag === 0xc0 || this.failed) return undefined
    const length = this.#rawLength(tag)
    if (length === undefined || length > maxBytes) {
      this.refuse()
      return undefined
    }
    return this.bytes(length)
  }

  /** At most `maxBytes` of strict UTF-8. */
  text(maxBytes: number): string {
    const text = utf8Decode(this.raw(maxBytes) ?? EMPTY)
    if (text === undefined) this.refuse()
    return text ?? ''
  }

  /** How many values follow, `most` at most; 0 for nil. */
  array(most: number): number {
    const tag = this.#u8()
    return this.#count(tag, this.#arrayCount(tag), most)
  }

  /** How many pairs of key and value follow, `most` at most; 0 for nil. */
  map(most: number): number {
    const tag = this.#u8()
    return this.#count(tag, this.#mapCount(tag), most)
  }

  /** The next `count` bytes as a view, which no header announces. */
  bytes(count: number): Uint8Array {
    if (!this.#has(count)) return EMPTY
    const at = this.#step(count)
    return this.#bytes.subarray(at, at + count)
  }

  /** Goes past one value of whatever kind. */
  skip(depth: number = MAX_DEPTH): void {
    const tag = this.#u8()
    if (tag === 0xc0 || tag === 0xc2 || tag === 0xc3) return
    const length = this.#rawLength(tag) ?? FIXED_BYTES.get(tag) ?? this.#extensionBytes(tag)
    if (length !== undefined) {
      this.bytes(length)
      return
    }
    const pairs = this.#mapCount(tag)
    const count = pairs === undefined ? this.#arrayCount(tag) : 2 * pairs
    if (count === undefined) {
      this.#integer(tag)
      return
    }
    if (depth === 0) this.refuse()
    for (let i = 0; i < count && !this.failed; i++) this.skip(depth - 1)
  }

  #integer(tag: number): number {
    if (tag <= 0x7f) return tag
    if (tag >= 0xe0) return tag - 0x100
    switch (tag) {
      case 0xc0:
        return 0
      case 0xcc:
        return this.#u8()
      case 0xcd:
        return this.#u16()
      case 0xce:
        return this.#u32()
      case 0xcf:
        return this.#wide(this.#u32())
      case 0xd0:
        return (this.#u8() << 24) >> 24
      case 0xd1:
        return (this.#u16() << 16) >> 16
      case 0xd2:
        return this.#u32() | 0
      case 0xd3:
        return this.#wide(this.#u32() | 0)
      default:
        this.refuse()
        return 0
    }
  }

  #wide(high: number): number {
    const value = high * TWO_32 + this.#u32()
    if (Number.isSafeInteger(value)) return value
    this.refuse()
    return 0
  }

  #rawLength(tag: number): number | undefined {
    if (tag >= 0xa0 && tag <= 0xbf) return tag & 0x1f
    if (tag === 0xd9 || tag === 0xc4) return this.#u8()
    if (tag === 0xda || tag === 0xc5) return this.#u16()
    if (tag === 0xdb || tag === 0xc6) return this.#u32()
    return undefined
  }

  /** Bytes of a type that nobody uses here, with the byte that names it. */
  #extensionBytes(tag: number): number | undefined {
    if (tag === 0xc7) return this.#u8() + 1
    if (tag === 0xc8) return this.#u16() + 1
    if (tag === 0xc9) return this.#u32() + 1
    return undefined
  }

  #arrayCount(tag: number): number | undefined {
    if (tag >= 0x90 && tag <= 0x9f) return tag & 0x0f
    if (tag === 0xdc) return this.#u16()
    if (tag === 0xdd) return this.#u32()
    return undefined
  }

  #mapCount(tag: number): number | undefined {
    if (tag >= 0x80 && tag <= 0x8f) return tag & 0x0f
    if (tag === 0xde) return this.#u16()
    if (tag === 0xdf) return this.#u32()
    return undefined
  }

  #count(tag: number, count: number | undefined, most: number): number {
    if (tag === 0xc0 || this.failed) return 0
    if (count !== undefined && count <= most) return count
    this.refuse()
    return 0
  }

  /** Nil once it has failed, so that every value reads as its zero. */
  #u8(): number {
    return this.#has(1) ? (this.#bytes[this.#step(1)] as number) : 0xc0
  }

  #u16(): number {
    return this.#has(2) ? this.#view.getUint16(this.#step(2)) : 0
  }

  #u32(): number {
    return this.#has(4) ? this.#view.getUint32(this.#step(4)) : 0
  }

  /** Moves on; gives where it was. */
  #step(count: number): number {
    const at = this.#at
    this.#at += count
    return at
  }

  #has(count: number): boolean {
    if (this.failed) return false
    if (count <= this.#bytes.length - this.#at) return true
    this.#fail('cut off')
    return false
  }

  #fail(failure: 'cut off' | 'malformed'): void {
    this.#failure ??= failure
    this.#at = this.#bytes.length
  }
}

/** Bytes after the tag, of values of one length. */
const FIXED_BYTES: ReadonlyMap<number, number> = new Map([
  [0xca, 4],
  [0xcb, 8],
  [0xcc, 1],
  [0xcd, 2],
  [0xce, 4],
  [0xcf, 8],
  [0xd0, 1],
  [0xd1, 2],
  [0xd2, 4],
  [0xd3, 8],
  [0xd4, 2],
  [0xd5, 3],
  [0xd6, 5],
  [0xd7, 9],
  [0xd8, 17],
])

/** Collects values. What is no value of its field is a bug. */
export class MsgpackWriter {
  readonly #out: Writer = new Writer(256)

  nil(): void {
    this.#out.u8(0xc0)
  }

  boolean(value: boolean): void {
    this.#out.u8(value ? 0xc3 : 0xc2)
  }

  integer(value: number): void {
    assert(Number.isSafeInteger(value), 'an integer within 2^53')
    const out = this.#out
    if (value >= 0) {
      if (value <= 0x7f) out.u8(value)
      else if (value <= 0xff) this.#tagged(0xcc, () => out.u8(value))
      else if (value <= 0xffff) this.#tagged(0xcd, () => out.u16(value))
      else if (value <= 0xffffffff) this.#tagged(0xce, () => out.u32(value))
      else this.#tagged(0xcf, () => this.#wide(value))
    } else if (value >= -0x20) out.u8(value + 0x100)
    else if (value >= -0x80) this.#tagged(0xd0, () => out.u8(value + 0x100))
    else if (value >= -0x8000) this.#tagged(0xd1, () => out.u16(value + 0x10000))
    else if (value >= -0x80000000) this.#tagged(0xd2, () => out.u32(value + TWO_32))
    else this.#tagged(0xd3, () => this.#wide(value))
  }

  float(value: number): void {
    const bytes = new Uint8Array(8)
    new DataView(bytes.buffer).setFloat64(0, value)
    this.#out.u8(0xcb)
    this.#out.bytes(bytes)
  }

  raw(bytes: Uint8Array): void {
    this.#header(bytes.length, 0xa0, 0x1f, 0xda)
    this.#out.bytes(bytes)
  }

  text(text: string): void {
    this.raw(utf8Encode(text))
  }

  /** `count` values are to follow. */
  array(count: number): void {
    this.#header(count, 0x90, 0x0f, 0xdc)
  }

  /** `count` pairs of key and value are to follow. */
  map(count: number): void {
    this.#header(count, 0x80, 0x0f, 0xde)
  }

  /** Bytes that are no value: the type before a message, what follows a header. */
  bytes(bytes: Uint8Array): void {
    this.#out.bytes(bytes)
  }

  /** What was written: a view, so the writer is not used afterwards. */
  finish(): Uint8Array {
    return this.#out.finish()
  }

  #header(count: number, short: number, most: number, tag16: number): void {
    const out = this.#out
    if (count <= most) out.u8(short | count)
    else if (count <= 0xffff) this.#tagged(tag16, () => out.u16(count))
    else this.#tagged(tag16 + 1, () => out.u32(count))
  }

  #tagged(tag: number, write: () => void): void {
    this.#out.u8(tag)
    write()
  }

  #wide(value: number): void {
    const high = Math.floor(value / TWO_32)
    this.#out.u32(high >>> 0)
    this.#out.u32(value - high * TWO_32)
  }
}
