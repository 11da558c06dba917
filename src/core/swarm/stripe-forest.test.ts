import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { forestNode, forestZone, freeSlots, isCrossing, isHost, UNATTACHED, type ForestNode } from './forest-node.ts'
import { StripeForest } from './stripe-forest.ts'

const STRIPES = 4

function forestOf(peers: number, zones = 1): StripeForest {
  const forest = new StripeForest({ originId: 'origin', originZone: '', stripes: STRIPES, slackBytes: 1e6 })
  for (let peer = 0; peer < peers; peer++) forest.add(`p${peer}`, `z${peer % zones}`, 0, false)
  return forest
}

function depthOf(forest: StripeForest): number {
  return Math.max(...[...forest.nodes.values()].flatMap((node) => node.depths))
}

/** What must hold after whatever happened: all are reached, and the sums are what they are sums of. */
function checkForest(forest: StripeForest): void {
  for (const node of forest.nodes.values()) {
    for (let stripe = 0; stripe < STRIPES; stripe++) checkEdge(forest, node, stripe)
    checkLoad(node)
  }
  for (const zone of new Set([...forest.nodes.values()].map((node) => node.zone))) checkZone(forest, [...zone.members])
}

function checkEdge(forest: StripeForest, node: ForestNode, stripe: number): void {
  const parent = node.parents[stripe]
  const where = `${node.id} in stripe ${stripe}`
  if (node.isComplete) {
    assert.equal(parent, undefined, `${where} has everything and yet a parent`)
    return
  }
  assert.ok(
    parent !== undefined && (parent === forest.origin || forest.nodes.get(parent.id) === parent),
    `${where} has a parent that is there`,
  )
  assert.ok(parent.children[stripe]!.has(node))
  assert.equal(node.depths[stripe], parent.depths[stripe]! + 1, `the depth of ${where}`)
  let above: ForestNode | undefined = node
  for (let steps = 0; above !== undefined && !above.isOrigin && !above.isComplete; steps++) {
    assert.ok(steps <= forest.nodes.size, `a cycle above ${where}`)
    above = above.parents[stripe]
  }
  assert.ok(above !== undefined, `${where} hangs on nothing`)
}

function checkLoad(node: ForestNode): void {
  const children = node.children.flatMap((set) => [...set])
  assert.equal(node.used, children.filter((child) => !child.isSlow).length, `children of ${node.id}`)
  assert.equal(node.usedBySlow, children.filter((child) => child.isSlow).length, `slow children of ${node.id}`)
}

/** The sums of a zone, made anew from its members and their edges. */
function checkZone(forest: StripeForest, members: ForestNode[]): void {
  const { zone } = members[0]!
  const expected = forestZone(zone.name, STRIPES, zone.innerStripe)
  for (const parent of [forest.origin, ...forest.nodes.values()]) {
    parent.children.forEach((children, stripe) => {
      for (const child of children) {
        if (child.zone === zone && isCrossing(parent, child)) expected.gateways[stripe]!.add(child)
        if (parent.zone === zone && child.zone !== zone) expected.outgoing[stripe]!++
        if (parent.zone === zone && !parent.isOrigin && !isHost(parent, stripe)) expected.lent[stripe]!++
      }
    })
  }
  for (const node of members) {
    if (node.canPassOn) expected.inner[node.innerStripe]!++
    if (freeSlots(node, 0) < 0) expected.overloaded.add(node)
  }
  assert.deepEqual(zone.inner, expected.inner, `inner nodes of zone ${zone.name}`)
  assert.deepEqual(zone.outgoing, expected.outgoing, `edges out of zone ${zone.name}`)
  assert.deepEqual(zone.lent, expected.lent, `slots lent in zone ${zone.name}`)
  assert.deepEqual(zone.gateways.map(idsOf), expected.gateways.map(idsOf), `gateways of zone ${zone.name}`)
  assert.deepEqual(idsOf(zone.overloaded), idsOf(expected.overloaded), `nodes of zone ${zone.name} with too many children`)
}

