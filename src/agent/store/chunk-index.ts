/**
 * Where chunks lie on this disk, by hash: so that a new content takes what others already hold. A hint, never a proof: who
 * uses a place reads the chunk and checks its hash.
 *
 * An open-addressing table on two typed arrays, 8 bytes a slot and no object for a chunk. The key is the hash's first 32
 * bits (two hashes in 2^32 share them: that costs a look at a manifest, nothing else). A place is a number from a line that
 * all chunks of all owners are strung on: each owner has ranges of it, found by bisection. The same hash is kept at the two
 * places added last, so that a content that goes away leaves another one's copy known. What is removed stays in the table,
 * its ranges without owner, until the table fills up and is made anew; a table at its largest takes no more.
 */
import { assert } from '../../core/lib/assert.ts'

/** Where a chunk may be. */
export interface Place<Owner> {
  readonly owner: Owner
  readonly chunk: number
}

interface Range<Owner> {
  readonly base: number
  readonly count: number
  readonly firstChunk: number
  owner: Owner | undefined
}

/** How many chunks a store's index knows at most: 32 MiB of memory; 32 GiB of contents with the smallest chunks. */
export const MAX_INDEXED_CHUNKS: number = 3 * 1024 * 1024

const PLACES_PER_HASH = 2
const MAX_PLACE = 0xffffffff

/** Chunk hash → places, over all contents of a store. */
export class ChunkIndex<Owner extends object> {
  readonly #maxChunks: number
  #keys: Uint32Array = new Uint32Array(1024)
  /** Place + 1; 0 is a free slot. */
  #places: Uint32Array = new Uint32Array(1024)
  #used = 0
  #nextBase = 0
  #ranges: Range<Owner>[] = []
  #skipped = 0

  constructor(maxChunks: number = MAX_INDEXED_CHUNKS) {
    this.#maxChunks = maxChunks
  }

  /** Chunks that were not taken in, for the table was full. */
  get skippedChunks(): number {
    return this.#skipped
  }

  /** Bytes of memory that the table takes. */
  get tableBytes(): number {
    return this.#keys.byteLength + this.#places.byteLength
  }

  /** Adds chunks `firstChunk` to `firstChunk + count − 1` of `owner`, those that `hashOf` gives a hash for. */
  add(owner: Owner, firstChunk: number, count: number, hashOf: (chunk: number) => Uint8Array | undefined): void {
    if (count === 0) return
    if (this.#nextBase + count > MAX_PLACE) {
      this.#skipped += count
      return
    }
    const base = this.#nextBase
    this.#nextBase += count
    this.#ranges.push({ base, count, firstChunk, owner })
    for (let i = 0; i < count; i++) {
      const hash = hashOf(firstChunk + i)
      if (hash === undefined) continue
      if (this.#used >= this.#keys.length * 0.75 && !this.#makeRoom()) {
        this.#skipped += count - i
        return
      }
      this.#insert(keyOf(hash), base + i)
    }
  }

  /** Forgets all places of `owner`. */
  remove(owner: Owner): void {
    for (const range of this.#ranges) if (range.owner === owner) range.owner = undefined
  }

  /** At most two places of a chunk with that hash, the one added last first; empty when none is known. */
  find(hash: Uint8Array): Place<Owner>[] {
    const key = keyOf(hash)
    const mask = this.#keys.length - 1
    const found: number[] = []
    for (let slot = key & mask; this.#places[slot] !== 0; slot = (slot + 1) & mask) {
      if (this.#keys[slot] === key) found.push((this.#places[slot] as number) - 1)
    }
    found.sort((a, b) => b - a)
    const places: Place<Owner>[] = []
    for (const place of found) {
      const range = this.#rangeOf(place)
      if (range?.owner !== undefined) places.push({ owner: range.owner, chunk: range.firstChunk + place - range.base })
    }
    return places
  }

  /** Puts a place in. Where the key has two already it takes the older one's slot; one in the same range is enough. */
  #insert(key: number, place: number): void {
    const mask = this.#keys.length - 1
    const range = this.#ranges.at(-1) as Range<Owner>
    let matches = 0
    let oldestSlot = -1
    let deadSlot = -1
    let slot = key & mask
    for (; this.#places[slot] !== 0; slot = (slot + 1) & mask) {
      if (this.#keys[slot] !== key) continue
      const other = (this.#places[slot] as number) - 1
      if (other >= range.base) return
      if (this.#rangeOf(other)?.owner === undefined) {
        deadSlot = slot
        continue
      }
      matches++
      if (oldestSlot < 0 || other < (this.#places[oldestSlot] as number) - 1) oldestSlot = slot
    }
    if (matches >= PLACES_PER_HASH) {
      this.#places[oldestSlot] = place + 1
    } else if (deadSlot >= 0) {
      this.#places[deadSlot] = place + 1
    } else {
      this.#keys[slot] = key
      this.#places[slot] = place + 1
      this.#used++
    }
  }

  /** Makes the table anew without what was removed, larger if that isn't enough; false when it is at its largest. */
  #makeRoom(): boolean {
    const keys = this.#keys
    const places = this.#places
    let live = 0
    for (const place of places) if (place !== 0 && this.#rangeOf(place - 1)?.owner !== undefined) live++
    let slots = keys.length
    while (live > slots / 2 && slots * 0.75 < this.#maxChunks) slots *= 2
    if (live >= slots * 0.6 && slots === keys.length) return false // hardly any room to win, and as much work as ever
    this.#keys = new Uint32Array(slots)
    this.#places = new Uint32Array(slots)
    this.#used = live
    const mask = slots - 1
    for (let i = 0; i < keys.length; i++) {
      const place = places[i] as number
      if (place === 0 || this.#rangeOf(place - 1)?.owner === undefined) continue
      let slot = (keys[i] as number) & mask
      while (this.#places[slot] !== 0) slot = (slot + 1) & mask
      this.#keys[slot] = keys[i] as number
      this.#places[slot] = place
    }
    this.#ranges = this.#ranges.filter((range, index) => range.owner !== undefined || index === this.#ranges.length - 1)
    return true
  }

  #rangeOf(place: number): Range<Owner> | undefined {
    let low = 0
    let high = this.#ranges.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((this.#ranges[middle] as Range<Owner>).base <= place) low = middle
      else high = middle - 1
    }
    const range = this.#ranges[low]
    return range !== undefined && place >= range.base && place < range.base + range.count ? range : undefined
  }
}

function keyOf(hash: Uint8Array): number {
  assert(hash.length >= 4, 'a hash')
  return (((hash[0] as number) << 24) | ((hash[1] as number) << 16) | ((hash[2] as number) << 8) | (hash[3] as number)) >>> 0
}
