/**
 * `polycast doctor`: examines members and addresses from the node's own gossip port, with the protocol's own messages, and hands what it
 * saw to `diagnosis.ts`. It reads along with what comes, takes out the answers to its own questions, and changes nothing in the membership.
 *
 * - Pings by UDP, with bytes after the message that receivers do not look at, so that each packet has a size of its own.
 * - A ping by TCP, which tells refusals, another key and another label.
 * - Pings by way of other members.
 * - By TCP, a response that the member is to pass on to this node, which it does by UDP: the way back, alone.
 * - A query that Polycast nodes answer by way of others: when they heard this node last, and whether they were held up.
 */
import { decodeSerfMessage, encodeSerfMessage } from '../../core/gossip/serf-codec.ts'
import { unreadableCause } from '../../core/gossip/unreadable.ts'
import { isPolycast } from '../../core/gossip/polycast-tag.ts'
import type { Endpoint, PacketMessage, PingSource } from '../../core/gossip/messages.ts'
import type { SerfMember } from '../../core/gossip/serf/serf-types.ts'
import { utf8Decode, utf8Encode } from '../../core/lib/bytes.ts'
import { isWireError } from '../../core/wire/wire-error.ts'
import { formatAddress } from '../addresses.ts'
import {
  diagnoseSelf,
  diagnoseTarget,
  INTEREST_MS,
  nameUnknown,
  type HeldUp,
  type PeerReport,
  type TargetObservation,
} from './diagnosis.ts'
import type { GossipClock } from './gossip-clock.ts'
import type { GossipSockets, TransportInput } from './gossip-sockets.ts'
import type { DoctorReport, Examination } from './gossip.ts'
import { ipText } from './ip-bytes.ts'
import type { SenderTable } from './sender-table.ts'

/** The query that other nodes answer with a `PeerReport`. */
export const DOCTOR_QUERY = '_polycast_doctor'

/** Payloads of packets that are tried. The last is the largest that gossip sends. */
const SIZES: readonly number[] = [64, 576, 1200, 1400]
const ROUNDS = 5
const ROUND_MS = 150
/** For an answer by UDP, after the last round. */
const ANSWER_MS = 1000
const STREAM_MS = 2500
const QUERY_MS = 1500
const RELAYS = 3
/** Members that are examined at a time; of more, those that are not well come first. */
const MAX_EXAMINED = 64
const MAX_HELD_UPS = 8
const MAX_STRANGERS = 8
const LAG_STEP_MS = 50
/** Far from where the machine's own numbers begin. */
const FIRST_SEQUENCE = 0xf000_0000
const LAST_SEQUENCE = 0xffff_fff0

export interface DoctorOptions {
  readonly sockets: GossipSockets
  readonly clock: GossipClock
  readonly senders: SenderTable
  readonly self: () => SerfMember
  readonly members: () => readonly SerfMember[]
  readonly healthScore: () => number
  /** Endpoints that a host and port stand for; an error in words. */
  readonly resolve: (address: string) => Promise<readonly Endpoint[] | string>
  /** Sends `DOCTOR_QUERY` and resolves with the answers by member when its time is over. */
  readonly ask: (nodes: readonly string[] | undefined, timeoutMs: number) => Promise<ReadonlyMap<string, AnsweredQuery>>
}

/** A response, and when it came. */
export interface AnsweredQuery {
  readonly payload: Uint8Array
  readonly at: number
}

interface Target {
  readonly name: string
  /** For pings; empty where the name is not known. */
  readonly node: string
  readonly endpoint: Endpoint
  readonly status: Examination['status']
  readonly isAsked: boolean
}

export class Doctor {
  readonly #options: DoctorOptions
  /** Answers that are waited for, by their number. */
  readonly #awaited: Map<number, (kind: 'ack' | 'nack' | 'echo') => void> = new Map()
  #nextSequence = FIRST_SEQUENCE
  #heldUps: { readonly at: number; readonly forMs: number }[] = []

  constructor(options: DoctorOptions) {
    this.#options = options
  }

  /** This node did not get to run. */
  heldUp(forMs: number): void {
    this.#heldUps = [...this.#heldUps.slice(1 - MAX_HELD_UPS), { at: this.#options.clock.now(), forMs }]
  }

