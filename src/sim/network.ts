/**
 * A virtual network of hosts: rates up and down, latency, loss, zones behind a core link, partitions, crashes, slow disks.
 *
 * The model: a host's uplink sends one frame at a time; its downlink takes them one after the other; a zone's link to the core
 * does both. A frame begins to arrive while it is still being sent (packets), so the slowest link on the way sets the pace and
 * the others add nothing. A connection carries at most `windowBytes` that have not arrived, which stands for TCP's window: a slow
 * receiver holds its senders back. A lost packet delays its frame and what follows on the connection; nothing is lost for good.
 */
import { EventQueue } from './event-queue.ts'
import { Random } from '../core/lib/random.ts'

export interface HostOptions {
  readonly upBytesPerSec: number
  readonly downBytesPerSec: number
  readonly zone?: string
  /** What the disk can write; beyond 16 MiB of backlog the host stops reading from the network. */
  readonly diskBytesPerSec?: number
}

export interface NetworkOptions {
  readonly seed: number | string
  /** One way, ms. */
  readonly latencyMs: number
  /** Share of 1500-byte packets that are lost. */
  readonly loss?: number
  /** Rate of each zone's link to the core, both ways, bytes/s; none: unlimited. */
  readonly coreBytesPerSec?: number
  readonly windowBytes?: number
}

/** What a host does; called by the network. */
export interface HostHandler {
  /** The next frame to send, or undefined when there is none that may be sent now. */
  nextFrame(now: number): OutgoingFrame | undefined
  receive(from: number, frame: unknown, now: number): void
  /** The host's timer. */
  timeout(now: number): void
  /** A frame has arrived: the connection has room again. */
  room(to: number, now: number): void
  /** The other host is gone, or could not be reached for too long. */
  down(other: number, now: number): void
}

export interface OutgoingFrame {
  readonly to: number
  readonly bytes: number
  readonly frame: unknown
}

interface Host {
  readonly options: HostOptions
  readonly handler: HostHandler
  isUp: boolean
  isSending: boolean
  downFreeAt: number
  diskFreeAt: number
  timerAt: number
  timerGeneration: number
  readonly inFlight: Map<number, number>
  /** Per destination: when the last frame arrives, so that order is kept. */
  readonly lastArrival: Map<number, number>
  sentBytes: number
  receivedBytes: number
}

interface Link {
  freeAt: number
  bytes: number
}

type Event =
  | { readonly kind: 'sent'; readonly host: number }
  | { readonly kind: 'arrive'; readonly from: number; readonly to: number; readonly bytes: number; readonly frame: unknown }
  | { readonly kind: 'timer'; readonly host: number; readonly generation: number }
  | { readonly kind: 'call'; readonly run: (now: number) => void }

const PACKET_BYTES = 1460
const DISK_BACKLOG_BYTES = 16 * 1024 * 1024
/** After this long without a way through, a connection is given up, ms. */
const DEAD_AFTER_MS = 5000

export class Network {
  now = 0
  readonly hosts: Host[] = []
  /** A hash of everything that arrived, and when: equal runs have equal hashes. */
  traceHash = 0x811c9dc5
  events = 0
  readonly #options: NetworkOptions
  readonly #queue: EventQueue<Event> = new EventQueue()
  readonly #random: Random
  readonly #zoneUp: Map<string, Link> = new Map()
  readonly #zoneDown: Map<string, Link> = new Map()
  readonly #windowBytes: number
  #groups: Map<number, number> | undefined
  #held: { from: number; to: number; bytes: number; frame: unknown }[] = []

  constructor(options: NetworkOptions) {
    this.#options = options
    this.#windowBytes = options.windowBytes ?? 256 * 1024
    this.#random = new Random(options.seed).fork('network')
  }

  addHost(options: HostOptions, handler: HostHandler): number {
    this.hosts.push({
      options,
      handler,
      isUp: true,
      isSending: false,
      downFreeAt: 0,
      diskFreeAt: 0,
      timerAt: Infinity,
      timerGeneration: 0,
      inFlight: new Map(),
      lastArrival: new Map(),
      sentBytes: 0,
      receivedBytes: 0,
    })
    return this.hosts.length - 1
  }

  /** Runs something at a time, ms. */
  at(time: number, run: (now: number) => void): void {
    this.#queue.push(Math.max(time, this.now), { kind: 'call', run })
  }

  setTimer(host: number, time: number): void {
    const entry = this.hosts[host]!
    if (time === entry.timerAt) return
    entry.timerAt = time
    entry.timerGeneration++
    if (time < Infinity) this.#queue.push(Math.max(time, this.now), { kind: 'timer', host, generation: entry.timerGeneration })
  }

  /** The host has something to send. */
  wake(host: number): void {
    const entry = this.hosts[host]!
    if (!entry.isSending && entry.isUp) this.#send(host, entry)
  }

  hasRoom(from: number, to: number): boolean {
    return (this.hosts[from]!.inFlight.get(to) ?? 0) < this.#windowBytes
  }

  /** Takes a host off: processes that end close their connections at once, hosts that lose power don't. */
  crash(host: number, isSilent: boolean): void {
    const entry = this.hosts[host]!
    entry.isUp = false
    this.setTimer(host, Infinity)
    const delay = isSilent ? DEAD_AFTER_MS : this.#options.latencyMs
    this.hosts.forEach((other, index) => {
      if (index !== host && other.isUp) this.at(this.now + delay, (now) => other.isUp && other.handler.down(host, now))
    })
  }

