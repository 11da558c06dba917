/**
 * The names of all members, cheap enough that ten thousand machines with ten thousand names each fit into one process: two dozen bytes
 * per name beside the text itself, which machines can share. Also the ring: members in the order of the hashes of their names.
 *
 * Names lie in a dense array, found by a table with open addressing and linear probing; the last name takes the place of one that goes.
 * Who comes before and after this node on the ring, and who has the least hash of all, is kept up to date as members come, in O(1); only
 * when one of these three goes all names are looked through.
 */
import type { Random } from '../../lib/random.ts'
import { hashText } from '../../lib/text-hash.ts'

export class MemberDirectory {
  readonly #self: string
  readonly #selfHash: number
  #names: string[] = []
  #hashes: Uint32Array = new Uint32Array(8)
  /** Index of a name plus one; 0 for a free place. */
  #places: Uint32Array = new Uint32Array(16)
  #successor: string | undefined
  #predecessor: string | undefined
  #first: string

  /** Without any member but `self`, which is not counted. */
  constructor(self: string) {
    this.#self = self
    this.#selfHash = hashText(self)
    this.#first = self
  }

  get size(): number {
    return this.#names.length
  }

  /** The next on the ring after this node; undefined when it is alone. */
  get successor(): string | undefined {
    return this.#successor
  }

  /** The one before. */
  get predecessor(): string | undefined {
    return this.#predecessor
  }

  /** Who has the least hash, this node with them. */
  get first(): string {
    return this.#first
  }

  has(name: string): boolean {
    return this.#places[this.#placeOf(name, hashText(name))] !== 0
  }

  /** Whether the name was not there before; never this node itself. */
  add(name: string): boolean {
    if (name === this.#self) return false
    const hash = hashText(name)
    if (2 * (this.#names.length + 1) > this.#places.length) this.#grow()
    const place = this.#placeOf(name, hash)
    if (this.#places[place] !== 0) return false
    const index = this.#names.push(name) - 1
    this.#hashes[index] = hash
    this.#places[place] = index + 1
    this.#noticeNew(name, hash)
    return true
  }

  /** Whether the name was there before. */
  delete(name: string): boolean {
    const place = this.#placeOf(name, hashText(name))
    const entry = this.#places[place] as number
    if (entry === 0) return false
    const index = entry - 1
    this.#free(place)
    const last = this.#names.length - 1
    if (index !== last) {
      const moved = this.#names[last] as string
      const movedHash = this.#hashes[last] as number
      this.#places[this.#placeOf(moved, movedHash)] = index + 1
      this.#names[index] = moved
      this.#hashes[index] = movedHash
    }
    this.#names.pop()
    if (name === this.#successor || name === this.#predecessor || name === this.#first) this.#search()
    return true
  }

  /** Any one of them; undefined when there is none. */
  pick(random: Random): string | undefined {
    return this.#names.length === 0 ? undefined : this.#names[random.below(this.#names.length)]
  }

  /** All names with their hashes, in no order. */
  forEach(visit: (name: string, hash: number) => void): void {
    for (let i = 0; i < this.#names.length; i++) visit(this.#names[i] as string, this.#hashes[i] as number)
  }

  #search(): void {
    this.#successor = undefined
    this.#predecessor = undefined
    this.#first = this.#self
    this.forEach((name, hash) => this.#noticeNew(name, hash))
  }

  #noticeNew(name: string, hash: number): void {
    const from = this.#selfHash
    if (this.#successor === undefined || isNearer(from, hash, name, this.#successor, this.#self)) this.#successor = name
    if (this.#predecessor === undefined || !isNearer(from, hash, name, this.#predecessor, this.#self)) this.#predecessor = name
    if (isBefore(hash, name, this.#first)) this.#first = name
  }

  /** The place of a name, or the free one where it would be. */
  #placeOf(name: string, hash: number): number {
    const mask = this.#places.length - 1
    for (let place = hash & mask; ; place = (place + 1) & mask) {
      const entry = this.#places[place] as number
      if (entry === 0 || (this.#hashes[entry - 1] === hash && this.#names[entry - 1] === name)) return place
    }
  }

  /** Empties a place and moves up what had to go past it (Knuth, vol. 3, 6.4 R). */
  #free(start: number): void {
    const mask = this.#places.length - 1
    let hole = start
    for (let place = (hole + 1) & mask; this.#places[place] !== 0; place = (place + 1) & mask) {
      const wanted = (this.#hashes[(this.#places[place] as number) - 1] as number) & mask
      if (((place - wanted) & mask) < ((place - hole) & mask)) continue
      this.#places[hole] = this.#places[place] as number
      hole = place
    }
    this.#places[hole] = 0
  }

  #grow(): void {
    this.#places = new Uint32Array(2 * this.#places.length)
    const hashes = new Uint32Array(this.#places.length / 2)
    hashes.set(this.#hashes.subarray(0, this.#names.length))
    this.#hashes = hashes
    const mask = this.#places.length - 1
    for (let index = 0; index < this.#names.length; index++) {
      let place = (hashes[index] as number) & mask
      while (this.#places[place] !== 0) place = (place + 1) & mask
      this.#places[place] = index + 1
    }
  }
}

/** Whether `name` comes before `other` when all are ordered by hash, and by name where hashes are equal. */
function isBefore(hash: number, name: string, other: string): boolean {
  const otherHash = hashText(other)
  return hash === otherHash ? name < other : hash < otherHash
}

/** Whether, on the ring from `self` upwards, `name` is met before `other`. */
function isNearer(from: number, hash: number, name: string, other: string, self: string): boolean {
  const otherHash = hashText(other)
  const distance = ringDistance(from, hash, name, self)
  const otherDistance = ringDistance(from, otherHash, other, self)
  return distance === otherDistance ? name < other : distance < otherDistance
}

/** Names with this node's own hash are right after it or, as they are ordered by name, right before it. */
function ringDistance(from: number, hash: number, name: string, self: string): number {
  return hash === from && name < self ? 0x100000000 : (hash - from) >>> 0
}
