/**
 * The plan: for each stripe a tree over all peers, rooted at the origin, so that every uplink carries about one copy.
 *
 * Run u travels in stripe u mod k. A peer has k slots for children, all in one stripe (there it is an inner node), and is a
 * leaf in the others: it passes on as much as it gets. An inner node that joins takes the place of the highest leaf of its
 * stripe, so that trees stay as low as log_k N. (SplitStream, Castro et al., SOSP 2003, has the same forest; there it comes
 * about without a planner and with unbounded depth, here one node plans.)
 *
 * Zones: within a stripe each zone has one gateway, whose parent is outside of the zone; all others have parents inside. The
 * zone that passes the stripe on to another is the one that has passed on the least.
 *
 * A peer that turns out slow keeps its place as a leaf and loses its children. A peer that has everything may serve any stripe.
 * Cost: a scan of the peers per stripe and change; 10,000 peers join in about a second altogether.
 */
import { assert } from '../lib/assert.ts'

export interface ForestNode {
  readonly id: string
  readonly zone: string
  readonly isOrigin: boolean
  /** The stripe in which it is an inner node. */
  readonly innerStripe: number
  readonly parents: (ForestNode | undefined)[]
  readonly children: Set<ForestNode>[]
  readonly depths: number[]
  isSlow: boolean
  /** Stripes that come late to it. */
  lateStripes: readonly number[]
  isComplete: boolean
  haveBytes: number
}

export interface ForestOptions {
  readonly originId: string
  readonly originZone: string
  readonly stripes: number
  /** A peer that is this many bytes behind another is not put above it. */
  readonly slackBytes: number
}

const MAX_CROSS_ZONE_CHILDREN = 2
const UNATTACHED = 1e9

export class StripeForest {
  readonly origin: ForestNode
  readonly nodes: Map<string, ForestNode> = new Map()
  readonly stripes: number
  readonly #slackBytes: number
  /** Nodes whose parents changed since the last `takeChanged`. */
  #changed: Set<ForestNode> = new Set()
  /** Per zone, how many edges lead out of it. */
  readonly #outgoing: Map<string, number> = new Map()
  /** Per zone and stripe, how many inner nodes there are. */
  readonly #inner: Map<string, number[]> = new Map()

  constructor(options: ForestOptions) {
    this.stripes = options.stripes
    this.#slackBytes = options.slackBytes
    this.origin = this.#node(options.originId, options.originZone, true, -1)
    this.origin.isComplete = true
    this.origin.depths.fill(0)
  }

