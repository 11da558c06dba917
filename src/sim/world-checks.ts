/**
 * What must hold in every simulated swarm, whatever fails in it. Kept apart from the machines: by what was written, said and sent,
 * not by what they think of it.
 *
 * Safety, at every step: nothing is written that fails its hash, lies beyond the content or was there already; nobody counts a chunk as
 * here that was not written, or is complete without all of them; nobody sends what it lacks, or what the receiver has said it has and
 * has not asked for since; nobody is dropped for what it sent unless it misbehaves. Bounds, at every sample: bytes are conserved, and
 * queues and tables keep to their limits.
 * Liveness, at the end: what the live nodes hold together, each of them holds; and where that is not everything, they are still: no
 * chunk has come for a while, which is what the agent ends a transfer by that cannot go on, and next to nothing is sent.
 */
import { assert } from '../core/lib/assert.ts'
import { Bitfield } from '../core/lib/bitfield.ts'
import type { SwarmMessage } from '../core/swarm/frames.ts'
import type { PeerOutput } from '../core/swarm/peer-types.ts'
import type { Ranges } from '../core/swarm/ranges.ts'
import type { ChunkRange } from '../core/swarm/upload.ts'
import { isWrong } from './bytes-only-content.ts'
import type { SwarmHost } from './swarm-host.ts'
import type { SwarmWorld } from './swarm-world.ts'

/** Violations that are kept; the run has failed with the first one. */
const MOST_KEPT = 20
/** Frames besides data that may wait at a peer, and at the origin for each peer that it tracks. */
export const MOST_WAITING_FRAMES = 1024
export const MOST_WAITING_FRAMES_PER_TRACKED = 8
/** Runs of the subscription that may wait for one child, and numbers in what it has asked for: those of the machines. */
const MOST_FRESH_RUNS = 256
const MOST_ASKED_NUMBERS = 16_384
/** What may be asked for and not here: 1 MiB, or what the downlink brings in this time, ms, twice for what is asked twice. */
const MOST_OUTSTANDING_BYTES = 1024 * 1024
const MOST_OUTSTANDING_MS = 500
/** Nothing has come for this long at nodes that cannot get everything, ms; and what each of them may still send per sample. */
const STILL_MS = 5000
const STILL_BYTES_PER_NODE = 16 * 1024
/** Events in the network's agenda for each node. */
const MOST_EVENTS_PER_NODE = 512

export class WorldChecks {
  readonly violations: string[] = []
  readonly #world: SwarmWorld
  /** By node, then by its neighbour: the chunks that the neighbour has said it has. */
  readonly #said: Map<number, Bitfield>[] = []

  #sentBytes = 0
  /** What all nodes sent between the last two samples. */
  #lastSentBytes = 0

  constructor(world: SwarmWorld) {
    this.#world = world
  }

  // ---- at every step ----

  wrote(host: SwarmHost, { firstChunk, count, payload }: Extract<PeerOutput, { type: 'write' }>): void {
    const { disk } = host
    if (isWrong(payload)) this.#violated(`${host.id} wrote chunk ${firstChunk}, which fails its hash`)
    if (firstChunk + count > disk.length) this.#violated(`${host.id} wrote chunk ${firstChunk + count - 1} of ${disk.length}`)
    else if (disk.nextSet(firstChunk) < firstChunk + count) this.#violated(`${host.id} wrote chunk ${disk.nextSet(firstChunk)} twice`)
  }

  completed(host: SwarmHost): void {
    if (!host.disk.isFull()) this.#violated(`${host.id} is complete and lacks ${lacking(host)}`)
  }

  /** A node heard a message of a neighbour. */
  heard(host: SwarmHost, from: number, message: SwarmMessage): void {
    if (message.type === 'have') this.#note(host, from, message.ranges, true)
    else if (message.type === 'lost' || message.type === 'request') this.#note(host, from, message.ranges, false)
  }

  #note(host: SwarmHost, from: number, ranges: Ranges, isThere: boolean): void {
    const neighbours = (this.#said[host.index] ??= new Map<number, Bitfield>())
    let said = neighbours.get(from)
    if (said === undefined) neighbours.set(from, (said = new Bitfield(host.content.chunks)))
    for (let at = 0; at < ranges.length; at += 2) {
      const first = ranges[at]!
      const count = Math.min(ranges[at + 1]!, said.length - first)
      if (isThere && count > 0) said.setRange(first, count)
      else for (let chunk = first; chunk < first + count; chunk++) said.clear(chunk)
    }
  }

  /** A connection of the node has ended: what was said on it counts no more. */
  ended(host: SwarmHost, other: number): void {
    this.#said[host.index]?.delete(other)
  }

  stopped(host: SwarmHost): void {
    this.#said[host.index]?.clear()
  }

  /** A node sends chunks. */
  uploaded(host: SwarmHost, to: number, { firstChunk, count }: ChunkRange): void {
    const said = this.#world.hosts[to]!.behaviour === 'honest' ? this.#said[host.index]?.get(to) : undefined
    if (said !== undefined && said.nextSet(firstChunk) < firstChunk + count) {
      this.#violated(`${host.id} sent chunk ${said.nextSet(firstChunk)} to n${to}, which had said that it has it`)
    }
    if (!host.disk.hasRange(firstChunk, count)) this.#violated(`${host.id} sent chunks from ${firstChunk} on, which it lacks`)
  }