  /** Looks at what came; gives what is left of it for the machine. */
  take(input: TransportInput): TransportInput | undefined {
    if (input.type !== 'packet') return input
    this.#options.senders.heard(addressOf(input.from), this.#options.clock.now())
    if (this.#awaited.size === 0) return input
    const messages = input.messages.filter((message) => !this.#isAwaited(message))
    return messages.length === input.messages.length ? input : messages.length === 0 ? undefined : { ...input, messages }
  }

  /** What this node says to one that asks it. */
  report(asker: string): Uint8Array {
    const member = this.#options.members().find(({ name }) => name === asker)
    const { heardAt } = member === undefined ? { heardAt: undefined } : this.#options.senders.get(addressOf(member))
    const heardAgoMs = heardAt === undefined ? undefined : Math.round(this.#options.clock.now() - heardAt)
    return utf8Encode(JSON.stringify({ heardAgoMs, heldUps: this.#recentHeldUps(), healthScore: this.#options.healthScore() }))
  }

  /** Examines the target, or all members. */
  async examine(target: string | undefined): Promise<DoctorReport> {
    const { self, clock } = this.#options
    const { name } = self()
    const lag = new TimerLag()
    const startedAt = clock.now()
    const targets = target === undefined ? this.#allTargets() : await this.#targetsOf(target)
    if (typeof targets === 'string') {
      lag.stop()
      const findings = [nameUnknown(target ?? '', targets)]
      return {
        node: name,
        examined: [{ name: target ?? '', address: target ?? '', status: 'unknown', findings }],
        skipped: 0,
        multicast: undefined,
      }
    }
    const examined = targets.filter((one) => one.node !== name).slice(0, MAX_EXAMINED)
    const seen = await Promise.all(examined.map((one) => this.#observe(one)))
    const nodes = target === undefined ? undefined : examined.filter(({ isAsked }) => isAsked).map(({ node }) => node)
    const answers =
      nodes?.length === 0 || examined.length === 0 ? new Map<string, AnsweredQuery>() : await this.#options.ask(nodes, QUERY_MS)
    const lagMs = lag.stop()
    const examinations = examined.map((one, at): Examination => {
      const answer = answers.get(one.node)
      const told = answer === undefined ? undefined : readReport(answer, startedAt)
      const findings = diagnoseTarget({ ...seen[at]!, told })
      return { name: one.name, address: addressOf(one.endpoint), status: one.status, findings }
    })
    return {
      node: name,
      examined: [this.#examineSelf(lagMs), ...examinations],
      skipped: targets.length - examined.length - (target === undefined ? 1 : 0),
      multicast: undefined,
    }
  }

  #examineSelf(timerLagMs: number): Examination {
    const { self, members, clock, senders, healthScore } = this.#options
    const { name } = self()
    const known = new Set(members().flatMap((member) => [addressOf(member), ipText(member.address)]))
    const now = clock.now()
    const strangers = senders
      .unreadableSince(now - INTEREST_MS)
      .filter(([address]) => !known.has(address))
      .slice(0, MAX_STRANGERS)
      .map(([address, { cause, reason, count }]) => ({ address, cause, reason, count }))
    const clockJumps = clock.jumps.map(({ at, byMs }) => ({ agoMs: now - at, byMs }))
    const findings = diagnoseSelf({ name, healthScore: healthScore(), heldUps: this.#recentHeldUps(), clockJumps, timerLagMs, strangers })
    return { name, address: addressOf(self()), status: 'self', findings }
  }

  #recentHeldUps(): HeldUp[] {
    const now = this.#options.clock.now()
    const all = this.#heldUps.map(({ at, forMs }) => ({ agoMs: Math.round(now - at), forMs: Math.round(forMs) }))
    return all.filter(({ agoMs }) => agoMs < INTEREST_MS)
  }

  // ---- whom ----

  /** Those that are not well first. */
  #allTargets(): Target[] {
    const order = (member: SerfMember): number => (member.status === 'failed' ? 0 : member.isSuspect ? 1 : 2)
    const there = this.#options.members().filter(({ status }) => status !== 'left')
    return there.toSorted((a, b) => order(a) - order(b)).map(targetOf)
  }

  async #targetsOf(text: string): Promise<Target[] | string> {
    const member = this.#options.members().find(({ name }) => name === text)
    if (member !== undefined) return [targetOf(member)]
    const endpoints = await this.#options.resolve(text)
    if (typeof endpoints === 'string') return endpoints
    return endpoints.map((endpoint) => {
      const known = this.#options.members().find((one) => addressOf(one) === addressOf(endpoint))
      return known === undefined ? { name: addressOf(endpoint), node: '', endpoint, status: 'unknown', isAsked: false } : targetOf(known)
    })
  }

  // ---- one target ----

  async #observe(target: Target): Promise<Omit<TargetObservation, 'told'>> {
    const { clock, senders } = this.#options
    const address = addressOf(target.endpoint)
    const [pings, stream, relays] = await Promise.all([this.#pings(target), this.#stream(target), this.#relays(target)])
    const isSilent = pings.every(({ answered }) => answered === 0)
    const isAnswered = stream.result === 'answered'
    const echoed = isSilent && isAnswered ? await this.#echo(target) : undefined
    const hasAnotherName =
      stream.result === 'closed' && target.node !== '' && (await this.#stream({ ...target, node: '' })).result === 'answered'
    const { heardAt } = senders.get(address)
    const now = clock.now()
    const unreadable = senders.get(address).unreadable ?? senders.get(ipText(target.endpoint.address)).unreadable
    return {
      name: target.name,
      address,
      pings,
      stream,
      relays,
      echoed,
      hasAnotherName,
      heardAgoMs: heardAt === undefined ? undefined : now - heardAt,
      unreadable:
        unreadable === undefined || now - unreadable.at > INTEREST_MS
          ? undefined
          : { cause: unreadableCause(unreadable.reason), reason: unreadable.reason, agoMs: now - unreadable.at, count: unreadable.count },
    }
  }

  async #pings({ node, endpoint }: Target): Promise<TargetObservation['pings']> {
    const counts = SIZES.map((bytes) => ({ bytes, sent: 0, answered: 0 }))
    const waits: Promise<unknown>[] = []
    for (let round = 0; round < ROUNDS; round++) {
      for (const count of counts) {
        count.sent++
        const [sequence, answer] = this.#await(ANSWER_MS)
        waits.push(answer.then((kind) => (count.answered += kind === 'ack' ? 1 : 0)))
        this.#options.sockets.sendPadded(endpoint, { type: 'ping', sequence, node, ...this.#source() }, count.bytes)
      }
      await pause(ROUND_MS)
    }
    await Promise.all(waits)
    return counts
  }

  #stream({ node, endpoint }: Target): Promise<TargetObservation['stream']> {
    return this.#options.sockets.pingStream(endpoint, { type: 'ping', sequence: this.#sequence(), node, ...this.#source() }, STREAM_MS)
  }

  /** Each relay is asked twice, as packets may be lost. */
  async #relays({ node, name, endpoint }: Target): Promise<TargetObservation['relays']> {
    const self = this.#options.self().name
    const others = this.#options
      .members()
      .filter(
        (one) =>
          one.status === 'alive' && !one.isSuspect && one.name !== self && one.name !== name && addressOf(one) !== addressOf(endpoint),
      )
    const asked = shuffled(others).slice(0, RELAYS)
    return Promise.all(
      asked.map(async (relay) => {
        const once = async (): Promise<'ack' | 'nack' | 'silent'> => {
          const [sequence, answer] = this.#await(ANSWER_MS)
          const { address: target, port } = endpoint
          const message: PacketMessage = { type: 'indirect-ping', sequence, target, port, node, nack: true, ...this.#source() }
          this.#options.sockets.sendPadded(relay, message, 0)
          const kind = await answer
          return kind === 'ack' || kind === 'nack' ? kind : 'silent'
        }
        const first = await once()
        return { via: relay.name, outcome: first === 'ack' ? first : await once() }
      }),
    )
  }

  /** Whether the member, asked by TCP, reaches this node by UDP; it is asked up to three times. */
  async #echo({ endpoint, node }: Target): Promise<boolean> {
    const { sockets, self } = this.#options
    const { address, port, name } = self()
    for (let tries = 0; tries < 3; tries++) {
      const [id, answer] = this.#await(ANSWER_MS / 2)
      const message = encodeSerfMessage({ type: 'query-response', time: 0, id, from: name, flags: 0, payload: new Uint8Array(0) })
      const bytes = encodeSerfMessage({ type: 'relay', address, port, zone: '', node: name, message })
      sockets.carryOut({ type: 'send-stream', to: endpoint, node, message: { type: 'user', bytes } })
      if ((await answer) === 'echo') return true
    }
    return false
  }

  // ---- answers ----

  #sequence(): number {
    this.#nextSequence = this.#nextSequence >= LAST_SEQUENCE ? FIRST_SEQUENCE : this.#nextSequence + 1
    return this.#nextSequence
  }

  #await(timeoutMs: number): [number, Promise<'ack' | 'nack' | 'echo' | 'silent'>] {
    const sequence = this.#sequence()
    const answer = new Promise<'ack' | 'nack' | 'echo' | 'silent'>((resolve) => {
      const end = (kind: 'ack' | 'nack' | 'echo' | 'silent'): void => {
        this.#awaited.delete(sequence)
        clearTimeout(timer)
        resolve(kind)
      }
      const timer = setTimeout(() => end('silent'), timeoutMs)
      this.#awaited.set(sequence, end)
    })
    return [sequence, answer]
  }

  #isAwaited(message: PacketMessage): boolean {
    if (message.type === 'ack' || message.type === 'nack') return this.#settle(message.sequence, message.type)
    if (message.type !== 'user') return false
    const inner = decodeSerfMessage(message.bytes)
    return !isWireError(inner) && inner.type === 'query-response' && inner.time === 0 && this.#settle(inner.id, 'echo')
  }

  #settle(sequence: number, kind: 'ack' | 'nack' | 'echo'): boolean {
    const awaited = this.#awaited.get(sequence)
    awaited?.(kind)
    return awaited !== undefined
  }

  #source(): PingSource {
    const { address, port, name } = this.#options.self()
    return { sourceAddress: address, sourcePort: port, sourceNode: name }
  }
}

/** How late timers are, at the worst. */
class TimerLag {
  #worstMs = 0
  #last = performance.now()
  readonly #timer = setInterval(() => this.#tick(), LAG_STEP_MS)

