/**
 * The nodes, zones and edges of a `StripeForest`, and the sums that are kept with them. What goes where is decided there.
 */
import { assert } from '../lib/assert.ts'

export interface ForestNode {
  readonly id: string
  readonly zone: ForestZone
  readonly isOrigin: boolean
  /** The stripe in which it is an inner node. */
  readonly innerStripe: number
  /** By stripe. */
  readonly parents: (ForestNode | undefined)[]
  readonly children: Set<ForestNode>[]
  /** Edges from the origin, or from a peer that has everything: that one is 0 deep. */
  readonly depths: number[]
  /** Children in all stripes, slow ones left out: they take next to nothing. */
  used: number
  /** Slow children in all stripes. */
  usedBySlow: number
  /** It takes little of what is sent to it; then it passes on little, too. */
  isSlow: boolean
  /** It may have children; not so one that turned out to send little. */
  canPassOn: boolean
  isComplete: boolean
  haveBytes: number
  /** Stripes that come late to it. */
  lateStripes: readonly number[]
}

export interface ForestZone {
  readonly name: string
  /** The stripe that it passes on to other zones. */
  readonly innerStripe: number
  readonly members: Set<ForestNode>
  /** By stripe: the members that get it from outside of the zone; one, where that is possible. */
  readonly gateways: Set<ForestNode>[]
  /** Edges to other zones, by stripe. */
  readonly outgoing: number[]
  /** Members that can pass on, by the stripe in which they are inner nodes. */
  readonly inner: number[]
  /** Children in a stripe in which their parent is no inner node, by stripe. */
  readonly lent: number[]
  /** Members with more children than slots. */
  readonly overloaded: Set<ForestNode>
}

/** The depth of what hangs on nothing. */
export const UNATTACHED = 1e9

export function forestZone(name: string, stripes: number, innerStripe: number): ForestZone {
  const zeros = (): number[] => new Array<number>(stripes).fill(0)
  const gateways = Array.from({ length: stripes }, () => new Set<ForestNode>())
  return { name, innerStripe, members: new Set(), gateways, outgoing: zeros(), inner: zeros(), lent: zeros(), overloaded: new Set() }
}

export function forestNode(id: string, zone: ForestZone, isOrigin: boolean, innerStripe: number): ForestNode {
  const stripes = zone.inner.length
  return {
    id,
    zone,
    isOrigin,
    innerStripe,
    parents: new Array<ForestNode | undefined>(stripes).fill(undefined),
    children: Array.from({ length: stripes }, () => new Set<ForestNode>()),
    depths: new Array<number>(stripes).fill(UNATTACHED),
    used: 0,
    usedBySlow: 0,
    isSlow: false,
    canPassOn: true,
    isComplete: false,
    haveBytes: 0,
    lateStripes: [],
  }
}

/** Whether the node has slots for children in this stripe by right, not by lending. */
export function isHost(node: ForestNode, stripe: number): boolean {
  return node.canPassOn && !node.isOrigin && (node.isComplete || node.innerStripe === stripe)
}

/** Slots left; the origin has one in each stripe. */
export function freeSlots(node: ForestNode, stripe: number): number {
  if (!node.isOrigin) return (node.canPassOn ? node.parents.length : 0) - node.used
  let used = 0
  for (const child of node.children[stripe]!) if (!child.isSlow) used++
  return 1 - used
}

export function outgoingOf(zone: ForestZone): number {
  let sum = 0
  for (const count of zone.outgoing) sum += count
  return sum
}

/** Whether the edge leads from one zone into another; the origin counts as outside of all. */
export function isCrossing(parent: ForestNode, child: ForestNode): boolean {
  return parent.isOrigin || parent.zone !== child.zone
}

export function crossingChildren(node: ForestNode, stripe: number): number {
  let count = 0
  for (const child of node.children[stripe]!) if (child.zone !== node.zone) count++
  return count
}

export function link(parent: ForestNode, child: ForestNode, stripe: number): void {
  assert(child.parents[stripe] === undefined && parent !== child, 'a node has one parent per stripe')
  child.parents[stripe] = parent
  parent.children[stripe]!.add(child)
  count(parent, child, stripe, 1)
  setDepth(child, stripe, parent.depths[stripe]! + 1)
}

/** Takes the edge to the node's parent away, if there is one; what hangs on the node stays with it. */
export function unlink(child: ForestNode, stripe: number): void {
  const parent = child.parents[stripe]
  if (parent === undefined) return
  child.parents[stripe] = undefined
  parent.children[stripe]!.delete(child)
  count(parent, child, stripe, -1)
  setDepth(child, stripe, UNATTACHED)
}

/** Changes what the sums are made of: they are taken away before and added after. */
export function changing(node: ForestNode, change: () => void): void {
  recount(node, -1)
  change()
  recount(node, 1)
}

function recount(node: ForestNode, by: number): void {
  if (!node.isOrigin && node.canPassOn) node.zone.inner[node.innerStripe]! += by
  for (let stripe = 0; stripe < node.parents.length; stripe++) {
    const parent = node.parents[stripe]
    if (parent !== undefined) count(parent, node, stripe, by)
    for (const child of node.children[stripe]!) count(node, child, stripe, by)
  }
}

function count(parent: ForestNode, child: ForestNode, stripe: number, by: number): void {
  if (child.isSlow) parent.usedBySlow += by
  else parent.used += by
  if (!parent.isOrigin) {
    if (freeSlots(parent, stripe) < 0) parent.zone.overloaded.add(parent)
    else parent.zone.overloaded.delete(parent)
  }
  if (isCrossing(parent, child)) {
    if (by > 0) child.zone.gateways[stripe]!.add(child)
    else child.zone.gateways[stripe]!.delete(child)
  }
  if (parent.zone !== child.zone) parent.zone.outgoing[stripe]! += by
  if (!parent.isOrigin && !isHost(parent, stripe)) parent.zone.lent[stripe]! += by
}

/** Sets a node's depth and that of all below it; who has everything depends on nobody. */
export function setDepth(node: ForestNode, stripe: number, depth: number): void {
  node.depths[stripe] = node.isComplete ? 0 : depth
  if (node.isComplete && depth > 0) return
  for (const child of node.children[stripe]!) setDepth(child, stripe, Math.min(depth + 1, UNATTACHED))
}
