/** Answers to joins, gathered so that one packet welcomes many: a storm of joins costs the group few packets. */
import type { Member } from './member-table.ts'
import type { SenderLimits } from './session-machine-types.ts'
import { MAX_WELCOMED, REFUSED, type Welcomed } from './session-packets.ts'

/** Bytes of an entry, and of all else in a welcome, UDP payload. */
const ENTRY_BYTES = 14
const OTHER_BYTES = 48

export class WelcomeDesk {
  readonly #limits: SenderLimits
  readonly #maxEntries: number
  #entries: Map<number, Welcomed> = new Map()
  #dueAt = Infinity

  /** `freeBytes` is what a datagram has room for beside what sealing adds. */
  constructor(limits: SenderLimits, freeBytes: number) {
    this.#limits = limits
    this.#maxEntries = Math.max(1, Math.min(MAX_WELCOMED, Math.floor((freeBytes - OTHER_BYTES) / ENTRY_BYTES)))
  }

  /** When the gathered welcomes are to be sent; Infinity without any. */
  get dueAt(): number {
    return this.#dueAt
  }

  welcome({ senderId, receiver, firstBlock }: Member, now: number): void {
    this.#add({ senderId, receiver, firstBlock }, now)
  }

  refuse(senderId: number, now: number): void {
    this.#add({ senderId, receiver: REFUSED, firstBlock: 0 }, now)
  }

  /** Welcomes get lost too: in a group of which each counts, those who have not shown that they hear anything are told again, unasked. */
  remind(members: Iterable<Member>, now: number): void {
    for (const member of members) if (!member.isReached && now - member.joinedAt > this.#limits.statusMs / 2) this.welcome(member, now)
  }

  /** What fits one welcome, of those that are due. */
  take(now: number): readonly Welcomed[] {
    const entries = [...this.#entries.values()].slice(0, this.#maxEntries)
    for (const { senderId } of entries) this.#entries.delete(senderId)
    this.#dueAt = this.#entries.size > 0 ? now : Infinity
    return entries
  }

  #add(entry: Welcomed, now: number): void {
    this.#entries.set(entry.senderId, entry)
    this.#dueAt = Math.min(this.#dueAt, this.#entries.size >= this.#maxEntries ? now : now + this.#limits.welcomeMs)
  }
}
