/**
 * The membership machine: who is in the cluster, found out and told by gossip. SWIM (Das, Gupta, Motivala, DSN 2002) with Lifeguard
 * (Dadgar, Phillips, Currey, arXiv 1707.00788), by the rules of memberlist. docs/specs/04-gossip.md §7.8.
 *
 * Each member probes the others in turn (`prober.ts`), for others on their behalf (`relay.ts`), and judges what it hears of them
 * (`membership-rules.ts`). News goes along with all packets and with gossip of its own; from time to time two members exchange
 * everything (`push-pull.ts`), which is also how one joins. This file takes inputs and hands them to the parts that they concern.
 * Not here: bytes, sockets, keys, events and queries.
 *
 * A machine that is called much later than it had asked for was held up, by a busy event loop or a suspended host. What it should have
 * heard meanwhile may still wait in its socket, so that the time counts neither against those whom it probes nor against suspected ones.
 * If it was for longer than a probe takes, others may doubt it by now: it says by a new incarnation that it lives.
 */
import { ClaimantCheck } from './claimant-check.ts'
import { replyEndpoint } from './endpoint.ts'
import { MembershipRules } from './membership-rules.ts'
import { aliveMessage, recordOf, type Member } from './member-table.ts'
import type { Ack, Endpoint, MemberRecord, PacketMessage, Ping, StreamMessage } from './messages.ts'
import { Prober } from './prober.ts'
import { PushPullExchanges } from './push-pull.ts'
import { Relay } from './relay.ts'
import { SwimState } from './swim-state.ts'
import type { SwimInput, SwimOptions, SwimOutput, SwimStatus } from './swim-types.ts'
import type { Verdict } from './verdict.ts'
import { assert } from '../lib/assert.ts'

/**
 * A host that is held up again and again tells so at most once in that many probe intervals: each time costs the whole cluster a message,
 * and a cluster on one busy host would be kept busy by them.
 */
const REASSERT_PROBES = 5

export class SwimMachine {
  readonly #state: SwimState
  readonly #rules: MembershipRules
  readonly #prober: Prober
  readonly #relay: Relay
  readonly #exchanges: PushPullExchanges
  readonly #claimants: ClaimantCheck
  #gossipAt: number
  #gossipedAt = -Infinity
  /** When this member told last that it had been held up. */
  #reassertedAt = -Infinity
  /** When a leave ends at the latest; Infinity when there is none. */
  #departAt = Infinity
  /** When this machine is to be called at the latest. */
  #dueAt: number

