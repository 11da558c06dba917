/**
 * The members as one of them knows them, and the orders in which it turns to them: a shuffled round for probing, so that each is
 * probed once per round and a failure is found in bounded time (SWIM §4.3), and picks by chance for everything else.
 */
import type { Random } from '../lib/random.ts'
import type { Alive, Endpoint, MemberRecord, MemberState, ProtocolVersions } from './messages.ts'
import type { Verdict } from './verdict.ts'

export interface Member {
  readonly node: string
  endpoint: Endpoint
  meta: Uint8Array
  versions: ProtocolVersions | undefined
  /** Raised by the member itself alone, so that of two messages about it the newer is known. */
  incarnation: number
  state: MemberState
  /** When the state last changed, ms. */
  changedAt: number
  /** Why it is in this state; undefined when it is alive. */
  verdict: Verdict | undefined
  /** The last round trip to it, ms. */
  lastRttMs: number | undefined
}

export class MemberTable {
  readonly self: Member
  readonly #random: Random
  readonly #byNode: Map<string, Member> = new Map()
  /** In the order of this round of probing. */
  #order: Member[]
  #probeIndex = 0

  constructor(self: Member, random: Random) {
    this.self = self
    this.#random = random
    this.#byNode.set(self.node, self)
    this.#order = [self]
  }

  /** All that are known, this member and those that died lately with them. */
  get size(): number {
    return this.#order.length
  }

  get(node: string): Member | undefined {
    return this.#byNode.get(node)
  }

  all(): readonly Member[] {
    return this.#order
  }

  /** Takes a new member in, at a place in the round that chance decides: at the end, the newest would always be probed last. */
  add(member: Member): void {
    this.#byNode.set(member.node, member)
    const place = this.#random.below(this.#order.length + 1)
    this.#order.push(member)
    const last = this.#order.length - 1
    this.#order[last] = this.#order[place]!
    this.#order[place] = member
  }

  /**
   * The next member to probe, or undefined when there is none. At the end of a round, those that have been gone for longer than
   * `forgetAfterMs` are taken out and given to `forget`, and the others shuffled.
   */
  nextToProbe(now: number, forgetAfterMs: number, forget: (member: Member) => void): Member | undefined {
    for (let looked = 0; looked < 2 * this.#order.length; looked++) {
      if (this.#probeIndex >= this.#order.length) this.#startRound(now, forgetAfterMs, forget)
      const member = this.#order[this.#probeIndex++]!
      if (member !== this.self && !isGone(member)) return member
    }
    return undefined
  }

  /** At most `count` members that are accepted, each at most once, all equally likely where most are accepted. */
  pick(count: number, accept: (member: Member) => boolean): Member[] {
    const found: Member[] = []
    const order = this.#order
    for (let tries = 0; tries < 4 * count && found.length < count; tries++) {
      const member = this.#random.pick(order)
      if (accept(member) && !found.includes(member)) found.push(member)
    }
    if (found.length === count) return found
    // Few are accepted: all are looked at, from somewhere on.
    const start = this.#random.below(order.length)
    for (let i = 0; i < order.length && found.length < count; i++) {
      const member = order[(start + i) % order.length]!
      if (accept(member) && !found.includes(member)) found.push(member)
    }
    return found
  }

  #startRound(now: number, forgetAfterMs: number, forget: (member: Member) => void): void {
    const forgotten = this.#order.filter((member) => member !== this.self && isGone(member) && now - member.changedAt > forgetAfterMs)
    for (const member of forgotten) this.#byNode.delete(member.node)
    if (forgotten.length > 0) this.#order = this.#order.filter((member) => this.#byNode.has(member.node))
    this.#random.shuffle(this.#order)
    this.#probeIndex = 0
    for (const member of forgotten) forget(member)
  }
}

/** Dead or left. */
export function isGone(member: Member): boolean {
  return member.state === 'dead' || member.state === 'left'
}

/** The highest protocol that a member speaks; 0 when it did not say. */
export function highestProtocol(member: Member): number {
  return member.versions?.[1] ?? 0
}

/** A copy of what is known of a member, as it is told to others. */
export function recordOf({ node, endpoint, meta, incarnation, state, versions }: Member): MemberRecord {
  return { node, address: endpoint.address, port: endpoint.port, meta, incarnation, state, versions }
}

/** The message that a member is alive, as it says itself. */
export function aliveMessage({ node, endpoint, meta, incarnation, versions }: Member): Alive {
  return { type: 'alive', incarnation, node, address: endpoint.address, port: endpoint.port, meta, versions }
}
