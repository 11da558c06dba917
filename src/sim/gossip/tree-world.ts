/**
 * The trees that carry events, alone, for more nodes than fit into one process whole: each node is a `BroadcastMachine` that is told of all
 * others at the start, as membership would tell it, and sends over the same links as whole nodes do. Some worlds carry multicast: a datagram
 * of one comes to each that hears it, or gets lost, for itself; who hears it all know from a moment on, as reachability would tell them. Between sending and coming lies nothing
 * but the link: what membership and Serf's layer take of a processor's time counts for nothing here as there.
 */
import { BroadcastMachine } from '../../core/gossip/broadcast/broadcast-machine.ts'
import { Random } from '../../core/lib/random.ts'
import { EventQueue } from '../../core/lib/event-queue.ts'
import { Links } from './links.ts'
import { DEFAULT_LINKS } from './gossip-world.ts'

interface Host {
  readonly index: number
  readonly name: string
  readonly machine: BroadcastMachine
  wakeAt: number
}

type Task =
  | { readonly type: 'wake'; readonly host: Host }
  | { readonly type: 'bytes'; readonly host: Host; readonly from: string; readonly bytes: Uint8Array }
  | { readonly type: 'multicast'; readonly host: Host; readonly bytes: Uint8Array }
  | { readonly type: 'task'; readonly run: (now: number) => void }

/** An event, and when each host had it, ms from its sending; −1 where it has not come. */
export interface TreeEvent {
  readonly sentAt: number
  readonly heardAt: Float32Array
}

/** What an event is in an extension of a user message, beside the tree's own bytes and a name of five letters. */
const AROUND_BYTES = 11
/** The same of one by multicast, unsealed. */
const AROUND_MULTICAST_BYTES = 22
/** What a datagram by multicast may hold. */
const MULTICAST_BYTES = 1400
const EVENT_NUMBER_BYTES = 4

export class TreeWorld {
  now = 0
  sentBytes = 0
  readonly events: TreeEvent[] = []
  readonly violations: string[] = []
  /** Datagrams by multicast; each counts once in `sentBytes`, too. */
  multicasts = 0
  /** Who hears multicast, by index. */
  #hears: (index: number) => boolean = () => false
  readonly #hosts: Host[] = []
  readonly #links: Links
  readonly #queue: EventQueue<Task> = new EventQueue()
  #trace = 0x811c9dc5

