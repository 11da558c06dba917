/**
 * Probing: one member after the other is asked whether it answers. SWIM §3.1, Lifeguard §IV, docs/specs/04-gossip.md §7.
 *
 * A probe begins with a ping by packet. To a member that is suspected the accusation goes along, so that it can refute at once (buddy
 * system). Without an ack in time, some others are asked to ping it (indirect pings), and it is pinged on a stream, all at once. Relays
 * that get no ack say so (nack): then they are alive, and the way to them works. A probe that nothing answered by its end is a suspicion.
 * Its end comes later the more this member doubts itself; missing nacks are what makes it doubt.
 *
 * A ping that cannot even be sent goes on to the other ways at once. memberlist ends the probe there, and never suspects a member that
 * a local firewall keeps it from.
 */
import { endpointKey } from './endpoint.ts'
import { highestProtocol, recordOf, type Member } from './member-table.ts'
import type { Ack, Endpoint, PacketMessage, Ping, StreamMessage } from './messages.ts'
import type { SwimState } from './swim-state.ts'
import type { ProbeEvidence, ProbePath } from './verdict.ts'

/** The lowest protocols of a member that understand a ping on a stream, and that answer with nacks. */
const STREAM_PING_PROTOCOL = 3
const NACK_PROTOCOL = 4

type Path = { -readonly [Key in keyof ProbePath]: ProbePath[Key] } & {
  /** Of the endpoint that was sent to. */
  readonly key: string
}

interface Probe {
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

/** Takes what a probe found when nothing answered. */
export type Accuse = (member: Member, incarnation: number, evidence: ProbeEvidence, now: number) => void

export class Prober {
  readonly #state: SwimState
  readonly #accuse: Accuse
  #probe: Probe | undefined
  /** When the next probe begins, unless one is still under way. */
  #nextAt: number

  constructor(state: SwimState, accuse: Accuse, now: number) {
    this.#state = state
    this.#accuse = accuse
    this.#nextAt = now + state.random.float() * state.profile.probeIntervalMs
  }

