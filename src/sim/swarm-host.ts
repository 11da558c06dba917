/**
 * One node of a simulated swarm: the shipping peer machine, at the origin the tracker machine as well, driven as the agent's
 * session drives them; or a node that misbehaves.
 */
import { Bitfield } from '../core/lib/bitfield.ts'
import { Random } from '../core/lib/random.ts'
import { encodeFrame, type SwarmMessage } from '../core/swarm/frames.ts'
import { SwarmPeer } from '../core/swarm/peer.ts'
import type { PeerOutput } from '../core/swarm/peer-types.ts'
import { SwarmTracker } from '../core/swarm/tracker.ts'
import { BytesOnlyContent, RIGHT_BYTES, WRONG_BYTES } from './bytes-only-content.ts'
import type { HostHandler, OutgoingFrame } from './network.ts'
import type { SwarmWorld } from './swarm-world.ts'

/**
 * How a node behaves: as it should; it announces to neighbours and tracker that it has everything, and sends nothing (liar); it takes,
 * announces what it has, and sends nothing (silent); one in eight of its runs is wrong (wrong-bytes).
 */
export type Behaviour = 'honest' | 'liar' | 'silent' | 'wrong-bytes'

type Frame = { readonly kind: 'message'; readonly message: SwarmMessage } | { readonly kind: 'up' }

const UP_BYTES = 200
const DATA_HEADER_BYTES = 16
/** Ethernet, IP and TCP around a packet; for data they are in the rate, since its packets are full. */
const PACKET_HEADER_BYTES = 66
/** A connection that cannot be made is given up after this time, ms. */
const DIAL_MS = 1000
/** Pauses before the tracker is tried again, ms: the agent's. */
const REDIAL_FIRST_MS = 250
const REDIAL_MOST_MS = 5000
const WRONG_ONE_IN = 8
/** Chunks that a source brings at a time: a segment of the manifest. */
const SEGMENT_CHUNKS = 8

export class SwarmHost implements HostHandler {
  readonly index: number
  readonly id: string
  readonly world: SwarmWorld
  readonly zone: string
  readonly isOrigin: boolean
  readonly behaviour: Behaviour
  readonly content: BytesOnlyContent
  /** What this node's disk holds: what the machine wrote, through all of the node's lives. */
  readonly disk: Bitfield
  peer: SwarmPeer
  tracker: SwarmTracker | undefined
  doneAt: number = Infinity
  /** When it first joined, ms; Infinity as long as it hasn't. */
  joinedAt: number = Infinity
  readonly connections: Set<number> = new Set()
  readonly #random: Random
  readonly #control: OutgoingFrame[] = []
  /** Neighbours with data to send, served in turn. */
  #offered: string[] = []
  #isTrackerReached = false
  #trackerTries = 0
  /** Counts its lives: what was arranged in an earlier one is void. */
  #life = 0

  constructor(world: SwarmWorld, index: number, zone: string, behaviour: Behaviour) {
    this.world = world
    this.index = index
    this.id = idOf(index)
    this.zone = zone
    this.behaviour = behaviour
    this.isOrigin = index === 0
    const { options } = world
    this.content = new BytesOnlyContent(options, this.isOrigin)
    this.#random = new Random(options.seed).fork(this.id)
    this.disk = new Bitfield(this.content.chunks)
    if (this.isOrigin) this.disk.setRange(0, this.content.knownChunks)
    this.peer = this.#newPeer(0)
    if (this.isOrigin) this.tracker = this.#newTracker()
  }