  /** Adds a peer, with what it has already. */
  add(id: string, zone: string, haveBytes: number, isComplete: boolean): ForestNode {
    assert(!this.nodes.has(id) && id !== this.origin.id, 'a peer joins once')
    const node = this.#node(id, zone, false, this.#leastServedStripe(zone))
    node.haveBytes = haveBytes
    node.isComplete = isComplete
    this.nodes.set(id, node)
    this.#changed.add(node)
    this.#countInner(node, 1)
    if (!isComplete) for (let stripe = 0; stripe < this.stripes; stripe++) this.#attach(node, stripe)
    for (let stripe = 0; stripe < this.stripes; stripe++) if (this.#freeSlots(node, stripe) > 0) this.#relieve(node, stripe)
    this.#balanceZones()
    return node
  }

  remove(id: string): void {
    const node = this.nodes.get(id)
    if (node === undefined) return
    this.nodes.delete(id)
    this.#changed.delete(node)
    this.#countInner(node, -1)
    for (let stripe = 0; stripe < this.stripes; stripe++) {
      this.#detach(node, stripe)
      this.#rehome(node, stripe)
    }
  }

  /** The peer can't pass on what it gets: its children go elsewhere. */
  markSlow(node: ForestNode): void {
    if (node.isSlow || node.isOrigin) return
    node.isSlow = true
    this.#countInner(node, -1)
    for (let stripe = 0; stripe < this.stripes; stripe++) this.#rehome(node, stripe)
  }

  /** The peer has shown that it is as fast as others. */
  clearSlow(node: ForestNode): void {
    if (!node.isSlow) return
    node.isSlow = false
    this.#countInner(node, 1)
    if (this.#freeSlots(node, node.innerStripe) > 0) this.#relieve(node, node.innerStripe)
  }

  /** The peer needs no parent any more and can serve any stripe. */
  markComplete(node: ForestNode): void {
    if (node.isComplete) return
    node.isComplete = true
    for (let stripe = 0; stripe < this.stripes; stripe++) this.#detach(node, stripe)
  }

  /** Gives the peer another parent in a stripe than the one it has; false if there is none. */
  reparent(node: ForestNode, stripe: number): boolean {
    const last = node.parents[stripe]
    this.#detach(node, stripe)
    const parent = this.#bestParent(node, stripe, last) ?? last ?? this.origin
    this.#link(parent, node, stripe)
    return parent !== last
  }

  /** Peers whose parents changed since the last call. */
  takeChanged(): ForestNode[] {
    const changed = [...this.#changed]
    this.#changed = new Set()
    return changed
  }

  // ---- building ----

  #node(id: string, zone: string, isOrigin: boolean, innerStripe: number): ForestNode {
    const per = <T>(make: () => T): T[] => Array.from({ length: this.stripes }, make)
    return {
      id,
      zone,
      isOrigin,
      innerStripe,
      parents: per(() => undefined as ForestNode | undefined),
      children: per(() => new Set<ForestNode>()),
      depths: per(() => UNATTACHED),
      isSlow: false,
      lateStripes: [],
      isComplete: false,
      haveBytes: 0,
    }
  }

  #attach(node: ForestNode, stripe: number): void {
    const parent = this.#bestParent(node, stripe, undefined)
    if (this.#isInner(node, stripe)) {
      const leaf = this.#highestLeaf(node, stripe)
      const depth = parent === undefined ? UNATTACHED : parent.depths[stripe]! + 1
      if (leaf !== undefined && leaf.depths[stripe]! < depth) return this.#displace(leaf, node, stripe)
    }
    this.#link(parent ?? this.#leastLoaded(node, stripe), node, stripe)
  }

  /** `node` takes the place of `leaf`, which becomes its child. */
  #displace(leaf: ForestNode, node: ForestNode, stripe: number): void {
    const parent = leaf.parents[stripe]!
    this.#detach(leaf, stripe)
    this.#link(parent, node, stripe)
    this.#link(node, leaf, stripe)
  }

