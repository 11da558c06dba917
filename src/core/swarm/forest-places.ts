/**
 * Where a node of a `StripeForest` should hang, and who could make room for it: looks at the trees and changes nothing.
 *
 * Candidates are compared by a score, the lowest wins: depth first of all, with large constants added for what weighs more than any depth.
 */
import { crossingChildren, freeSlots, isHost, outgoingOf, UNATTACHED, type ForestNode, type ForestZone } from './forest-node.ts'

/** Children of a node in other zones, in one stripe: more are given only where there is no choice. */
export const MAX_CROSSING_CHILDREN = 2
/** Of the nodes with free slots so many are looked at for a swap. */
const MAX_SWAP_TRIES = 4
/** How much deeper a place may be before a lent slot is preferred. */
const LENDING_DEPTH = 3
const FAR = 1e4
const BEHIND = 1e6

export interface ForestPlacesOptions {
  readonly origin: ForestNode
  /** All zones by name, with the origin's; kept by the forest. */
  readonly zones: ReadonlyMap<string, ForestZone>
  readonly stripes: number
  /** A peer that is this many bytes behind another is not put above it. */
  readonly slackBytes: number
}

export class ForestPlaces {
  readonly #origin: ForestNode
  readonly #originZone: ForestZone
  readonly #zones: ReadonlyMap<string, ForestZone>
  readonly #stripes: number
  readonly #slackBytes: number

  constructor({ origin, zones, stripes, slackBytes }: ForestPlacesOptions) {
    this.#origin = origin
    this.#originZone = origin.zone
    this.#zones = zones
    this.#stripes = stripes
    this.#slackBytes = slackBytes
  }

  /** The stripe with the fewest slots for the children that it has in the zone, and for those outside. */
  neediestStripe(zone: ForestZone): number {
    const isPassingOn = zone !== this.#originZone && this.#zones.size > 2
    const need = (stripe: number): number => {
      const outside = isPassingOn && zone.innerStripe === stripe ? this.#stripes : 0
      return zone.members.size + outside - this.#stripes * zone.inner[stripe]!
    }
    let best = 0
    for (let stripe = 1; stripe < this.#stripes; stripe++) if (need(stripe) > need(best)) best = stripe
    return best
  }

  /** Whether a peer has so much less than another one that it should not stand above it. */
  isBehind(parent: ForestNode, node: ForestNode): boolean {
    return !parent.isComplete && parent.haveBytes + this.#slackBytes < node.haveBytes
  }

  /** How bad a candidate is as a parent, by what is the same for all kinds of edges. */
  #faults(candidate: ForestNode, node: ForestNode, stripe: number): number {
    return (candidate.lateStripes.includes(stripe) ? FAR : 0) + (this.isBehind(candidate, node) ? BEHIND : 0)
  }

  /** The best parent with a slot for the node, in its zone, or outside where the zone has no gateway yet. */
  bestParent(node: ForestNode, stripe: number, avoid: ForestNode | undefined): ForestNode | undefined {
    const inside = this.bestInside(node, stripe, avoid)
    if (inside !== undefined) return inside
    return node.zone.gateways[stripe]!.size === 0 ? this.#bestAcross(node, stripe, avoid) : undefined
  }

  /** The best parent among the members of the node's own zone, not `avoid`. */
  bestInside(node: ForestNode, stripe: number, avoid: ForestNode | undefined): ForestNode | undefined {
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
    return node.isComplete || this.#stripes * node.zone.inner[node.innerStripe]! >= node.zone.members.size
  }

  /** The parent for a zone's gateway: the origin, or a node high up in a zone that has passed on little. */
  #bestAcross(node: ForestNode, stripe: number, avoid: ForestNode | undefined): ForestNode | undefined {
    if (avoid !== this.#origin && freeSlots(this.#origin, stripe) > 0 && node.canPassOn) return this.#origin
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
    const spare = this.#stripes - outgoingOf(zone)
    if (zone === this.#originZone) return zone.outgoing[stripe]! === 0 ? 0 : 100 * zone.outgoing[stripe]!
    return (zone.innerStripe === stripe ? 0 : 20) + (spare > 0 ? 0 : 100 * (1 - spare))
  }

  /** No slot is free: the node that the fewest others hang on, among those of the zone, else the origin. */
  leastLoaded(node: ForestNode, stripe: number): ForestNode {
    let best: ForestNode | undefined
    let bestScore = Infinity
    for (const candidate of node.zone.members) {
      if (candidate === node || candidate.depths[stripe]! >= UNATTACHED) continue
      const depth = candidate.depths[stripe]!
      const load = candidate.used + candidate.usedBySlow
      // Among those that pass on little, a tree of them.
      const score = !candidate.canPassOn ? BEHIND + FAR * Math.max(0, load - this.#stripes + 1) + depth : FAR * load - depth
      if (score >= bestScore) continue
      best = candidate
      bestScore = score
    }
    return best ?? this.#bestAcross(node, stripe, undefined) ?? this.#origin
  }

  /**
   * Whose place the node should take: a gateway's that passes on little, or the highest leaf's of a stripe in which it is an inner node, where
   * that is higher than below `parent`.
   */
  placeToTake(node: ForestNode, stripe: number, parent: ForestNode | undefined): ForestNode | undefined {
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
      if (isHost(candidate, stripe) || candidate.isComplete || this.isBehind(node, candidate)) continue
      const difference = best === undefined ? -1 : candidateDepth - best.depths[stripe]!
      if (difference < 0 || (difference === 0 && candidate.children[stripe]!.size > best!.children[stripe]!.size)) best = candidate
    }
    return best
  }

  /**
   * A way to relieve a node of a child where no free slot is fit for any of its children: the child goes to a host whose own child
   * goes to the free slot. The one that leaves the trees lowest.
   */
  findSwap(node: ForestNode): Swap | undefined {
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
  highestLeaf(node: ForestNode, stripe: number, avoid: ForestNode): ForestNode | undefined {
    let best: ForestNode | undefined
    for (const candidate of node.zone.members) {
      const parent = candidate.parents[stripe]
      if (parent === undefined || parent === avoid || parent.zone !== node.zone) continue
      if (candidate === node || candidate.isSlow || candidate.children[stripe]!.size > 0 || this.isBehind(node, candidate)) continue
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
export interface Swap {
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
export function movableChild(node: ForestNode): { child: ForestNode; stripe: number } | undefined {
  let found: { child: ForestNode; stripe: number } | undefined
  node.children.forEach((children, stripe) => {
    for (const child of children) {
      if (child.zone !== node.zone || child.isSlow || child.children[stripe]!.size > 0) continue
      if (found === undefined || stripe !== node.innerStripe) found = { child, stripe }
    }
  })
  return found
}

/** Whether a node hangs on another one, directly or not, or is it. */
export function isBelow(node: ForestNode, ancestor: ForestNode, stripe: number): boolean {
  for (let at: ForestNode | undefined = node; at !== undefined; at = at.parents[stripe]) if (at === ancestor) return true
  return false
}
