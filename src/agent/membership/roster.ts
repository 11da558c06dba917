/**
 * The table of the other members: which of two records of a member wins, when a suspected one is dead, when a dead one is
 * forgotten. No clock and no socket: `now` is an argument.
 *
 * The order of records is SWIM's (Das, Gupta, Motivala 2002, §4.2): the higher incarnation wins, within one incarnation the
 * worse status, so that only the member itself can clear itself, by a higher incarnation. Two agents of one name at the same
 * incarnation and status: the one that started first.
 */

import type { MemberRecord } from './messages.ts'
import type { MemberStatus } from './member.ts'

const RANK: Readonly<Record<MemberStatus, number>> = { alive: 0, suspect: 1, dead: 2, left: 3 }

/** Limits of the table; times in milliseconds. */
export interface RosterOptions {
  readonly deadTimeoutMs: number
  readonly forgetTimeoutMs: number
  /** Most members known beside this node; further ones are not taken in. */
  readonly maxMembers: number
}

/** What became of a record: it replaced what was known, it was known (or older), or there is no room for it. */
export type Verdict = 'newer' | 'known' | 'full'

interface Entry {
  record: MemberRecord
  /** When a suspect one is dead, or a dead or left one forgotten. */
  deadline: number
}

/** All members known but this node. */
export class Roster {
  readonly #options: RosterOptions
  readonly #entries = new Map<string, Entry>()

  constructor(options: RosterOptions) {
    this.#options = options
  }

  get(name: string): MemberRecord | undefined {
    return this.#entries.get(name)?.record
  }

  /** Every record, in no order. */
  records(): MemberRecord[] {
    return [...this.#entries.values()].map((entry) => entry.record)
  }

  /** Takes a record in if it wins. An unknown member that is dead or left isn't: it would come back for ever from those who forget it later. */
  apply(record: MemberRecord, now: number): Verdict {
    const known = this.#entries.get(record.name)
    if (known === undefined) {
      if (!isLive(record.status)) return 'known'
      if (this.#entries.size >= this.#options.maxMembers) return 'full'
    } else if (!wins(record, known.record)) {
      return 'known'
    }
    this.#entries.set(record.name, { record, deadline: this.#deadlineOf(record.status, now) })
    return 'newer'
  }

  /** Turns suspects whose time is over into dead ones, which it returns, and forgets those that were dead or left for long. */
  expire(now: number): MemberRecord[] {
    const died: MemberRecord[] = []
    for (const [name, { record, deadline }] of this.#entries) {
      if (now < deadline) continue
      if (record.status === 'suspect') {
        const dead: MemberRecord = { ...record, status: 'dead' }
        this.apply(dead, now)
        died.push(dead)
      } else {
        this.#entries.delete(name)
      }
    }
    return died
  }

  /** Moves all deadlines: this node stood still for so long, and nobody could have told it anything. */
  postpone(byMs: number): void {
    for (const entry of this.#entries.values()) entry.deadline += byMs
  }

  #deadlineOf(status: MemberStatus, now: number): number {
    if (status === 'alive') return Number.POSITIVE_INFINITY
    return now + (status === 'suspect' ? this.#options.deadTimeoutMs : this.#options.forgetTimeoutMs)
  }
}

/** True for alive and suspect. */
export function isLive(status: MemberStatus): boolean {
  return RANK[status] < RANK.dead
}

/** True where `record` is to replace `known`, both of one name. */
export function wins(record: MemberRecord, known: MemberRecord): boolean {
  if (record.incarnation !== known.incarnation) return record.incarnation > known.incarnation
  if (record.status !== known.status) return RANK[record.status] > RANK[known.status]
  return record.instance !== known.instance && isOlder(record, known)
}

/** True where the agent of `a` started before that of `b`; decided the same way by everyone. */
export function isOlder(a: MemberRecord, b: MemberRecord): boolean {
  return a.startedAt !== b.startedAt ? a.startedAt < b.startedAt : a.instance < b.instance
}
