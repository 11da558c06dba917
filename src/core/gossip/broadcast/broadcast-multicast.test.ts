/**
 * Events past the tree, by multicast: machines together on a virtual network in which some hear no multicast, much gets lost, or multicast
 * ends; and one machine, told by hand what comes.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Random } from '../../lib/random.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { BroadcastCluster } from '../testing/broadcast-cluster.ts'
import { decodeBroadcastMessage, encodeBroadcastMessage } from './broadcast-codec.ts'
import { BroadcastMachine } from './broadcast-machine.ts'
import type { BroadcastMessage, Gossip } from './broadcast-messages.ts'
import type { BroadcastInput } from './broadcast-types.ts'
import { hashText } from '../../lib/text-hash.ts'

const SMALL = new Uint8Array(100)
const numberOf = (node: string): number => Number(node.slice(1))

interface Spread {
  /** How often each node but the origin had it. */
  readonly times: ReadonlySet<number>
  readonly lastMs: number
  readonly multicasts: number
  /** Payloads that came, for each node but the origin. */
  readonly copies: number
  /** Payloads that went to single members. */
  readonly sent: number
  readonly sentByOrigin: number
}

/** Nodes with a tree, whose multicast is heard as it is said. */
function clusterOf(seed: string, nodes: number, isHeard: BroadcastCluster['isHeard']): BroadcastCluster {
  const cluster = new BroadcastCluster(seed)
  cluster.start(nodes)
  cluster.run(5000)
  cluster.isHeard = isHeard
  cluster.tellReached()
  return cluster
}

/** One event, and what became of it. */
function publish(cluster: BroadcastCluster, node: string, payload: Uint8Array = SMALL, ms: number = 3000): Spread {
  const count = (): { received: number; sent: number; own: number } => ({
    received: cluster.sum(({ payloadsReceived }) => payloadsReceived),
    sent: cluster.sum(({ payloadsSent }) => payloadsSent),
    own: cluster.host(node).machine.stats().payloadsSent,
  })
  const before = count()
  const deliveriesBefore = cluster.deliveries.length
  const multicastsBefore = cluster.multicasts.length
  const at = cluster.now
  cluster.broadcast(node, payload)
  cluster.run(ms)
  const after = count()
  const deliveries = cluster.deliveries.slice(deliveriesBefore)
  const times = new Map(cluster.up().flatMap((host) => (host.node === node ? [] : [[host.node, 0]])))
  for (const delivery of deliveries) times.set(delivery.node, (times.get(delivery.node) ?? 0) + 1)
  return {
    times: new Set(times.values()),
    lastMs: Math.max(...deliveries.map((delivery) => delivery.at)) - at,
    multicasts: cluster.multicasts.length - multicastsBefore,
    copies: (after.received - before.received) / (cluster.up().length - 1),
    sent: after.sent - before.sent,
    sentByOrigin: after.own - before.own,
  }
}

const ONCE = new Set([1])

test('where multicast reaches all, one datagram is the whole event', () => {
  const cluster = clusterOf('all', 100, () => true)
  for (const node of ['n0', 'n42', 'n99']) {
    const { times, multicasts, copies, sent, lastMs } = publish(cluster, node)
    assert.deepEqual([times, multicasts, copies, sent], [ONCE, 1, 1, 0])
    assert.ok(lastMs <= 5, `the last after ${lastMs} ms`)
  }
  assert.deepEqual([...new Set(cluster.deliveries.map(({ hops }) => hops))], [1])
})

test('who is not reached gets it from its parent, at once and in one copy; none of it comes from an origin far away', () => {
  const cluster = clusterOf('islands', 200, (_, to) => numberOf(to) % 10 !== 3)
  for (const node of ['n0', 'n3', 'n57']) {
    const { times, multicasts, copies, sentByOrigin, lastMs } = publish(cluster, node)
    assert.deepEqual([times, multicasts], [ONCE, 1])
    assert.ok(copies <= (numberOf(node) % 10 === 3 ? 1.15 : 1.01), `${copies} copies`)
    assert.ok(lastMs <= 20, `the last after ${lastMs} ms`)
    assert.ok(sentByOrigin <= 3, `the origin sent ${sentByOrigin}`)
  }
})

test('the root of the tree, whom no multicast reaches, hears of it from the origin', () => {
  const root = Array.from({ length: 60 }, (_, i) => `n${i}`).reduce((a, b) => (hashText(a) < hashText(b) ? a : b))
  const cluster = clusterOf('root', 60, (_, to) => to !== root)
  const origin = root === 'n7' ? 'n8' : 'n7'
  const { times, copies, sent, lastMs } = publish(cluster, origin)
  assert.deepEqual([times, copies, sent], [ONCE, 1, 1])
  assert.ok(lastMs <= 5, `the last after ${lastMs} ms`)
})

