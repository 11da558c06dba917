/**
 * The members that a machine knows from its start on: those of an earlier run of it, say. Immutable, so that many machines of one
 * process can share one: a table then holds only what differs from it.
 */
import { assert } from '../lib/assert.ts'
import type { MemberRecord, MemberState } from './messages.ts'
import { hashUnits } from '../lib/text-hash.ts'

/** Indices of records in the order of their names' hashes, and these. */
export interface Ring {
  readonly indices: Uint32Array
  readonly hashes: Uint32Array
}

export class MemberSnapshot {
  readonly records: readonly MemberRecord[]
  readonly #indices: Map<string, number> = new Map()
  #ring: Ring | undefined
  #hash: number | undefined
  readonly #counts: Record<MemberState, number> = { alive: 0, suspect: 0, dead: 0, left: 0 }

  /** Each name once, and nobody suspected: who was is to be probed first. */
  constructor(records: readonly MemberRecord[]) {
    this.records = records
    for (const [index, { node, state }] of records.entries()) {
      assert(!this.#indices.has(node) && state !== 'suspect', 'each name once, and nobody suspected')
      this.#indices.set(node, index)
      this.#counts[state]++
    }
  }

  /** The records by their places on the ring of names, as it goes up; made when it is first asked for. */
  get ring(): Ring {
    if (this.#ring === undefined) {
      const hashes = this.records.map(({ node }) => hashUnits(node))
      const indices = Uint32Array.from(hashes.keys()).sort((a, b) => hashes[a]! - hashes[b]!)
      this.#ring = { indices, hashes: Uint32Array.from(indices, (index) => hashes[index]!) }
    }
    return this.#ring
  }

  /** As `MemberTable.hash`; made when it is first asked for. */
  get hash(): number {
    this.#hash ??= this.records.reduce((hash, record) => (hash ^ memberHash(record)) >>> 0, 0)
    return this.#hash
  }

  indexOf(node: string): number | undefined {
    return this.#indices.get(node)
  }

  /** How many are in each state. */
  get counts(): Readonly<Record<MemberState, number>> {
    return this.#counts
  }
}

/** A member's part in the hash of a table: none when it is gone, as the gone are forgotten at different times. */
export function memberHash({ node, incarnation, state }: { node: string; incarnation: number; state: MemberState }): number {
  return state === 'dead' || state === 'left' ? 0 : hashUnits(node, incarnation)
}
