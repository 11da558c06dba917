/**
 * The members as one of them knows them, and the orders in which it turns to them: a shuffled round for probing, so that each is
 * probed once per round and a failure is found in bounded time (SWIM §4.3), and picks by chance for everything else.
 *
 * What a snapshot says is not copied. A member of it gets an entry of its own when somebody first asks for it; until then it takes the
 * four bytes of its place in the round. That is what lets the simulator hold ten thousand tables of ten thousand members.
 */
import type { Random } from '../lib/random.ts'
import { memberHash, type MemberSnapshot } from './member-snapshot.ts'
import type { Alive, Endpoint, MemberRecord, MemberState, ProtocolVersions } from './messages.ts'
import { hashUnits } from '../lib/text-hash.ts'
import type { Verdict } from './verdict.ts'

export interface Member {
  readonly node: string
  endpoint: Endpoint
  meta: Uint8Array
  versions: ProtocolVersions | undefined
  /** Raised by the member itself alone, so that of two messages about it the newer is known. This and the next two: by `MemberTable.set`. */
  readonly incarnation: number
  readonly state: MemberState
  /** When the state last changed, ms. */
  readonly changedAt: number
  /** Why it is in this state; undefined when it is alive. */
  verdict: Verdict | undefined
  /** The last round trip to it, ms. */
  lastRttMs: number | undefined
}

const NOBODY: readonly MemberRecord[] = []

export class MemberTable {
  readonly self: Member
  readonly #random: Random
  readonly #snapshot: MemberSnapshot | undefined
  readonly #known: readonly MemberRecord[]
  /** When the members of the snapshot came into the state they are in. */
  readonly #knownSince: number
  /** Those with an entry of their own. */
  readonly #byNode: Map<string, Member> = new Map()
  /** Those who are in the snapshot and not in the table any more; they may come again as others do. */
  readonly #forgotten: Set<string> = new Set()
  /** Those who are not in the snapshot. */
  #added: Member[]
  /** In the order of this round of probing: numbers in the snapshot, and beyond its end in `#added`. */
  #order: Uint32Array
  #size: number
  #probeIndex = 0
  /** The next member on the ring of names; undefined when it has to be looked for again, null when there is none. */
  #next: Member | null | undefined = undefined
  #hash: number
  #hashChangedAt = -Infinity

