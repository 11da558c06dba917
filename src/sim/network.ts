/**
 * A virtual network of hosts: rates up and down, latency, loss, zones behind a core link, partitions, crashes, slow disks.
 *
 * The model: a host's uplink sends one frame at a time; then the frame passes, where sender and receiver are in different zones,
 * its zone's link to the core and the other zone's; then the receiver's downlink. Each of these takes frames in the order in
 * which they come to it. A frame begins to arrive while it is still being sent (packets), so the slowest link on the way sets the
 * pace and the others add nothing. A connection carries at most `windowBytes` that have not arrived, which stands for the
 * window that the agent's link keeps: a slow receiver holds its senders back. Each frame that arrives costs the receiver's uplink an
 * acknowledgement, which does not count as sent. Loss is what it does to TCP (`tcp.ts`): a connection
 * gets slower, and frames wait for what is sent again. What is lost for good is only what a connection had under way when it ended.
 */
import { assert } from '../core/lib/assert.ts'
import { Random } from '../core/lib/random.ts'
import { EventQueue } from '../core/lib/event-queue.ts'
import { lossyRate, retransmission } from './tcp.ts'

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
  /** Share of packets that are lost. */
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
  /** The connection with the other host has ended. */
  down(other: number, now: number): void
}

export interface OutgoingFrame {
  readonly to: number
  readonly bytes: number
  readonly frame: unknown
}

/** A host as the network sees it. */
class Host {
  readonly index: number
  readonly options: HostOptions
  readonly zone: Zone
  readonly handler: HostHandler
  /** By receiver; made when first used. */
  readonly pipes: Map<number, Pipe> = new Map()
  readonly sent: Event
  /** Hosts whose connections ended with it and that don't know yet. */
  readonly untold: Set<number> = new Set()
  isUp = true
  /** Its uplink is in use, or it is being asked for what to send. */
  isSending = false
  sending: Transit | undefined = undefined
  upFreeAt = 0
  downFreeAt = 0
  diskFreeAt = 0
  /** When its timer is due, and when the event that looks at it comes: not later. */
  timerAt: number = Infinity
  timerEventAt: number = Infinity
  sentBytes = 0
  receivedBytes = 0
  /** Acknowledgements of frames that came, which pass its uplink before the next frame. */
  owedBytes = 0

  constructor(index: number, options: HostOptions, zone: Zone, handler: HostHandler) {
    this.index = index
    this.options = options
    this.zone = zone
    this.handler = handler
    this.sent = { kind: 'sent', host: this }
  }
}

/** One direction of a connection. */
interface Pipe {
  inFlightBytes: number
  /** When the last frame arrives, so that order is kept. */
  lastArrival: number
  /** When what was sent so far is through, where loss holds the connection back. */
  pacedAt: number
  isOpen: boolean
}

/** A frame on its way. */
interface Transit {
  readonly from: Host
  readonly to: Host
  readonly pipe: Pipe
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
  | { readonly kind: 'timer'; readonly host: Host; readonly at: number }
  | { readonly kind: 'call'; readonly run: (now: number) => void }

/** What goes back for a frame: TCP's acknowledgement, with the link's own where the frame was data. */
const ACKNOWLEDGEMENT_BYTES = 80
const DISK_BACKLOG_BYTES = 16 * 1024 * 1024
/** After this long without a way through, a connection is given up, ms (docs/specs/02-swarm.md §3). */
export const DEAD_AFTER_MS = 8000

export class Network {
  now = 0
  readonly hosts: Host[] = []
  /** A hash of everything that arrived, and when: equal runs have equal hashes. */
  traceHash = 0x811c9dc5
  events = 0
  /** What was sent and will not arrive: packets that were sent again, and what was under way on connections that ended. */
  lostBytes = 0
  readonly #options: NetworkOptions
  readonly #queue: EventQueue<Event> = new EventQueue()
  readonly #random: Random
  readonly #zones: Map<string, Zone> = new Map()
  readonly #windowBytes: number
  /** What loss leaves of a connection, bytes/ms. */
  readonly #pace: number
  #groups: ReadonlyMap<number, number> | undefined
  #held: Transit[] = []

  constructor(options: NetworkOptions) {
    this.#options = options
    this.#windowBytes = options.windowBytes ?? 256 * 1024
    this.#random = new Random(options.seed).fork('network')
    this.#pace = lossyRate(options.loss ?? 0, 2 * options.latencyMs)
  }