test('5 % loss and every tenth unreached: all once, in one copy and little more, and the tree is not touched', () => {
  for (let seed = 0; seed < 3; seed++) {
    const cluster = clusterOf(`loss ${seed}`, 200, (_, to) => numberOf(to) % 10 !== 3)
    cluster.lossShare = 0.05
    for (const node of ['n0', 'n51', 'n102']) {
      const { times, copies, lastMs } = publish(cluster, node)
      assert.deepEqual(times, ONCE)
      assert.ok(copies <= 1.06, `${copies} copies`)
      // The longest wait is for an id of a payload that got lost on the way to one that is not reached, and it may have to be said twice.
      assert.ok(lastMs <= 200, `the last after ${lastMs} ms`)
    }
    assert.equal(
      cluster.sum(({ prunesSent }) => prunesSent),
      0,
    )
  }
})

test('half of all lost: everybody has it all the same, once', () => {
  const cluster = clusterOf('half', 64, (_, to) => numberOf(to) % 4 !== 1)
  cluster.lossShare = 0.5
  for (const node of ['n0', 'n1', 'n2']) assert.deepEqual(publish(cluster, node, SMALL, 8000).times, ONCE)
})

test('when multicast ends, what is sent before anybody knows is repaired by ids, and then the tree is as good as ever', () => {
  const cluster = clusterOf('end', 100, () => true)
  cluster.lossShare = 0.05
  for (let i = 0; i < 30; i++) {
    cluster.broadcast(`n${i}`, SMALL)
    cluster.run(500)
  }
  cluster.lossShare = 0
  cluster.run(1000)
  cluster.isHeard = () => false
  const unaware = publish(cluster, 'n1')
  assert.deepEqual([unaware.times, unaware.multicasts], [ONCE, 1])
  assert.ok(unaware.copies <= 1.1, `${unaware.copies} copies`)
  assert.ok(unaware.lastMs <= 250, `the last after ${unaware.lastMs} ms`)
  cluster.tellReached()
  // What is lost of pulses leaves circles, which multicast does not mend: they are gone with the next pulse, as after silence.
  cluster.run(16_000)
  for (const node of ['n2', 'n60']) {
    const { times, multicasts, copies, lastMs } = publish(cluster, node)
    assert.deepEqual([times, multicasts], [ONCE, 0])
    assert.ok(copies <= 1.05, `${copies} copies by the tree`)
    assert.ok(lastMs <= 50, `the last after ${lastMs} ms`)
  }
})

test('some know of no multicast, though it reaches them, or take others for reached that are not', () => {
  const cluster = clusterOf('wrong', 100, () => true)
  for (const { node } of cluster.up()) {
    if (numberOf(node) % 3 === 0) cluster.input(node, { type: 'reached', names: new Set(), maxBytes: 0 })
  }
  const unknown = publish(cluster, 'n1')
  assert.deepEqual([unknown.times, unknown.multicasts], [ONCE, 1])
  assert.ok(unknown.copies <= 1.5, `${unknown.copies} copies`)
  cluster.tellReached()
  cluster.isHeard = (_, to) => numberOf(to) % 3 !== 0
  const unreached = publish(cluster, 'n1')
  assert.deepEqual(unreached.times, ONCE)
  assert.ok(unreached.copies <= 1.1, `${unreached.copies} copies`)
  assert.equal(
    cluster.sum(({ prunesSent }) => prunesSent),
    0,
  )
})

test('two networks without multicast between them: the other one has it by the tree', () => {
  const cluster = clusterOf('two', 200, (from, to) => numberOf(from) % 2 === numberOf(to) % 2)
  for (const node of ['n0', 'n33']) {
    const { times, multicasts, copies, lastMs } = publish(cluster, node)
    assert.deepEqual([times, multicasts], [ONCE, 1])
    // A node of the other network does not know which of its children are in the origin's.
    assert.ok(copies <= 1.35, `${copies} copies`)
    assert.ok(lastMs <= 50, `the last after ${lastMs} ms`)
  }
})

