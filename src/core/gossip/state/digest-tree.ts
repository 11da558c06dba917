/**
 * A hash of how far every node is known, and of those in each part of the space of their names: what two nodes compare so that they talk
 * only of what differs (docs/specs/05-state.md §5).
 *
 * A node's position is a hash of its name. A range is all nodes whose position begins with certain 0 to 3 hexadecimal digits. A range's hash is the sum of its nodes' hashes, in two words of 32 bits, so that a change costs
 * four additions however many nodes there are. Not against an adversary: who can choose versions can make two sums equal.
 */
import { assert } from '../../lib/assert.ts'
import { hashText } from '../../lib/text-hash.ts'
import type { RangeHash, RangeHashes } from './state-messages.ts'

/** Digits that name the smallest ranges. */
export const TREE_DEPTH = 3
/** Positions are below this. */
export const POSITIONS: number = 2 ** 32

interface Place {
  readonly node: string
  readonly position: number
}

/** What the tree wants to know of a node. */
export interface TreeItem extends Place {
  /** What was added for it last. */
  hash: RangeHash
}

/** Where the ranges of each depth begin in the flat arrays: 1 + 16 + 256 + 4096 ranges. */
const LEVEL_START: readonly number[] = [0, 1, 17, 273]
const RANGES = 4369

export class DigestTree<Item extends TreeItem> {
  readonly #high: Uint32Array = new Uint32Array(RANGES)
  readonly #low: Uint32Array = new Uint32Array(RANGES)
  readonly #counts: Uint32Array = new Uint32Array(RANGES)
  /** In the order of position and name. */
  readonly #items: Item[] = []

  get root(): RangeHash {
    return this.hash(0, 0)
  }

  add(item: Item): void {
    this.#items.splice(this.#placeOf(item), 0, item)
    this.#change(item.position, item.hash, 1, 1)
  }

  remove(item: Item): void {
    const place = this.#placeOf(item)
    assert(this.#items[place] === item, 'an item that was added')
    this.#items.splice(place, 1)
    this.#change(item.position, item.hash, -1, -1)
  }

  /** Gives an item that was added another hash. */
  update(item: Item, hash: RangeHash): void {
    this.#change(item.position, item.hash, -1, 0)
    item.hash = hash
    this.#change(item.position, hash, 1, 0)
  }

  hash(depth: number, prefix: number): RangeHash {
    const at = rangeIndex(depth, prefix)
    return { high: this.#high[at] as number, low: this.#low[at] as number }
  }

  count(depth: number, prefix: number): number {
    return this.#counts[rangeIndex(depth, prefix)] as number
  }

  /** The sixteen parts of a range. */
  parts(depth: number, prefix: number): RangeHashes {
    const children = Array.from({ length: 16 }, (_, digit) => {
      const child = prefix * 16 + digit
      return this.count(depth + 1, child) === 0 ? undefined : this.hash(depth + 1, child)
    })
    return { depth, prefix, children }
  }

  /** The items whose positions lie from `first` to `last`, in the order of position and name. */
  *between(first: number, last: number): Generator<Item> {
    for (let place = this.#placeOf({ position: first, node: '' }); place < this.#items.length; place++) {
      const item = this.#items[place] as Item
      if (item.position > last) return
      yield item
    }
  }

  /** Where the first item is that does not come before this one. */
  #placeOf(item: Place): number {
    let low = 0
    let high = this.#items.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (isBefore(this.#items[middle] as Item, item)) low = middle + 1
      else high = middle
    }
    return low
  }

  #change(position: number, hash: RangeHash, sign: number, count: number): void {
    for (let depth = 0; depth <= TREE_DEPTH; depth++) {
      const at = rangeIndex(depth, Math.floor(position / 16 ** (8 - depth)))
      // Typed arrays keep sums modulo 2^32.
      this.#high[at]! += sign * hash.high
      this.#low[at]! += sign * hash.low
      this.#counts[at]! += count
    }
  }
}

/** The first and the last position of a range. */
export function rangeBounds(depth: number, prefix: number): { first: number; last: number } {
  const size = 16 ** (8 - depth)
  return { first: prefix * size, last: (prefix + 1) * size - 1 }
}

/** Where a node of this name stands. */
export function positionOf(node: string): number {
  return hashText(node)
}

/** The hash of how far a node is known. */
export function hashDigest(node: string, generation: number, version: number): RangeHash {
  const text = `${generation}/${version}/${node}`
  return { high: hashText(text, 0x9e3779b9), low: hashText(text, 0x7f4a7c15) }
}

function rangeIndex(depth: number, prefix: number): number {
  assert(depth >= 0 && depth <= TREE_DEPTH && prefix < 16 ** depth, 'a range of the tree')
  return (LEVEL_START[depth] as number) + prefix
}

function isBefore(a: Place, b: Place): boolean {
  return a.position === b.position ? a.node < b.node : a.position < b.position
}
