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
 * A peer that passes on little becomes a leaf everywhere; one that takes little as well needs no slot as a child. A peer that has
 * everything may use its slots in any stripe.
 *
 * This file changes the trees; which place is best is in `forest-places.ts`. Cost: a scan of the zone's members per stripe and change.
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
  setDepth,
  UNATTACHED,
  unlink,
  type ForestNode,
  type ForestZone,
} from './forest-node.ts'
import { ForestPlaces, isBelow, MAX_CROSSING_CHILDREN, movableChild, type Swap } from './forest-places.ts'

export type { ForestNode }

export interface ForestOptions {
  readonly originId: string
  readonly originZone: string
  /** Trees, and slots of a node. */
  readonly stripes: number
  /** A peer that is this many bytes behind another is not put above it. */
  readonly slackBytes: number
}

/** How far room is made for one node. */
const MAX_MOVES = 16

export class StripeForest {
  readonly origin: ForestNode
  readonly nodes: Map<string, ForestNode> = new Map()
  readonly stripes: number
  readonly #zones: Map<string, ForestZone> = new Map()
  readonly #originZone: ForestZone
  readonly #places: ForestPlaces
  /** Nodes whose parents changed since the last `takeChanged`. */
  #changed: Set<ForestNode> = new Set()

  constructor(options: ForestOptions) {
    this.stripes = options.stripes
    this.#originZone = forestZone(options.originZone, options.stripes, 0)
    this.#zones.set(options.originZone, this.#originZone)
    this.origin = forestNode(options.originId, this.#originZone, true, -1)
    this.origin.isComplete = true
    this.origin.depths.fill(0)
    this.#places = new ForestPlaces({ ...options, origin: this.origin, zones: this.#zones })
  }

  /** Adds a peer, with what it has already. */
  add(id: string, zoneName: string, haveBytes: number, isComplete: boolean): ForestNode {
    assert(!this.nodes.has(id) && id !== this.origin.id, 'a peer joins once')
    const zone = this.#zones.get(zoneName) ?? this.#addZone(zoneName)
    const node = forestNode(id, zone, false, this.#places.neediestStripe(zone))
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
    const parent = this.#places.bestParent(node, stripe, last) ?? last ?? this.origin
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
    const parent = this.#places.bestParent(node, stripe, undefined)
    const replaced = moves > 0 ? this.#places.placeToTake(node, stripe, parent) : undefined
    if (replaced !== undefined) return this.#displace(replaced, node, stripe, moves - 1)
    if (moves > 0 && parent !== undefined && !parent.isOrigin && parent.zone !== node.zone) {
      return this.#linkAcross(parent, node, stripe, moves - 1)
    }
    if (!node.isSlow && (parent === undefined || !(parent.isOrigin || isHost(parent, stripe))) && this.#takeBack(node, stripe)) return
    this.#link(parent ?? this.#places.leastLoaded(node, stripe), node, stripe)
  }

  /** Puts the node under one that has lent a slot to another stripe; the child that had it looks for another place. */
  #takeBack(node: ForestNode, stripe: number): boolean {
    if (node.zone.lent.every((count) => count === 0)) return false
    // High up for a node that others will hang on, deep down for a leaf.
    const direction = isHost(node, stripe) ? 1 : -1
    let best: { host: ForestNode; child: ForestNode; lentStripe: number; other: ForestNode } | undefined
    for (const host of node.zone.members) {
      if (host.innerStripe !== stripe || !host.canPassOn || host.depths[stripe]! >= UNATTACHED || this.#places.isBehind(host, node))
        continue
      if (best !== undefined && direction * (host.depths[stripe]! - best.host.depths[stripe]!) >= 0) continue
      const lentStripe = host.children.findIndex((children, other) => other !== stripe && children.size > 0)
      if (lentStripe < 0) continue
      const [child] = host.children[lentStripe]!
      const other = this.#places.bestInside(child!, lentStripe, host)
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
      const parent = this.#places.bestParent(child, stripe, undefined)
      if (parent === undefined || freeSlots(parent, stripe) <= 0) this.#moveAboveLeaf(child, stripe, node)
      // It may have a tree below it, which should not sink: it takes a leaf's place.
      else if (child.zone === parent.zone) this.#attach(child, stripe)
      else this.#link(parent, child, stripe)
    }
    for (let swap = this.#places.findSwap(node); swap !== undefined && node.used > this.stripes; swap = this.#places.findSwap(node))
      this.#swap(swap)
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
    const leaf = isFit ? this.#places.highestLeaf(node, stripe, last) : undefined
    const parent = leaf?.parents[stripe]
    if (leaf !== undefined) this.#unlink(leaf, stripe)
    this.#link(parent ?? last, node, stripe)
    if (leaf !== undefined) this.#link(node, leaf, stripe)
  }
}