  nextDeadline(): number {
    if (this.#probe === undefined) return this.#nextAt
    return this.#probe.isIndirect ? this.#probe.endsAt : Math.min(this.#probe.indirectAt, this.#probe.endsAt)
  }

  handleTimeout(now: number): void {
    const probe = this.#probe
    if (probe !== undefined && !probe.isIndirect && now >= probe.indirectAt) this.#askOthers(probe, now)
    if (probe !== undefined && now >= probe.endsAt) this.#fail(probe, now)
    if (this.#probe === undefined && now >= this.#nextAt) this.#start(now)
  }

  /** No more probes: this member leaves. */
  stop(): void {
    if (this.#probe !== undefined) this.#finish(this.#probe)
    this.#nextAt = Infinity
  }

  /** What was to come until now may still wait to be read: the probe under way has that much longer. */
  postpone(ms: number): void {
    if (this.#probe === undefined) return
    this.#probe.indirectAt += ms
    this.#probe.endsAt += ms
  }

  /** Whether the ack is one for this prober. */
  handleAck({ sequence, payload }: Ack, from: Endpoint, now: number): boolean {
    const probe = this.#probe
    if (probe?.sequence !== sequence) return false
    const path = waiting(probe, endpointKey(from)) ?? probe.paths[0]!
    settle(path, 'ack', now)
    const passedMs = now - path.sentAt
    const isInTime = path.kind === 'direct' && !probe.isIndirect && passedMs <= this.#state.profile.probeTimeoutMs
    const rttMs = isInTime ? passedMs : undefined
    probe.member.lastRttMs = rttMs ?? probe.member.lastRttMs
    this.#state.awareness.apply(-1)
    this.#state.emit({ type: 'probed', node: probe.member.node, rttMs, payload })
    this.#finish(probe)
    return true
  }

  /** A relay got no answer. Only those that were asked for nacks count, each once. */
  handleNack(sequence: number, from: Endpoint, now: number): void {
    const probe = this.#probe
    if (probe?.sequence !== sequence) return
    const key = endpointKey(from)
    // A relay with several addresses may answer from another one than it was asked at.
    const isKnown = probe.paths.some((path) => path.key === key)
    const path = isKnown ? waiting(probe, key) : probe.paths.find(({ kind, outcome }) => kind === 'indirect' && outcome === 'silent')
    if (path?.kind === 'indirect') settle(path, 'nack', now)
  }

  /** A packet could not be sent; which one is not known, but to whom. */
  sendFailed(to: Endpoint, reason: string, now: number): void {
    const probe = this.#probe
    const path = probe === undefined ? undefined : waiting(probe, endpointKey(to))
    if (probe === undefined || path === undefined) return
    settle(path, 'failed', now, reason)
    if (path.kind === 'direct' && !probe.isIndirect) this.#askOthers(probe, now)
  }

  /** Whether the stream is one of this prober's. */
  streamAnswered(stream: number, message: StreamMessage, now: number): boolean {
    return this.#streamEnded(stream, (probe, path) => {
      const isAck = message.type === 'ack' && message.sequence === probe.sequence
      settle(path, isAck ? 'ack' : 'failed', now, isAck ? undefined : 'the answer on the stream was no ack of this ping')
    })
  }

  streamFailed(stream: number, reason: string, now: number): boolean {
    return this.#streamEnded(stream, (_probe, path) => settle(path, 'failed', now, reason))
  }

  #streamEnded(stream: number, note: (probe: Probe, path: Path) => void): boolean {
    const probe = this.#probe
    if (probe === undefined || probe.stream !== stream) return false
    probe.stream = undefined
    const path = probe.paths.find(({ kind }) => kind === 'stream')
    if (path !== undefined) note(probe, path)
    return true
  }

  // ---- a probe, from its start to its end ----

  #start(now: number): void {
    const { table, profile, awareness } = this.#state
    const member = table.nextToProbe(now, profile.gossipToTheDeadMs, (forgotten) => this.#forget(forgotten))
    this.#nextAt = now + profile.probeIntervalMs
    if (member === undefined) return
    const probe: Probe = {
      sequence: this.#state.nextSequence(),
      member,
      incarnation: member.incarnation,
      healthScore: awareness.score,
      paths: [pathTo('direct', member, now)],
      startedAt: now,
      indirectAt: now + profile.probeTimeoutMs,
      endsAt: now + awareness.scale(profile.probeIntervalMs),
      isIndirect: false,
      expectedNacks: 0,
      stream: undefined,
    }
    this.#probe = probe
    const messages: PacketMessage[] = [this.#pingFor(probe)]
    if (member.state !== 'alive') {
      messages.push({ type: 'suspect', incarnation: member.incarnation, node: member.node, from: this.#state.self.node })
    }
    this.#state.send(member.endpoint, member.node, messages)
  }

  #askOthers(probe: Probe, now: number): void {
    const { table, profile, self, source } = this.#state
    const { member, sequence } = probe
    probe.isIndirect = true
    const relays = table.pick(profile.indirectChecks, (other) => other !== self && other !== member && other.state === 'alive')
    const { address: target, port } = member.endpoint
    for (const relay of relays) {
      const nack = highestProtocol(relay) >= NACK_PROTOCOL
      if (nack) probe.expectedNacks++
      probe.paths.push(pathTo('indirect', relay, now))
      this.#state.send(relay.endpoint, relay.node, [{ type: 'indirect-ping', sequence, target, port, node: member.node, nack, ...source }])
    }
    if (highestProtocol(member) < STREAM_PING_PROTOCOL) return
    probe.stream = this.#state.nextStream()
    probe.paths.push(pathTo('stream', member, now))
    const message = this.#pingFor(probe)
    this.#state.emit({ type: 'open-stream', stream: probe.stream, to: member.endpoint, node: member.node, message })
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
    awareness.apply(probe.expectedNacks > 0 ? Math.max(probe.expectedNacks - nacks, 0) : 1)
    this.#accuse(member, incarnation, evidence, now)
  }

  #finish(probe: Probe): void {
    if (probe.stream !== undefined) this.#state.emit({ type: 'close-stream', stream: probe.stream })
    this.#probe = undefined
  }

  #forget(member: Member): void {
    this.#state.emit({ type: 'forgotten', member: recordOf(member) })
  }

  #pingFor({ sequence, member }: Probe): Ping {
    return { type: 'ping', sequence, node: member.node, ...this.#state.source }
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

/** The way by packet to an endpoint on which nothing has come yet. */
function waiting(probe: Probe, key: string): Path | undefined {
  return probe.paths.find((path) => path.key === key && path.kind !== 'stream' && path.outcome === 'silent')
}

function settle(path: Path, outcome: ProbePath['outcome'], now: number, reason?: string): void {
  path.outcome = outcome
  path.afterMs = now - path.sentAt
  path.reason = reason
}
