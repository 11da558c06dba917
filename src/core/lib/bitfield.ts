/**
 * A set of small integers below a length that may grow, one bit each: which chunks somebody has. Not a wire format:
 * on the wire a set travels as ranges.
 *
 * 32 bits to a word; ranges are set, tested and searched word by word. Bits at and after `length` are always clear,
 * so that counting and searching need no special case for the last word.
 */
import { assert } from './assert.ts'

/** A set of the integers 0 to `length` − 1 that keeps the number of its members. */
export class Bitfield {
  #words: Uint32Array
  #length: number
  #count = 0

  /** An empty set below `length`. */
  constructor(length: number) {
    assert(Number.isSafeInteger(length) && length >= 0, 'a bitfield has a length of 0 or more')
    this.#length = length
    this.#words = new Uint32Array(wordsFor(length))
  }

  /** A set below `length` with every integer in it. */
  static full(length: number): Bitfield {
    const bits = new Bitfield(length)
    bits.setRange(0, length)
    return bits
  }

  /** One more than the largest integer that may be in the set. */
  get length(): number {
    return this.#length
  }

  /** How many integers are in the set. */
  get count(): number {
    return this.#count
  }

  /** Whether `index` is in the set; false when it is outside of the length. */
  has(index: number): boolean {
    return index >= 0 && index < this.#length && ((this.#words[index >>> 5] as number) & (1 << (index & 31))) !== 0
  }

  /** Adds `index`; true when it was not there before. */
  set(index: number): boolean {
    assert(index >= 0 && index < this.#length, 'a bit inside of the bitfield')
    const word = this.#words[index >>> 5] as number
    const bit = 1 << (index & 31)
    if ((word & bit) !== 0) return false
    this.#words[index >>> 5] = word | bit
    this.#count++
    return true
  }

  /** Removes `index`; true when it was there before. */
  clear(index: number): boolean {
    assert(index >= 0 && index < this.#length, 'a bit inside of the bitfield')
    const word = this.#words[index >>> 5] as number
    const bit = 1 << (index & 31)
    if ((word & bit) === 0) return false
    this.#words[index >>> 5] = word & ~bit
    this.#count--
    return true
  }

  /** Adds `count` integers from `first` on; returns how many of them were not there before. */
  setRange(first: number, count: number): number {
    this.#checkRange(first, count)
    let added = 0
    for (let at = first, end = first + count; at < end; at = (at | 31) + 1) {
      const mask = maskOf(at, end)
      const word = this.#words[at >>> 5] as number
      added += popCount(mask & ~word)
      this.#words[at >>> 5] = word | mask
    }
    this.#count += added
    return added
  }

  /** Raises the length; what is in the set stays. */
  grow(length: number): void {
    assert(Number.isSafeInteger(length) && length >= this.#length, 'a bitfield does not shrink')
    const needed = wordsFor(length)
    if (needed > this.#words.length) {
      const words = new Uint32Array(Math.max(needed, 2 * this.#words.length))
      words.set(this.#words)
      this.#words = words
    }
    this.#length = length
  }

  /** Whether every integer below the length is in the set (so an empty length is full). */
  isFull(): boolean {
    return this.#count === this.#length
  }

  /** The least integer ≥ `from` that is not in the set; `length` when there is none. */
  nextClear(from: number): number {
    return this.#next(from, 0xffffffff)
  }

  /** The least integer ≥ `from` that is in the set; `length` when there is none. */
  nextSet(from: number): number {
    return this.#next(from, 0)
  }

  /** Whether all `count` integers from `first` on are in the set; false when some are outside of the length. */
  hasRange(first: number, count: number): boolean {
    if (first < 0 || first + count > this.#length) return false
    for (let at = first, end = first + count; at < end; at = (at | 31) + 1) {
      const mask = maskOf(at, end)
      if (((this.#words[at >>> 5] as number) & mask) !== mask) return false
    }
    return true
  }

  /** The set as its longest runs, ascending: [first, count] each. */
  ranges(): [number, number][] {
    const ranges: [number, number][] = []
    for (let first = this.nextSet(0); first < this.#length;) {
      const end = this.nextClear(first)
      ranges.push([first, end - first])
      first = this.nextSet(end)
    }
    return ranges
  }

  /** A set of its own with the same length and members. */
  clone(): Bitfield {
    const copy = new Bitfield(this.#length)
    copy.#words.set(this.#words.subarray(0, copy.#words.length))
    copy.#count = this.#count
    return copy
  }

  /** The first bit from `from` on that is set once words are combined with `flip`; at most the length, where a clear bit follows. */
  #next(from: number, flip: number): number {
    const start = Math.max(0, from)
    if (start >= this.#length) return this.#length
    let at = start >>> 5
    let word = ((this.#words[at] as number) ^ flip) & (-1 << (start & 31))
    const last = (this.#length - 1) >>> 5
    while (word === 0) {
      if (++at > last) return this.#length
      word = (this.#words[at] as number) ^ flip
    }
    return (at << 5) + 31 - Math.clz32(word & -word)
  }

  #checkRange(first: number, count: number): void {
    assert(first >= 0 && count >= 0 && first + count <= this.#length, 'a range inside of the bitfield')
  }
}

function wordsFor(length: number): number {
  return Math.ceil(length / 32)
}

/** The bits of the word of `at` that belong to the range from `at` to `end` (excluded); as a signed 32-bit integer. */
function maskOf(at: number, end: number): number {
  const upper = end - (at & ~31) >= 32 ? -1 : (1 << (end & 31)) - 1
  return upper & (-1 << (at & 31))
}

function popCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555)
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333)
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