function idsOf(nodes: Set<ForestNode>): string[] {
  return [...nodes].map((node) => node.id).sort()
}

type Step = { readonly kind: 'join' | 'leave' | 'slow' | 'weak' | 'restore' | 'complete' | 'reparent' | 'progress'; readonly pick: number }

const stepsWith = (kinds: readonly Step['kind'][]): fc.Arbitrary<Step[]> =>
  fc.array(fc.record({ kind: fc.constantFrom(...kinds), pick: fc.nat(10_000) }), { maxLength: 120 })

/** Carries a step out; whom it is about is told by `pick`. */
function take(forest: StripeForest, { kind, pick }: Step, name: string, zones: number): void {
  const nodes = [...forest.nodes.values()]
  const node = nodes[pick % Math.max(1, nodes.length)]
  if (kind === 'join') forest.add(name, `z${pick % zones}`, (pick % 7) * 1e6, pick % 29 === 0)
  else if (node === undefined) return
  else if (kind === 'leave') forest.remove(node.id)
  else if (kind === 'slow') forest.markSlow(node)
  else if (kind === 'weak') forest.markWeak(node)
  else if (kind === 'restore') forest.restore(node)
  else if (kind === 'complete') forest.markComplete(node)
  else if (kind === 'progress') node.haveBytes += pick * 1000
  else if (!node.isComplete) forest.reparent(node, pick % STRIPES)
}

test('whoever joins, leaves, turns out slow or recovers: every peer is reached in every stripe, and the sums are right', () => {
  const kinds = ['join', 'join', 'join', 'leave', 'slow', 'weak', 'restore', 'complete', 'reparent', 'progress'] as const
  const run = (steps: Step[], zones: number): void => {
    const forest = forestOf(0)
    steps.forEach((step, at) => {
      take(forest, step, `p${at}`, zones)
      checkForest(forest)
    })
  }
  fc.assert(fc.property(stepsWith(kinds), fc.integer({ min: 1, max: 5 }), run), { numRuns: 200 })
})

test('among equals nobody has more children than slots', () => {
  const run = (steps: Step[]): void => {
    const forest = forestOf(8)
    steps.forEach((step, at) => {
      take(forest, { kind: step.kind, pick: step.pick * 29 + 1 }, `q${at}`, 1)
      for (const node of forest.nodes.values()) assert.ok(node.used <= STRIPES, `${node.id} has ${node.used} children at step ${at}`)
      assert.deepEqual(
        forest.origin.children.map((children) => children.size),
        [1, 1, 1, 1],
      )
    })
  }
  fc.assert(fc.property(stepsWith(['join', 'join', 'leave']), run), { numRuns: 200 })
})

test('a peer that leaves moves no more than its children and those that make room for them', () => {
  for (const [peers, zones] of [
    [200, 1],
    [400, 4],
  ] as const) {
    const forest = forestOf(peers, zones)
    forest.takeChanged()
    for (const node of [...forest.nodes.values()].slice(0, peers / 2)) {
      forest.remove(node.id)
      const changed = forest.takeChanged().length
      assert.ok(changed <= 8 * STRIPES, `${changed} peers got other parents when ${node.id} of ${peers} left`)
    }
    checkForest(forest)
  }
})

test('the trees are as low as their slots allow, in one zone and in many', () => {
  for (const [peers, zones, most] of [
    [16, 1, 3],
    [64, 1, 4],
    [1000, 1, 6],
    [200, 4, 8],
    [1000, 4, 9],
    [1000, 40, 13],
  ] as const) {
    const depth = depthOf(forestOf(peers, zones))
    assert.ok(depth <= most, `${peers} peers in ${zones} zones are ${depth} deep`)
  }
})

