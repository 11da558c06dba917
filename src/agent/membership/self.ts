/** This node's own record, and what it makes of records that others spread of it. */

import { MAX_INCARNATION } from './messages.ts'
import { isOlder } from './roster.ts'
import type { MemberRecord } from './messages.ts'

/** What a record that bears this node's name asks for. */
export type Judgement =
  /** It is older than what this node said last. */
  | 'nothing'
  /** It is wrong, and nobody else can be meant: say so with a higher incarnation. */
  | 'contradict'
  /** It is of another agent: find out whether that one lives. */
  | 'verify'

/** The record that this node spreads of itself. */
export class Self {
  #record: MemberRecord

  constructor(record: Omit<MemberRecord, 'status' | 'incarnation'>) {
    this.#record = { ...record, status: 'alive', incarnation: 1 }
  }

  get record(): MemberRecord {
    return this.#record
  }

  /** The gossip port, once it is known. */
  listensAt(gossipPort: number): void {
    this.#record = { ...this.#record, gossipPort }
  }

  /** Takes an incarnation above the one given, if it hasn't one and there is one; true where that changed it. */
  riseAbove(incarnation: number): boolean {
    if (this.#record.incarnation > incarnation || incarnation >= MAX_INCARNATION) return false
    this.#record = { ...this.#record, incarnation: incarnation + 1 }
    return true
  }

  /** From now on this node has left. */
  leave(): void {
    this.#record = { ...this.#record, status: 'left', incarnation: this.#record.incarnation + 1 }
  }

  judge(record: MemberRecord): Judgement {
    const own = this.#record
    if (own.status === 'left' || record.incarnation < own.incarnation) return 'nothing'
    if (record.instance === own.instance)
      return record.incarnation === own.incarnation && record.status === 'alive' ? 'nothing' : 'contradict'
    // An agent that is gone, or that listened where this one does: this node in an earlier life.
    if (record.status === 'dead' || record.status === 'left') return 'contradict'
    if (record.address === own.address && record.gossipPort === own.gossipPort) return 'contradict'
    return 'verify'
  }

  /** True where this node keeps the name against another live agent: the one that started first does. */
  keepsNameAgainst(record: MemberRecord): boolean {
    return isOlder(this.#record, record)
  }
}