  /** Who is in the snapshot counts as in its state for as long as `self` is in its own. */
  constructor(self: Member, random: Random, snapshot?: MemberSnapshot) {
    this.self = self
    this.#random = random
    this.#snapshot = snapshot
    this.#known = snapshot?.records ?? NOBODY
    this.#knownSince = self.changedAt
    this.#byNode.set(self.node, self)
    const index = snapshot?.indexOf(self.node)
    const isKnown = index !== undefined
    this.#hash = (snapshot?.hash ?? 0) ^ (isKnown ? memberHash(this.#known[index]!) : 0) ^ memberHash(self)
    this.#added = isKnown ? [] : [self]
    this.#size = this.#known.length + this.#added.length
    this.#order = new Uint32Array(this.#size)
    for (let i = 0; i < this.#size; i++) this.#order[i] = i
    if (snapshot !== undefined) this.#shuffle()
  }

  /** How many are known, this member and those that died lately with them. */
  get size(): number {
    return this.#size
  }

  get(node: string): Member | undefined {
    const member = this.#byNode.get(node)
    if (member !== undefined || this.#snapshot === undefined || this.#forgotten.has(node)) return member
    const index = this.#snapshot.indexOf(node)
    return index === undefined ? undefined : this.#open(this.#known[index]!)
  }

  /** Whether all that is known of a member is this very record of the snapshot: then there is nothing to learn from it. */
  isUntouched(record: MemberRecord, index: number): boolean {
    if (this.#known[index] !== record && this.#known[this.#snapshot?.indexOf(record.node) ?? -1] !== record) return false
    return !this.#byNode.has(record.node) && !this.#forgotten.has(record.node)
  }

  /** All as they are told to others: first those of the snapshot, in its order. */
  records(): MemberRecord[] {
    const records: MemberRecord[] = []
    for (const record of this.#known) {
      const member = this.#byNode.get(record.node)
      if (member !== undefined) records.push(recordOf(member))
      else if (!this.#forgotten.has(record.node)) records.push(record)
    }
    for (const member of this.#added) if (this.#snapshot?.indexOf(member.node) === undefined) records.push(recordOf(member))
    return records
  }

  /** How many are in each state. */
  counts(): Record<MemberState, number> {
    const counts = { alive: 0, suspect: 0, dead: 0, left: 0, ...this.#snapshot?.counts }
    if (this.#snapshot !== undefined) {
      for (const node of this.#byNode.keys()) if (!this.#forgotten.has(node)) this.#uncount(counts, node)
      for (const node of this.#forgotten) this.#uncount(counts, node)
    }
    for (const { state } of this.#byNode.values()) counts[state]++
    return counts
  }

  #uncount(counts: Record<MemberState, number>, node: string): void {
    const index = this.#snapshot!.indexOf(node)
    if (index !== undefined) counts[this.#known[index]!.state]--
  }

  /** Takes a new member in, at a place in the round that chance decides: at the end, the newest would always be probed last. */
  add(member: Member): void {
    this.#byNode.set(member.node, member)
    this.#added.push(member)
    this.#next = undefined
    this.#hash ^= memberHash(member)
    if (this.#size === this.#order.length) {
      const longer = new Uint32Array(2 * this.#size + 8)
      longer.set(this.#order)
      this.#order = longer
    }
    const place = this.#random.below(this.#size + 1)
    this.#order[this.#size] = this.#order[place]!
    this.#order[place] = this.#known.length + this.#added.length - 1
    this.#size++
  }

  /**
   * The next member to probe, or undefined when there is none. At the end of a round, those that have been gone for longer than
   * `forgetAfterMs` are taken out and given to `forget`, and the others shuffled.
   */
  nextToProbe(now: number, forgetAfterMs: number, forget: (member: Member) => void): Member | undefined {
    for (let looked = 0; looked < 2 * this.#size; looked++) {
      if (this.#probeIndex >= this.#size) this.#startRound(now, forgetAfterMs, forget)
      const member = this.#at(this.#probeIndex++)
      if (member !== this.self && !isGone(member)) return member
    }
    return undefined
  }

  /**
   * One number for all members that are not gone and their incarnations, as in any other table with the same ones, and hardly one with
   * others.
   */
  get hash(): number {
    return this.#hash >>> 0
  }

  /** When the hash was another one last, ms; −Infinity when it never was. */
  get hashChangedAt(): number {
    return this.#hashChangedAt
  }

  /** What is known of a member from now on. */
  set(member: Member, incarnation: number, state: MemberState, now: number): void {
    const changed: { -readonly [Key in 'incarnation' | 'state' | 'changedAt']: Member[Key] } = member
    const before = memberHash(member)
    if (isGone(member)) this.#next = undefined
    if (member.state !== state) changed.changedAt = now
    changed.incarnation = incarnation
    changed.state = state
    const difference = before ^ memberHash(member)
    if (difference === 0) return
    this.#hash ^= difference
    this.#hashChangedAt = now
  }

  /**
   * The member whose name follows on this one's own on the ring of names' hashes, among those that are not gone: it is this one's to
   * watch. Where all know the same members, each is watched by exactly one.
   */
  nextOnRing(): Member | undefined {
    if (this.#next === undefined || (this.#next !== null && isGone(this.#next))) this.#next = this.#findNext() ?? null
    return this.#next ?? undefined
  }

  #findNext(): Member | undefined {
    const own = hashUnits(this.self.node)
    let best: Member | undefined
    let leastDistance = Infinity
    for (const member of this.#added) {
      if (member === this.self || isGone(member)) continue
      const distance = ringDistance(own, hashUnits(member.node))
      if (distance >= leastDistance) continue
      best = member
      leastDistance = distance
    }
    if (this.#snapshot === undefined) return best
    const { indices, hashes } = this.#snapshot.ring
    const start = firstAbove(hashes, own)
    for (let i = 0; i < indices.length; i++) {
      const place = (start + i) % indices.length
      const record = this.#known[indices[place]!]!
      if (ringDistance(own, hashes[place]!) >= leastDistance) break
      if (record.node === this.self.node || this.#forgotten.has(record.node)) continue
      const member = this.#byNode.get(record.node)
      if (isGone(member ?? record)) continue
      return member ?? this.#open(record)
    }
    return best
  }

  /** At most `count` members that are accepted, each at most once, all equally likely where most are accepted. */
  pick(count: number, accept: (member: Member) => boolean): Member[] {
    const found: Member[] = []
    const size = this.#size
    for (let tries = 0; tries < 4 * count && found.length < count; tries++) {
      const member = this.#at(this.#random.below(size))
      if (accept(member) && !found.includes(member)) found.push(member)
    }
    if (found.length === count) return found
    // Few are accepted: all are looked at, from somewhere on.
    const start = this.#random.below(size)
    for (let i = 0; i < size && found.length < count; i++) {
      const member = this.#at((start + i) % size)
      if (accept(member) && !found.includes(member)) found.push(member)
    }
    return found
  }

  /** Who has a place in the round. */
  #at(place: number): Member {
    return this.#numbered(this.#order[place]!)
  }

  #numbered(number: number): Member {
    const record = this.#known[number]
    if (record === undefined) return this.#added[number - this.#known.length]!
    return this.#byNode.get(record.node) ?? this.#open(record)
  }

  /** Gives a member of the snapshot an entry of its own. */
  #open({ node, address, port, meta, versions, incarnation, state }: MemberRecord): Member {
    const member: Member = {
      node,
      endpoint: { address, port },
      meta,
      versions,
      incarnation,
      state,
      changedAt: this.#knownSince,
      verdict: undefined,
      lastRttMs: undefined,
    }
    this.#byNode.set(node, member)
    return member
  }

  #startRound(now: number, forgetAfterMs: number, forget: (member: Member) => void): void {
    const forgotten = new Set<Member>()
    for (const member of this.#byNode.values()) {
      if (member !== this.self && isGone(member) && now - member.changedAt > forgetAfterMs) forgotten.add(member)
    }
    if (forgotten.size > 0) this.#drop(forgotten)
    this.#shuffle()
    this.#probeIndex = 0
    for (const member of forgotten) forget(member)
  }

  #drop(members: ReadonlySet<Member>): void {
    const known = this.#known.length
    const places = new Map<Member, number>()
    const kept = this.#added.filter((member) => !members.has(member))
    for (const [index, member] of kept.entries()) places.set(member, known + index)
    let size = 0
    for (let place = 0; place < this.#size; place++) {
      const number = this.#order[place]!
      const member = number < known ? this.#byNode.get(this.#known[number]!.node) : this.#added[number - known]
      if (member !== undefined && members.has(member)) continue
      this.#order[size++] = number < known ? number : places.get(member!)!
    }
    this.#size = size
    this.#added = kept
    for (const { node } of members) {
      this.#byNode.delete(node)
      if (this.#snapshot?.indexOf(node) !== undefined) this.#forgotten.add(node)
    }
  }

  #shuffle(): void {
    const order = this.#order
    for (let i = this.#size - 1; i > 0; i--) {
      const j = this.#random.below(i + 1)
      const swapped = order[i]!
      order[i] = order[j]!
      order[j] = swapped
    }
  }
}

/** The first index of a value above this one in an ascending list; its length when there is none. */
function firstAbove(values: Uint32Array, value: number): number {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (values[middle]! > value) high = middle
    else low = middle + 1
  }
  return low
}

/** Dead or left. */
export function isGone(member: { readonly state: MemberState }): boolean {
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

/** How far it is from one place on the ring to another, going up; a whole round from a place to itself. */
function ringDistance(from: number, to: number): number {
  const distance = (to - from) >>> 0
  return distance === 0 ? 0x1_0000_0000 : distance
}
