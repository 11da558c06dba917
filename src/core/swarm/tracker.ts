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
  /** All peers that get the content from the origin by multicast at present: they are to stand above those that do not. */
  | { readonly type: 'covered'; readonly ids: Iterable<string> }
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
  /** The share of peers that may be made leaves for their slowness, before no more are. */
  readonly maxSlowShare: number
}

export const DEFAULT_TRACKER_LIMITS: TrackerLimits = {
  stripes: 2,
  extraNeighbours: 4,
  maxPeers: 20_000,
  reparentPauseMs: 4000,
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

/** A peer to which runs pile up is slow when it gets less than this share of the median. */
const SLOW_SHARE = 0.6
/** So many measurements in a row: a disk or a scheduler that holds a process up for a moment makes nobody a leaf. */
const LOW_PERIODS = 3
/** For how long a report that runs pile up counts, ms. */
const PILED_UP_MS = 700
/** A slow peer that gets this share of the median is as fast as others, after so many measurements in a row. */
const GOOD_SHARE = 0.8
const GOOD_PERIODS = 5
/** A peer is weak when it says for this long that it does not send what it should; reports this far apart are of one kind, ms. */
const OVERLOADED_MS = 900
const OVERLOADED_PAUSE_MS = 700
/** A parent that has so many runs more than a child to which it comes late keeps them from it. */
const WITHHELD_RUNS = 16
/** After how long a weak peer is tried again, and how long after another one, ms. */
const WEAK_MS = 60_000
const RETRY_PAUSE_MS = 3000
/** Peers that are made leaves for one that multicast reaches, in one stripe and at a time. */
const MAX_UNCOVERED_MOVES = 8
/** Each time that a peer is demoted again, it waits so many times longer. */
const PATIENCE = 4
/** Where runs come further apart than this, the times above are longer by as much, ms: a rate is that of several runs. */
const BRISK_GAP_MS = 40
const MAX_SLOWNESS = 64

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
  /** Since when, and when last, it said that it does not send what it should, ms. */
  /** Measurements in a row that were far below the median. */
  lowPeriods: number
  /** When runs were last seen to pile up before it, ms. */
  piledUpAt: number
  overloadedSince: number
  overloadedAt: number
  /** When it was last made a leaf, ms, and how often that was. */
  demotedAt: number
  demotions: number
}

