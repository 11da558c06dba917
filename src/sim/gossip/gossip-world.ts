/**
 * A gossip cluster in virtual time: hosts with nodes that run the shipping machines, the links between them, what befalls them, and what
 * came of it. The same options give the same run, event for event.
 *
 * It begins with hosts on which nothing runs, or with a cluster that is established: each node of it knows all of it, by one shared
 * snapshot. That is how ten thousand nodes begin, whose joining one by one would be another experiment.
 */
import { MemberSnapshot } from '../../core/gossip/member-snapshot.ts'
import type { Endpoint, PacketMessage, Ping, PushPull, StreamMessage, User } from '../../core/gossip/messages.ts'
import type { GossipProfile } from '../../core/gossip/profile.ts'
import { Random } from '../../core/lib/random.ts'
import { EventQueue } from '../../core/lib/event-queue.ts'
import { GossipChecks } from './gossip-checks.ts'
import { GossipHost } from './gossip-host.ts'
import { addPacket, addStream } from './layers.ts'
import { Links, type LinkOptions } from './links.ts'
import { packetBytes, streamBytes } from './message-bytes.ts'
import { SwimNode, VERSIONS, type CreateSimNode, type SimOutput, type TransportInput } from './sim-node.ts'

export interface GossipWorldOptions {
  readonly seed: number | string
  readonly nodes: number
  readonly profile: GossipProfile
  readonly links?: Partial<LinkOptions>
  /** How many of the nodes, the first ones, run and know each other from the start. */
  readonly established: number
  /** How long after what was the matter with a node it counts as healthy again, ms. */
  readonly recoveryMs?: number
  /** `SwimNode` unless given. */
  readonly createNode?: CreateSimNode
  /** What nodes say of themselves; nothing unless given. */
  readonly meta?: Uint8Array
}

export const DEFAULT_LINKS: LinkOptions = { minLatencyMs: 1, maxLatencyMs: 5, loss: 0, streamLoss: 0, rateBytesPerSec: 125_000_000 }
const RECOVERY_MS = 20_000
/** How often the checks look at all nodes, ms. */
const SAMPLE_MS = 1000
/** The kinds of inputs and messages, as numbers for the trace. */
const TRACED: readonly string[] = [
  'packet',
  'stream-opened',
  'stream-answered',
  'stream-failed',
  'ping',
  'indirect-ping',
  'ack',
  'nack',
  'alive',
  'suspect',
  'dead',
  'user',
]
const NO_META = new Uint8Array(0)

type Event =
  | { readonly type: 'wake' | 'free'; readonly host: GossipHost }
  | {
      readonly type: 'packet'
      readonly host: GossipHost
      readonly from: Endpoint
      readonly messages: readonly PacketMessage[]
      bytes: number
    }
  | { readonly type: 'stream'; readonly host: GossipHost; readonly life: number; readonly input: TransportInput }
  | { readonly type: 'task'; readonly run: (now: number) => void }

interface Request {
  readonly opener: GossipHost
  readonly life: number
  readonly stream: number
}

/** Packets of the run, by what became of them. */
export interface PacketCounts {
  sent: number
  taken: number
  /** On the way, at a host that is down, or for want of room in a socket's buffer. */
  lost: number
  dropped: number
}

export class GossipWorld {
  readonly options: GossipWorldOptions
  readonly hosts: GossipHost[] = []
  readonly links: Links
  readonly checks: GossipChecks
  readonly packets: PacketCounts = { sent: 0, taken: 0, lost: 0, dropped: 0 }
  now = 0
  /** Since when traffic is counted. */
  measuredFrom = 0
  #trace = 0x811c9dc5
  readonly #random: Random
  readonly #queue: EventQueue<Event> = new EventQueue()
  readonly #requests: Map<number, Request> = new Map()
  #nextRequest = 1

  constructor(options: GossipWorldOptions) {
    this.options = options
    this.#random = new Random(options.seed)
    this.links = new Links({ ...DEFAULT_LINKS, ...options.links }, this.#random.fork('links'))
    for (let index = 0; index < options.nodes; index++) this.#addHost(index)
    this.checks = new GossipChecks(this)
    this.#establish(this.hosts.slice(0, options.established))
    this.#sampleAt(SAMPLE_MS)
  }

  get traceHash(): number {
    return this.#trace >>> 0
  }

  get pendingEvents(): number {
    return this.#queue.length
  }

  get recoveryMs(): number {
    return this.options.recoveryMs ?? RECOVERY_MS
  }

  hostOf(name: string): GossipHost | undefined {
    return this.hosts[Number(name.slice(1))]
  }

  #addHost(index: number): void {
    this.hosts.push(new GossipHost(this, index, this.#random.fork(`host/${index}`)))
  }

  #establish(hosts: readonly GossipHost[]): void {
    const members = new MemberSnapshot(
      hosts.map(({ name, endpoint: { address, port } }) => ({
        node: name,
        address,
        port,
        meta: this.options.meta ?? NO_META,
        incarnation: 1,
        state: 'alive',
        versions: VERSIONS,
      })),
    )
    for (const host of hosts) this.#start(host, members)
  }

  #start(host: GossipHost, members: MemberSnapshot | undefined): void {
    const create = this.options.createNode ?? ((given, now): SwimNode => new SwimNode(given, now))
    const { name: node, endpoint } = host
    const { profile, meta = NO_META } = this.options
    const random = this.#random.fork(`${node}/${host.life}`)
    host.start(create({ node, endpoint, meta, profile, random, members }, this.now), this.now)
  }