  addHost(options: HostOptions, handler: HostHandler): number {
    const index = this.hosts.length
    this.hosts.push(new Host(index, options, this.#zone(options.zone ?? ''), handler))
    return index
  }

  /** Runs something at a time, ms. */
  at(time: number, run: (now: number) => void): void {
    this.#queue.push(Math.max(time, this.now), { kind: 'call', run })
  }

  /** Sets when a host's `timeout` is called, in place of what was set before; Infinity for never. */
  setTimer(index: number, time: number): void {
    const host = this.hosts[index]!
    host.timerAt = time
    if (time >= host.timerEventAt) return
    const at = Math.max(time, this.now)
    host.timerEventAt = at
    this.#queue.push(at, { kind: 'timer', host, at })
  }

  /** The host has something to send. */
  wake(index: number): void {
    const host = this.hosts[index]!
    if (!host.isSending && host.isUp) this.#send(host)
  }

  hasRoom(from: number, to: number): boolean {
    const pipe = this.hosts[from]!.pipes.get(to)
    return pipe === undefined || pipe.inFlightBytes < this.#windowBytes
  }

  /** Events that are still to come; for checks of how many there are. */
  get pendingEvents(): number {
    return this.#queue.length
  }

  /** Sums over all hosts: what was sent is what was received, what is lost, and what is on the way. */
  balance(): { readonly sent: number; readonly received: number; readonly lost: number; readonly onTheWay: number } {
    let sent = 0
    let received = 0
    let onTheWay = 0
    for (const host of this.hosts) {
      sent += host.sentBytes
      received += host.receivedBytes
      onTheWay += host.sending?.bytes ?? 0
    }
    for (const event of this.#queue.pending) if ('transit' in event) onTheWay += event.transit.bytes
    for (const transit of this.#held) onTheWay += transit.bytes
    return { sent, received, lost: this.lostBytes, onTheWay }
  }

  // ---- failures ----

  /** Takes a host off: processes that end close their connections at once, hosts that lose power don't. */
  crash(index: number, isSilent: boolean): void {
    const host = this.hosts[index]!
    host.isUp = false
    host.isSending = false
    if (host.sending !== undefined) this.lostBytes += host.sending.bytes
    host.sending = undefined
    this.setTimer(index, Infinity)
    for (const other of this.hosts) {
      if (other === host || !this.#close(host, other)) continue
      host.untold.add(other.index)
      this.at(this.now + (isSilent ? DEAD_AFTER_MS : this.#options.latencyMs), (now) => this.#tell(host, other, now))
    }
  }

  /** A host that was taken off is there again, with nothing under way; who still waits for its last life learns that it is over. */
  restart(index: number): void {
    const host = this.hosts[index]!
    host.isUp = true
    host.upFreeAt = this.now
    host.owedBytes = 0
    host.downFreeAt = this.now
    host.diskFreeAt = this.now
    for (const other of host.untold) {
      this.at(this.now + this.#options.latencyMs, (now) => this.#tell(host, this.hosts[other]!, now))
    }
  }

  #tell(gone: Host, other: Host, now: number): void {
    if (gone.untold.delete(other.index) && other.isUp) other.handler.down(gone.index, now)
  }

  /** A host ends its connection with another one, which hears of it after the latency; the host itself is not called. */
  disconnect(index: number, other: number): void {
    if (!this.#close(this.hosts[index]!, this.hosts[other]!)) return
    this.at(this.now + this.#options.latencyMs, (now) => {
      if (this.hosts[other]!.isUp) this.hosts[other]!.handler.down(index, now)
    })
  }

  /** Only hosts of one group reach each other; hosts that are not named are group 0. */
  partition(groups: ReadonlyMap<number, number>): void {
    this.#groups = groups
    this.at(this.now + DEAD_AFTER_MS, (now) => {
      if (this.#groups === groups) this.#giveUpCut(now)
    })
  }

  heal(): void {
    this.#groups = undefined
    const held = this.#held
    this.#held = []
    for (const transit of held) this.#queue.push(this.now + this.#options.latencyMs, { kind: 'arrive', transit })
  }

  /** Ends the connections that the partition cuts. */
  #giveUpCut(now: number): void {
    for (const transit of this.#held) this.lostBytes += transit.bytes
    this.#held = []
    for (const a of this.hosts) {
      for (const b of this.hosts) {
        if (b.index <= a.index || !this.#isCut(a, b) || !this.#close(a, b)) continue
        if (a.isUp) a.handler.down(b.index, now)
        if (b.isUp) b.handler.down(a.index, now)
      }
    }
  }

  /** Whether there was a connection; what it had under way is lost. */
  #close(a: Host, b: Host): boolean {
    const pipes = [a.pipes.get(b.index), b.pipes.get(a.index)]
    for (const pipe of pipes) if (pipe !== undefined) pipe.isOpen = false
    a.pipes.delete(b.index)
    b.pipes.delete(a.index)
    return pipes.some((pipe) => pipe !== undefined)
  }

  /** Whether two hosts can't reach each other now. */
  isCut(a: number, b: number): boolean {
    return !this.hosts[a]!.isUp || !this.hosts[b]!.isUp || this.#isCut(this.hosts[a]!, this.hosts[b]!)
  }

  #isCut(a: Host, b: Host): boolean {
    return this.#groups !== undefined && (this.#groups.get(a.index) ?? 0) !== (this.#groups.get(b.index) ?? 0)
  }

  /** What passed a zone's link to the core, bytes. */
  zoneBytes(zone: string): { up: number; down: number } {
    const { up, down } = this.#zone(zone)
    return { up: up.bytes, down: down.bytes }
  }

  // ---- the run ----

  /** Runs until nothing is left, the time is over, or `isDone` says so. */
  run(untilMs: number, isDone: () => boolean): void {
    for (;;) {
      const time = this.#queue.peekTime()
      if (time > untilMs || time === Infinity) return
      assert(time >= this.now, 'time does not run backwards')
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
      case 'timer':
        return this.#timer(event.host, event.at)
      case 'call':
        return event.run(this.now)
    }
  }

  #timer(host: Host, at: number): void {
    if (at !== host.timerEventAt) return
    host.timerEventAt = Infinity
    const due = host.timerAt
    if (due > this.now) return this.setTimer(host.index, due)
    host.timerAt = Infinity
    if (host.isUp) host.handler.timeout(this.now)
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
    let pipe = host.pipes.get(outgoing.to)
    if (pipe === undefined) {
      pipe = { inFlightBytes: 0, lastArrival: 0, pacedAt: 0, isOpen: true }
      host.pipes.set(outgoing.to, pipe)
    }
    pipe.inFlightBytes += bytes
    host.sentBytes += bytes
    host.sending = { from: host, to, pipe, bytes, frame }
    host.upFreeAt = this.now + ((bytes + host.owedBytes) / host.options.upBytesPerSec) * 1000
    host.owedBytes = 0
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
    const { to, bytes } = transit
    let time = Math.max(this.now, to.downFreeAt + (bytes / to.options.downBytesPerSec) * 1000)
    if (to.options.diskBytesPerSec !== undefined) {
      const backlogMs = (DISK_BACKLOG_BYTES / to.options.diskBytesPerSec) * 1000
      time = Math.max(time, to.diskFreeAt - backlogMs)
      to.diskFreeAt = Math.max(to.diskFreeAt, time) + (bytes / to.options.diskBytesPerSec) * 1000
    }
    to.downFreeAt = time
    this.#arriveAt(transit, time + this.#options.latencyMs)
  }

  /** The frame is through the links: now TCP decides when it is there. */
  #arriveAt(transit: Transit, time: number): void {
    const { pipe, bytes, from } = transit
    let arrival = time
    if (this.#options.loss !== undefined) {
      pipe.pacedAt = Math.max(this.now, pipe.pacedAt) + bytes / this.#pace
      const again = retransmission(this.#random, bytes, this.#options.loss, 2 * this.#options.latencyMs)
      from.sentBytes += again.bytes
      this.lostBytes += again.bytes
      arrival = Math.max(time, pipe.pacedAt + this.#options.latencyMs) + again.delayMs
    }
    pipe.lastArrival = Math.max(arrival, pipe.lastArrival)
    this.#queue.push(pipe.lastArrival, { kind: 'arrive', transit })
  }

  #arrive(transit: Transit): void {
    const { from, to, pipe, bytes } = transit
    if (!pipe.isOpen) {
      this.lostBytes += bytes
      return
    }
    if (this.#groups !== undefined && this.#isCut(from, to)) {
      this.#held.push(transit)
      return
    }
    pipe.inFlightBytes -= bytes
    to.receivedBytes += bytes
    to.owedBytes += ACKNOWLEDGEMENT_BYTES
    this.#trace(from.index, to.index, bytes)
    to.handler.receive(from.index, transit.frame, this.now)
    if (from.isUp) from.handler.room(to.index, this.now)
  }

  #zone(name: string): Zone {
    let zone = this.#zones.get(name)
    if (zone === undefined) {
      zone = { up: { freeAt: 0, bytes: 0 }, down: { freeAt: 0, bytes: 0 } }
      this.#zones.set(name, zone)
    }
    return zone
  }

  #trace(from: number, to: number, bytes: number): void {
    let hash = this.traceHash
    hash = Math.imul(hash ^ (from * 65537 + to), 0x01000193)
    hash = Math.imul(hash ^ bytes, 0x01000193)
    hash = Math.imul(hash ^ Math.floor(this.now * 1000), 0x01000193)
    this.traceHash = hash >>> 0
  }
}
