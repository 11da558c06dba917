/**
 * The plan: for each stripe a tree over all peers, rooted at the origin, so that every uplink carries about one copy.
 *
 * Run u travels in stripe u mod k. A peer has k slots for children. It uses them in one stripe, where it is an inner node, and is
 * a leaf in the others: it passes on as much as it gets. An inner node that joins takes the place of the highest leaf of its
 * stripe, so that trees stay as low as log_k N. (SplitStream, Castro et al., SOSP 2003, has the same forest; there it comes
 * about without a planner and with unbounded depth, here one node plans.) Where a stripe has fewer slots than children, a
 * node with slots to spare in its own lends them: one child too many at one node slows down all that hang below.
 *
 * Zones: within a stripe each zone has one gateway, whose parent is outside of the zone; all others have parents inside. Zones
 * stand to each other as peers do: each passes one stripe on to up to k other zones, so that its link to the core carries
 * about one copy in and one out.
 *
 * A peer that passes on little becomes a leaf everywhere; one that takes little as well needs no slot as a child. A peer that has everything may use its slots
 * in any stripe. Cost: a scan of the zone's members per stripe and change.
 */
import { assert } from '../lib/assert.ts'
import {
  changing,
  crossingChildren,
  forestNode,
  forestZone,
  freeSlots,
  isHost,
  link,
  outgoingOf,
  setDepth,
  UNATTACHED,
  unlink,
  type ForestNode,
  type ForestZone,
} from './forest-node.ts'

export type { ForestNode }

export interface ForestOptions {
  readonly originId: string
  readonly originZone: string
  /** Trees, and slots of a node. */
  readonly stripes: number
  /** A peer that is this many bytes behind another is not put above it. */
  readonly slackBytes: number
}

const MAX_CROSSING_CHILDREN = 2
/** How far room is made for one node, and how many of those with free slots are looked at for a swap. */
const MAX_MOVES = 16
const MAX_SWAP_TRIES = 4
/** How much deeper a place may be before a lent slot is preferred. */
const LENDING_DEPTH = 3
const FAR = 1e4
const BEHIND = 1e6

export class StripeForest {
  readonly origin: ForestNode
  readonly nodes: Map<string, ForestNode> = new Map()
  readonly stripes: number
  readonly #zones: Map<string, ForestZone> = new Map()
  readonly #originZone: ForestZone
  readonly #slackBytes: number
  /** Nodes whose parents changed since the last `takeChanged`. */
  #changed: Set<ForestNode> = new Set()

