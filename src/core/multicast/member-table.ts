/** The receivers of a session, as its sender knows them. */
import { ReplayWindow } from './replay-window.ts'
import type { GoneReason } from './session-machine-types.ts'

export interface Member {
  readonly senderId: number
  readonly receiver: number
  readonly name: string
  readonly replay: ReplayWindow
  readonly joinedAt: number
  readonly firstBlock: number
  heardAt: number
  /** When it heard the group last, by what it said itself: a port may pass what it sends, and nothing to it. */
  hearsAt: number
  /** When it was asked for a report that it has not answered yet; −Infinity before the first time. */
  polledAt: number
  /** When it showed that it hears the group. */
  isReached: boolean
  /** Blocks before this are there, or given up. */
  firstMissing: number
  isComplete: boolean
  /** For how long the session has waited for it with a full window, ms; fades. */
  heldUpMs: number
  rttMs: number | undefined
  /** Set when it is no member any more. */
  gone: GoneReason | undefined
  /** When it was last told so. */
  toldAt: number
}

export class MemberTable {
  readonly #maxMembers: number
  readonly #byId: Map<number, Member> = new Map()
  readonly #byName: Map<string, Member> = new Map()
  readonly #members: Map<number, Member> = new Map()
  #nextIndex = 0
  #reached = 0

  constructor(maxMembers: number) {
    this.#maxMembers = maxMembers
  }

  /** Those that are members now. */
  get active(): ReadonlyMap<number, Member> {
    return this.#members
  }

  get count(): number {
    return this.#members.size
  }

  /** Members that have shown that they hear the group. */
  get reachedCount(): number {
    return this.#reached
  }

  /** Who sends under that id, gone or not. */
  ofId(senderId: number): Member | undefined {
    return this.#byId.get(senderId)
  }

  /** The member of that name. */
  named(name: string): Member | undefined {
    return this.#byName.get(name)
  }

  /** A new member; undefined without a place for it. */
  add(senderId: number, name: string, firstBlock: number, now: number): Member | undefined {
    if (this.#members.size >= this.#maxMembers) return undefined
    // The departed keep their places, so that they can be told, until these are needed.
    if (this.#byId.size >= 2 * this.#maxMembers) this.#forgetDeparted()
    const member: Member = {
      senderId,
      receiver: this.#nextIndex++,
      name,
      replay: new ReplayWindow(),
      joinedAt: now,
      firstBlock,
      heardAt: now,
      hearsAt: now,
      polledAt: -Infinity,
      isReached: false,
      firstMissing: firstBlock,
      isComplete: false,
      heldUpMs: 0,
      rttMs: undefined,
      gone: undefined,
      toldAt: -Infinity,
    }
    this.#byId.set(senderId, member)
    this.#byName.set(name, member)
    this.#members.set(member.receiver, member)
    return member
  }

  /** True the first time. */
  reach(member: Member): boolean {
    if (member.isReached) return false
    member.isReached = true
    this.#reached++
    return true
  }

  remove(member: Member, reason: GoneReason): void {
    member.gone = reason
    if (member.isReached) this.#reached--
    this.#members.delete(member.receiver)
    if (this.#byName.get(member.name) === member) this.#byName.delete(member.name)
  }

  #forgetDeparted(): void {
    for (const [senderId, member] of this.#byId) if (member.gone !== undefined) this.#byId.delete(senderId)
  }
}
