import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../lib/random.ts'
import type { AnnounceMessage, PlanMessage } from './frames.ts'
import { SwarmTracker, type TrackerLimits } from './tracker.ts'

const RUN_BYTES = 64 * 1024
/** What a peer of the usual rate gets in a period, bytes. */
const STEP_BYTES = 50 * RUN_BYTES
const STEP_MS = 200

function trackerWith(limits: Partial<TrackerLimits> = {}): SwarmTracker {
  return new SwarmTracker({
    originId: 'origin',
    originAddress: 'origin:1',
    originZone: '',
    runChunks: 4,
    runBytes: RUN_BYTES,
    random: new Random('tracker'),
    limits,
  })
}

function announce(tracker: SwarmTracker, id: string, now: number, what: Partial<AnnounceMessage> = {}): void {
  const message: AnnounceMessage = {
    type: 'announce',
    address: `${id}:1`,
    zone: '',
    haveBytes: 0,
    isComplete: false,
    lateStripes: [],
    slowPeers: [],
    lostPeers: [],
    ...what,
  }
  tracker.handle({ type: 'announce', from: id, message }, now)
}

function join(tracker: SwarmTracker, count: number): string[] {
  const ids = Array.from({ length: count }, (_, peer) => `p${peer}`)
  for (const id of ids) announce(tracker, id, 0)
  return ids
}

/** All announce what they have, at a rate of 1 unless it is said otherwise, `steps` times. */
function progress(
  tracker: SwarmTracker,
  ids: readonly string[],
  from: number,
  steps: number,
  rateOf: (id: string) => number = () => 1,
): number {
  const have = new Map(tracker.peers().map((peer) => [peer.id, peer.haveBytes]))
  let now = from
  for (let step = 0; step < steps; step++) {
    now += STEP_MS
    for (const id of ids) {
      have.set(id, (have.get(id) ?? 0) + STEP_BYTES * rateOf(id))
      announce(tracker, id, now, { haveBytes: have.get(id)! })
    }
  }
  return now
}

/** The last plan of each peer since the last call. */
function plansOf(tracker: SwarmTracker): Map<string, PlanMessage> {
  return new Map(tracker.drain().map(({ to, message }) => [to, message]))
}

function parentsIn(plan: PlanMessage): (string | undefined)[] {
  return plan.parents.map((index) => (index < 0 ? undefined : plan.peers[index]!.id))
}

function childrenOf(tracker: SwarmTracker, id: string): string[] {
  const nodes = [...tracker.forest().nodes.values()]
  return nodes.filter((node) => node.parents.some((parent) => parent?.id === id)).map((node) => node.id)
}

/** A peer that gets a stripe from the origin, one that gets it from that one, and the stripe. */
function innerEdge(tracker: SwarmTracker): { parent: string; child: string; stripe: number } {
  for (const node of tracker.forest().nodes.values()) {
    const stripe = node.parents.findIndex((parent, index) => parent?.parents[index]?.isOrigin)
    if (stripe >= 0) return { parent: node.parents[stripe]!.id, child: node.id, stripe }
  }
  return assert.fail('nobody has a peer as parent')
}

test('the first peer gets all stripes from the origin, by an address that it can dial', () => {
  const tracker = trackerWith()
  join(tracker, 1)
  const plan = plansOf(tracker).get('p0')!
  assert.deepEqual(parentsIn(plan), new Array(tracker.forest().stripes).fill('origin'))
  assert.deepEqual(plan.peers, [{ id: 'origin', address: 'origin:1', isOrigin: true }])
  assert.equal(plan.runChunks, 4)
})

test('everybody is told a parent for each stripe, with its address', () => {
  const tracker = trackerWith()
  const ids = join(tracker, 30)
  const plans = plansOf(tracker)
  for (const id of ids) {
    const plan = plans.get(id)!
    for (const index of plan.parents) assert.ok(index >= 0 && plan.peers[index]!.address === `${plan.peers[index]!.id}:1`)
    assert.ok(!plan.peers.some((peer) => peer.id === id), 'nobody is its own neighbour')
  }
})

test('what is announced is what the tracker tells of its peers', () => {
  const tracker = trackerWith()
  announce(tracker, 'p0', 0, { zone: 'rack', haveBytes: 7 })
  announce(tracker, 'p0', 200, { zone: 'rack', haveBytes: 9, isComplete: true })
  assert.deepEqual(tracker.peers(), [{ id: 'p0', address: 'p0:1', zone: 'rack', haveBytes: 9, isComplete: true }])
})

test('a plan is sent only when the parents of a peer change', () => {
  const tracker = trackerWith()
  const ids = join(tracker, 10)
  plansOf(tracker)
  progress(tracker, ids, 0, 5)
  assert.equal(plansOf(tracker).size, 0)
})