  constructor(options: ForestOptions) {
    this.stripes = options.stripes
    this.#slackBytes = options.slackBytes
    this.#originZone = forestZone(options.originZone, options.stripes, 0)
    this.#zones.set(options.originZone, this.#originZone)
    this.origin = forestNode(options.originId, this.#originZone, true, -1)
    this.origin.isComplete = true
    this.origin.depths.fill(0)
  }

  /** Adds a peer, with what it has already. */
  add(id: string, zoneName: string, haveBytes: number, isComplete: boolean): ForestNode {
    assert(!this.nodes.has(id) && id !== this.origin.id, 'a peer joins once')
    const zone = this.#zones.get(zoneName) ?? this.#addZone(zoneName)
    const node = forestNode(id, zone, false, this.#neediestStripe(zone))
    node.haveBytes = haveBytes
    node.isComplete = isComplete
    if (isComplete) node.depths.fill(0)
    this.nodes.set(id, node)
    zone.members.add(node)
    zone.inner[node.innerStripe]!++
    this.#changed.add(node)
    // Its own stripe comes first: the slots that it brings may be what the other stripes are short of.
    if (!isComplete) for (let i = 0; i < this.stripes; i++) this.#attach(node, (node.innerStripe + i) % this.stripes)
    this.#relieve(node)
    return node
  }

  remove(id: string): void {
    const node = this.nodes.get(id)
    if (node === undefined) return
    this.nodes.delete(id)
    node.zone.members.delete(node)
    node.zone.overloaded.delete(node)
    if (node.canPassOn) node.zone.inner[node.innerStripe]!--
    for (let stripe = 0; stripe < this.stripes; stripe++) this.#attachAll(this.#takeOut(node, stripe), stripe)
    this.#changed.delete(node)
    for (const overloaded of [...node.zone.overloaded]) this.#unload(overloaded)
    if (node.zone.members.size === 0 && node.zone !== this.#originZone) this.#zones.delete(node.zone.name)
  }

  /** The peer takes little of what is sent to it: it becomes a leaf that needs no slot, and its children go elsewhere. */
  markSlow(node: ForestNode): void {
    if (node.isSlow || node.isOrigin) return
    this.#demote(node, true)
  }

  /** The peer gets enough but passes on little: it becomes a leaf, and its children go elsewhere. */
  markWeak(node: ForestNode): void {
    if (!node.canPassOn || node.isOrigin) return
    this.#demote(node, false)
  }

  /** The peer has shown that it is as fast as others. */
  restore(node: ForestNode): void {
    if (node.canPassOn) return
    changing(node, () => {
      node.isSlow = false
      node.canPassOn = true
    })
    this.#relieve(node)
  }

  /** The peer needs no parent any more and can serve any stripe. */
  markComplete(node: ForestNode): void {
    if (node.isComplete) return
    for (let stripe = 0; stripe < this.stripes; stripe++) this.#unlink(node, stripe)
    changing(node, () => (node.isComplete = true))
    for (let stripe = 0; stripe < this.stripes; stripe++) setDepth(node, stripe, 0)
  }

  /** Gives the peer another parent in a stripe than the one it has; false if there is none. */
  reparent(node: ForestNode, stripe: number): boolean {
    const last = node.parents[stripe]
    this.#unlink(node, stripe)
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

  #demote(node: ForestNode, isSlow: boolean): void {
    changing(node, () => {
      node.isSlow = isSlow
      node.canPassOn = false
    })
    for (let stripe = 0; stripe < this.stripes; stripe++) {
      const orphans = this.#takeOut(node, stripe)
      this.#attachAll(node.isComplete ? orphans : [...orphans, node], stripe)
    }
    for (const overloaded of [...node.zone.overloaded]) this.#unload(overloaded)
  }

  #addZone(name: string): ForestZone {
    const zones = new Array<number>(this.stripes).fill(0)
    for (const zone of this.#zones.values()) if (zone !== this.#originZone) zones[zone.innerStripe]!++
    const zone = forestZone(name, this.stripes, zones.indexOf(Math.min(...zones)))
    this.#zones.set(name, zone)
    return zone
  }

  #link(parent: ForestNode, node: ForestNode, stripe: number): void {
    link(parent, node, stripe)
    this.#changed.add(node)
  }

  #unlink(node: ForestNode, stripe: number): void {
    unlink(node, stripe)
    this.#changed.add(node)
  }

  /** Takes a node out of a tree; returns its children, which then hang on nothing. */
  #takeOut(node: ForestNode, stripe: number): ForestNode[] {
    const children = [...node.children[stripe]!]
    this.#unlink(node, stripe)
    for (const child of children) this.#unlink(child, stripe)
    return children
  }

