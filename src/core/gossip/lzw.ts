/**
 * LZW as memberlist compresses with it: Go's compress/lzw, least significant bit first, literals of 8 bits (docs/specs/04-gossip.md §4.3).
 * GIF's format but for the blocks around it (GIF89a, appendix F).
 *
 * Codes 0 to 255 are bytes, 256 clears the table, 257 ends. The table starts empty; after each code but the first, the next number from
 * 258 on stands for what the code before it stood for and the first byte of this one. Codes have 9 bits, one more as soon as the next
 * number needs it, 12 at most. The encoder begins with a clear, and sends one when the next number is 4095; a decoder goes on without adding.
 */
import { wireError, type WireError } from '../wire/wire-error.ts'

const CLEAR = 256
const END = 257
const FIRST_WIDTH = 9
const MAX_WIDTH = 12
const MAX_CODE = 4095
/** Slots of the encoder's table: a power of two, four for each code. */
const SLOTS = 16384
const NONE = -1

/**
 * The decoder's table by numbers: the number before, the last byte, how many bytes it stands for. Kept, for 28 KiB anew for each packet
 * would be dear.
 */
const prefixes: Uint16Array = new Uint16Array(MAX_CODE + 1)
const suffixes: Uint8Array = new Uint8Array(MAX_CODE + 1)
const lengths: Uint32Array = new Uint32Array(MAX_CODE + 1).fill(1, 0, CLEAR)

/** What `bytes` compress to: at the worst, 1.5 times their length and some bytes. */
export function lzwEncode(bytes: Uint8Array): Uint8Array {
  const output = new BitWriter(bytes.length)
  table.clear()
  let width = FIRST_WIDTH
  let next = END
  output.write(CLEAR, width)
  let code = NONE

  /** A code went out, so the decoder's next number grows. Gives whether the table was cleared. */
  const advance = (): boolean => {
    next++
    if (next === 1 << width) width++
    if (next < MAX_CODE) return false
    output.write(CLEAR, width)
    table.clear()
    width = FIRST_WIDTH
    next = END
    return true
  }

  for (const byte of bytes) {
    if (code === NONE) {
      code = byte
      continue
    }
    const key = (code << 8) | byte
    const slot = table.slotOf(key)
    const known = table.codeAt(slot, key)
    if (known !== NONE) {
      code = known
      continue
    }
    output.write(code, width)
    code = byte
    if (!advance()) table.set(slot, key, next)
  }
  if (code !== NONE) {
    output.write(code, width)
    advance()
  }
  output.write(END, width)
  return output.finish()
}

/**
 * What was compressed; an error when that is more than `maxBytes`, or a code stands for nothing yet, or the end is missing. Bytes after the
 * end are not looked at. Memory grows with what comes out, never beyond twice `maxBytes`.
 */
export function lzwDecode(bytes: Uint8Array, maxBytes: number): Uint8Array | WireError {
  let output = new Uint8Array(Math.min(maxBytes, Math.max(64, 4 * bytes.length)))
  let filled = 0
  let width = FIRST_WIDTH
  let next = END
  let last = NONE
  let bits = 0
  let bitCount = 0
  let at = 0

  for (;;) {
    while (bitCount < width) {
      if (at === bytes.length) return wireError('ignore', 'compressed bytes that are cut off')
      bits |= (bytes[at++] as number) << bitCount
      bitCount += 8
    }
    const code = bits & ((1 << width) - 1)
    bits >>>= width
    bitCount -= width

    if (code === END) return output.subarray(0, filled)
    if (code === CLEAR) {
      width = FIRST_WIDTH
      next = END
      last = NONE
      continue
    }
    const isOwnPrefix = code === next && last !== NONE
    if (code > next) return wireError('ignore', `a code of ${code} in compressed bytes while ${next} is the next`)
    const length = isOwnPrefix ? (lengths[last] as number) + 1 : (lengths[code] as number)
    if (filled + length > maxBytes) return wireError('ignore', `compressed bytes of more than ${maxBytes}`)
    if (filled + length > output.length) {
      const grown = new Uint8Array(Math.min(maxBytes, Math.max(filled + length, 2 * output.length)))
      grown.set(output.subarray(0, filled))
      output = grown
    }
    let from = filled + length - 1
    let rest = code
    if (isOwnPrefix) {
      from--
      rest = last
    }
    for (; rest >= CLEAR; rest = prefixes[rest] as number) output[from--] = suffixes[rest] as number
    output[from] = rest
    if (isOwnPrefix) output[filled + length - 1] = rest
    filled += length

    if (last !== NONE) {
      prefixes[next] = last
      suffixes[next] = rest
      lengths[next] = (lengths[last] as number) + 1
    }
    last = code
    next++
    if (next < 1 << width) continue
    if (width < MAX_WIDTH) width++
    else {
      next--
      last = NONE
    }
  }
}

/** Which code stands for a code and a byte after it: an open hash table. */
class CodeTable {
  readonly #keys: Int32Array = new Int32Array(SLOTS).fill(NONE)
  readonly #codes: Uint16Array = new Uint16Array(SLOTS)

  /** Where the key is, or belongs. */
  slotOf(key: number): number {
    let slot = ((key >> 12) ^ key) & (SLOTS - 1)
    while (this.#keys[slot] !== NONE && this.#keys[slot] !== key) slot = (slot + 1) & (SLOTS - 1)
    return slot
  }

  codeAt(slot: number, key: number): number {
    return this.#keys[slot] === key ? (this.#codes[slot] as number) : NONE
  }

  set(slot: number, key: number, code: number): void {
    this.#keys[slot] = key
    this.#codes[slot] = code
  }

  clear(): void {
    this.#keys.fill(NONE)
  }
}

/** The encoder's: kept for the same reason as the decoder's. */
const table: CodeTable = new CodeTable()

/** Codes into bytes, the low bits first. */
class BitWriter {
  readonly #bytes: Uint8Array
  #length = 0
  #bits = 0
  #bitCount = 0

  /** Room for the worst: a code of 12 bits for each byte, a clear after every 3838 codes, and the end. */
  constructor(inputBytes: number) {
    this.#bytes = new Uint8Array(Math.ceil(inputBytes * 1.5) + Math.ceil(inputBytes / 2048) + 8)
  }

  write(code: number, width: number): void {
    this.#bits |= code << this.#bitCount
    this.#bitCount += width
    while (this.#bitCount >= 8) {
      this.#bytes[this.#length++] = this.#bits & 0xff
      this.#bits >>>= 8
      this.#bitCount -= 8
    }
  }

  finish(): Uint8Array {
    if (this.#bitCount > 0) this.#bytes[this.#length++] = this.#bits & 0xff
    return this.#bytes.slice(0, this.#length)
  }
}
