/**
 * Probing: members are asked whether they answer. SWIM §3.1, Lifeguard §IV, docs/specs/04-gossip.md §7.8.
 *
 * Three reasons for a probe: one member after the other in turn; the next one on the ring of names, again and again, so that each member
 * has somebody who notices soon; and a member that somebody else suspects, where by the hash of both names it falls to this one to look
 * whether its process is gone.
 *
 * A probe begins with a ping by packet. To a member that is suspected the accusation goes along, so that it can refute at once (buddy
 * system). Without an ack in time, some others are asked to ping it (indirect pings), and it is pinged on a stream, all at once. Relays
 * that get no ack say so (nack): then they are alive, and the way to them works. A probe that nothing answered by its end is a suspicion.
 * Its end comes later the more this member doubts itself; missing nacks are what makes it doubt.
 *
 * A host that refuses the stream has no such process any more. Once somebody else could not reach it either, the probe ends: nothing better
 * can come. A process that stands still takes connections, and so does not look like that.
 *
 * A ping that cannot even be sent goes on to the other ways at once. memberlist ends the probe there, and never suspects a member that
 * a local firewall keeps it from.
 */
import { endpointKey } from './endpoint.ts'
import { highestProtocol, recordOf, type Member } from './member-table.ts'
import type { Ack, Endpoint, PacketMessage, Ping, StreamMessage } from './messages.ts'
import { hashUnits } from '../lib/text-hash.ts'
import { pingPatienceMs } from './profile.ts'
import type { SwimState } from './swim-state.ts'
import type { ProbeEvidence, ProbePath } from './verdict.ts'

/** The lowest protocols of a member that understand a ping on a stream, and that answer with nacks. */
const STREAM_PING_PROTOCOL = 3
const NACK_PROTOCOL = 4

type Path = { -readonly [Key in keyof ProbePath]: ProbePath[Key] } & {
  /** Of the endpoint that was sent to. */
  readonly key: string
}

type Why = 'round' | 'watch' | 'confirm'

interface Probe {
  readonly why: Why
  readonly sequence: number
  readonly member: Member
  /** As it was at the start: what is refuted meanwhile is not accused. */
  readonly incarnation: number
  readonly healthScore: number
  readonly paths: Path[]
  readonly startedAt: number
  /** When others are asked. */
  indirectAt: number
  endsAt: number
  isIndirect: boolean
  expectedNacks: number
  stream: number | undefined
}

/** Who takes what probes find. */
export interface ProbeListener {
  /** Nothing answered. */
  accuse(member: Member, incarnation: number, evidence: ProbeEvidence, now: number): void
  /** A member has told the hash of its table. */
  compare(member: Member, tableHash: number, now: number): void
}

export class Prober {
  readonly #state: SwimState
  readonly #listener: ProbeListener
  /** By sequence number; at most one of a member. */
  readonly #probes: Map<number, Probe> = new Map()
  /** When the next member of the round is probed, unless that of the last one is still under way. */
  #roundAt: number
  /** The same for the member that is watched. */
  #watchAt: number

  constructor(state: SwimState, listener: ProbeListener, now: number) {
    const { random, profile } = state
    this.#state = state
    this.#listener = listener
    this.#roundAt = now + random.float() * profile.roundIntervalMs
    this.#watchAt = profile.watchIntervalMs === Infinity ? Infinity : now + random.float() * profile.watchIntervalMs
  }

  nextDeadline(): number {
    let roundAt = this.#roundAt
    let watchAt = this.#watchAt
    let next = Infinity
    for (const { why, isIndirect, indirectAt, endsAt } of this.#probes.values()) {
      if (why === 'round') roundAt = Infinity
      else if (why === 'watch') watchAt = Infinity
      next = Math.min(next, isIndirect ? endsAt : Math.min(indirectAt, endsAt))
    }
    return Math.min(next, roundAt, watchAt)
  }