test('among many equals all but a few peers are inner nodes in one stripe only', () => {
  for (const peers of [64, 200, 1000]) {
    const forest = forestOf(peers)
    const several = [...forest.nodes.values()].filter((node) => node.children.filter((children) => children.size > 0).length > 1)
    assert.ok(several.length <= STRIPES, `${several.length} of ${peers} peers`)
  }
})

test('one edge leads into a zone per stripe, also after peers left', () => {
  const forest = forestOf(120, 4)
  const check = (): void => {
    for (const zone of new Set([...forest.nodes.values()].map((node) => node.zone))) {
      for (const gateways of zone.gateways) assert.equal(gateways.size, 1, `zone ${zone.name}`)
    }
  }
  check()
  for (let peer = 0; peer < 60; peer++) {
    forest.remove(`p${(peer * 7) % 120}`)
    check()
  }
})

test('a zone passes on no more than a copy and a half while there are few zones', () => {
  const forest = forestOf(200, 4)
  for (const zone of new Set([...forest.nodes.values()].map((node) => node.zone))) {
    const edges = zone.outgoing.reduce((sum, count) => sum + count, 0)
    assert.ok(edges <= 1.5 * STRIPES, `${edges} edges lead out of zone ${zone.name}`)
  }
})

test('a slow peer is a leaf in all stripes and needs no slot; a weak one is a leaf that needs its slots', () => {
  const forest = forestOf(40)
  const [slow, weak] = ['p0', 'p1'].map((id) => forest.nodes.get(id)!)
  const usedBefore = [forest.origin, ...forest.nodes.values()].reduce((sum, node) => sum + node.used, 0)
  forest.markSlow(slow!)
  forest.markWeak(weak!)
  const usedAfter = [forest.origin, ...forest.nodes.values()].reduce((sum, node) => sum + node.used, 0)
  assert.equal(usedAfter, usedBefore - STRIPES)
  for (const node of [slow!, weak!])
    assert.ok(
      node.children.every((children) => children.size === 0),
      `${node.id} has children`,
    )
  checkForest(forest)
})

test('a peer that has recovered gets children again when others come', () => {
  const forest = forestOf(40)
  const node = forest.nodes.get('p0')!
  forest.markSlow(node)
  forest.restore(node)
  for (let peer = 40; peer < 60; peer++) forest.add(`p${peer}`, 'z0', 0, false)
  assert.ok(node.used > 0)
  assert.ok(depthOf(forest) <= 5)
})

test('a peer that has everything has no parents and may serve any stripe', () => {
  const forest = forestOf(40)
  const node = forest.nodes.get('p0')!
  forest.markComplete(node)
  assert.deepEqual(node.parents, new Array(STRIPES).fill(undefined))
  assert.deepEqual(node.depths, new Array(STRIPES).fill(0))
  checkForest(forest)
})

test('a peer gets another parent when it asks for one, and keeps the last when there is no other', () => {
  const forest = forestOf(40)
  const node = forest.nodes.get('p39')!
  const before = node.parents[0]
  assert.equal(forest.reparent(node, 0), true)
  assert.notEqual(node.parents[0], before)
  const alone = forestOf(1)
  assert.equal(alone.reparent(alone.nodes.get('p0')!, 0), false)
  assert.equal(alone.nodes.get('p0')!.parents[0], alone.origin)
})

test('only peers whose parents changed are named as changed, each once', () => {
  const forest = forestOf(3)
  assert.deepEqual(
    forest
      .takeChanged()
      .map((node) => node.id)
      .sort(),
    ['p0', 'p1', 'p2'],
  )
  assert.deepEqual(forest.takeChanged(), [])
  forest.remove('p2')
  assert.ok(!forest.takeChanged().some((node) => node.id === 'p2'))
})

test('a node without a parent hangs on nothing, as does what hangs on it', () => {
  const zone = forestZone('', STRIPES, 0)
  assert.deepEqual(forestNode('p', zone, false, 0).depths, new Array(STRIPES).fill(UNATTACHED))
})