test('fewer than two reached, a datagram too small, or no tree yet: it goes by the tree alone', () => {
  const cluster = clusterOf('conditions', 20, (_, to) => to === 'n1')
  assert.deepEqual([publish(cluster, 'n0').multicasts, publish(cluster, 'n0').times], [0, ONCE])
  cluster.isHeard = () => true
  cluster.tellReached(150)
  assert.equal(publish(cluster, 'n0', new Uint8Array(100)).multicasts, 1)
  const larger = publish(cluster, 'n0', new Uint8Array(150))
  assert.deepEqual([larger.multicasts, larger.times], [0, ONCE])

  const early = new BroadcastCluster('early')
  early.start(20)
  early.isHeard = () => true
  early.tellReached()
  early.run(200)
  assert.deepEqual([publish(early, 'n0', SMALL, 100).multicasts, publish(early, 'n0', SMALL, 5000).multicasts], [0, 0])
  assert.equal(publish(early, 'n0').multicasts, 1)
})

test('reports are right, and the origin hears from few', () => {
  for (const loss of [0, 0.05]) {
    const cluster = clusterOf(`report ${loss}`, 150, (_, to) => numberOf(to) % 10 !== 3)
    cluster.lossShare = loss
    const before = cluster.host('n0').machine.stats()
    cluster.broadcast('n0', SMALL, true, 1)
    cluster.run(4000)
    assert.deepEqual(cluster.reports[0]?.report, { type: 'report', broadcast: 1, reached: 149, of: 149, missing: [] })
    const bytes = cluster.host('n0').machine.stats().bytesReceived.receipts - before.bytesReceived.receipts
    assert.ok(bytes <= 149 * 6, `${bytes} bytes of receipts`)
    assert.equal(cluster.multicasts.length, 1)

    cluster.crash('n9')
    cluster.broadcast('n0', SMALL, true, 2)
    cluster.run(4000)
    assert.deepEqual(cluster.reports[1]?.report, { type: 'report', broadcast: 2, reached: 148, of: 149, missing: ['n9'] })
  }
})

test('a report that comes as soon as all receipts are there, as from the tree', () => {
  const cluster = clusterOf('soon', 100, () => true)
  cluster.broadcast('n0', SMALL, true, 1)
  cluster.run(200)
  assert.equal(cluster.reports[0]?.report.reached, 99)
})

test('1,000 events of five origins in 10 s, with losses: all everywhere once', () => {
  const cluster = clusterOf('many', 32, (_, to) => to !== 'n31')
  cluster.lossShare = 0.02
  const before = cluster.deliveries.length
  for (let i = 0; i < 1000; i++) {
    cluster.broadcast(`n${i % 5}`, Uint8Array.of(i & 0xff))
    cluster.run(10)
  }
  cluster.run(5000)
  assert.equal(cluster.deliveries.length - before, 31_000)
  assert.equal(cluster.multicasts.length, 1000)
  const copies = cluster.sum(({ payloadsReceived }) => payloadsReceived) / 31_000
  assert.ok(copies <= 1.08, `${copies} copies`)
})

// ---- one machine ----

/** One that has members a, b and c for neighbours, and is told by hand what comes. */
class Subject {
  readonly machine: BroadcastMachine = new BroadcastMachine({ node: 'self', random: new Random('subject') })
  now = 0

  constructor() {
    for (const node of ['a', 'b', 'c', 'o']) this.tell({ type: 'member-up', node })
    for (const node of ['a', 'b', 'c']) this.get(node, { type: 'neighbour', wish: 'ring' })
    this.machine.drain()
  }

  tell(input: BroadcastInput): void {
    this.machine.handle(input, this.now)
  }

  get(from: string, message: BroadcastMessage): void {
    this.tell({ type: 'message', from, bytes: encodeBroadcastMessage(message) })
  }

  hear(message: BroadcastMessage): void {
    this.tell({ type: 'multicast', bytes: encodeBroadcastMessage(message) })
  }

  /** Lets time pass; what the machine sent, as `to type`. */
  pass(ms: number): string[] {
    const until = this.now + ms
    while (this.machine.nextDeadline() <= until) {
      this.now = Math.max(this.now, this.machine.nextDeadline())
      this.machine.handleTimeout(this.now)
    }
    this.now = until
    return this.#outputs()
  }

  /** Gossip, ids and questions alone. */
  #outputs(): string[] {
    return this.machine.drain().flatMap((output) => {
      if (output.type === 'deliver') return [`deliver ${output.origin}`]
      if (output.type === 'refused') return [`refused ${output.from}`]
      if (output.type !== 'send') return []
      const message = decodeBroadcastMessage(output.bytes)
      assert.ok(!isWireError(message))
      if (message.type === 'ihave') return [`${output.to} ihave${message.isAgain ? ' again' : ''}${message.isOverdue ? ' overdue' : ''}`]
      if (message.type === 'graft') return [`${output.to} graft${message.isLink ? ' link' : ''}`]
      return message.type === 'gossip' || message.type === 'prune' ? [`${output.to} ${message.type}`] : []
    })
  }
}