  constructor(options: SwimOptions, now: number) {
    const state = new SwimState(options, now)
    assert(options.meta.length <= state.limits.maxMetaBytes, 'no more said of a member than the others take')
    this.#state = state
    this.#rules = new MembershipRules(state, (member, at) => this.#prober.confirm(member, at))
    this.#prober = new Prober(
      state,
      {
        accuse: ({ node }, incarnation, evidence, at) =>
          this.#rules.suspect({ type: 'suspect', incarnation, node, from: options.node }, 'probe', at, evidence),
        compare: (member, tableHash, at) => this.#exchanges.compare(member, tableHash, at),
      },
      now,
    )
    this.#relay = new Relay(state)
    this.#exchanges = new PushPullExchanges(state, this.#rules, now)
    this.#claimants = new ClaimantCheck(state)
    this.#gossipAt = now + state.random.float() * state.profile.gossipIntervalMs
    if (!state.isKnown) this.#rules.announce()
    this.#dueAt = this.nextDeadline()
  }

  /** All that are known, this member and those that are gone since not long with them. */
  members(): MemberRecord[] {
    return this.#state.table.records()
  }

  member(node: string): MemberRecord | undefined {
    const member = this.#state.table.get(node)
    return member === undefined ? undefined : recordOf(member)
  }

  /** Why a member is not alive; undefined for one that is, or is not known. */
  verdict(node: string): Verdict | undefined {
    return this.#state.table.get(node)?.verdict
  }

  status(): SwimStatus {
    const { table, awareness, broadcasts, self, refusedMessages, refusedRelays, failedSends, skippedProbes } = this.#state
    return {
      ...table.counts(),
      incarnation: self.incarnation,
      healthScore: awareness.score,
      queuedBroadcasts: broadcasts.length,
      droppedBroadcasts: broadcasts.droppedCount,
      refusedMessages,
      refusedRelays,
      failedSends,
      skippedProbes,
    }
  }

  /** Takes what is to be done; the caller owns the list. */
  drain(): SwimOutput[] {
    return this.#state.drain()
  }

  /** When to call `handleTimeout`, ms; always a time until this member has left, as probing never ends. */
  nextDeadline(): number {
    return Math.min(
      this.#gossipDue(),
      this.#departAt,
      this.#prober.nextDeadline(),
      this.#relay.nextDeadline(),
      this.#rules.nextDeadline(),
      this.#exchanges.nextDeadline(),
      this.#claimants.nextDeadline(),
    )
  }

  handle(input: SwimInput, now: number): void {
    this.#noticeDelay(now)
    this.#passIdleGossip(now)
    this.#input(input, now)
    this.#hurry(now)
    this.#dueAt = Math.max(this.nextDeadline(), now)
  }

  handleTimeout(now: number): void {
    this.#noticeDelay(now)
    this.#passIdleGossip(now)
    this.#rules.handleTimeout(now)
    this.#relay.handleTimeout(now)
    this.#prober.handleTimeout(now)
    this.#exchanges.handleTimeout(now)
    this.#claimants.handleTimeout(now)
    if (now >= this.#gossipDue()) this.#gossip(now)
    if (now >= this.#departAt) this.#depart(false)
    this.#hurry(now)
    this.#dueAt = Math.max(this.nextDeadline(), now)
  }

  /** A deadline may have moved into the past by what came last; late is only what is later than this machine could have asked for. */
  #noticeDelay(now: number): void {
    const lateMs = now - this.#dueAt
    if (lateMs <= this.#state.profile.probeTimeoutMs) return
    const { awareness, suspicions, profile } = this.#state
    awareness.apply(1)
    // And a moment more, in which what waits in the socket is heard before anybody is judged.
    suspicions.postpone(lateMs + profile.gossipIntervalMs)
    this.#prober.postpone(lateMs + profile.gossipIntervalMs)
    this.#state.emit({ type: 'held-up', forMs: lateMs })
    this.#reassert(lateMs, now)
  }

  /** After a hold-up in which others may have begun to doubt this member it says so first, to some of them directly. */
  #reassert(lateMs: number, now: number): void {
    const { profile, table, self, isLeaving } = this.#state
    if (profile.heldUpTells === 0 || isLeaving || lateMs <= profile.probeIntervalMs) return
    if (now - this.#reassertedAt < REASSERT_PROBES * profile.probeIntervalMs) return
    this.#reassertedAt = now
    this.#rules.reassert(now)
    const receivers = table.pick(profile.heldUpTells, (member) => member !== self && member.state === 'alive')
    for (const { endpoint, node } of receivers) this.#state.send(endpoint, node, [aliveMessage(self)])
  }

  /** What is urgent does not wait for the next gossip of itself. */
  #hurry(now: number): void {
    if (!this.#state.isUrgent) return
    this.#gossipAt = Math.min(this.#gossipAt, Math.max(now, this.#gossipedAt + this.#state.profile.urgentGossipMs))
  }

  #input(input: SwimInput, now: number): void {
    switch (input.type) {
      case 'packet':
        // News first: an ack then carries the refutation of what came along with its ping.
        for (const message of input.messages) if (isNews(message)) this.#message(message, input.from, now)
        for (const message of input.messages) if (!isNews(message)) this.#message(message, input.from, now)
        break
      case 'send-failed':
        this.#state.failedSends++
        this.#prober.sendFailed(input.to, input.reason, now)
        break
      case 'stream-opened':
        this.#request(input.request, input.from, input.message, now)
        break
      case 'stream-answered':
        if (this.#prober.streamAnswered(input.stream, input.message, now)) break
        if (!this.#claimants.streamAnswered(input.stream, input.message)) this.#exchanges.answered(input.stream, input.message, now)
        break
      case 'stream-failed':
        if (this.#prober.streamFailed(input, now)) break
        if (!this.#claimants.streamFailed(input)) this.#exchanges.failed(input.stream, input.reason)
        break
      case 'join':
        this.#exchanges.join(input.endpoints, now)
        break
      case 'leave':
        this.#leave(now)
        break
      case 'meta':
        assert(input.meta.length <= this.#state.limits.maxMetaBytes, 'no more said of a member than the others take')
        this.#rules.update(input.meta, now)
        break
      case 'check-claimants':
        this.#claimants.start(input.endpoints, now)
        break
    }
  }

  // ---- messages ----

  #message(message: PacketMessage, from: Endpoint, now: number): void {
    switch (message.type) {
      case 'ping':
        return this.#ping(message, from)
      case 'indirect-ping':
        return this.#relay.handleIndirectPing(message, from, now)
      case 'ack':
        if (this.#prober.handleAck(message, from, now) || this.#claimants.handleAck(message)) return
        this.#relay.handleAck(message.sequence)
        return
      case 'nack':
        return this.#prober.handleNack(message.sequence, from, now)
      case 'alive':
        return this.#rules.alive(message, now)
      case 'suspect':
        return this.#rules.suspect(message, 'packet', now)
      case 'dead':
        return this.#rules.dead(message, 'packet', now)
      case 'user':
        return this.#state.emit({ type: 'user', from, bytes: message.bytes })
    }
  }

  #ping(message: Ping, from: Endpoint): void {
    if (!this.#isForMe(message)) return void this.#state.refusedMessages++
    const { options, table } = this.#state
    const payload = message.isBrief === true ? undefined : options.layer?.ackPayload()
    const ack: Ack = { type: 'ack', sequence: message.sequence, payload }
    const answer = message.wantsTableHash === true ? { ...ack, tableHash: table.hash } : ack
    this.#state.send(replyEndpoint(message, from), message.sourceNode, [answer])
  }

  /** A ping names whom it is for, as another member may have had this address before. */
  #isForMe(ping: Ping): boolean {
    return ping.node === '' || (ping.node === this.#state.self.node && !this.#claimants.isOwn(ping))
  }

  #request(request: number, from: Endpoint, message: StreamMessage, now: number): void {
    switch (message.type) {
      case 'push-pull':
        return this.#exchanges.requested(request, from, message, now)
      case 'ping': {
        if (!this.#isForMe(message)) return this.#state.emit({ type: 'refuse', request })
        return this.#state.emit({ type: 'answer', request, message: { type: 'ack', sequence: message.sequence, payload: undefined } })
      }
      case 'user':
        this.#state.emit({ type: 'user', from, bytes: message.bytes })
        return this.#state.emit({ type: 'refuse', request })
      case 'ack':
      case 'error':
        return this.#state.emit({ type: 'refuse', request })
    }
  }

  // ---- gossip ----

  /** When gossip is due: never while there is nothing to tell, so that a quiet member is not woken for it. */
  #gossipDue(): number {
    return this.#hasGossip() ? this.#gossipAt : Infinity
  }

  #hasGossip(): boolean {
    return this.#state.hasBroadcasts || this.#departAt < Infinity
  }

  /** Each member keeps to intervals of its own, idle or not: where all told at once what came to all at once, they would tell each other the same. */
  #passIdleGossip(now: number): void {
    const { gossipIntervalMs } = this.#state.profile
    if (now < this.#gossipAt || this.#hasGossip()) return
    this.#gossipAt += (Math.floor((now - this.#gossipAt) / gossipIntervalMs) + 1) * gossipIntervalMs
  }

  #gossip(now: number): void {
    const { table, profile } = this.#state
    this.#gossipAt = now + profile.gossipIntervalMs
    this.#gossipedAt = now
    this.#state.isUrgent = false
    const receivers = table.pick(profile.gossipNodes, (member) => this.#getsGossip(member, now))
    for (const member of receivers) if (!this.#state.sendBroadcasts(member) && member.state !== 'dead') break
    if (this.#departAt < Infinity && !this.#state.broadcasts.has(this.#state.self.node)) this.#depart(true)
  }

  /** Also those that died lately: they may not be dead, and have to know that they are thought to be. */
  #getsGossip(member: Member, now: number): boolean {
    const { self, profile } = this.#state
    if (member === self) return false
    switch (member.state) {
      case 'alive':
      case 'suspect':
        return true
      case 'dead':
        return now - member.changedAt <= profile.gossipToTheDeadMs
      case 'left':
        return false
    }
  }

  // ---- leaving ----

  /** Says that it goes, probes nobody any more, and answers as before until the shell stops it. */
  #leave(now: number): void {
    const { table, limits, isLeaving } = this.#state
    if (isLeaving) return
    this.#rules.leave(now)
    this.#prober.stop()
    this.#exchanges.stop()
    this.#departAt = now + limits.leaveTimeoutMs
    const { alive, suspect } = table.counts()
    if (alive + suspect === 0) this.#depart(true)
  }

  #depart(isTold: boolean): void {
    this.#departAt = Infinity
    this.#state.emit({ type: 'departed', isTold })
  }
}

/** What is said about members. */
function isNews({ type }: PacketMessage): boolean {
  return type === 'alive' || type === 'suspect' || type === 'dead'
}