  #newPeer(now: number): SwarmPeer {
    const { peerLimits } = this.world.options
    const have = new Bitfield(this.content.knownChunks)
    for (const [first, count] of this.disk.ranges()) have.setRange(first, count)
    return new SwarmPeer(
      {
        id: this.id,
        address: this.id,
        zone: this.zone,
        content: this.content,
        isOrigin: this.isOrigin,
        canReuse: false,
        random: this.#random,
        ...(peerLimits === undefined ? {} : { limits: peerLimits }),
      },
      have,
      now,
    )
  }

  #newTracker(): SwarmTracker {
    const { chunkBytes, trackerLimits } = this.world.options
    return new SwarmTracker({
      originId: this.id,
      originAddress: this.id,
      originZone: this.zone,
      runChunks: this.content.runChunks,
      runBytes: this.content.runChunks * chunkBytes,
      random: this.#random.fork('tracker'),
      ...(trackerLimits === undefined ? {} : { limits: trackerLimits }),
    })
  }

  /** Frames that wait for the uplink besides data. */
  get waitingFrames(): number {
    return this.#control.length
  }

  // ---- its lives ----

  /** Starts the node, for the first time or again, with what its disk holds. */
  start(now: number): void {
    if (this.#life > 0) this.peer = this.#newPeer(now)
    this.#life++
    this.joinedAt = Math.min(this.joinedAt, now)
    if (!this.isOrigin) this.#reachTracker(now)
    else this.#feed(now)
    this.flush(now)
  }

  /** The node is gone, with all that was only in memory. */
  stop(): void {
    this.#life++
    this.connections.clear()
    this.#control.length = 0
    this.#offered = []
    this.#isTrackerReached = false
    this.#trackerTries = 0
  }

  #later(time: number, run: (now: number) => void): void {
    const life = this.#life
    this.world.network.at(time, (now) => {
      if (life !== this.#life) return
      run(now)
      this.flush(now)
    })
  }

  /** At the origin of a growing content: takes what the source brings, a segment at a time. */
  #feed(now: number): void {
    const { sourceBytesPerSec } = this.world.options
    const { content } = this
    const count = Math.min(SEGMENT_CHUNKS, content.chunks - content.knownChunks)
    if (sourceBytesPerSec === undefined || count === 0) return
    const firstChunk = content.knownChunks
    this.#later(now + (content.rangeBytes(firstChunk, count) / sourceBytesPerSec) * 1000, (later) => {
      content.grow(count)
      this.disk.setRange(firstChunk, count)
      this.peer.handle({ type: 'stored', firstChunk, count }, later)
      this.#feed(later)
    })
  }

  // ---- what the network calls ----

  nextFrame(now: number): OutgoingFrame | undefined {
    const control = this.#control.shift()
    if (control !== undefined) return control
    for (let tries = this.#offered.length; tries > 0; tries--) {
      const id = this.#offered.shift()!
      const to = indexOf(id)
      if (!this.world.network.hasRoom(this.index, to)) {
        this.#offered.push(id)
        continue
      }
      const range = this.peer.nextUpload(id, now)
      if (range === undefined) continue
      this.#offered.push(id)
      this.world.checks.uploaded(this, to, range)
      const bytes = this.content.rangeBytes(range.firstChunk, range.count)
      const message: SwarmMessage = { type: 'data', firstChunk: range.firstChunk, count: range.count, payload: this.#payload() }
      this.flush(now)
      return { to, bytes: bytes + DATA_HEADER_BYTES, frame: { kind: 'message', message } }
    }
    return undefined
  }

  #payload(): Uint8Array {
    return this.behaviour === 'wrong-bytes' && this.#random.below(WRONG_ONE_IN) === 0 ? WRONG_BYTES : RIGHT_BYTES
  }

  receive(from: number, frame: unknown, now: number): void {
    const received = frame as Frame
    if (received.kind === 'up') this.#connected(from, now)
    else if (received.message.type === 'announce')
      this.tracker?.handle({ type: 'announce', from: idOf(from), message: received.message }, now)
    else {
      this.world.checks.heard(this, from, received.message)
      if (received.message.type === 'close') this.#forget(from)
      this.peer.handle({ type: 'message', from: idOf(from), message: received.message }, now)
    }
    this.flush(now)
  }

  room(): void {
    if (this.#offered.length > 0) this.world.network.wake(this.index)
  }

  timeout(now: number): void {
    this.peer.handleTimeout(now)
    this.flush(now)
  }

  down(other: number, now: number): void {
    this.#ended(other, now)
    this.flush(now)
  }

  #ended(other: number, now: number): void {
    const id = idOf(other)
    this.tracker?.handle({ type: 'gone', id }, now)
    if (other === 0) this.#trackerLost(now)
    if (this.#forget(other)) this.peer.handle({ type: 'neighbour-down', id }, now)
  }

  /** The channel for the content is closed; the tracker's is another matter. Whether there was one. */
  #forget(other: number): boolean {
    if (!this.connections.delete(other)) return false
    this.world.checks.ended(this, other)
    this.#offered = this.#offered.filter((offered) => offered !== idOf(other))
    return true
  }

  // ---- what the machines want ----

  /** Carries out what the machines want. */
  flush(now: number): void {
    for (let outputs = this.peer.drain(); outputs.length > 0; outputs = this.peer.drain()) {
      for (const output of outputs) this.#carryOut(output, now)
    }
    if (this.tracker !== undefined) for (const plan of this.tracker.drain()) this.#send(indexOf(plan.to), plan.message)
    if (this.#control.length > 0 || this.#offered.length > 0) this.world.network.wake(this.index)
    this.world.network.setTimer(this.index, this.peer.nextDeadline())
  }

  #carryOut(output: PeerOutput, now: number): void {
    switch (output.type) {
      case 'send':
        if (!this.connections.has(indexOf(output.to))) return
        this.#send(indexOf(output.to), this.#said(output.message))
        if (output.message.type === 'close') this.#forget(indexOf(output.to))
        return
      case 'announce':
        if (this.#isTrackerReached) this.#send(0, this.#said(output.message))
        return
      case 'uploadable':
        if (this.behaviour === 'honest' || this.behaviour === 'wrong-bytes') this.#offered.push(output.to)
        return
      case 'connect':
        return this.#connect(indexOf(output.id), now)
      case 'write':
        this.world.checks.wrote(this, output)
        this.disk.setRange(output.firstChunk, output.count)
        return
      case 'complete':
        this.world.checks.completed(this)
        return this.world.completed(this, now)
      case 'misbehaved':
        this.world.misbehaviours.push({ by: this.index, who: indexOf(output.id), at: now, reason: output.reason })
        this.world.network.disconnect(this.index, indexOf(output.id))
        return this.#ended(indexOf(output.id), now)
      case 'reuse':
      case 'closed':
        return
    }
  }

  /** A liar has everything. */
  #said<M extends SwarmMessage>(message: M): M {
    if (this.behaviour !== 'liar') return message
    if (message.type === 'have') return { ...message, ranges: [0, this.content.chunks] }
    if (message.type === 'announce') return { ...message, haveBytes: this.world.options.contentBytes, isComplete: true }
    return message
  }

  #connect(other: number, now: number): void {
    if (this.connections.has(other)) return
    if (this.world.network.isCut(this.index, other)) {
      this.#later(now + DIAL_MS, (later) => this.peer.handle({ type: 'neighbour-down', id: idOf(other) }, later))
      return
    }
    this.#control.push({ to: other, bytes: UP_BYTES, frame: { kind: 'up' } })
    this.#connected(other, now)
  }

  #connected(other: number, now: number): void {
    if (this.connections.has(other)) return
    this.connections.add(other)
    this.peer.handle({ type: 'neighbour-up', id: idOf(other), address: idOf(other) }, now)
  }

  #reachTracker(now: number): void {
    if (this.world.network.isCut(this.index, 0)) return this.#trackerLost(now, true)
    this.#isTrackerReached = true
    this.#trackerTries = 0
    this.#send(
      0,
      this.#said({
        type: 'announce',
        address: this.id,
        zone: this.zone,
        haveBytes: this.peer.status().haveBytes,
        isComplete: this.peer.isDone,
        lateStripes: [],
        slowPeers: [],
        lostPeers: [],
      }),
    )
    this.peer.handle({ type: 'tracker', isUp: true }, now)
  }

  #trackerLost(now: number, isCertain: boolean = this.#isTrackerReached): void {
    if (!isCertain || this.isOrigin) return
    this.#isTrackerReached = false
    this.peer.handle({ type: 'tracker', isUp: false }, now)
    const pauseMs = Math.min(REDIAL_MOST_MS, REDIAL_FIRST_MS * 2 ** Math.min(this.#trackerTries++, 8))
    this.#later(now + pauseMs, (later) => this.#reachTracker(later))
  }

  #send(to: number, message: Exclude<SwarmMessage, { type: 'data' }>): void {
    this.#control.push({ to, bytes: encodeFrame(0, message).length + PACKET_HEADER_BYTES, frame: { kind: 'message', message } })
  }
}

export function idOf(index: number): string {
  return `n${index}`
}

export function indexOf(id: string): number {
  return Number(id.slice(1))
}