  #sampleAt(time: number): void {
    this.at(time, () => {
      this.checks.sample()
      this.#sampleAt(time + SAMPLE_MS)
    })
  }

  // ---- what befalls the hosts ----

  /** Starts a node that knows nobody, and has it join by way of others. */
  start(index: number, seeds: readonly number[] = []): void {
    const host = this.hosts[index]!
    host.healthyFrom = Math.max(host.healthyFrom, this.now + this.recoveryMs)
    this.#start(host, undefined)
    this.checks.started(host)
    const others = seeds.filter((seed) => seed !== index)
    if (others.length > 0) host.join(others, this.now)
  }

  /** The process ends without a word. */
  kill(index: number): void {
    const host = this.hosts[index]!
    host.stop()
    this.checks.stopped(host)
  }

  leave(index: number): void {
    const host = this.hosts[index]!
    this.checks.leaving(host)
    host.leave(this.now)
  }

  /** The node has told that it goes: the process ends. */
  departed(host: GossipHost): void {
    const { life } = host
    this.at(this.now, () => {
      if (host.life === life && host.isUp) this.kill(host.index)
    })
  }

  /** The host's process stands still for a while. */
  pause(index: number, forMs: number): void {
    const host = this.hosts[index]!
    this.#ail([host], forMs)
    host.pause()
    this.at(this.now + forMs, (now) => host.resume(now))
  }

  /** The host's processor takes so long for whatever the node does, for a while. */
  starve(index: number, cpuMs: number, forMs: number): void {
    const host = this.hosts[index]!
    this.#ail([host], forMs)
    host.cpuMs = cpuMs
    this.at(this.now + forMs, () => {
      host.cpuMs = 0
    })
  }

  /** These hosts and the others don't reach each other, for a while. */
  partition(indices: readonly number[], forMs: number): void {
    this.#ail(this.hosts, forMs)
    this.links.partition(new Map(indices.map((index) => [index, 1])))
    this.at(this.now + forMs, () => this.links.partition(new Map()))
  }

  /** This share of all packets to and from a host get lost, for a while. */
  lose(index: number, loss: number, forMs: number): void {
    this.#ail([this.hosts[index]!], forMs)
    this.links.lossOf.set(index, loss)
    this.at(this.now + forMs, () => this.links.lossOf.delete(index))
  }

  /** Nothing from one host comes to the other, for a while. */
  block(from: number, to: number, forMs: number): void {
    this.links.block(from, to)
    this.at(this.now + forMs, () => this.links.unblock(from, to))
  }

  /** No packets to and from a host, for a while. Streams come through, so that it counts as healthy. */
  blockPackets(index: number, forMs: number): void {
    this.links.withoutPackets.add(index)
    this.at(this.now + forMs, () => this.links.withoutPackets.delete(index))
  }

  #ail(hosts: readonly GossipHost[], forMs: number): void {
    const from = this.now + forMs + this.recoveryMs
    for (const host of hosts) host.healthyFrom = Math.max(host.healthyFrom, from)
  }

  // ---- what the hosts do ----

  sendPacket(host: GossipHost, to: Endpoint, messages: readonly PacketMessage[], at: number): void {
    const bytes = packetBytes(messages)
    host.sentPackets++
    host.sentBytes += bytes
    addPacket(host.layerBytes, messages, bytes)
    this.packets.sent++
    const target = this.#hostAt(to)
    const delayMs = target === undefined ? undefined : this.links.packetDelayMs(host.index, target.index)
    if (target === undefined || delayMs === undefined) this.packets.lost++
    else this.#queue.push(at + delayMs, { type: 'packet', host: target, from: host.endpoint, messages, bytes })
  }

  openStream(host: GossipHost, to: Endpoint, stream: number, message: Ping | PushPull, at: number): void {
    const target = this.#hostAt(to)
    const openMs = target === undefined ? undefined : this.links.openingDelayMs(host.index, target.index)
    // Where there is no way, nothing is ever heard, and the machine gives up by its own time-out.
    if (target === undefined || openMs === undefined) return
    const opener = { opener: host, life: host.life, stream }
    if (!target.isUp) {
      return this.#stream(opener, at + openMs, { type: 'stream-failed', stream, reason: 'connection refused', isRefused: true })
    }
    const request = this.#nextRequest++
    this.#requests.set(request, opener)
    const input: TransportInput = { type: 'stream-opened', request, from: host.endpoint, message }
    const bytes = this.#sentOnStream(host, message)
    const delayMs = openMs + this.links.streamDelayMs(host.index, target.index, bytes)
    this.#queue.push(at + delayMs, { type: 'stream', host: target, life: target.life, input })
  }

  /** Sends one message on a stream of its own; nothing comes back but that there is nobody. */
  sendStream(host: GossipHost, to: Endpoint, message: User, at: number): void {
    const target = this.#hostAt(to)
    const openMs = target === undefined ? undefined : this.links.openingDelayMs(host.index, target.index)
    if (target === undefined || openMs === undefined) return
    if (!target.isUp) {
      const input: TransportInput = { type: 'send-failed', to, reason: 'connection refused' }
      return this.#queue.push(at + openMs, { type: 'stream', host, life: host.life, input })
    }
    const input: TransportInput = { type: 'stream-opened', request: this.#nextRequest++, from: host.endpoint, message }
    const bytes = this.#sentOnStream(host, message)
    const delayMs = openMs + this.links.streamDelayMs(host.index, target.index, bytes)
    this.#queue.push(at + delayMs, { type: 'stream', host: target, life: target.life, input })
  }

  /** Answers on a stream that another host opened, or closes it. */
  answer(host: GossipHost, request: number, message: StreamMessage | undefined, at: number): void {
    const opened = this.#requests.get(request)
    if (opened === undefined) return
    this.#requests.delete(request)
    const { opener, stream } = opened
    if (!this.links.isOpen(host.index, opener.index)) return
    const input: TransportInput =
      message === undefined
        ? { type: 'stream-failed', stream, reason: 'closed without an answer' }
        : { type: 'stream-answered', stream, message }
    const bytes = message === undefined ? 0 : this.#sentOnStream(host, message)
    this.#stream(opened, at + this.links.streamDelayMs(host.index, opener.index, bytes), input)
  }

  #stream({ opener, life }: Request, at: number, input: TransportInput): void {
    this.#queue.push(at, { type: 'stream', host: opener, life, input })
  }

  #sentOnStream(host: GossipHost, message: StreamMessage): number {
    const bytes = streamBytes(message)
    host.streamBytes += bytes
    addStream(host.layerBytes, message, bytes)
    return bytes
  }

  /** Addresses are the hosts' numbers, see `GossipHost`. */
  #hostAt({ address }: Endpoint): GossipHost | undefined {
    return this.hosts[(address[1]! << 16) | (address[2]! << 8) | address[3]!]
  }

  /** Inputs that were lost at a host. */
  dropped(count: number): void {
    this.packets.dropped += count
  }

  /** A node takes an input. */
  took(host: GossipHost, input: TransportInput, now: number): void {
    this.packets.taken++
    this.#mix(Math.round(now * 1000))
    this.#mix(host.index)
    this.#mix(TRACED.indexOf(input.type))
    if (input.type !== 'packet') return
    for (const { type } of input.messages) this.#mix(TRACED.indexOf(type))
    this.#mix((input.from.address[2]! << 8) | input.from.address[3]!)
  }

  /** A node says something that is not traffic. */
  told(host: GossipHost, output: SimOutput, now: number): void {
    if (output.type === 'probed') return
    this.#mix(Math.round(now * 1000))
    this.#mix(host.index)
    this.#mix(output.type.length)
    this.checks.told(host, output)
  }

  /** Traffic is counted from now on. */
  measure(): void {
    this.measuredFrom = this.now
    for (const host of this.hosts) host.resetTraffic()
  }

  wakeAt(host: GossipHost, at: number): void {
    this.#queue.push(at, { type: 'wake', host })
  }

  freeAt(host: GossipHost, at: number): void {
    this.#queue.push(at, { type: 'free', host })
  }

  // ---- the run ----

  at(time: number, run: (now: number) => void): void {
    this.#queue.push(time, { type: 'task', run })
  }

  run(untilMs: number): void {
    while (this.#queue.peekTime() <= untilMs) {
      this.now = Math.max(this.now, this.#queue.peekTime())
      this.#happen(this.#queue.pop()!)
    }
    this.now = untilMs
  }

  #happen(event: Event): void {
    const { now } = this
    switch (event.type) {
      case 'wake':
        return event.host.wake(now)
      case 'free':
        return event.host.free(now)
      case 'packet':
        return event.host.receive({ type: 'packet', from: event.from, messages: event.messages }, event.bytes, now)
      case 'stream':
        if (event.life === event.host.life) return event.host.receive(event.input, 0, now)
        return this.dropped(1)
      case 'task':
        return event.run(now)
    }
  }

  #mix(value: number): void {
    const hash = Math.imul(this.#trace ^ (value | 0), 0x01000193)
    this.#trace = hash ^ (hash >>> 15)
  }
}