  /** Only hosts of one group reach each other; hosts that are not named are group 0. */
  partition(groups: Map<number, number>): void {
    this.#groups = groups
    const since = this.now
    this.at(since + DEAD_AFTER_MS, (now) => {
      if (this.#groups !== groups) return
      this.#held = []
      for (let a = 0; a < this.hosts.length; a++) {
        for (let b = 0; b < this.hosts.length; b++) if (a !== b && this.#isCut(a, b)) this.hosts[a]!.handler.down(b, now)
      }
    })
  }

  heal(): void {
    this.#groups = undefined
    const held = this.#held
    this.#held = []
    for (const frame of held) this.#queue.push(this.now + this.#options.latencyMs, { kind: 'arrive', ...frame })
  }

  isCut(a: number, b: number): boolean {
    return !this.hosts[a]!.isUp || !this.hosts[b]!.isUp || this.#isCut(a, b)
  }

  zoneBytes(zone: string): { up: number; down: number } {
    return { up: this.#zoneUp.get(zone)?.bytes ?? 0, down: this.#zoneDown.get(zone)?.bytes ?? 0 }
  }

  /** Runs until nothing is left, the time is over, or `isDone` says so. */
  run(untilMs: number, isDone: () => boolean): void {
    while (this.#queue.length > 0 && this.#queue.peekTime() <= untilMs) {
      this.now = this.#queue.peekTime()
      const event = this.#queue.pop()!
      this.events++
      this.#handle(event)
      if (isDone()) return
    }
  }

  #handle(event: Event): void {
    switch (event.kind) {
      case 'sent': {
        const host = this.hosts[event.host]!
        host.isSending = false
        if (host.isUp) this.#send(event.host, host)
        return
      }
      case 'arrive':
        return this.#arrive(event.from, event.to, event.bytes, event.frame)
      case 'timer': {
        const host = this.hosts[event.host]!
        if (host.timerGeneration !== event.generation || !host.isUp) return
        host.timerAt = Infinity
        return host.handler.timeout(this.now)
      }
      case 'call':
        return event.run(this.now)
    }
  }

  #arrive(from: number, to: number, bytes: number, frame: unknown): void {
    const source = this.hosts[from]!
    const target = this.hosts[to]!
    source.inFlight.set(to, (source.inFlight.get(to) ?? 0) - bytes)
    if (!target.isUp) return
    if (this.#isCut(from, to)) {
      this.#held.push({ from, to, bytes, frame })
      source.inFlight.set(to, (source.inFlight.get(to) ?? 0) + bytes)
      return
    }
    target.receivedBytes += bytes
    this.#trace(from, to, bytes)
    target.handler.receive(from, frame, this.now)
    if (source.isUp) source.handler.room(to, this.now)
  }

  #send(index: number, host: Host): void {
    host.isSending = true
    const outgoing = host.handler.nextFrame(this.now)
    if (outgoing === undefined) {
      host.isSending = false
      return
    }
    const { to, bytes, frame } = outgoing
    host.sentBytes += bytes
    host.inFlight.set(to, (host.inFlight.get(to) ?? 0) + bytes)
    const sentAt = this.now + (bytes / host.options.upBytesPerSec) * 1000
    this.#queue.push(sentAt, { kind: 'sent', host: index })
    const arrival = this.#arrivalTime(host, to, bytes, sentAt)
    this.#queue.push(arrival, { kind: 'arrive', from: index, to, bytes, frame })
  }

  #arrivalTime(source: Host, to: number, bytes: number, sentAt: number): number {
    const target = this.hosts[to]!
    let time = sentAt
    const zoneA = source.options.zone ?? ''
    const zoneB = target.options.zone ?? ''
    if (this.#options.coreBytesPerSec !== undefined && zoneA !== zoneB) {
      time = this.#through(this.#zoneUp, zoneA, bytes, time, this.#options.coreBytesPerSec)
      time = this.#through(this.#zoneDown, zoneB, bytes, time, this.#options.coreBytesPerSec)
    }
    time = Math.max(time, target.downFreeAt + (bytes / target.options.downBytesPerSec) * 1000)
    if (target.options.diskBytesPerSec !== undefined) {
      const backlogMs = (DISK_BACKLOG_BYTES / target.options.diskBytesPerSec) * 1000
      time = Math.max(time, target.diskFreeAt - backlogMs)
      target.diskFreeAt = Math.max(target.diskFreeAt, time) + (bytes / target.options.diskBytesPerSec) * 1000
    }
    target.downFreeAt = time
    time += this.#options.latencyMs + this.#lossDelay(bytes)
    const last = source.lastArrival.get(to) ?? 0
    if (time < last) time = last
    source.lastArrival.set(to, time)
    return time
  }

  #through(links: Map<string, Link>, zone: string, bytes: number, time: number, rate: number): number {
    let link = links.get(zone)
    if (link === undefined) links.set(zone, (link = { freeAt: 0, bytes: 0 }))
    link.bytes += bytes
    link.freeAt = Math.max(time, link.freeAt + (bytes / rate) * 1000)
    return link.freeAt
  }

  #lossDelay(bytes: number): number {
    const loss = this.#options.loss ?? 0
    if (loss === 0) return 0
    let delay = 0
    for (let packet = Math.ceil(bytes / PACKET_BYTES); packet > 0; packet--) {
      if (this.#random.float() < loss) delay = Math.max(delay, 2 * this.#options.latencyMs + 5)
    }
    return delay
  }

  #isCut(a: number, b: number): boolean {
    return this.#groups !== undefined && (this.#groups.get(a) ?? 0) !== (this.#groups.get(b) ?? 0)
  }

  #trace(from: number, to: number, bytes: number): void {
    let hash = this.traceHash
    hash = Math.imul(hash ^ (from * 65537 + to), 0x01000193)
    hash = Math.imul(hash ^ bytes, 0x01000193)
    hash = Math.imul(hash ^ Math.floor(this.now * 1000), 0x01000193)
    this.traceHash = hash >>> 0
  }
}
