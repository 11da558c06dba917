/**
 * Push/pull: two members tell each other all that they know, on a stream. It is how a member joins, and it repairs what gossip missed.
 * docs/specs/04-gossip.md §6, §7.
 *
 * What the other one says is weighed, not copied: alive counts by the rule of alive; who left has left; but whom the other thinks dead
 * is only suspected here, so that one which is alive can refute. Before anything is merged, the protocols of all live members on both
 * sides must go together; else nothing is.
 *
 * When the other side's table accuses this member, it refutes to the other side at once, beside spreading it. Else two halves of a
 * cluster that hold each other for dead would need a second exchange until they gossip with each other: neither sends to the dead.
 *
 * Members of this project tell each other the hashes of their tables with some acks. As long as they are the same, most of the exchanges
 * that would be due are left out; where one differs, and goes on to while nothing changes here, there is an exchange with that member soon.
 */
import { aliveMessage, type Member } from './member-table.ts'
import type { MembershipRules } from './membership-rules.ts'
import type { Endpoint, MemberRecord, ProtocolVersions, PushPull, StreamMessage } from './messages.ts'
import { pushPullIntervalMs } from './profile.ts'
import type { SwimState } from './swim-state.ts'

/** Gossip intervals within which news are everywhere. */
const SETTLE_GOSSIPS = 10
/** The least time between two exchanges because of differences, in shares of the interval of exchanges. */
const REPAIR_SHARE = 0.1

interface Exchange {
  readonly to: Endpoint
  readonly node: string | undefined
  readonly isJoin: boolean
  readonly endsAt: number
}

export class PushPullExchanges {
  readonly #state: SwimState
  readonly #rules: MembershipRules
  /** By stream; the first ends first. */
  readonly #exchanges: Map<number, Exchange> = new Map()
  #nextAt: number
  /** A member whose table is another one, since when, and when that is looked at. */
  #differing: { readonly member: Member; readonly since: number; readonly dueAt: number } | undefined
  /** Whether the last table that this one was compared with is the same. */
  #isAgreed = false
  /** Exchanges left out since the last one. */
  #skipped: number
  /** When the next exchange may be made because of a difference. */
  #repairAt = -Infinity

  constructor(state: SwimState, rules: MembershipRules, now: number) {
    this.#state = state
    this.#rules = rules
    this.#nextAt = now + state.random.float() * pushPullIntervalMs(state.profile, state.table.size)
    this.#skipped = state.random.below(state.profile.agreedExchangeEvery)
  }

  nextDeadline(): number {
    const dueAt = Math.min(this.#nextAt, this.#differing?.dueAt ?? Infinity)
    for (const { endsAt } of this.#exchanges.values()) return Math.min(endsAt, dueAt)
    return dueAt
  }

  handleTimeout(now: number): void {
    for (const [stream, { endsAt }] of this.#exchanges) {
      if (endsAt > now) break
      this.#state.emit({ type: 'close-stream', stream })
      this.#ended(stream, 'no answer came in time')
    }
    if (this.#differing !== undefined && now >= this.#differing.dueAt) this.#repair(this.#differing, now)
    if (now < this.#nextAt) return
    const { table, profile, self, options } = this.#state
    this.#nextAt = now + pushPullIntervalMs(profile, table.size)
    const [partner] = table.pick(1, (member) => member !== self && member.state === 'alive')
    if (partner === undefined) return
    if (this.#isAgreed && options.isPeer?.(partner.node) === true && this.#skipped + 1 < profile.agreedExchangeEvery) {
      this.#skipped++
      return
    }
    this.#skipped = 0
    this.#open(partner.endpoint, partner.node, false, now)
  }

  /** A member has told the hash of its table. What differs may be news on their way: it is looked at again when they would be there. */
  compare(member: Member, tableHash: number, now: number): void {
    const { table } = this.#state
    this.#isAgreed = tableHash === table.hash
    if (this.#isAgreed) {
      if (this.#differing?.member === member) this.#differing = undefined
    } else if (this.#differing === undefined && this.#nextAt < Infinity) {
      this.#differing = { member, since: now, dueAt: Math.max(now + this.#settleMs(), this.#repairAt) }
    }
  }

  /** Nothing came that would have made the tables one. */
  #repair({ member, since }: { member: Member; since: number }, now: number): void {
    const { table, profile } = this.#state
    this.#differing = undefined
    if (table.hashChangedAt > since || member.state !== 'alive') return
    this.#repairAt = now + REPAIR_SHARE * pushPullIntervalMs(profile, table.size)
    this.#open(member.endpoint, member.node, false, now)
  }

  #settleMs(): number {
    return SETTLE_GOSSIPS * this.#state.profile.gossipIntervalMs
  }

  /** No more exchanges of this member's own: it leaves. */
  stop(): void {
    this.#nextAt = Infinity
    this.#differing = undefined
  }

  join(endpoints: readonly Endpoint[], now: number): void {
    for (const endpoint of endpoints) this.#open(endpoint, undefined, true, now)
  }

  /** Another one opened a stream: it gets what was known before it told anything. */
  requested(request: number, from: Endpoint, message: PushPull, now: number): void {
    this.#state.emit({ type: 'answer', request, message: this.#local(message.isJoin) })
    this.#merge(message, from, now)
  }

  /** Whether the stream is one of an exchange. */
  answered(stream: number, message: StreamMessage, now: number): boolean {
    const exchange = this.#exchanges.get(stream)
    if (exchange === undefined) return false
    this.#ended(stream, message.type === 'push-pull' ? this.#take(message, exchange, now) : whyNot(message))
    return true
  }

  failed(stream: number, reason: string): boolean {
    return this.#ended(stream, reason)
  }

  #open(to: Endpoint, node: string | undefined, isJoin: boolean, now: number): void {
    if (this.#exchanges.size >= this.#state.limits.maxExchanges) {
      return this.#state.emit({ type: 'exchanged', to, node, isJoin, error: 'too many exchanges are under way' })
    }
    const stream = this.#state.nextStream()
    this.#exchanges.set(stream, { to, node, isJoin, endsAt: now + this.#state.profile.streamTimeoutMs })
    this.#state.emit({ type: 'open-stream', stream, to, node, message: this.#local(isJoin) })
  }

  #ended(stream: number, error: string | undefined): boolean {
    const exchange = this.#exchanges.get(stream)
    if (exchange === undefined) return false
    this.#exchanges.delete(stream)
    const { to, node, isJoin } = exchange
    this.#state.emit({ type: 'exchanged', to, node, isJoin, error })
    return true
  }

  /** Merges an answer; what this member then had to refute, the one that said it hears first. */
  #take(message: PushPull, { to, node }: Exchange, now: number): string | undefined {
    const { self } = this.#state
    const lastIncarnation = self.incarnation
    const problem = this.#merge(message, to, now)
    if (self.incarnation !== lastIncarnation) this.#state.send(to, node, [aliveMessage(self)])
    return problem
  }