export class SwarmTracker {
  readonly #options: TrackerOptions
  readonly #limits: TrackerLimits
  readonly #forest: StripeForest
  readonly #peers: Map<string, Tracked> = new Map()
  readonly #banned: Set<string> = new Set()
  readonly #outputs: TrackerOutput[] = []
  /** Peers that get the content by multicast, and those that were made leaves for not getting it so. */
  #covered: ReadonlySet<string> = new Set()
  readonly #uncovered: Set<string> = new Set()
  /** When a weak peer was last tried again, ms. */
  #retriedAt: number = -Infinity
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
      case 'covered':
        this.#covered = new Set(input.ids)
        break
    }
    this.#liftCovered()
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
      lowPeriods: 0,
      piledUpAt: -Infinity,
      overloadedSince: now,
      overloadedAt: -Infinity,
      demotedAt: -Infinity,
      demotions: 0,
    }
    this.#giveNeighbours(peer)
    this.#peers.set(id, peer)
    this.#ids.push(id)
    return peer
  }

  #remove(id: string): void {
    if (!this.#peers.delete(id)) return
    this.#forest.remove(id)
    this.#uncovered.delete(id)
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

  /**
   * Whoever stands below the origin and is not reached by multicast would get its stripe from the origin a second time: it becomes a leaf, and
   * one that is reached takes its place. With the end of multicast the leaves are nodes like others again.
   */
  #liftCovered(): void {
    if (this.#covered.size === 0) {
      for (const id of this.#uncovered) this.#forest.restore(this.#forest.nodes.get(id)!)
      this.#uncovered.clear()
      return
    }
    const canStandAbove = (id: string): boolean => this.#forest.nodes.get(id)?.canPassOn === true
    if (![...this.#covered].some(canStandAbove)) return
    for (let stripe = 0; stripe < this.#limits.stripes; stripe++) {
      for (let moves = 0; moves < MAX_UNCOVERED_MOVES; moves++) {
        const below = [...this.#forest.origin.children[stripe]!].find(({ id, canPassOn }) => canPassOn && !this.#covered.has(id))
        if (below === undefined) break
        this.#forest.markWeak(below)
        this.#uncovered.add(below.id)
      }
    }
  }

  // ---- complaints ----

  #late(peer: Tracked, stripe: number, now: number): void {
    if (stripe >= this.#limits.stripes || now - peer.movedAt[stripe]! < this.#limits.reparentPauseMs * this.#slowness()) return
    const parent = peer.node.parents[stripe]
    if (parent === undefined || parent.isOrigin) return
    const above = this.#peers.get(parent.id)
    // What is late at the parent as well is not the parent's doing.
    if (above !== undefined && above.node.lateStripes.includes(stripe)) return
    peer.movedAt[stripe] = now
    if (above !== undefined && this.#complained(above, peer, now)) return this.#demote(above, false, now)
    this.#forest.reparent(peer.node, stripe)
  }

  /** Whether a peer that gets enough leaves more children without than it has slots: those that it had, and those that came after. */
  #complained(parent: Tracked, child: Tracked, now: number): boolean {
    const { complaints } = parent
    if (parent.haveBytes > child.haveBytes + WITHHELD_RUNS * this.#options.runBytes) complaints.set(child.id, now)
    for (const [id, at] of complaints) if (now - at > 4 * this.#limits.reparentPauseMs * this.#slowness()) complaints.delete(id)
    return complaints.size > this.#limits.stripes && (parent.isComplete || parent.rate > GOOD_SHARE * this.#medianRate)
  }

  /** What a peer gets, beside what the others get: about as much for a while, and it is not slow any more. */
  #rate(peer: Tracked, now: number): void {
    const passed = now - peer.ratedAt
    if (passed < this.#limits.ratePeriodMs * this.#slowness()) return
    peer.rate = (peer.haveBytes - peer.ratedBytes) / passed
    peer.ratedAt = now
    peer.ratedBytes = peer.haveBytes
    this.#updateMedian(now)
    peer.lowPeriods = peer.rate < SLOW_SHARE * this.#medianRate ? peer.lowPeriods + 1 : 0
    peer.goodPeriods = peer.rate > GOOD_SHARE * this.#medianRate ? peer.goodPeriods + 1 : 0
    if (peer.node.canPassOn) this.#demoteSlow(peer, now)
    else if (this.#uncovered.has(peer.id)) return
    else if (this.#isOver(peer, now)) this.#forest.restore(peer.node)
  }

  /** By how much runs come slower here than what the times are meant for, from 1 on. */
  #slowness(): number {
    if (this.#medianRate === 0) return 1
    return Math.max(1, Math.min(MAX_SLOWNESS, this.#options.runBytes / this.#medianRate / BRISK_GAP_MS))
  }

  /** Whether a leaf is to be tried as an inner node again. How much a weak one would send shows only then; so one at a time. */
  #isOver(peer: Tracked, now: number): boolean {
    const patience = PATIENCE ** (peer.demotions - 1)
    if (peer.node.isSlow) return peer.goodPeriods >= GOOD_PERIODS * patience
    if (now - peer.demotedAt < WEAK_MS * patience || now - this.#retriedAt < RETRY_PAUSE_MS) return false
    this.#retriedAt = now
    return true
  }

  #updateMedian(now: number): void {
    if (now - this.#medianAt < (this.#limits.ratePeriodMs * this.#slowness()) / 2) return
    this.#medianAt = now
    const rates: number[] = []
    for (const peer of this.#peers.values()) if (!peer.isComplete && peer.rate > 0) rates.push(peer.rate)
    rates.sort((a, b) => a - b)
    this.#medianRate = rates[Math.floor(rates.length / 2)] ?? 0
  }

  /**
   * Runs pile up: before a peer at one that sends to it, or at the peer itself. The first alone can be the way between the two, and
   * what a peer gets alone the doing of those above it; both together are the peer's. One sender is enough: the others may have
   * nothing to send as long as slow peers stand above them, too.
   */
  #reportedSlow(id: string, from: Tracked, now: number): void {
    const peer = this.#peers.get(id)
    if (peer === undefined || !peer.node.canPassOn) return
    if (peer === from) return this.#reportedItself(peer, now)
    if (peer.isComplete || peer.rate === 0 || !peer.node.parents.includes(from.node)) return
    peer.piledUpAt = now
    this.#demoteSlow(peer, now)
  }

  #demoteSlow(peer: Tracked, now: number): void {
    if (peer.lowPeriods >= LOW_PERIODS && now - peer.piledUpAt < PILED_UP_MS * this.#slowness()) this.#demote(peer, true, now)
  }

  /** More came for its children than it sent. In a burst that is so for a moment; where it stays, its children are too many. */
  #reportedItself(peer: Tracked, now: number): void {
    if (now - peer.overloadedAt > OVERLOADED_PAUSE_MS * this.#slowness()) peer.overloadedSince = now
    peer.overloadedAt = now
    if (now - peer.overloadedSince >= OVERLOADED_MS * this.#slowness()) this.#demote(peer, false, now)
  }

  /** Makes a peer a leaf. When half of all are leaves, that is the network's speed and nobody's fault. */
  #demote(peer: Tracked, isSlow: boolean, now: number): void {
    let leaves = 1
    for (const node of this.#forest.nodes.values()) if (!node.canPassOn) leaves++
    if (leaves > Math.max(1, this.#limits.maxSlowShare * this.#forest.nodes.size)) return
    peer.demotedAt = now
    peer.demotions++
    peer.goodPeriods = 0
    if (isSlow) this.#forest.markSlow(peer.node)
    else this.#forest.markWeak(peer.node)
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