  handleTimeout(now: number): void {
    for (const probe of [...this.#probes.values()]) {
      if (!probe.isIndirect && now >= probe.indirectAt) this.#askOthers(probe, now)
      if (now >= probe.endsAt && this.#probes.has(probe.sequence)) this.#fail(probe, now)
    }
    if (now >= this.#roundAt && !this.#isUnderWay('round')) this.#nextOfRound(now)
    if (now >= this.#watchAt && !this.#isUnderWay('watch')) this.#watch(now)
  }

  /** No more probes: this member leaves. */
  stop(): void {
    for (const probe of this.#probes.values()) this.#finish(probe)
    this.#roundAt = Infinity
    this.#watchAt = Infinity
  }

  /** What was to come until now may still wait to be read: the probes under way have that much longer. */
  postpone(ms: number): void {
    for (const probe of this.#probes.values()) {
      probe.indirectAt += ms
      probe.endsAt += ms
    }
  }

  /** Somebody else suspects a member. About as many as are wanted look for themselves; who, the names decide. */
  confirm(member: Member, now: number): void {
    const { profile, table, limits, self, isLeaving } = this.#state
    if (profile.confirmers === 0 || isLeaving || this.#isProbing(member)) return
    const share = hashUnits(self.node, hashUnits(member.node, member.incarnation)) / 0x1_0000_0000
    if (share * (table.size - 2) >= profile.confirmers) return
    if (this.#probes.size >= limits.maxConfirming + 2) return void this.#state.skippedProbes++
    // The stream at once, too: it is what tells a process that is gone from one that stands still.
    this.#openStream(this.#start('confirm', member, now), now)
  }

  /** Whether the ack is one for this prober. */
  handleAck({ sequence, payload, tableHash }: Ack, from: Endpoint, now: number): boolean {
    const probe = this.#probes.get(sequence)
    if (probe === undefined) return false
    const path = waiting(probe, endpointKey(from)) ?? probe.paths[0]!
    settle(path, 'ack', now)
    const passedMs = now - path.sentAt
    const isInTime = path.kind === 'direct' && passedMs <= this.#state.profile.probeTimeoutMs
    const rttMs = isInTime ? passedMs : undefined
    probe.member.lastRttMs = rttMs ?? probe.member.lastRttMs
    this.#state.awareness.apply(-1)
    this.#state.emit({ type: 'probed', node: probe.member.node, rttMs, payload })
    this.#finish(probe)
    if (tableHash !== undefined) this.#listener.compare(probe.member, tableHash, now)
    return true
  }

  /** A relay got no answer. Only those that were asked for nacks count, each once. */
  handleNack(sequence: number, from: Endpoint, now: number): void {
    const probe = this.#probes.get(sequence)
    if (probe === undefined) return
    const key = endpointKey(from)
    // A relay with several addresses may answer from another one than it was asked at.
    const isKnown = probe.paths.some((path) => path.key === key)
    const path = isKnown ? waiting(probe, key) : probe.paths.find(({ kind, outcome }) => kind === 'indirect' && outcome === 'silent')
    if (path?.kind !== 'indirect') return
    settle(path, 'nack', now)
    this.#endEarly(probe, now)
  }

  /** A packet could not be sent; which one is not known, but to whom. */
  sendFailed(to: Endpoint, reason: string, now: number): void {
    const key = endpointKey(to)
    for (const probe of [...this.#probes.values()]) {
      const path = waiting(probe, key)
      if (path === undefined) continue
      settle(path, 'failed', now, reason)
      if (path.kind === 'direct' && !probe.isIndirect) this.#askOthers(probe, now)
      else this.#endEarly(probe, now)
    }
  }

  /** Whether the stream is one of this prober's. */
  streamAnswered(stream: number, message: StreamMessage, now: number): boolean {
    return this.#streamEnded(stream, (probe, path) => {
      const isAck = message.type === 'ack' && message.sequence === probe.sequence
      settle(path, isAck ? 'ack' : 'failed', now, isAck ? undefined : 'the answer on the stream was no ack of this ping')
    })
  }

  streamFailed({ stream, reason, isRefused }: { stream: number; reason: string; isRefused?: boolean }, now: number): boolean {
    return this.#streamEnded(stream, (probe, path) => {
      settle(path, isRefused === true ? 'refused' : 'failed', now, reason)
      this.#endEarly(probe, now)
    })
  }

  #streamEnded(stream: number, note: (probe: Probe, path: Path) => void): boolean {
    for (const probe of this.#probes.values()) {
      if (probe.stream !== stream) continue
      probe.stream = undefined
      const path = probe.paths.find(({ kind }) => kind === 'stream')
      if (path !== undefined) note(probe, path)
      return true
    }
    return false
  }

  // ---- a probe, from its start to its end ----

  #nextOfRound(now: number): void {
    const { table, profile } = this.#state
    const member = table.nextToProbe(now, profile.gossipToTheDeadMs, (forgotten) => this.#forget(forgotten))
    this.#roundAt = now + profile.roundIntervalMs
    if (member !== undefined && !this.#isProbing(member)) this.#start('round', member, now)
  }

  #watch(now: number): void {
    const member = this.#state.table.nextOnRing()
    this.#watchAt = now + this.#state.profile.watchIntervalMs
    if (member !== undefined && !this.#isProbing(member)) this.#start('watch', member, now)
  }

  #isUnderWay(wanted: Why): boolean {
    for (const { why } of this.#probes.values()) if (why === wanted) return true
    return false
  }

  #isProbing(wanted: Member): boolean {
    for (const { member } of this.#probes.values()) if (member === wanted) return true
    return false
  }

  #start(why: Why, member: Member, now: number): Probe {
    const { profile, awareness } = this.#state
    const patienceMs = pingPatienceMs(profile, member.lastRttMs)
    const probe: Probe = {
      why,
      sequence: this.#state.nextSequence(),
      member,
      incarnation: member.incarnation,
      healthScore: awareness.score,
      paths: [pathTo('direct', member, now)],
      startedAt: now,
      // memberlist's own time for the direct ping does not grow with the doubt; one that was shortened does.
      indirectAt: now + Math.min(awareness.scale(patienceMs), Math.max(patienceMs, profile.probeTimeoutMs)),
      endsAt: now + awareness.scale(profile.probeIntervalMs),
      isIndirect: false,
      expectedNacks: 0,
      stream: undefined,
    }
    this.#probes.set(probe.sequence, probe)
    const messages: PacketMessage[] = [this.#pingFor(probe)]
    if (member.state !== 'alive') {
      messages.push({ type: 'suspect', incarnation: member.incarnation, node: member.node, from: this.#state.self.node })
    }
    this.#state.send(member.endpoint, member.node, messages)
    return probe
  }

  #askOthers(probe: Probe, now: number): void {
    const { table, profile, self, source } = this.#state
    const { member, sequence } = probe
    probe.isIndirect = true
    if (this.#endEarly(probe, now)) return
    const relays = table.pick(profile.indirectChecks, (other) => other !== self && other !== member && other.state === 'alive')
    const { address: target, port } = member.endpoint
    for (const relay of relays) {
      const nack = highestProtocol(relay) >= NACK_PROTOCOL
      if (nack) probe.expectedNacks++
      probe.paths.push(pathTo('indirect', relay, now))
      this.#state.send(relay.endpoint, relay.node, [{ type: 'indirect-ping', sequence, target, port, node: member.node, nack, ...source }])
    }
    this.#openStream(probe, now)
  }

  #openStream(probe: Probe, now: number): void {
    const { member, paths } = probe
    if (highestProtocol(member) < STREAM_PING_PROTOCOL || paths.some(({ kind }) => kind === 'stream')) return
    probe.stream = this.#state.nextStream()
    paths.push(pathTo('stream', member, now))
    const message = this.#pingFor(probe)
    this.#state.emit({ type: 'open-stream', stream: probe.stream, to: member.endpoint, node: member.node, message })
  }

  /** Ends a probe that can learn nothing more: the process is gone, and somebody else bears it out or can say nothing. */
  #endEarly(probe: Probe, now: number): boolean {
    const { member, paths, isIndirect } = probe
    if (this.#state.profile.refusedSuspicionMs === Infinity || !isIndirect || !isRefused(probe)) return false
    const relays = paths.filter(({ kind }) => kind === 'indirect')
    const isBorneOut = member.state === 'suspect' || relays.some(({ outcome }) => outcome === 'nack')
    if (!isBorneOut && (relays.length === 0 || relays.some(({ outcome }) => outcome === 'silent'))) return false
    this.#fail(probe, now)
    return true
  }

  /** The end without an ack by packet; an answer on the stream is good, but is told. */
  #fail(probe: Probe, now: number): void {
    const { awareness } = this.#state
    const evidence = this.#evidenceOf(probe, now)
    const { member, incarnation, paths } = probe
    this.#finish(probe)
    if (paths.some(({ kind, outcome }) => kind === 'stream' && outcome === 'ack')) {
      awareness.apply(-1)
      this.#state.emit({ type: 'probed', node: member.node, rttMs: undefined, payload: undefined })
      return this.#state.emit({ type: 'packets-lost', node: member.node, evidence })
    }
    const nacks = paths.filter(({ outcome }) => outcome === 'nack').length
    // A host that refuses was heard: whatever is missing, it is not this member's ears.
    if (!isRefused(probe)) awareness.apply(probe.expectedNacks > 0 ? Math.max(probe.expectedNacks - nacks, 0) : 1)
    // Silence seen twice at once is hardly more than silence: it is noted, and confirmed only by who meets it in the round.
    if (probe.why === 'confirm' && !isRefused(probe)) return this.#state.suspicions.noteProbe(member.node, evidence, now)
    this.#listener.accuse(member, incarnation, evidence, now)
  }

  #finish(probe: Probe): void {
    if (probe.stream !== undefined) this.#state.emit({ type: 'close-stream', stream: probe.stream })
    this.#probes.delete(probe.sequence)
  }

  #forget(member: Member): void {
    this.#state.emit({ type: 'forgotten', member: recordOf(member) })
  }

  /** To a member that understands it, only with what the ack is to have: the ack goes to where the ping came from. */
  #pingFor({ why, sequence, member }: Probe): Ping {
    const { options, source, profile } = this.#state
    const ping = { type: 'ping', sequence, node: member.node } as const
    if (options.isPeer?.(member.node) !== true) return { ...ping, ...source }
    const isOfRound = why === 'round'
    return {
      ...ping,
      isBrief: !isOfRound || options.layer?.wantsPayload() !== true,
      wantsTableHash: isOfRound && profile.agreedExchangeEvery > 1,
    }
  }

  #evidenceOf({ member, startedAt, healthScore, paths }: Probe, now: number): ProbeEvidence {
    return {
      by: this.#state.self.node,
      about: member.node,
      startedAt,
      endedAt: now,
      healthScore,
      lastRttMs: member.lastRttMs,
      paths: paths.map(({ kind, via, sentAt, outcome, afterMs, reason }) => ({ kind, via, sentAt, outcome, afterMs, reason })),
    }
  }
}

function pathTo(kind: ProbePath['kind'], member: Member, now: number): Path {
  return {
    kind,
    via: member.node,
    sentAt: now,
    outcome: 'silent',
    afterMs: undefined,
    reason: undefined,
    key: endpointKey(member.endpoint),
  }
}

function isRefused({ paths }: Probe): boolean {
  return paths.some(({ outcome }) => outcome === 'refused')
}

/** The way by packet to an endpoint on which nothing has come yet. */
function waiting(probe: Probe, key: string): Path | undefined {
  return probe.paths.find((path) => path.key === key && path.kind !== 'stream' && path.outcome === 'silent')
}

function settle(path: Path, outcome: ProbePath['outcome'], now: number, reason?: string): void {
  path.outcome = outcome
  path.afterMs = now - path.sentAt
  path.reason = reason
}