  /** Those that bring slots first; slow ones last. */
  #attachAll(nodes: ForestNode[], stripe: number): void {
    const rank = (node: ForestNode): number => (node.isSlow ? 2 : isHost(node, stripe) ? 0 : 1)
    for (const node of nodes.sort((a, b) => rank(a) - rank(b))) this.#attach(node, stripe)
  }

  /** Finds a place for a node that has none; to make room, others are moved at most `moves` times one after the other. */
  #attach(node: ForestNode, stripe: number, moves: number = MAX_MOVES): void {
    const parent = this.#bestParent(node, stripe, undefined)
    const replaced = moves > 0 ? this.#placeToTake(node, stripe, parent) : undefined
    if (replaced !== undefined) return this.#displace(replaced, node, stripe, moves - 1)
    if (moves > 0 && parent !== undefined && !parent.isOrigin && parent.zone !== node.zone) {
      return this.#linkAcross(parent, node, stripe, moves - 1)
    }
    if (!node.isSlow && (parent === undefined || !(parent.isOrigin || isHost(parent, stripe))) && this.#takeBack(node, stripe)) return
    this.#link(parent ?? this.#leastLoaded(node, stripe), node, stripe)
  }

  /** Puts the node under one that has lent a slot to another stripe; the child that had it looks for another place. */
  #takeBack(node: ForestNode, stripe: number): boolean {
    if (node.zone.lent.every((count) => count === 0)) return false
    // High up for a node that others will hang on, deep down for a leaf.
    const direction = isHost(node, stripe) ? 1 : -1
    let best: { host: ForestNode; child: ForestNode; lentStripe: number; other: ForestNode } | undefined
    for (const host of node.zone.members) {
      if (host.innerStripe !== stripe || !host.canPassOn || host.depths[stripe]! >= UNATTACHED || this.#isBehind(host, node)) continue
      if (best !== undefined && direction * (host.depths[stripe]! - best.host.depths[stripe]!) >= 0) continue
      const lentStripe = host.children.findIndex((children, other) => other !== stripe && children.size > 0)
      if (lentStripe < 0) continue
      const [child] = host.children[lentStripe]!
      const other = this.#bestInside(child!, lentStripe, host)
      if (other !== undefined && !isBelow(other, child!, lentStripe)) best = { host, child: child!, lentStripe, other }
    }
    if (best === undefined) return false
    this.#unlink(best.child, best.lentStripe)
    this.#link(best.host, node, stripe)
    this.#link(best.other, best.child, best.lentStripe)
    return true
  }

  /** `node` takes the place of `other`, which goes below it or elsewhere. */
  #displace(other: ForestNode, node: ForestNode, stripe: number, moves: number): void {
    const parent = other.parents[stripe]!
    this.#unlink(other, stripe)
    this.#link(parent, node, stripe)
    if (other.zone === node.zone && (other.isSlow || freeSlots(node, stripe) > 0)) this.#link(node, other, stripe)
    else this.#attach(other, stripe, moves)
  }

  /** A zone is fed from high up in another one; there a leaf makes room, if it must, and goes further down. */
  #linkAcross(parent: ForestNode, node: ForestNode, stripe: number, moves: number): void {
    const isFull = !node.isSlow && freeSlots(parent, stripe) <= 0
    this.#link(parent, node, stripe)
    const moving = isFull ? movableChild(parent) : undefined
    if (moving === undefined) return
    this.#unlink(moving.child, moving.stripe)
    this.#attach(moving.child, moving.stripe, moves)
  }

  /** A node with free slots takes children for which others have lent theirs, then from those that have too many. */
  #relieve(node: ForestNode): void {
    for (let stripe = 0; stripe < this.stripes; stripe++) {
      if (!isHost(node, stripe) || node.depths[stripe]! >= UNATTACHED || node.zone.lent[stripe] === 0) continue
      for (const lender of node.zone.members) if (!isHost(lender, stripe)) this.#takeChildren(node, lender, stripe)
    }
    for (const overloaded of [...node.zone.overloaded]) this.#unload(overloaded)
  }

  #takeChildren(node: ForestNode, lender: ForestNode, stripe: number): void {
    for (const child of [...lender.children[stripe]!]) {
      if (freeSlots(node, stripe) <= 0) return
      const isCrossingTooMany = child.zone !== node.zone && crossingChildren(node, stripe) >= MAX_CROSSING_CHILDREN
      if (child.isSlow || isCrossingTooMany || isBelow(node, child, stripe)) continue
      this.#unlink(child, stripe)
      this.#link(node, child, stripe)
    }
  }

  /** Moves children to where there is a slot, those first that the fewest others hang on. */
  #unload(node: ForestNode): void {
    const movable: { child: ForestNode; stripe: number; rank: number }[] = []
    node.children.forEach((children, stripe) => {
      for (const child of children) {
        if (child.isSlow) continue
        const rank = 8 * child.children[stripe]!.size + (child.zone === node.zone ? 0 : 4) + (isHost(node, stripe) ? 1 : 0)
        movable.push({ child, stripe, rank })
      }
    })
    movable.sort((a, b) => a.rank - b.rank)
    for (const { child, stripe } of movable) {
      if (node.used <= this.stripes) return
      // Making room for another one may have moved it.
      if (child.parents[stripe] !== node) continue
      this.#unlink(child, stripe)
      const parent = this.#bestParent(child, stripe, undefined)
      if (parent === undefined || freeSlots(parent, stripe) <= 0) this.#moveAboveLeaf(child, stripe, node)
      // It may have a tree below it, which should not sink: it takes a leaf's place.
      else if (child.zone === parent.zone) this.#attach(child, stripe)
      else this.#link(parent, child, stripe)
    }
    for (let swap = this.#findSwap(node); swap !== undefined && node.used > this.stripes; swap = this.#findSwap(node)) this.#swap(swap)
  }

  #swap({ child, stripe, host, other, otherStripe, free }: Swap): void {
    this.#unlink(other, otherStripe)
    this.#link(free, other, otherStripe)
    this.#unlink(child, stripe)
    this.#link(host, child, stripe)
  }

  /** A child that can't leave `last` for want of slots, but has some itself: it takes the place of a leaf, which then hangs on it. */
  #moveAboveLeaf(node: ForestNode, stripe: number, last: ForestNode): void {
    const isFit = freeSlots(node, stripe) > 0 && last.zone === node.zone
    const leaf = isFit ? this.#highestLeaf(node, stripe, last) : undefined
    const parent = leaf?.parents[stripe]
    if (leaf !== undefined) this.#unlink(leaf, stripe)
    this.#link(parent ?? last, node, stripe)
    if (leaf !== undefined) this.#link(node, leaf, stripe)
  }

  // ---- choosing ----

  /** The stripe with the fewest slots for the children that it has in the zone, and for those outside. */
  #neediestStripe(zone: ForestZone): number {
    const isPassingOn = zone !== this.#originZone && this.#zones.size > 2
    const need = (stripe: number): number => {
      const outside = isPassingOn && zone.innerStripe === stripe ? this.stripes : 0
      return zone.members.size + outside - this.stripes * zone.inner[stripe]!
    }
    let best = 0
    for (let stripe = 1; stripe < this.stripes; stripe++) if (need(stripe) > need(best)) best = stripe
    return best
  }

  #isBehind(parent: ForestNode, node: ForestNode): boolean {
    return !parent.isComplete && parent.haveBytes + this.#slackBytes < node.haveBytes
  }

  /** How bad a candidate is as a parent, by what is the same for all kinds of edges. */
  #faults(candidate: ForestNode, node: ForestNode, stripe: number): number {
    return (candidate.lateStripes.includes(stripe) ? FAR : 0) + (this.#isBehind(candidate, node) ? BEHIND : 0)
  }

  #bestParent(node: ForestNode, stripe: number, avoid: ForestNode | undefined): ForestNode | undefined {
    const inside = this.#bestInside(node, stripe, avoid)
    if (inside !== undefined) return inside
    return node.zone.gateways[stripe]!.size === 0 ? this.#bestAcross(node, stripe, avoid) : undefined
  }

  #bestInside(node: ForestNode, stripe: number, avoid: ForestNode | undefined): ForestNode | undefined {
    const { zone } = node
    let best: ForestNode | undefined
    let bestScore = Infinity
    for (const candidate of zone.members) {
      if (!candidate.canPassOn || candidate === avoid || candidate === node) continue
      const depth = candidate.depths[stripe]!
      if (depth >= UNATTACHED) continue
      if (!node.isSlow && freeSlots(candidate, stripe) <= 0) continue
      let score = depth + (node.isSlow ? FAR * candidate.usedBySlow : 0)
      if (!isHost(candidate, stripe) && !node.isSlow) score += this.#canLend(candidate) ? LENDING_DEPTH : 4 * LENDING_DEPTH
      score += this.#faults(candidate, node, stripe)
      if (score >= bestScore) continue
      best = candidate
      bestScore = score
    }
    return best
  }

  /** Whether the node's own stripe has slots to spare in its zone. */
  #canLend(node: ForestNode): boolean {
    return node.isComplete || this.stripes * node.zone.inner[node.innerStripe]! >= node.zone.members.size
  }

  /** The parent for a zone's gateway: the origin, or a node high up in a zone that has passed on little. */
  #bestAcross(node: ForestNode, stripe: number, avoid: ForestNode | undefined): ForestNode | undefined {
    if (avoid !== this.origin && freeSlots(this.origin, stripe) > 0 && node.canPassOn) return this.origin
    let best: ForestNode | undefined
    let bestScore = Infinity
    for (const zone of this.#zones.values()) {
      if (zone === node.zone) continue
      const zoneScore = this.#zoneScore(zone, stripe)
      if (zoneScore >= bestScore) continue
      for (const candidate of zone.members) {
        if (!candidate.canPassOn || candidate === avoid || candidate.depths[stripe]! >= UNATTACHED) continue
        let score = zoneScore + candidate.depths[stripe]! + this.#faults(candidate, node, stripe)
        if (!isHost(candidate, stripe)) score += LENDING_DEPTH
        if (freeSlots(candidate, stripe) <= 0) score += isHost(candidate, stripe) && movableChild(candidate) !== undefined ? 1 : FAR
        if (zone.members.size > 1) score += 10 * Math.max(0, crossingChildren(candidate, stripe) - MAX_CROSSING_CHILDREN + 1)
        if (score >= bestScore) continue
        best = candidate
        bestScore = score
      }
    }
    return best
  }

  /** How unfit a zone is to pass a stripe on to one more zone. */
  #zoneScore(zone: ForestZone, stripe: number): number {
    const spare = this.stripes - outgoingOf(zone)
    if (zone === this.#originZone) return zone.outgoing[stripe]! === 0 ? 0 : 100 * zone.outgoing[stripe]!
    return (zone.innerStripe === stripe ? 0 : 20) + (spare > 0 ? 0 : 100 * (1 - spare))
  }

  /** No slot is free: the node that the fewest others hang on, among those of the zone, else the origin. */
  #leastLoaded(node: ForestNode, stripe: number): ForestNode {
    let best: ForestNode | undefined
    let bestScore = Infinity
    for (const candidate of node.zone.members) {
      if (candidate === node || candidate.depths[stripe]! >= UNATTACHED) continue
      const depth = candidate.depths[stripe]!
      const load = candidate.used + candidate.usedBySlow
      // Among those that pass on little, a tree of them.
      const score = !candidate.canPassOn ? BEHIND + FAR * Math.max(0, load - this.stripes + 1) + depth : FAR * load - depth
      if (score >= bestScore) continue
      best = candidate
      bestScore = score
    }
    return best ?? this.#bestAcross(node, stripe, undefined) ?? this.origin
  }

  /**
   * Whose place the node should take: a gateway's that passes on little, or the highest leaf's of a stripe in which it is an inner node, where
   * that is higher than below `parent`.
   */
  #placeToTake(node: ForestNode, stripe: number, parent: ForestNode | undefined): ForestNode | undefined {
    if (!node.canPassOn) return undefined
    const gateways = node.zone.gateways[stripe]!
    for (const gateway of gateways) if (!gateway.canPassOn) return gateway
    const depth = parent === undefined ? UNATTACHED : parent.depths[stripe]! + 1
    if (gateways.size === 0 && parent?.zone !== node.zone) return this.#zoneToDisplace(node, stripe, depth)
    if (!isHost(node, stripe)) return undefined
    let best: ForestNode | undefined
    for (const candidate of node.zone.members) {
      const candidateDepth = candidate.depths[stripe]!
      if (candidate === node || candidateDepth >= depth || candidate.parents[stripe] === undefined) continue
      if (isHost(candidate, stripe) || candidate.isComplete || this.#isBehind(node, candidate)) continue
      const difference = best === undefined ? -1 : candidateDepth - best.depths[stripe]!
      if (difference < 0 || (difference === 0 && candidate.children[stripe]!.size > best!.children[stripe]!.size)) best = candidate
    }
    return best
  }

  /**
   * A way to relieve a node of a child where no free slot is fit for any of its children: the child goes to a host whose own child
   * goes to the free slot. The one that leaves the trees lowest.
   */
  #findSwap(node: ForestNode): Swap | undefined {
    const { members } = node.zone
    const children = childrenOf(node).filter(({ child }) => child.zone === node.zone)
    let best: Swap | undefined
    let bestScore = Infinity
    let tries = 0
    for (const free of members) {
      if (!free.canPassOn || freeSlots(free, 0) <= 0 || tries++ >= MAX_SWAP_TRIES) continue
      for (const host of members) {
        if (host === node || host === free || !host.canPassOn) continue
        for (const { child: other, stripe: otherStripe } of childrenOf(host)) {
          if (other.zone !== node.zone || isBelow(free, other, otherStripe)) continue
          for (const { child, stripe } of children) {
            if (other === child && otherStripe === stripe) continue
            const score = heightOf(free, other, otherStripe) + heightOf(host, child, stripe)
            if (score >= bestScore || isBelow(host, child, stripe)) continue
            best = { child, stripe, host, other, otherStripe, free }
            bestScore = score
          }
        }
      }
    }
    return best
  }

  /** A leaf of the node's zone that `node` can stand above, not one of `avoid`'s. */
  #highestLeaf(node: ForestNode, stripe: number, avoid: ForestNode): ForestNode | undefined {
    let best: ForestNode | undefined
    for (const candidate of node.zone.members) {
      const parent = candidate.parents[stripe]
      if (parent === undefined || parent === avoid || parent.zone !== node.zone) continue
      if (candidate === node || candidate.isSlow || candidate.children[stripe]!.size > 0 || this.#isBehind(node, candidate)) continue
      const depth = candidate.depths[stripe]!
      if (depth < (best === undefined ? UNATTACHED : best.depths[stripe]!)) best = candidate
    }
    return best
  }

  /** The gateway of a zone whose place the first node of a zone should take that passes this stripe on to others. */
  #zoneToDisplace(node: ForestNode, stripe: number, depth: number): ForestNode | undefined {
    const isRoot = (zone: ForestZone): boolean => zone === this.#originZone
    if (!isRoot(node.zone) && node.zone.innerStripe !== stripe) return undefined
    let best: ForestNode | undefined
    for (const zone of this.#zones.values()) {
      if (zone === node.zone || isRoot(zone) || (zone.innerStripe === stripe && !isRoot(node.zone))) continue
      for (const gateway of zone.gateways[stripe]!) {
        if (gateway.depths[stripe]! >= depth) continue
        if (best === undefined || gateway.depths[stripe]! < best.depths[stripe]!) best = gateway
      }
    }
    return best
  }
}

