/**
 * Random numbers that a seed decides wholly: the same seed gives the same numbers on every engine and machine. Not for
 * keys, nonces or anything that must not be guessed.
 *
 * sfc32 (Chris Doty-Humphrey, PractRand): 128 bits of state, adds, shifts and exclusive-ors of 32-bit words alone. The
 * state comes from the seed's text by four FNV-1a hashes that start apart, stirred by the generator's own first steps.
 */
import { assert } from './assert.ts'
import { hashText } from './text-hash.ts'

/** A stream of random numbers that its seed decides. */
export class Random {
  readonly #seed: string
  #a: number
  #b: number
  #c: number
  #counter: number

  /** Equal seeds give equal streams; a number means the same as its decimal text. */
  constructor(seed: number | string) {
    this.#seed = String(seed)
    this.#a = hashText(this.#seed, 0x811c9dc5) | 0
    this.#b = hashText(this.#seed, 0x9e3779b9) | 0
    this.#c = hashText(this.#seed, 0x7f4a7c15) | 0
    this.#counter = hashText(this.#seed, 0xf39cc060) | 0
    for (let i = 0; i < 15; i++) this.uint32()
  }

  /** The next integer from 0 to 2^32 − 1. */
  uint32(): number {
    const sum = (this.#a + this.#b + this.#counter) | 0
    this.#counter = (this.#counter + 1) | 0
    this.#a = this.#b ^ (this.#b >>> 9)
    this.#b = (this.#c + (this.#c << 3)) | 0
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0
    return sum >>> 0
  }

  /** A number from 0 to below 1, in steps of 2^-32. */
  float(): number {
    return this.uint32() / 0x100000000
  }

  /** An integer from 0 to `bound` − 1, each equally likely; `bound` from 1 to 2^32. */
  below(bound: number): number {
    assert(Number.isInteger(bound) && bound >= 1 && bound <= 0x100000000, 'a bound from 1 to 2^32')
    const fair = 0x100000000 - (0x100000000 % bound)
    let value = this.uint32()
    while (value >= fair) value = this.uint32()
    return value % bound
  }

  /** One of the elements of a list that is not empty. */
  pick<T>(list: readonly T[]): T {
    assert(list.length > 0, 'something to pick from')
    return list[this.below(list.length)] as T
  }

  /** Brings `list` into a random order, in place, and returns it. */
  shuffle<T>(list: T[]): T[] {
    for (let i = list.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      const swapped = list[i] as T
      list[i] = list[j] as T
      list[j] = swapped
    }
    return list
  }

  /**
   * A stream of its own, decided by this one's seed and `name` alone: not by how many numbers were drawn before, so that
   * one part drawing more often changes nothing for the others. The same name gives the same stream again.
   */
  fork(name: string): Random {
    return new Random(`${this.#seed}/${name}`)
  }
}
