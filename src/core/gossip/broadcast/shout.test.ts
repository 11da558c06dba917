/** Events that go to many in one datagram, with the tree as repair: how many copies that takes, and what becomes of them where it does not arrive. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BroadcastCluster } from '../testing/broadcast-cluster.ts'

const SMALL = new Uint8Array(100)
const ROOM = 1100

/** A cluster in which everybody knows whom its datagrams reach. */
function shouting(seed: string, nodes: number, reaches: (from: string, to: string) => boolean = () => true): BroadcastCluster {
  const cluster = new BroadcastCluster(seed)
  cluster.isHeard = reaches
  cluster.start(nodes)
  const names = cluster.up().map(({ node }) => node)
  for (const from of names) {
    const reached = names.filter((to) => to !== from && reaches(from, to))
    cluster.input(from, { type: 'reached', nodes: new Set(reached), maxBytes: ROOM })
  }
  cluster.run(4000)
  return cluster
}

function send(cluster: BroadcastCluster, node: string, payload: Uint8Array = SMALL, ms = 3000) {
  const deliveriesBefore = cluster.deliveries.length
  const sentBefore = cluster.sum(({ payloadsSent }) => payloadsSent)
  const shoutsBefore = cluster.shouts
  const at = cluster.now
  cluster.broadcast(node, payload)
  cluster.run(ms)
  const deliveries = cluster.deliveries.slice(deliveriesBefore)
  return {
    reached: new Set(deliveries.map((delivery) => delivery.node)).size,
    deliveries: deliveries.length,
    lastMs: Math.max(...deliveries.map((delivery) => delivery.at)) - at,
    shouts: cluster.shouts - shoutsBefore,
    payloads: cluster.sum(({ payloadsSent }) => payloadsSent) - sentBefore,
  }
}

test('where all are reached: one datagram, and no payload along the tree', () => {
  const cluster = shouting('all', 64)
  for (const node of ['n0', 'n33']) {
    const { reached, deliveries, shouts, payloads, lastMs } = send(cluster, node)
    assert.deepEqual([reached, deliveries, shouts, payloads], [63, 63, 1, 0])
    assert.ok(lastMs <= 2, `${lastMs} ms`)
  }
})

test('where datagrams are lost, who lacks the event gets it from a neighbour', () => {
  for (const loss of [0.02, 0.3]) {
    const cluster = shouting(`loss ${loss}`, 64)
    cluster.lossShare = loss
    let payloads = 0
    for (let event = 0; event < 10; event++) {
      const result = send(cluster, `n${event}`, SMALL, 2000)
      assert.deepEqual([result.reached, result.deliveries, result.shouts], [63, 63, 1])
      payloads += result.payloads
    }
    // A tree alone takes 69 and 178 for each, in the same runs.
    assert.ok(payloads / 10 <= (loss < 0.1 ? 10 : 150), `${payloads / 10} payloads along the tree for each event`)
  }
})

test('two LANs: one datagram in that of the origin, the tree for the other one, and both between them', () => {
  const lanOf = (node: string): number => Number(node.slice(1)) % 2
  const cluster = shouting('two', 64, (from, to) => lanOf(from) === lanOf(to))
  const { reached, deliveries, shouts, payloads, lastMs } = send(cluster, 'n4')
  assert.deepEqual([reached, deliveries, shouts], [63, 63, 1])
  // Each link of the tree between the two may carry it once, in either direction, and each of the others once.
  assert.ok(payloads <= 110, `${payloads} payloads along the tree`)
  assert.ok(lastMs <= 400, `${lastMs} ms`)
})

test('a table that is wrong costs time alone: nobody hears what all should', () => {
  const cluster = shouting('wrong', 32)
  cluster.isHeard = () => false
  const { reached, deliveries, shouts } = send(cluster, 'n1')
  assert.deepEqual([reached, deliveries, shouts], [31, 31, 1])
})

test('what is too long for a datagram, or wanted with a report, goes by the tree; so does all where hardly anybody is reached', () => {
  const cluster = shouting('long', 16)
  assert.equal(send(cluster, 'n1', new Uint8Array(ROOM)).shouts, 0)
  const before = cluster.shouts
  cluster.broadcast('n1', SMALL, true)
  cluster.run(3000)
  assert.equal(cluster.shouts, before)
  assert.deepEqual(
    cluster.reports.map(({ report }) => report.reached),
    [15],
  )
  cluster.input('n1', { type: 'reached', nodes: new Set(['n2']), maxBytes: ROOM })
  assert.equal(send(cluster, 'n1').shouts, 0)
})

test('what is no event, of a stranger, or repeated is not delivered', () => {
  const cluster = shouting('hostile', 4)
  const heard: Uint8Array[] = []
  cluster.host('n0').machine.handle({ type: 'broadcast', broadcast: 0, payload: SMALL, wantsReport: false }, cluster.now)
  for (const output of cluster.host('n0').machine.drain()) if (output.type === 'shout') heard.push(output.bytes)
  assert.equal(heard.length, 1)
  for (let times = 0; times < 3; times++) cluster.input('n1', { type: 'shouted', bytes: heard[0]! })
  assert.equal(cluster.deliveries.length, 1)
  cluster.input('n1', { type: 'shouted', bytes: Uint8Array.of(1, 2, 3) })
  cluster.input('n1', { type: 'member-down', node: 'n0' })
  cluster.add('n9')
  cluster.input('n9', { type: 'shouted', bytes: heard[0]! })
  assert.equal(cluster.deliveries.length, 1)
  assert.equal(cluster.host('n9').machine.stats().dropped.strangers, 1)
  assert.ok(cluster.refused.length > 0)
})
