/**
 * The entries of one manifest in memory, contiguous from chunk 0 on: all hashes in one array, all offsets in another, no
 * object for a chunk (64 Ki chunks cost 2.6 MB, at most half as much again while growing). Not a judge: who appends has verified.
 */
import { assert } from '../lib/assert.ts'
import { equalBytes } from '../lib/bytes.ts'
import type { Entries } from './format.ts'
import { HASH_BYTES } from './primitives.ts'

export class EntryTable {
  #hashes: Uint8Array = new Uint8Array(0)
  /** Where each chunk begins, and at last where the known bytes end. */
  #offsets: Float64Array = new Float64Array(1)
  #count = 0

  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#offsets[this.#count] as number
  }

  /** What the arrays take, filled or not. */
  get memoryBytes(): number {
    return this.#hashes.byteLength + this.#offsets.byteLength
  }

  length(chunk: number): number {
    this.#check(chunk)
    return (this.#offsets[chunk + 1] as number) - (this.#offsets[chunk] as number)
  }

  /** Where a chunk begins; for the count, where the known bytes end. */
  offset(chunk: number): number {
    assert(chunk >= 0 && chunk <= this.#count, 'a chunk that the manifest knows')
    return this.#offsets[chunk] as number
  }

  /** A view: valid for ever, since an entry never changes. */
  hash(chunk: number): Uint8Array {
    this.#check(chunk)
    return this.#hashes.subarray(chunk * HASH_BYTES, (chunk + 1) * HASH_BYTES)
  }

  hasHash(chunk: number, hash: Uint8Array): boolean {
    this.#check(chunk)
    const at = chunk * HASH_BYTES
    for (let i = 0; i < HASH_BYTES; i++) if (this.#hashes[at + i] !== hash[i]) return false
    return true
  }

  /** The chunk that holds the byte at `offset`, by bisection. */
  at(offset: number): number {
    assert(offset >= 0 && offset < this.bytes, 'an offset that the manifest knows')
    let low = 0
    let high = this.#count - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if ((this.#offsets[middle] as number) <= offset) low = middle
      else high = middle - 1
    }
    return low
  }

  /** `count` entries from `first` on; the hashes are a view. */
  slice(first: number, count: number): { firstChunk: number; lengths: number[]; hashes: Uint8Array } {
    assert(first >= 0 && first + count <= this.#count, 'chunks that the manifest knows')
    const lengths: number[] = []
    for (let chunk = first; chunk < first + count; chunk++) lengths.push(this.length(chunk))
    return { firstChunk: first, lengths, hashes: this.#hashes.subarray(first * HASH_BYTES, (first + count) * HASH_BYTES) }
  }

  /** Whether those of `entries` that are known already say the same. */
  agrees(entries: Entries): boolean {
    const overlap = Math.min(this.#count - entries.firstChunk, entries.lengths.length)
    for (let i = 0; i < overlap; i++) if (this.length(entries.firstChunk + i) !== entries.lengths[i]) return false
    if (overlap <= 0) return true
    const known = this.#hashes.subarray(entries.firstChunk * HASH_BYTES, (entries.firstChunk + overlap) * HASH_BYTES)
    return equalBytes(known, entries.hashes.subarray(0, overlap * HASH_BYTES))
  }

  /** Appends those of `entries` that are not known yet, no gap before them; `most` is how many entries there can ever be. */
  append(entries: Entries, most: number): number {
    const skipped = this.#count - entries.firstChunk
    const added = entries.lengths.length - skipped
    assert(skipped >= 0, 'entries without a gap before them')
    if (added <= 0) return 0
    this.#reserve(this.#count + added, most)
    this.#hashes.set(entries.hashes.subarray(skipped * HASH_BYTES), this.#count * HASH_BYTES)
    let end = this.bytes
    for (let i = 0; i < added; i++) {
      end += entries.lengths[skipped + i] as number
      this.#offsets[this.#count + i + 1] = end
    }
    this.#count += added
    return added
  }

  /** Takes back entries that turned out to contradict others. */
  truncate(count: number): void {
    assert(count <= this.#count, 'a count of entries that are there')
    this.#count = count
  }

  #reserve(count: number, most: number): void {
    if (count * HASH_BYTES <= this.#hashes.length) return
    const capacity = Math.max(count, Math.min(most, Math.max(64, Math.ceil(1.5 * this.#count))))
    const hashes = new Uint8Array(capacity * HASH_BYTES)
    hashes.set(this.#hashes.subarray(0, this.#count * HASH_BYTES))
    const offsets = new Float64Array(capacity + 1)
    offsets.set(this.#offsets.subarray(0, this.#count + 1))
    this.#hashes = hashes
    this.#offsets = offsets
  }

  #check(chunk: number): void {
    assert(chunk >= 0 && chunk < this.#count, 'a chunk that the manifest knows')
  }
}
