/**
 * A virtual network of hosts: rates up and down, latency, loss, zones behind a core link, partitions, crashes, slow disks.
 *
 * The model: a host's uplink sends one frame at a time; then the frame passes, where sender and receiver are in different zones,
 * its zone's link to the core and the other zone's; then the receiver's downlink. Each of these takes frames in the order in
 * which they come to it. A frame begins to arrive while it is still being sent (packets), so the slowest link on the way sets the
 * pace and the others add nothing. A connection carries at most `windowBytes` that have not arrived, which stands for the
 * window that the agent's link keeps: a slow receiver holds its senders back. A lost packet delays its frame and what follows
 * on the connection; nothing is lost for good.
 */
import { Random } from '../core/lib/random.ts'
import { EventQueue } from './event-queue.ts'

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
  /** Share of 1460-byte packets that are lost. */
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
  readonly index: number
  readonly options: HostOptions
  readonly zone: Zone
  readonly handler: HostHandler
  /** By receiver; made when first used. */
  readonly pipes: (Pipe | undefined)[]
  readonly sent: Event
  isUp: boolean
  /** Counts its lives: what was under way to an earlier one is gone. */
  life: number
  /** Its uplink is in use, or it is being asked for what to send. */
  isSending: boolean
  sending: Transit | undefined
  upFreeAt: number
  downFreeAt: number
  diskFreeAt: number
  timerAt: number
  timerGeneration: number
  sentBytes: number
  receivedBytes: number
}

/** One direction of a connection. */
interface Pipe {
  inFlightBytes: number
  /** When the last frame arrives, so that order is kept. */
  lastArrival: number
}

/** A frame on its way. */
interface Transit {
  readonly from: Host
  readonly to: Host
  readonly pipe: Pipe
  readonly life: number
  readonly bytes: number
  readonly frame: unknown
}

interface Zone {
  readonly up: Link
  readonly down: Link
}

interface Link {
  freeAt: number
  bytes: number
}