function event(changes: Partial<Gossip> = {}): Gossip {
  const id = { origin: 'abcd', sequence: 1 }
  return {
    type: 'gossip',
    ...id,
    hops: 0,
    isRepair: false,
    isMulticast: true,
    reportMs: undefined,
    originNode: 'o',
    payload: SMALL,
    ...changes,
  }
}

test('what came by multicast is announced soon to those that are reached, later to the others', () => {
  const subject = new Subject()
  subject.tell({ type: 'reached', names: new Set(['a', 'b', 'o']), maxBytes: 1200 })
  subject.hear(event())
  assert.deepEqual(subject.pass(14), ['deliver o'])
  assert.deepEqual(subject.pass(1), ['a ihave overdue', 'b ihave overdue'])
  assert.deepEqual(subject.pass(25), ['c ihave'])
})

test('a second copy, by multicast or from the tree, is one event and prunes nothing', () => {
  const subject = new Subject()
  subject.hear(event())
  subject.hear(event())
  subject.get('a', event({ hops: 3 }))
  subject.get('a', event({ isRepair: true }))
  const sent = subject.pass(5)
  assert.deepEqual(
    sent.filter((one) => one.startsWith('deliver') || one.endsWith('prune')),
    ['deliver o'],
  )
  const { duplicates, multicastsReceived, prunesSent } = subject.machine.stats()
  assert.deepEqual([duplicates, multicastsReceived, prunesSent], [3, 2, 0])
})

test('an id that is overdue is asked for at once, and changes no link; one that is not waits its time', () => {
  const subject = new Subject()
  const ids = [{ origin: 'abcd', sequence: 1 }]
  subject.get('a', { type: 'ihave', isAgain: false, isOverdue: false, ids })
  assert.deepEqual(subject.pass(5), [])
  subject.get('b', { type: 'ihave', isAgain: false, isOverdue: true, ids })
  assert.deepEqual(subject.pass(0), ['b graft'])
  subject.get('b', event({ isRepair: true }))
  assert.deepEqual(subject.pass(1), ['deliver o'])
  assert.ok(subject.machine.neighbours().every(({ isEager }) => !isEager))
})

test('by multicast come the events of members alone, as they were sent first; everything else is refused or dropped', () => {
  const subject = new Subject()
  subject.hear(event({ originNode: 'self' }))
  subject.hear(event({ originNode: 'stranger' }))
  assert.deepEqual(subject.pass(0), [])
  for (const changes of [{ isRepair: true }, { isMulticast: false }, { hops: 1 }]) subject.hear(event(changes))
  subject.hear({ type: 'prune' })
  subject.tell({ type: 'multicast', bytes: Uint8Array.of(6, 1, 2) })
  subject.tell({ type: 'multicast', bytes: new Uint8Array(0) })
  assert.deepEqual(
    subject.pass(0),
    Array.from({ length: 6 }, () => 'refused multicast'),
  )
  const { dropped, multicastsReceived } = subject.machine.stats()
  assert.deepEqual([dropped.malformed, dropped.strangers, multicastsReceived], [6, 1, 0])
})

test('whatever comes by multicast, nothing is thrown, and no event given out twice', () => {
  const message = fc.record({
    sequence: fc.integer({ min: 1, max: 5 }),
    hops: fc.nat(1),
    isRepair: fc.boolean(),
    isMulticast: fc.boolean(),
    reportMs: fc.option(fc.nat(2000), { nil: undefined }),
    originNode: fc.constantFrom('a', 'o', 'self', 'stranger', ''),
  })
  const bytes = fc.oneof(
    message.map((changes) => encodeBroadcastMessage(event(changes))),
    fc.uint8Array({ maxLength: 60 }),
  )
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 30 }), fc.subarray(['a', 'b', 'c', 'o', 'self']), (datagrams, names) => {
      const subject = new Subject()
      subject.tell({ type: 'reached', names: new Set(names), maxBytes: 1200 })
      const delivered = datagrams.flatMap((datagram) => {
        subject.tell({ type: 'multicast', bytes: datagram })
        return subject.pass(7).filter((one) => one.startsWith('deliver'))
      })
      subject.pass(5000)
      assert.ok(delivered.length <= 5)
    }),
    { numRuns: 50 },
  )
})