  // ---- now and then ----

  /** Looks at all nodes and the network. */
  sample(): void {
    const { network, hosts } = this.#world
    const { sent, received, lost, onTheWay } = network.balance()
    this.#lastSentBytes = sent - this.#sentBytes
    this.#sentBytes = sent
    if (sent !== received + lost + onTheWay)
      this.#violated(`${sent} bytes sent, ${received} received, ${lost} lost, ${onTheWay} on the way`)
    this.#limit('events of the network', network.pendingEvents, MOST_EVENTS_PER_NODE * hosts.length)
    for (const host of hosts) this.#sampleHost(host)
  }

  #sampleHost(host: SwarmHost): void {
    const { peer, id, tracker } = host
    if (!this.#world.network.hosts[host.index]!.isUp || host.joinedAt === Infinity) return
    if (peer.have.count !== host.disk.count) this.#violated(`${id} counts ${peer.have.count} chunks and has ${host.disk.count}`)
    const tracked = tracker?.peers().length ?? 0
    this.#limit(`peers tracked by ${id}`, tracked, this.#world.hosts.length)
    this.#limit(`frames waiting at ${id}`, host.waitingFrames, MOST_WAITING_FRAMES + MOST_WAITING_FRAMES_PER_TRACKED * tracked)
    this.#limit(`neighbours of ${id}`, peer.neighbours.size, peer.limits.maxNeighbours)
    let outstanding = 0
    for (const neighbour of peer.neighbours.values()) {
      outstanding += neighbour.outstandingBytes
      this.#limit(`runs waiting at ${id} for ${neighbour.id}`, neighbour.freshCount(), MOST_FRESH_RUNS)
      this.#limit(`ranges asked of ${id} by ${neighbour.id}`, neighbour.asked.length, MOST_ASKED_NUMBERS)
    }
    const { downBytesPerSec } = this.#world.network.hosts[host.index]!.options
    const rated = (downBytesPerSec * MOST_OUTSTANDING_MS) / 1000
    const run = peer.runChunks * this.#world.options.chunkBytes
    this.#limit(`bytes that ${id} has asked for`, outstanding, 2 * (Math.max(MOST_OUTSTANDING_BYTES, rated) + run))
  }

  #limit(what: string, value: number, most: number): void {
    if (value > most) this.#violated(`${value} ${what}; ${most} are the limit`)
  }

  // ---- at the end ----

  /** Who, of the nodes that should, does not hold what the live nodes hold together, and what each lacks of it. */
  finish(): void {
    const lastSentBytes = this.#lastSentBytes
    this.sample()
    const { now } = this.#world.network
    const live = this.#world.hosts.filter((host) => this.#isLive(host))
    const together = new Bitfield(live[0]?.content.chunks ?? 0)
    for (const host of live) for (const [first, count] of host.disk.ranges()) together.setRange(first, count)
    for (const host of live.filter((each) => this.#world.isExpected(each))) {
      if (host.disk.count < together.count) this.#violated(`${host.id} never got ${lacking(host, together)}, which others hold`)
      else if (together.isFull() && !host.peer.isDone) this.#violated(`${host.id} has every chunk and does not know it`)
      else if (!together.isFull() && now - host.peer.status().lastProgressAt < STILL_MS) this.#violated(`${host.id} still gets chunks`)
    }
    if (!together.isFull())
      this.#limit('bytes sent in a second in which nobody can get anything', lastSentBytes, STILL_BYTES_PER_NODE * live.length)
    for (const { by, who, at, reason } of this.#world.misbehaviours) {
      if (!isSilence(reason) && !this.#world.mayBeDropped(who, by))
        this.#violated(`n${by} dropped n${who} at ${Math.round(at)} ms: ${reason}`)
    }
  }

  #isLive(host: SwarmHost): boolean {
    return host.behaviour === 'honest' && host.joinedAt < Infinity && this.#world.network.hosts[host.index]!.isUp
  }

  #violated(what: string): void {
    if (this.violations.length < MOST_KEPT) this.violations.push(`at ${Math.round(this.#world.network.now)} ms: ${what}`)
  }
}

/** Who seems silent is dropped for a while only, and may have been slow. */
function isSilence(reason: string): boolean {
  return reason.includes('unanswered')
}

/** Which chunks a node lacks, of those that there are. */
export function lacking(host: SwarmHost, of?: Bitfield): string {
  const ranges: string[] = []
  let count = 0
  assert(of === undefined || of.length === host.disk.length, 'chunks of the same content')
  for (let chunk = host.disk.nextClear(0); chunk < host.disk.length; chunk = host.disk.nextClear(chunk + 1)) {
    if (of !== undefined && !of.has(chunk)) continue
    count++
    if (ranges.length < 8) ranges.push(String(chunk))
  }
  return `${count} of ${host.disk.length} chunks: ${ranges.join(', ')}${count > ranges.length ? ', …' : ''}`
}