  #rehome(node: ForestNode, stripe: number): void {
    const children = [...node.children[stripe]!]
    // Inner nodes first: they bring the slots that the leaves then take.
    children.sort((a, b) => Number(this.#isInner(b, stripe)) - Number(this.#isInner(a, stripe)))
    for (const child of children) this.#detach(child, stripe)
    for (const child of children) this.#attach(child, stripe)
  }

  /** A node with free slots takes children of those that have more than slots. */
  #relieve(node: ForestNode, stripe: number): void {
    for (const other of [this.origin, ...this.nodes.values()]) {
      if (other === node || this.#freeSlots(other, stripe) >= 0) continue
      // Leaves first: an inner child takes its whole subtree down with it.
      const children = [...other.children[stripe]!].sort((a, b) => Number(this.#isInner(a, stripe)) - Number(this.#isInner(b, stripe)))
      for (const child of children) {
        if (this.#freeSlots(node, stripe) <= 0) return
        if (this.#freeSlots(other, stripe) >= 0) break
        const isUseful = child !== node && !child.isSlow && this.#isAllowed(node, child, stripe) && !this.#isBelow(node, child, stripe)
        if (!isUseful) continue
        this.#detach(child, stripe)
        this.#link(node, child, stripe)
      }
    }
  }

  /**
   * Takes one gateway from under the zone that most edges lead out of and puts it under the one with the fewest: each zone's
   * link to the core is to carry about one copy outwards as well.
   */
  #balanceZones(): void {
    if (this.#inner.size < 3) return
    const count = (zone: string): number => this.#outgoing.get(zone) ?? 0
    const zones = [...this.#inner.keys()]
    const most = zones.reduce((a, b) => (count(b) > count(a) ? b : a))
    const fewest = zones.reduce((a, b) => (count(b) < count(a) ? b : a))
    if (count(most) - count(fewest) < 2) return
    for (let stripe = 0; stripe < this.stripes; stripe++) {
      const host = this.#highestInner(fewest, stripe)
      if (host === undefined) continue
      for (const node of this.nodes.values()) {
        if (node.parents[stripe]?.zone !== most || node.zone === most || node.zone === fewest) continue
        if (node.parents[stripe]!.isOrigin || this.#isBelow(host, node, stripe)) continue
        this.#detach(node, stripe)
        this.#link(host, node, stripe)
        const leaf = [...host.children[stripe]!].find((child) => child.zone === host.zone && !this.#isInner(child, stripe))
        if (leaf !== undefined && this.#freeSlots(host, stripe) < 0) {
          this.#detach(leaf, stripe)
          this.#attach(leaf, stripe)
        }
        return
      }
    }
  }

  #highestInner(zone: string, stripe: number): ForestNode | undefined {
    let best: ForestNode | undefined
    for (const node of this.nodes.values()) {
      if (node.zone !== zone || !this.#isInner(node, stripe) || node.depths[stripe]! >= UNATTACHED) continue
      if (this.#crossZoneChildren(node, stripe) >= MAX_CROSS_ZONE_CHILDREN) continue
      if (best === undefined || node.depths[stripe]! < best.depths[stripe]!) best = node
    }
    return best
  }

  #link(parent: ForestNode, node: ForestNode, stripe: number): void {
    node.parents[stripe] = parent
    parent.children[stripe]!.add(node)
    this.#countOutgoing(parent, node, 1)
    this.#changed.add(node)
    this.#setDepth(node, stripe, parent.depths[stripe]! + 1)
  }

  #detach(node: ForestNode, stripe: number): void {
    const parent = node.parents[stripe]
    if (parent === undefined) return
    node.parents[stripe] = undefined
    parent.children[stripe]!.delete(node)
    this.#countOutgoing(parent, node, -1)
    this.#changed.add(node)
    this.#setDepth(node, stripe, UNATTACHED)
  }

  #setDepth(node: ForestNode, stripe: number, depth: number): void {
    node.depths[stripe] = depth
    for (const child of node.children[stripe]!) this.#setDepth(child, stripe, depth + 1)
  }

  // ---- choosing ----

  #isInner(node: ForestNode, stripe: number): boolean {
    return !node.isSlow && node.innerStripe === stripe
  }

  /** Slots left; slow children don't count, they take next to nothing. */
  #freeSlots(node: ForestNode, stripe: number): number {
    let used = 0
    for (const child of node.children[stripe]!) if (!child.isSlow) used++
    if (node.isOrigin) return 1 - used
    if (node.isSlow) return -used
    if (node.isComplete) {
      for (let other = 0; other < this.stripes; other++) if (other !== stripe) used += node.children[other]!.size
      return this.stripes - used
    }
    return node.innerStripe === stripe ? this.stripes - used : -used
  }

  #isBehind(parent: ForestNode, node: ForestNode): boolean {
    return !parent.isComplete && parent.haveBytes + this.#slackBytes < node.haveBytes
  }

  #isBelow(node: ForestNode, ancestor: ForestNode, stripe: number): boolean {
    for (let at: ForestNode | undefined = node; at !== undefined; at = at.parents[stripe]) if (at === ancestor) return true
    return false
  }

  /** Whether zones allow this edge: inside one zone always, across zones only for the zone's gateway. */
  #isAllowed(parent: ForestNode, node: ForestNode, stripe: number): boolean {
    return parent.zone === node.zone || this.#gateway(node.zone, stripe, node) === undefined
  }

  /** The zone's node, other than `except`, that gets the stripe from outside of the zone. */
  #gateway(zone: string, stripe: number, except: ForestNode): ForestNode | undefined {
    for (const node of this.nodes.values()) {
      if (node.zone !== zone || node === except) continue
      const parent = node.parents[stripe]
      if (parent !== undefined && (parent.isOrigin || parent.zone !== zone)) return node
    }
    return undefined
  }