  stop(): number {
    clearInterval(this.#timer)
    return this.#worstMs
  }

  #tick(): void {
    const now = performance.now()
    this.#worstMs = Math.max(this.#worstMs, now - this.#last - LAG_STEP_MS)
    this.#last = now
  }
}

/** What another node said, which may be anything. */
function readReport({ payload, at }: AnsweredQuery, startedAt: number): PeerReport | undefined {
  let value: unknown
  try {
    value = JSON.parse(utf8Decode(payload) ?? '')
  } catch {
    // It is of another version, or not honest: then it has said nothing.
    return undefined
  }
  if (typeof value !== 'object' || value === null) return undefined
  const { heardAgoMs, heldUps, healthScore } = value as Record<string, unknown>
  const isTime = (ms: unknown): ms is number => typeof ms === 'number' && Number.isFinite(ms) && ms >= 0
  return {
    heardAgoMs: isTime(heardAgoMs) ? heardAgoMs : undefined,
    windowMs: at - startedAt,
    healthScore: isTime(healthScore) ? healthScore : 0,
    heldUps: (Array.isArray(heldUps) ? (heldUps as unknown[]) : []).slice(0, MAX_HELD_UPS).flatMap((one) => {
      if (typeof one !== 'object' || one === null) return []
      const { agoMs, forMs } = one as Record<string, unknown>
      return isTime(agoMs) && isTime(forMs) ? [{ agoMs, forMs }] : []
    }),
  }
}

function targetOf(member: SerfMember): Target {
  const { name, address, port, status } = member
  return { name, node: name, endpoint: { address, port }, status, isAsked: isPolycast(member) }
}

function addressOf({ address, port }: Endpoint): string {
  return formatAddress(ipText(address), port)
}

function shuffled<T>(list: readonly T[]): T[] {
  return list
    .map((one) => ({ one, order: Math.random() }))
    .toSorted((a, b) => a.order - b.order)
    .map(({ one }) => one)
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