  constructor(seed: string, nodes: number, loss: number) {
    const random = new Random(seed)
    this.#links = new Links({ ...DEFAULT_LINKS, loss }, random.fork('links'))
    for (let index = 0; index < nodes; index++) {
      const name = `n${index}`
      this.#hosts.push({ index, name, machine: new BroadcastMachine({ node: name, random: random.fork(name) }), wakeAt: Infinity })
    }
    for (const host of this.#hosts) {
      for (const { name: node } of this.#hosts) if (node !== host.name) host.machine.handle({ type: 'member-up', node }, 0)
      this.#settle(host)
    }
  }

  get traceHash(): number {
    return this.#trace >>> 0
  }

  /** Payloads that have come to all hosts, those that went to single ones, and those of them that were sent again. */
  counts(): { received: number; sent: number; repaired: number } {
    let received = 0
    let sent = 0
    let repaired = 0
    for (const { machine } of this.#hosts) {
      const { payloadsReceived, payloadsSent, repairs } = machine.stats()
      received += payloadsReceived
      sent += payloadsSent
      repaired += repairs
    }
    return { received, sent, repaired }
  }

  /** From now on some hear multicast; all know of it unless they are not to be told. */
  carryMulticast(hears: (index: number) => boolean, isTold: boolean = true): void {
    this.#hears = hears
    if (!isTold) return
    // A machine does not mind to find itself among those that it reaches.
    const names = new Set(this.#hosts.filter(({ index }) => hears(index)).map(({ name }) => name))
    for (const { machine } of this.#hosts) machine.handle({ type: 'reached', names, maxBytes: MULTICAST_BYTES }, this.now)
  }

  at(time: number, run: (now: number) => void): void {
    this.#queue.push(time, { type: 'task', run })
  }

  /** Sends an event of so many bytes from a host. */
  publish(index: number, bytes: number): void {
    const payload = new Uint8Array(bytes)
    new DataView(payload.buffer).setUint32(0, this.events.length)
    const event = { sentAt: this.now, heardAt: new Float32Array(this.#hosts.length).fill(-1) }
    event.heardAt[index] = 0
    this.events.push(event)
    const host = this.#hosts[index]!
    host.machine.handle({ type: 'broadcast', broadcast: 0, payload, wantsReport: false }, this.now)
    this.#settle(host)
  }

  run(untilMs: number): void {
    while (this.#queue.peekTime() <= untilMs) {
      this.now = Math.max(this.now, this.#queue.peekTime())
      this.#happen(this.#queue.pop()!)
    }
    this.now = untilMs
  }

  #happen(task: Task): void {
    if (task.type === 'task') return task.run(this.now)
    const { host } = task
    if (task.type === 'bytes') {
      this.#mix(Math.round(this.now * 1000) ^ (host.index << 8) ^ task.bytes[0]!)
      host.machine.handle({ type: 'message', from: task.from, bytes: task.bytes }, this.now)
    } else if (task.type === 'multicast') {
      this.#mix(Math.round(this.now * 1000) ^ (host.index << 8))
      host.machine.handle({ type: 'multicast', bytes: task.bytes }, this.now)
    } else {
      if (this.now < host.wakeAt) return
      host.wakeAt = Infinity
      if (host.machine.nextDeadline() <= this.now) host.machine.handleTimeout(this.now)
    }
    this.#settle(host)
  }

  #settle(host: Host): void {
    for (const output of host.machine.drain()) {
      if (output.type === 'send') this.#send(host, output.to, output.bytes)
      else if (output.type === 'multicast') this.#multicast(host, output.bytes)
      else if (output.type === 'deliver') this.#delivered(host, output.payload)
      else if (output.type === 'refused') this.#violated(`${host.name} refused what ${output.from} sent: ${output.reason}`)
    }
    const deadline = Math.max(host.machine.nextDeadline(), this.now)
    if (deadline >= host.wakeAt) return
    host.wakeAt = deadline
    this.#queue.push(deadline, { type: 'wake', host })
  }

  #send(host: Host, to: string, bytes: Uint8Array): void {
    this.sentBytes += bytes.length + AROUND_BYTES
    const target = this.#hosts[Number(to.slice(1))]!
    const delayMs = this.#links.packetDelayMs(host.index, target.index)
    if (delayMs !== undefined) this.#queue.push(this.now + delayMs, { type: 'bytes', host: target, from: host.name, bytes })
  }

  #multicast(host: Host, bytes: Uint8Array): void {
    this.multicasts++
    this.sentBytes += bytes.length + AROUND_MULTICAST_BYTES
    for (const target of this.#hosts) {
      if (target === host || !this.#hears(target.index)) continue
      const delayMs = this.#links.packetDelayMs(host.index, target.index)
      if (delayMs !== undefined) this.#queue.push(this.now + delayMs, { type: 'multicast', host: target, bytes })
    }
  }

  #delivered(host: Host, payload: Uint8Array): void {
    const number = new DataView(payload.buffer, payload.byteOffset, EVENT_NUMBER_BYTES).getUint32(0)
    const { sentAt, heardAt } = this.events[number]!
    if (heardAt[host.index]! >= 0) this.#violated(`${host.name} gave out event ${number} twice`)
    heardAt[host.index] = this.now - sentAt
  }

  #violated(what: string): void {
    if (this.violations.length < 20) this.violations.push(`at ${Math.round(this.now)} ms: ${what}`)
  }

  #mix(value: number): void {
    const hash = Math.imul(this.#trace ^ (value | 0), 0x01000193)
    this.#trace = hash ^ (hash >>> 15)
  }
}