  #local(isJoin: boolean): PushPull {
    const { table, options } = this.#state
    return { type: 'push-pull', isJoin, members: table.records(), userState: options.layer?.localState(isJoin) ?? new Uint8Array(0) }
  }

  /** @returns why nothing was merged, or undefined when all was. */
  #merge({ members, isJoin, userState }: PushPull, from: Endpoint, now: number): string | undefined {
    const { table } = this.#state
    const problem = versionProblem(members, table.records())
    if (problem !== undefined) return problem
    for (const [index, record] of members.entries()) if (!table.isUntouched(record, index)) this.#mergeMember(record, now)
    if (userState.length > 0) this.#state.emit({ type: 'user-state', from, isJoin, bytes: userState })
    return undefined
  }

  #mergeMember({ node, incarnation, state, address, port, meta, versions }: MemberRecord, now: number): void {
    switch (state) {
      case 'alive':
        return this.#rules.alive({ type: 'alive', incarnation, node, address, port, meta, versions }, now)
      case 'left':
        return this.#rules.dead({ type: 'dead', incarnation, node, from: node }, 'push-pull', now)
      case 'dead':
      case 'suspect':
        return this.#rules.suspect({ type: 'suspect', incarnation, node, from: this.#state.self.node }, 'push-pull', now)
    }
  }
}

function whyNot(message: StreamMessage): string {
  return message.type === 'error' ? `refused: ${message.reason}` : `answered by a message of type ${message.type}`
}

/** What of a member matters here. */
interface Speaker {
  readonly node: string
  readonly state: MemberRecord['state']
  readonly versions: ProtocolVersions | undefined
}

/**
 * What keeps two sets of members from being one cluster: a live one that speaks a version, of the membership protocol or of the layer
 * above, that not all others understand.
 */
export function versionProblem(theirs: readonly Speaker[], ours: readonly Speaker[]): string | undefined {
  const speakers = [...theirs, ...ours].filter(({ state, versions }) => state === 'alive' && versions !== undefined)
  for (const [what, low, high, current] of [
    ['the membership protocol', 0, 1, 2],
    ['the protocol above it', 3, 4, 5],
  ] as const) {
    const [first] = speakers
    if (first === undefined) return undefined
    let newest = first
    let oldest = first
    for (const speaker of speakers) {
      if (speaker.versions![low] > newest.versions![low]) newest = speaker
      if (speaker.versions![high] < oldest.versions![high]) oldest = speaker
    }
    const least = newest.versions![low]
    const most = oldest.versions![high]
    if (least > most) {
      return `no version of ${what} is understood by all live members: ${newest.node} begins at ${least}, ${oldest.node} ends at ${most}`
    }
    const odd = speakers.find(({ versions }) => versions![current] < least || versions![current] > most)
    if (odd === undefined) continue
    return `${odd.node} speaks version ${odd.versions![current]} of ${what}; all live members together understand ${least} to ${most}`
  }
  return undefined
}
