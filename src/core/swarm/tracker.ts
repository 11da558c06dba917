/**
 * The tracker machine: plans who gets what from whom in the swarm of one content, and gathers progress.
 *
 * It holds nothing that cannot be told again: a tracker that starts anew plans from the announcements that come in. Peers go
 * on without it. What it decides by: announcements every half second, complaints about late stripes, slow peers and lost
 * ones. Which trees there are is in `stripe-forest.ts`. docs/specs/02-swarm.md §6.
 */
import type { Random } from '../lib/random.ts'
import type { AnnounceMessage, PlanMessage, PeerAddress } from './frames.ts'
import { StripeForest, type ForestNode } from './stripe-forest.ts'

export type TrackerInput =
  /** A peer says that it takes part, and how far it is. */
  | { readonly type: 'announce'; readonly from: string; readonly message: AnnounceMessage }
  /** The connection to a peer is gone. */
  | { readonly type: 'gone'; readonly id: string }
  /** A peer sent wrong bytes or broke the protocol: it gets no place any more. */
  | { readonly type: 'banned'; readonly id: string }

export interface TrackerOutput {
  readonly type: 'plan'
  readonly to: string
  readonly message: PlanMessage
}

export interface TrackerOptions {
  /** The node that has the content and runs the tracker. */
  readonly originId: string
  readonly originAddress: string
  readonly originZone: string
  readonly runChunks: number
  /** Bytes of a run, about. */
  readonly runBytes: number
  readonly random: Random
  readonly limits?: Partial<TrackerLimits>
}

export interface TrackerLimits {
  /** Trees, and children of an inner node. More: lower trees, more connections per node. */
  readonly stripes: number
  /** Neighbours beyond parents and children, for what the trees don't bring. */
  readonly extraNeighbours: number
  /** Peers at the most. */
  readonly maxPeers: number
  /** A peer is not moved in a stripe again within this time, ms. */
  readonly reparentPauseMs: number
  /** Over how long a peer's rate is measured, ms. */
  readonly ratePeriodMs: number
  /** The share of peers that may count as slow before nobody does. */
  readonly maxSlowShare: number
}

export const DEFAULT_TRACKER_LIMITS: TrackerLimits = {
  stripes: 4,
  extraNeighbours: 4,
  maxPeers: 20_000,
  reparentPauseMs: 1500,
  ratePeriodMs: 180,
  maxSlowShare: 0.5,
}

/** A peer as the tracker knows it. */
export interface TrackedPeer {
  readonly id: string
  readonly address: string
  readonly zone: string
  readonly haveBytes: number
  readonly isComplete: boolean
}

/** How long a report of a slow peer counts, ms. */
const SLOW_REPORT_MS = 2000

interface Tracked {
  readonly id: string
  readonly address: string
  readonly zone: string
  readonly node: ForestNode
  readonly extra: Set<string>
  readonly movedAt: number[]
  /** Children that complained about it, and when. */
  readonly complaints: Map<string, number>
  haveBytes: number
  isComplete: boolean
  /** What it got lately, bytes per ms, measured since `ratedAt`, when it had `ratedBytes`. */
  rate: number
  ratedAt: number
  ratedBytes: number
  /** Measurements in a row that were near the median. */
  goodPeriods: number
  /** Who sees what it sends to this peer pile up, and when it said so. */
  readonly slowReports: Map<string, number>
}

export class SwarmTracker {
  readonly #options: TrackerOptions
  readonly #limits: TrackerLimits
  readonly #forest: StripeForest
  readonly #peers: Map<string, Tracked> = new Map()
  readonly #banned: Set<string> = new Set()
  readonly #outputs: TrackerOutput[] = []
  #medianRate = 0
  #medianAt: number = -Infinity
  /** Ids in the order of joining, for picking extra neighbours. */
  #ids: string[] = []