  #bestParent(node: ForestNode, stripe: number, avoid: ForestNode | undefined): ForestNode | undefined {
    const gateway = this.#gateway(node.zone, stripe, node)
    let best: ForestNode | undefined
    let bestScore = Infinity
    const consider = (candidate: ForestNode): void => {
      if (candidate === node || candidate === avoid || candidate.isSlow) return
      const depth = candidate.depths[stripe]!
      const isRoot = candidate.isOrigin || candidate.isComplete
      if (depth >= UNATTACHED && !isRoot) return
      const free = this.#freeSlots(candidate, stripe)
      if (node.isSlow ? !this.#isInner(candidate, stripe) && !isRoot : free <= 0) return
      const isInside = candidate.zone === node.zone && !candidate.isOrigin
      if (!isInside) {
        if (gateway !== undefined) return
        if (!candidate.isOrigin && this.#crossZoneChildren(candidate, stripe) >= MAX_CROSS_ZONE_CHILDREN) return
      }
      let score = isRoot ? 1 : depth
      if (!isInside && !candidate.isOrigin) score += 100 * (this.#outgoing.get(candidate.zone) ?? 0)
      if (node.isSlow) score += candidate.children[stripe]!.size
      if (candidate.lateStripes.includes(stripe)) score += 1e4
      if (this.#isBehind(candidate, node)) score += 1e6
      if (score >= bestScore || this.#isBelow(candidate, node, stripe)) return
      best = candidate
      bestScore = score
    }
    consider(this.origin)
    for (const candidate of this.nodes.values()) consider(candidate)
    return best
  }

  /** No slot is free: the node of the zone that is the least over its slots, or the origin. */
  #leastLoaded(node: ForestNode, stripe: number): ForestNode {
    let best: ForestNode | undefined
    let bestScore = Infinity
    const gateway = this.#gateway(node.zone, stripe, node)
    for (const candidate of this.nodes.values()) {
      if (candidate === node || candidate.isSlow || (gateway !== undefined && candidate.zone !== node.zone)) continue
      if (candidate.depths[stripe]! >= UNATTACHED && !candidate.isComplete) continue
      let score = -100 * this.#freeSlots(candidate, stripe) + candidate.depths[stripe]!
      // A leaf rather than an inner node: an inner node that comes takes the leaf's place and its children as well.
      if (this.#isInner(candidate, stripe)) score += 50
      if (candidate.lateStripes.includes(stripe)) score += 1e4
      if (this.#isBehind(candidate, node)) score += 1e6
      if (score >= bestScore || this.#isBelow(candidate, node, stripe)) continue
      best = candidate
      bestScore = score
    }
    return best ?? this.origin
  }

  #highestLeaf(node: ForestNode, stripe: number): ForestNode | undefined {
    let best: ForestNode | undefined
    for (const candidate of this.nodes.values()) {
      if (candidate === node || candidate.zone !== node.zone || candidate.depths[stripe]! >= UNATTACHED) continue
      if (this.#isInner(candidate, stripe) || candidate.isComplete || this.#isBehind(node, candidate)) continue
      const difference = best === undefined ? -1 : candidate.depths[stripe]! - best.depths[stripe]!
      if (difference < 0 || (difference === 0 && candidate.children[stripe]!.size > best!.children[stripe]!.size)) best = candidate
    }
    return best
  }

  #leastServedStripe(zone: string): number {
    const inner = this.#innerOf(zone)
    let best = 0
    for (let stripe = 1; stripe < this.stripes; stripe++) if (inner[stripe]! < inner[best]!) best = stripe
    return best
  }

  // ---- counts ----

  #innerOf(zone: string): number[] {
    let inner = this.#inner.get(zone)
    if (inner === undefined) {
      inner = new Array<number>(this.stripes).fill(0)
      this.#inner.set(zone, inner)
    }
    return inner
  }

  #countInner(node: ForestNode, by: number): void {
    if (node.isSlow && by > 0) return
    this.#innerOf(node.zone)[node.innerStripe]! += by
  }

  #countOutgoing(parent: ForestNode, node: ForestNode, by: number): void {
    if (parent.isOrigin || parent.zone === node.zone) return
    this.#outgoing.set(parent.zone, (this.#outgoing.get(parent.zone) ?? 0) + by)
  }

  #crossZoneChildren(node: ForestNode, stripe: number): number {
    let count = 0
    for (const child of node.children[stripe]!) if (child.zone !== node.zone) count++
    return count
  }
}
