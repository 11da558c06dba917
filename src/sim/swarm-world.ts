/**
 * A swarm in the virtual network: the shipping peer and tracker machines, driven as the agent's shell drives them.
 *
 * The content has lengths and no bytes; everything else that the machines say and hear is what they say and hear in the agent.
 */
import { Bitfield } from '../core/lib/bitfield.ts'
import { Random } from '../core/lib/random.ts'
import type { ContentView, ManifestParts } from '../core/swarm/content-view.ts'
import { encodeFrame, type ManifestPart, type SwarmMessage } from '../core/swarm/frames.ts'
import { runChunksFor } from '../core/swarm/geometry.ts'
import { SwarmPeer } from '../core/swarm/peer.ts'
import type { PeerLimits } from '../core/swarm/peer-types.ts'
import { SwarmTracker, type TrackerLimits } from '../core/swarm/tracker.ts'
import { Network, type HostHandler, type HostOptions, type NetworkOptions, type OutgoingFrame } from './network.ts'

export interface SwarmWorldOptions extends NetworkOptions {
  readonly contentBytes: number
  readonly chunkBytes: number
  readonly origin: HostOptions
  readonly peers: readonly HostOptions[]
  /** When each peer joins, ms; 0 for all unless given. */
  readonly joinAt?: (peer: number) => number
  readonly peerLimits?: Partial<PeerLimits>
  readonly trackerLimits?: Partial<TrackerLimits>
}

const ENTRIES_PER_PART = 1024
const ENTRY_BYTES = 34
const NO_BYTES = new Uint8Array(0)

class BytesOnlyContent implements ContentView {
  readonly runChunks: number
  knownChunks: number
  readonly #totalBytes: number
  readonly #chunkBytes: number
  readonly #chunks: number

  constructor(totalBytes: number, chunkBytes: number, isOrigin: boolean) {
    this.#totalBytes = totalBytes
    this.#chunkBytes = chunkBytes
    this.#chunks = Math.ceil(totalBytes / chunkBytes)
    this.knownChunks = isOrigin ? this.#chunks : 0
    this.runChunks = runChunksFor(totalBytes, chunkBytes)
  }

  get isComplete(): boolean {
    return this.knownChunks === this.#chunks
  }