test('when a peer is gone, its children get other parents at once, and nobody is told of it any more', () => {
  const tracker = trackerWith()
  join(tracker, 30)
  plansOf(tracker)
  const children = childrenOf(tracker, 'p0')
  tracker.handle({ type: 'gone', id: 'p0' }, 100)
  const plans = plansOf(tracker)
  assert.ok(children.length > 0)
  for (const id of children) assert.ok(!plans.get(id)!.peers.some((peer) => peer.id === 'p0'))
  assert.equal(tracker.peers().length, 29)
})

test('a banned peer is out for good', () => {
  const tracker = trackerWith()
  join(tracker, 5)
  tracker.handle({ type: 'banned', id: 'p1' }, 100)
  announce(tracker, 'p1', 200)
  assert.ok(!tracker.peers().some((peer) => peer.id === 'p1'))
})

test('no more peers are taken than the limit says', () => {
  const tracker = trackerWith({ maxPeers: 3 })
  join(tracker, 5)
  assert.equal(tracker.peers().length, 3)
})

test('a peer that can not reach its parent gets another one', () => {
  const tracker = trackerWith()
  join(tracker, 30)
  plansOf(tracker)
  const { parent, child } = innerEdge(tracker)
  announce(tracker, child, 100, { lostPeers: [parent] })
  assert.ok(!parentsIn(plansOf(tracker).get(child)!).includes(parent))
})

test('a peer to which a stripe comes late is moved, but not again within the pause, and not when its parent is late itself', () => {
  const tracker = trackerWith()
  join(tracker, 30)
  const { parent, child, stripe } = innerEdge(tracker)
  plansOf(tracker)
  announce(tracker, parent, 100, { lateStripes: [stripe] })
  announce(tracker, child, 110, { lateStripes: [stripe] })
  assert.equal(plansOf(tracker).size, 0, 'its parent is late')
  announce(tracker, parent, 200)
  announce(tracker, child, 210, { lateStripes: [stripe] })
  const moved = parentsIn(plansOf(tracker).get(child)!)[stripe]
  assert.notEqual(moved, parent)
  announce(tracker, child, 300, { lateStripes: [stripe] })
  assert.equal(plansOf(tracker).size, 0, 'it was moved just now')
})

test('one parent that sees runs pile up is enough to make a leaf of a peer that gets far less than others', () => {
  const tracker = trackerWith()
  const ids = join(tracker, 40)
  const now = progress(tracker, ids, 0, 4, (id) => (id === 'p0' ? 0.1 : 1))
  const reporter = [...tracker.forest().nodes.get('p0')!.parents].find((parent) => !parent!.isOrigin)!.id
  announce(tracker, reporter, now, { slowPeers: ['p0'] })
  assert.equal(tracker.forest().nodes.get('p0')!.isSlow, true)
  assert.deepEqual(childrenOf(tracker, 'p0'), [])
})

test('a peer that is held up for a moment is no leaf, also where runs pile up before it', () => {
  const tracker = trackerWith()
  const ids = join(tracker, 40)
  let now = progress(tracker, ids, 0, 3)
  for (let round = 0; round < 5; round++) {
    now = progress(tracker, ids, now, 2, (id) => (id === 'p0' ? 0.1 : 1))
    for (const { id, haveBytes } of tracker.peers())
      announce(tracker, id, now, { haveBytes, slowPeers: childrenOf(tracker, id).filter((child) => child === 'p0') })
    now = progress(tracker, ids, now, 1)
  }
  assert.ok(tracker.forest().nodes.get('p0')!.canPassOn)
})

test('a peer that gets what others get is no leaf for one report, nor is a slow one for the report of a stranger', () => {
  const tracker = trackerWith()
  const ids = join(tracker, 40)
  const now = progress(tracker, ids, 0, 4, (id) => (id === 'p0' ? 0.1 : 1))
  const parents = tracker
    .forest()
    .nodes.get('p0')!
    .parents.map((parent) => parent!.id)
  const stranger = ids.find((id) => id !== 'p0' && !parents.includes(id))!
  announce(tracker, stranger, now, { slowPeers: ['p0'] })
  for (const id of ids.slice(1)) announce(tracker, id, now, { slowPeers: childrenOf(tracker, id).filter((child) => child !== 'p0') })
  assert.ok([...tracker.forest().nodes.values()].every((node) => node.canPassOn))
})

test('a slow peer that then gets as much as others is an inner node again', () => {
  const tracker = trackerWith()
  const ids = join(tracker, 40)
  const now = progress(tracker, ids, 0, 4, (id) => (id === 'p0' ? 0.1 : 1))
  for (const id of ids) announce(tracker, id, now, { slowPeers: ['p0'] })
  assert.equal(tracker.forest().nodes.get('p0')!.isSlow, true)
  progress(tracker, ids, now, 8)
  assert.equal(tracker.forest().nodes.get('p0')!.canPassOn, true)
})