type Event =
  /** A host's uplink has sent the frame. */
  | { readonly kind: 'sent'; readonly host: Host }
  /** The frame is through its zone's link to the core. */
  | { readonly kind: 'left-zone'; readonly transit: Transit }
  | { readonly kind: 'entered-zone'; readonly transit: Transit }
  | { readonly kind: 'arrive'; readonly transit: Transit }
  | { readonly kind: 'timer'; readonly host: Host; readonly generation: number }
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
  readonly #zones: Map<string, Zone> = new Map()
  readonly #windowBytes: number
  #groups: ReadonlyMap<number, number> | undefined
  #held: Transit[] = []

  constructor(options: NetworkOptions) {
    this.#options = options
    this.#windowBytes = options.windowBytes ?? 256 * 1024
    this.#random = new Random(options.seed).fork('network')
  }

  addHost(options: HostOptions, handler: HostHandler): number {
    const index = this.hosts.length
    const host = {
      index,
      options,
      zone: this.#zone(options.zone ?? ''),
      handler,
      pipes: [],
      isUp: true,
      life: 0,
      isSending: false,
      sending: undefined,
      upFreeAt: 0,
      downFreeAt: 0,
      diskFreeAt: 0,
      timerAt: Infinity,
      timerGeneration: 0,
      sentBytes: 0,
      receivedBytes: 0,
    }
    const complete: Host = Object.assign(host, { sent: { kind: 'sent' as const, host: host as unknown as Host } })
    this.hosts.push(complete)
    return index
  }

  /** Runs something at a time, ms. */
  at(time: number, run: (now: number) => void): void {
    this.#queue.push(Math.max(time, this.now), { kind: 'call', run })
  }

  setTimer(index: number, time: number): void {
    const host = this.hosts[index]!
    if (time === host.timerAt) return
    host.timerAt = time
    host.timerGeneration++
    if (time < Infinity) this.#queue.push(Math.max(time, this.now), { kind: 'timer', host, generation: host.timerGeneration })
  }

  /** The host has something to send. */
  wake(index: number): void {
    const host = this.hosts[index]!
    if (!host.isSending && host.isUp) this.#send(host)
  }

  hasRoom(from: number, to: number): boolean {
    const pipe = this.hosts[from]!.pipes[to]
    return pipe === undefined || pipe.inFlightBytes < this.#windowBytes
  }

  /** Takes a host off: processes that end close their connections at once, hosts that lose power don't. */
  crash(index: number, isSilent: boolean): void {
    const host = this.hosts[index]!
    host.isUp = false
    host.life++
    host.isSending = false
    host.sending = undefined
    host.pipes.length = 0
    this.setTimer(index, Infinity)
    const delay = isSilent ? DEAD_AFTER_MS : this.#options.latencyMs
    for (const other of this.hosts) {
      Reflect.deleteProperty(other.pipes, index)
      if (other === host || !other.isUp) continue
      this.at(this.now + delay, (now) => other.isUp && other.handler.down(index, now))
    }
  }

  /** A host that was taken off is there again, with nothing under way. */
  restart(index: number): void {
    const host = this.hosts[index]!
    host.isUp = true
    host.downFreeAt = this.now
    host.diskFreeAt = this.now
  }

  /** Only hosts of one group reach each other; hosts that are not named are group 0. */
  partition(groups: ReadonlyMap<number, number>): void {
    this.#groups = groups
    this.at(this.now + DEAD_AFTER_MS, (now) => {
      if (this.#groups !== groups) return
      for (const transit of this.#held) transit.pipe.inFlightBytes -= transit.bytes
      this.#held = []
      for (const a of this.hosts) {
        for (const b of this.hosts) if (a !== b && a.isUp && this.#isCut(a, b)) a.handler.down(b.index, now)
      }
    })
  }

  heal(): void {
    this.#groups = undefined
    const held = this.#held
    this.#held = []
    for (const transit of held) this.#queue.push(this.now + this.#options.latencyMs, { kind: 'arrive', transit })
  }

  /** Whether two hosts can't reach each other now. */
  isCut(a: number, b: number): boolean {
    return !this.hosts[a]!.isUp || !this.hosts[b]!.isUp || this.#isCut(this.hosts[a]!, this.hosts[b]!)
  }

  /** What passed a zone's link to the core, bytes. */
  zoneBytes(zone: string): { up: number; down: number } {
    const { up, down } = this.#zone(zone)
    return { up: up.bytes, down: down.bytes }
  }

  /** Runs until nothing is left, the time is over, or `isDone` says so. */
  run(untilMs: number, isDone: () => boolean): void {
    for (;;) {
      const time = this.#queue.peekTime()
      if (time > untilMs || time === Infinity) return
      this.now = time
      this.events++
      this.#handle(this.#queue.pop()!)
      if (isDone()) return
    }
  }

  #handle(event: Event): void {
    switch (event.kind) {
      case 'sent':
        return this.#sent(event.host)
      case 'left-zone':
        return this.#cross(event.transit.to.zone.down, event.transit, 'entered-zone')
      case 'entered-zone':
        return this.#download(event.transit)
      case 'arrive':
        return this.#arrive(event.transit)
      case 'timer': {
        const { host } = event
        if (host.timerGeneration !== event.generation || !host.isUp) return
        host.timerAt = Infinity
        return host.handler.timeout(this.now)
      }
      case 'call':
        return event.run(this.now)
    }
  }

  #send(host: Host): void {
    host.isSending = true
    const outgoing = host.handler.nextFrame(this.now)
    if (outgoing === undefined) {
      host.isSending = false
      return
    }
    const { bytes, frame } = outgoing
    const to = this.hosts[outgoing.to]!
    const pipe = (host.pipes[outgoing.to] ??= { inFlightBytes: 0, lastArrival: 0 })
    pipe.inFlightBytes += bytes
    host.sentBytes += bytes
    host.sending = { from: host, to, pipe, life: host.life + to.life, bytes, frame }
    host.upFreeAt = this.now + (bytes / host.options.upBytesPerSec) * 1000
    this.#queue.push(host.upFreeAt, host.sent)
  }

  #sent(host: Host): void {
    const transit = host.sending
    if (transit === undefined || this.now < host.upFreeAt) return
    host.sending = undefined
    if (this.#options.coreBytesPerSec === undefined || transit.to.zone === host.zone) this.#download(transit)
    else this.#cross(host.zone.up, transit, 'left-zone')
    this.#send(host)
  }

  #cross(link: Link, transit: Transit, kind: 'left-zone' | 'entered-zone'): void {
    link.bytes += transit.bytes
    link.freeAt = Math.max(this.now, link.freeAt + (transit.bytes / this.#options.coreBytesPerSec!) * 1000)
    this.#queue.push(link.freeAt, { kind, transit })
  }

  #download(transit: Transit): void {
    const { to, bytes, pipe } = transit
    let time = Math.max(this.now, to.downFreeAt + (bytes / to.options.downBytesPerSec) * 1000)
    if (to.options.diskBytesPerSec !== undefined) {
      const backlogMs = (DISK_BACKLOG_BYTES / to.options.diskBytesPerSec) * 1000
      time = Math.max(time, to.diskFreeAt - backlogMs)
      to.diskFreeAt = Math.max(to.diskFreeAt, time) + (bytes / to.options.diskBytesPerSec) * 1000
    }
    to.downFreeAt = time
    time = Math.max(time + this.#options.latencyMs + this.#lossDelay(bytes), pipe.lastArrival)
    pipe.lastArrival = time
    this.#queue.push(time, { kind: 'arrive', transit })
  }

  #arrive(transit: Transit): void {
    const { from, to, pipe, bytes } = transit
    if (this.#groups !== undefined && this.#isCut(from, to)) {
      this.#held.push(transit)
      return
    }
    pipe.inFlightBytes -= bytes
    if (transit.life !== from.life + to.life || !to.isUp) return
    to.receivedBytes += bytes
    this.#trace(from.index, to.index, bytes)
    to.handler.receive(from.index, transit.frame, this.now)
    if (from.isUp) from.handler.room(to.index, this.now)
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

  #zone(name: string): Zone {
    let zone = this.#zones.get(name)
    if (zone === undefined) {
      zone = { up: { freeAt: 0, bytes: 0 }, down: { freeAt: 0, bytes: 0 } }
      this.#zones.set(name, zone)
    }
    return zone
  }

  #isCut(a: Host, b: Host): boolean {
    return this.#groups !== undefined && (this.#groups.get(a.index) ?? 0) !== (this.#groups.get(b.index) ?? 0)
  }

  #trace(from: number, to: number, bytes: number): void {
    let hash = this.traceHash
    hash = Math.imul(hash ^ (from * 65537 + to), 0x01000193)
    hash = Math.imul(hash ^ bytes, 0x01000193)
    hash = Math.imul(hash ^ Math.floor(this.now * 1000), 0x01000193)
    this.traceHash = hash >>> 0
  }
}