  constructor(options: TrackerOptions) {
    this.#options = options
    this.#limits = { ...DEFAULT_TRACKER_LIMITS, ...options.limits }
    this.#forest = new StripeForest({
      originId: options.originId,
      originZone: options.originZone,
      stripes: this.#limits.stripes,
      slackBytes: 64 * options.runBytes,
    })
  }

  peers(): TrackedPeer[] {
    return [...this.#peers.values()].map(({ id, address, zone, haveBytes, isComplete }) => ({ id, address, zone, haveBytes, isComplete }))
  }

  /** The trees as planned, for diagnosis. */
  forest(): StripeForest {
    return this.#forest
  }

  drain(): TrackerOutput[] {
    return this.#outputs.splice(0)
  }

  handle(input: TrackerInput, now: number): void {
    switch (input.type) {
      case 'announce':
        this.#announce(input.from, input.message, now)
        break
      case 'banned':
        this.#banned.add(input.id)
        this.#remove(input.id)
        break
      case 'gone':
        this.#remove(input.id)
        break
    }
    this.#sendPlans()
  }

  #announce(id: string, message: AnnounceMessage, now: number): void {
    if (this.#banned.has(id) || id === this.#options.originId) return
    const peer = this.#peers.get(id) ?? this.#join(id, message, now)
    if (peer === undefined) return
    peer.haveBytes = message.haveBytes
    if (!peer.isComplete) this.#rate(peer, now)
    peer.node.haveBytes = message.haveBytes
    peer.node.lateStripes = message.lateStripes
    if (message.isComplete && !peer.isComplete) {
      peer.isComplete = true
      this.#forest.markComplete(peer.node)
    }
    for (const slow of message.slowPeers) this.#reportedSlow(slow, peer, now)
    for (const lost of message.lostPeers) this.#lost(peer, lost)
    if (!peer.isComplete) for (const stripe of message.lateStripes) this.#late(peer, stripe, now)
  }

  #join(id: string, message: AnnounceMessage, now: number): Tracked | undefined {
    if (this.#peers.size >= this.#limits.maxPeers) return undefined
    const peer: Tracked = {
      id,
      address: message.address,
      zone: message.zone,
      node: this.#forest.add(id, message.zone, message.haveBytes, message.isComplete),
      extra: new Set(),
      movedAt: new Array<number>(this.#limits.stripes).fill(-Infinity),
      complaints: new Map(),
      haveBytes: message.haveBytes,
      isComplete: message.isComplete,
      rate: 0,
      ratedAt: now,
      ratedBytes: message.haveBytes,
      goodPeriods: 0,
      slowReports: new Map(),
    }
    this.#giveNeighbours(peer)
    this.#peers.set(id, peer)
    this.#ids.push(id)
    return peer
  }

  #remove(id: string): void {
    if (!this.#peers.delete(id)) return
    this.#forest.remove(id)
    this.#ids = this.#ids.filter((other) => other !== id)
    for (const peer of this.#peers.values()) peer.extra.delete(id)
  }

  /** Some peers of the same zone, picked by chance; of other zones only when there are none. */
  #giveNeighbours(peer: Tracked): void {
    const same = this.#ids.filter((id) => id !== peer.id && this.#peers.get(id)?.zone === peer.zone)
    const from = same.length > 0 ? same : this.#ids
    for (let tries = 0; peer.extra.size < Math.min(this.#limits.extraNeighbours, from.length) && tries < 32; tries++) {
      const id = this.#options.random.pick(from)
      if (id !== peer.id) peer.extra.add(id)
    }
  }

  // ---- complaints ----

  #late(peer: Tracked, stripe: number, now: number): void {
    if (stripe >= this.#limits.stripes || now - peer.movedAt[stripe]! < this.#limits.reparentPauseMs) return
    const parent = peer.node.parents[stripe]
    if (parent === undefined || parent.isOrigin) return
    const above = this.#peers.get(parent.id)
    // What is late at the parent as well is not the parent's doing.
    if (above !== undefined && above.node.lateStripes.includes(stripe)) return
    peer.movedAt[stripe] = now
    if (above !== undefined) {
      above.complaints.set(peer.id, now)
      for (const [id, at] of above.complaints) if (now - at > 4 * this.#limits.reparentPauseMs) above.complaints.delete(id)
      const getsEnough = above.isComplete || above.rate > 0.8 * this.#medianRate
      if (above.complaints.size >= 2 && getsEnough && this.#maySlow()) return this.#forest.markSlow(above.node)
    }
    this.#forest.reparent(peer.node, stripe)
  }

  /** What a peer gets, beside what the others get: about as much for a while, and it is not slow any more. */
  #rate(peer: Tracked, now: number): void {
    const passed = now - peer.ratedAt
    if (passed < this.#limits.ratePeriodMs) return
    peer.rate = (peer.haveBytes - peer.ratedBytes) / passed
    peer.ratedAt = now
    peer.ratedBytes = peer.haveBytes
    this.#updateMedian(now)
    peer.goodPeriods = peer.rate > 0.8 * this.#medianRate ? peer.goodPeriods + 1 : 0
    if (peer.goodPeriods >= 5 && peer.node.isSlow) this.#forest.clearSlow(peer.node)
  }

  #updateMedian(now: number): void {
    if (now - this.#medianAt < this.#limits.ratePeriodMs / 2) return
    this.#medianAt = now
    const rates: number[] = []
    for (const peer of this.#peers.values()) if (!peer.isComplete && peer.rate > 0) rates.push(peer.rate)
    rates.sort((a, b) => a - b)
    this.#medianRate = rates[Math.floor(rates.length / 2)] ?? 0
  }

  /** A peer is slow when what is sent to it piles up at all who send, or at two of them, and it gets far less than others. */
  #reportedSlow(id: string, from: Tracked, now: number): void {
    const peer = this.#peers.get(id)
    if (peer === undefined || peer.node.isSlow || peer.isComplete || peer.rate === 0) return
    peer.slowReports.set(from.id, now)
    for (const [reporter, at] of peer.slowReports) if (now - at > SLOW_REPORT_MS) peer.slowReports.delete(reporter)
    const senders = new Set(peer.node.parents.filter((parent) => parent !== undefined && !parent.isOrigin))
    if (peer.slowReports.size < Math.min(2, senders.size)) return
    if (peer.rate < 0.6 * this.#medianRate && this.#maySlow()) this.#forest.markSlow(peer.node)
  }

  /** When half of all are slow, that is the network's speed and nobody's fault. */
  #maySlow(): boolean {
    let slow = 1
    for (const node of this.#forest.nodes.values()) if (node.isSlow) slow++
    return slow <= Math.max(1, this.#limits.maxSlowShare * this.#forest.nodes.size)
  }

  /** A peer can't reach another one: it gets another parent, and neighbours in its place. */
  #lost(peer: Tracked, lostId: string): void {
    peer.extra.delete(lostId)
    this.#giveNeighbours(peer)
    for (let stripe = 0; stripe < this.#limits.stripes; stripe++) {
      if (peer.node.parents[stripe]?.id === lostId && !peer.isComplete) this.#forest.reparent(peer.node, stripe)
    }
  }

  // ---- plans ----

  #sendPlans(): void {
    for (const node of this.#forest.takeChanged()) {
      const peer = this.#peers.get(node.id)
      if (peer !== undefined) this.#outputs.push({ type: 'plan', to: peer.id, message: this.#planFor(peer) })
    }
  }

  #planFor(peer: Tracked): PlanMessage {
    const { originId, originAddress, runChunks } = this.#options
    const peers: PeerAddress[] = [{ id: originId, address: originAddress, isOrigin: true }]
    const index = (id: string): number => {
      const found = peers.findIndex((other) => other.id === id)
      if (found >= 0) return found
      const address = this.#peers.get(id)?.address
      return address === undefined ? -1 : peers.push({ id, address, isOrigin: false }) - 1
    }
    const parents = peer.node.parents.map((parent) => (parent === undefined ? -1 : index(parent.id)))
    for (const id of peer.extra) index(id)
    return { type: 'plan', runChunks, stripes: this.#limits.stripes, parents, peers }
  }
}