test('a peer that says for a second that it does not send what it should becomes a leaf; one that says it once does not', () => {
  const tracker = trackerWith()
  join(tracker, 40)
  announce(tracker, 'p1', 1000, { slowPeers: ['p1'] })
  for (let now = 1000; now <= 2000; now += 200) announce(tracker, 'p0', now, { haveBytes: now * RUN_BYTES, slowPeers: ['p0'] })
  announce(tracker, 'p1', 4000, { slowPeers: ['p1'] })
  const { nodes } = tracker.forest()
  assert.deepEqual([nodes.get('p0')!.canPassOn, nodes.get('p0')!.isSlow, nodes.get('p1')!.canPassOn], [false, false, true])
  assert.deepEqual(childrenOf(tracker, 'p0'), [])
})

test('a parent that keeps what it has from more children than it has slots becomes a leaf; one that has no more than they does not', () => {
  for (const [has, isLeaf] of [
    [100 * STEP_BYTES, true],
    [0, false],
  ] as const) {
    const tracker = trackerWith({ reparentPauseMs: 1000 })
    const now = progress(tracker, join(tracker, 40), 0, 3)
    const { nodes } = tracker.forest()
    for (let count = 0; count < 30 && nodes.get('p0')!.canPassOn; count++) {
      announce(tracker, 'p0', now + count, { haveBytes: has })
      const [child] = childrenOf(tracker, 'p0')
      const stripe = nodes.get(child ?? '')?.parents.findIndex((parent) => parent?.id === 'p0') ?? -1
      if (stripe >= 0) announce(tracker, child!, now + count, { lateStripes: [stripe] })
      // Who comes next gets the slot.
      announce(tracker, `q${count}`, now + count)
    }
    assert.equal(nodes.get('p0')!.canPassOn, !isLeaf)
  }
})

test('when half of all are leaves, no more are made', () => {
  const tracker = trackerWith()
  const ids = join(tracker, 20)
  for (let now = 1000; now <= 3000; now += 200)
    for (const id of ids) announce(tracker, id, now, { haveBytes: now * RUN_BYTES, slowPeers: [id] })
  const leaves = [...tracker.forest().nodes.values()].filter((node) => !node.canPassOn)
  assert.equal(leaves.length, 10)
})

test('a peer that has everything needs no parent', () => {
  const tracker = trackerWith()
  join(tracker, 10)
  plansOf(tracker)
  announce(tracker, 'p9', 100, { haveBytes: 1e9, isComplete: true })
  assert.deepEqual(parentsIn(plansOf(tracker).get('p9')!), new Array(tracker.forest().stripes).fill(undefined))
})

test('a tracker that starts anew plans from the announcements that come in, also when its origin is an heir', () => {
  const first = trackerWith()
  const ids = join(first, 20)
  progress(first, ids, 0, 3)
  const heir = new SwarmTracker({
    originId: 'p0',
    originAddress: 'p0:1',
    originZone: '',
    runChunks: 4,
    runBytes: RUN_BYTES,
    random: new Random('heir'),
  })
  for (const { id, haveBytes, isComplete } of first.peers()) announce(heir, id, 1000, { haveBytes, isComplete })
  const plans = plansOf(heir)
  assert.deepEqual([...plans.keys()].sort(), ids.slice(1).sort(), 'all but itself')
  assert.ok(parentsIn(plans.get('p1')!).every((parent) => parent !== undefined && parent !== 'origin'))
})

void test('who is not reached by multicast stands below one that is, and no longer than it lasts', () => {
  const tracker = trackerWith()
  const ids = join(tracker, 6)
  const topOf = (): string[] => childrenOf(tracker, 'origin')
  const outside = topOf()
  const covered = ids.filter((id) => !outside.includes(id))
  tracker.handle({ type: 'covered', ids: covered }, 100)
  assert.ok(topOf().length > 0)
  assert.deepEqual(
    topOf().filter((id) => !covered.includes(id)),
    [],
  )
  for (const id of outside) for (const parent of tracker.forest().nodes.get(id)!.parents) assert.notEqual(parent, undefined)
  // One that joins later does not take their place, however quick it is.
  announce(tracker, 'late', 200)
  const now = progress(tracker, [...ids, 'late'], 200, 20)
  assert.ok(topOf().every((id) => covered.includes(id)))
  tracker.handle({ type: 'covered', ids: [] }, now)
  assert.ok([...tracker.forest().nodes.values()].every((node) => node.canPassOn))
})

void test('where multicast reaches nobody that is here, nobody is made a leaf for it', () => {
  const tracker = trackerWith()
  join(tracker, 3)
  tracker.handle({ type: 'covered', ids: ['somebody else'] }, 100)
  assert.ok([...tracker.forest().nodes.values()].every((node) => node.canPassOn))
})