/** `child` goes to `host`, whose child `other` goes to `free`, which has a slot left. */
interface Swap {
  readonly child: ForestNode
  readonly stripe: number
  readonly host: ForestNode
  readonly other: ForestNode
  readonly otherStripe: number
  readonly free: ForestNode
}

/** The children that take a slot. */
function childrenOf(node: ForestNode): { child: ForestNode; stripe: number }[] {
  return node.children.flatMap((children, stripe) => [...children].filter((child) => !child.isSlow).map((child) => ({ child, stripe })))
}

/** How high a tree gets by an edge, and how much it is in the way of others. */
function heightOf(parent: ForestNode, child: ForestNode, stripe: number): number {
  return parent.depths[stripe]! + child.children[stripe]!.size + (isHost(parent, stripe) ? 0 : LENDING_DEPTH)
}

/** A child in the node's own zone that nothing hangs on, rather one in a stripe for which it has lent the slot. */
function movableChild(node: ForestNode): { child: ForestNode; stripe: number } | undefined {
  let found: { child: ForestNode; stripe: number } | undefined
  node.children.forEach((children, stripe) => {
    for (const child of children) {
      if (child.zone !== node.zone || child.isSlow || child.children[stripe]!.size > 0) continue
      if (found === undefined || stripe !== node.innerStripe) found = { child, stripe }
    }
  })
  return found
}

function isBelow(node: ForestNode, ancestor: ForestNode, stripe: number): boolean {
  for (let at: ForestNode | undefined = node; at !== undefined; at = at.parents[stripe]) if (at === ancestor) return true
  return false
}
