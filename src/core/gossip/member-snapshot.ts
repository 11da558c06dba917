/**
 * The members that a machine knows from its start on: those of an earlier run of it, say. Immutable, so that many machines of one
 * process can share one: a table then holds only what differs from it.
 */
import { assert } from '../lib/assert.ts'
import type { MemberRecord, MemberState } from './messages.ts'

export class MemberSnapshot {
  readonly records: readonly MemberRecord[]
  readonly #indices: Map<string, number> = new Map()
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

  indexOf(node: string): number | undefined {
    return this.#indices.get(node)
  }

  /** How many are in each state. */
  get counts(): Readonly<Record<MemberState, number>> {
    return this.#counts
  }
}