  rangeBytes(first: number, count: number): number {
    return Math.min((first + count) * this.#chunkBytes, this.#totalBytes) - first * this.#chunkBytes
  }

  verify(): number {
    return -1
  }

  acceptManifest(part: ManifestPart): undefined {
    if (part.kind === 'page' && part.index === this.knownChunks) {
      this.knownChunks = Math.min(this.#chunks, part.index + ENTRIES_PER_PART)
    }
    return undefined
  }

  manifestParts(fromChunk: number): ManifestParts {
    if (fromChunk >= this.knownChunks) return { parts: [], next: fromChunk, hasHead: true, hasSeal: true }
    const next = Math.min(this.knownChunks, fromChunk + ENTRIES_PER_PART)
    return { parts: [{ kind: 'page', index: fromChunk, bytes: NO_BYTES }], next, hasHead: true, hasSeal: true }
  }
}

type Frame = { readonly kind: 'message'; readonly message: SwarmMessage } | { readonly kind: 'up' }

class SwarmHost implements HostHandler {
  readonly index: number
  readonly id: string
  readonly world: SwarmWorld
  readonly content: BytesOnlyContent
  peer: SwarmPeer
  tracker: SwarmTracker | undefined
  doneAt: number = Infinity
  joinedAt = 0
  readonly connections: Set<number> = new Set()
  readonly #control: OutgoingFrame[] = []
  /** Neighbours with data to send, served in turn. */
  #offered: string[] = []

  constructor(world: SwarmWorld, index: number, isOrigin: boolean, zone: string) {
    this.world = world
    this.index = index
    this.id = idOf(index)
    const { options } = world
    this.content = new BytesOnlyContent(options.contentBytes, options.chunkBytes, isOrigin)
    const random = new Random(options.seed).fork(this.id)
    const have = new Bitfield(this.content.knownChunks)
    if (isOrigin) have.setRange(0, this.content.knownChunks)
    this.peer = new SwarmPeer(
      {
        id: this.id,
        address: this.id,
        zone,
        content: this.content,
        isOrigin,
        canReuse: false,
        random,
        ...(options.peerLimits === undefined ? {} : { limits: options.peerLimits }),
      },
      have,
      0,
    )
    if (!isOrigin) return
    this.tracker = new SwarmTracker({
      originId: this.id,
      originAddress: this.id,
      originZone: zone,
      runChunks: this.content.runChunks,
      runBytes: this.content.runChunks * options.chunkBytes,
      random: random.fork('tracker'),
      ...(options.trackerLimits === undefined ? {} : { limits: options.trackerLimits }),
    })
  }

  join(now: number): void {
    this.joinedAt = now
    this.#sendMessage(0, {
      type: 'announce',
      address: this.id,
      zone: this.peer.options.zone,
      haveBytes: 0,
      isComplete: false,
      lateStripes: [],
      slowPeers: [],
      lostPeers: [],
    })
    this.flush(now)
  }

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
      const bytes = this.content.rangeBytes(range.firstChunk, range.count)
      const message: SwarmMessage = { type: 'data', firstChunk: range.firstChunk, count: range.count, payload: NO_BYTES }
      this.flush(now)
      return { to, bytes: bytes + 16, frame: { kind: 'message', message } }
    }
    return undefined
  }

  receive(from: number, frame: unknown, now: number): void {
    const received = frame as Frame
    if (received.kind === 'up') this.#connected(from, now)
    else if (received.message.type === 'announce')
      this.tracker?.handle({ type: 'announce', from: idOf(from), message: received.message }, now)
    else this.peer.handle({ type: 'message', from: idOf(from), message: received.message }, now)
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
    this.connections.delete(other)
    this.#offered = this.#offered.filter((id) => id !== idOf(other))
    this.peer.handle({ type: 'neighbour-down', id: idOf(other) }, now)
    if (this.world.network.isCut(this.index, other)) this.tracker?.handle({ type: 'gone', id: idOf(other) }, now)
    this.flush(now)
  }

  /** Carries out what the machines want. */
  flush(now: number): void {
    for (const output of this.peer.drain()) {
      switch (output.type) {
        case 'send':
          this.#sendMessage(indexOf(output.to), output.message)
          break
        case 'announce':
          if (this.world.isTrackerUp) this.#sendMessage(0, output.message)
          break
        case 'uploadable':
          this.#offered.push(output.to)
          break
        case 'connect':
          this.#connect(indexOf(output.id), now)
          break
        case 'complete':
          this.doneAt = now
          this.world.completed++
          break
        case 'misbehaved':
          this.world.misbehaviours.push(`${this.id} at ${now}: ${output.id} ${output.reason}`)
          this.#disconnect(indexOf(output.id), now)
          break
        case 'write':
        case 'reuse':
        case 'closed':
          break
      }
    }
    for (const plan of this.tracker?.drain() ?? []) this.#sendMessage(indexOf(plan.to), plan.message)
    if (this.#control.length > 0 || this.#offered.length > 0) this.world.network.wake(this.index)
    this.world.network.setTimer(this.index, this.peer.nextDeadline())
  }

  #connect(other: number, now: number): void {
    if (this.world.network.isCut(this.index, other)) {
      this.world.network.at(now + 1000, (later) => {
        this.peer.handle({ type: 'neighbour-down', id: idOf(other) }, later)
        this.flush(later)
      })
      return
    }
    if (this.connections.has(other)) return
    this.#control.push({ to: other, bytes: 200, frame: { kind: 'up' } })
    this.#connected(other, now)
  }

  #disconnect(other: number, now: number): void {
    this.down(other, now)
    this.world.network.at(now + this.world.options.latencyMs, (later) => this.world.hosts[other]!.down(this.index, later))
  }

  #connected(other: number, now: number): void {
    if (this.connections.has(other)) return
    this.connections.add(other)
    this.peer.handle({ type: 'neighbour-up', id: idOf(other), address: idOf(other) }, now)
  }

  #sendMessage(to: number, message: Exclude<SwarmMessage, { type: 'data' }>): void {
    let bytes = encodeFrame(0, message).length
    if (message.type === 'manifest') bytes += ENTRIES_PER_PART * ENTRY_BYTES
    this.#control.push({ to, bytes, frame: { kind: 'message', message } })
  }
}

function idOf(index: number): string {
  return `n${index}`
}

function indexOf(id: string): number {
  return Number(id.slice(1))
}

export class SwarmWorld {
  readonly options: SwarmWorldOptions
  readonly network: Network
  readonly hosts: SwarmHost[] = []
  completed: number = 0
  /** Who dropped whom, and why; none in a swarm of honest peers. */
  readonly misbehaviours: string[] = []
  isTrackerUp: boolean = true
  /** Peers that are still expected to get everything. */
  expected: number

  constructor(options: SwarmWorldOptions) {
    this.options = options
    this.network = new Network(options)
    this.expected = options.peers.length + 1
    this.#addHost(options.origin, true)
    for (const peer of options.peers) this.#addHost(peer, false)
    options.peers.forEach((_, i) => {
      this.network.at(options.joinAt?.(i) ?? 0, (now) => this.hosts[i + 1]!.join(now))
    })
    this.hosts[0]!.flush(0)
  }

  #addHost(options: HostOptions, isOrigin: boolean): void {
    const index = this.hosts.length
    const host = new SwarmHost(this, index, isOrigin, options.zone ?? '')
    this.hosts.push(host)
    this.network.addHost(options, host)
  }

  /** The host with this index is gone for good. */
  crash(index: number, isSilent = false): void {
    if (index === 0) this.isTrackerUp = false
    if (this.hosts[index]!.doneAt === Infinity) this.expected--
    this.network.crash(index, isSilent)
  }

  run(untilMs: number): void {
    this.network.run(untilMs, () => this.completed >= this.expected)
  }

  /** Seconds from joining to the last chunk, of every peer that is up, sorted. */
  times(): number[] {
    return this.hosts
      .slice(1)
      .map((host) => (host.doneAt - host.joinedAt) / 1000)
      .filter((seconds) => seconds < Infinity)
      .sort((a, b) => a - b)
  }
}
