/**
 * Broadcast machines together on a virtual network: how soon an event is everywhere, in how many copies, what losses, crashes and partitions
 * do to it, and what is reported.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BroadcastCluster } from '../testing/broadcast-cluster.ts'
import { DEFAULT_BROADCAST_SETTINGS } from './broadcast-types.ts'

const SMALL = new Uint8Array(100)

/** One event, and what became of it. */
function broadcast(cluster: BroadcastCluster, node: string, payload: Uint8Array = SMALL, ms: number = 3000) {
  const before = cluster.deliveries.length
  const sentBefore = cluster.sum(({ payloadsSent }) => payloadsSent)
  const at = cluster.now
  cluster.broadcast(node, payload)
  cluster.run(ms)
  const deliveries = cluster.deliveries.slice(before)
  return {
    reached: new Set(deliveries.map(({ node }) => node)).size,
    deliveries,
    lastMs: Math.max(...deliveries.map((delivery) => delivery.at)) - at,
    copies: (cluster.sum(({ payloadsSent }) => payloadsSent) - sentBefore) / cluster.up().length,
  }
}

test('64 nodes: from the first event on each gets it once, within 50 ms, in hardly more than one copy', () => {
  for (let seed = 0; seed < 5; seed++) {
    const cluster = new BroadcastCluster(`calm ${seed}`)
    cluster.start(64)
    cluster.run(4000)
    for (const node of ['n0', 'n17', 'n63']) {
      const { reached, deliveries, lastMs, copies } = broadcast(cluster, node)
      assert.deepEqual([reached, deliveries.length], [63, 63])
      assert.ok(lastMs <= 50, `the last after ${lastMs} ms`)
      assert.ok(copies <= 1.2, `${copies} copies`)
      assert.ok(deliveries.every(({ origin, payload, hops }) => origin === node && payload.length === 100 && hops >= 1))
    }
  }
})

test('64 nodes that lose 30 % of all messages: everywhere within 500 ms', () => {
  for (let seed = 0; seed < 8; seed++) {
    const cluster = new BroadcastCluster(`loss ${seed}`)
    cluster.lossShare = 0.3
    cluster.start(64)
    cluster.run(4000)
    const { reached, deliveries } = broadcast(cluster, 'n5', SMALL, 500)
    assert.deepEqual([reached, deliveries.length], [63, 63])
  }
})

test('an event before there is a tree, or when the network is down for a while, is everywhere in the end', () => {
  const cluster = new BroadcastCluster('early')
  cluster.start(32)
  cluster.run(250)
  assert.equal(broadcast(cluster, 'n3').reached, 31)

  let before = cluster.deliveries.length
  cluster.isOpen = (from) => from !== 'n3'
  cluster.broadcast('n3', SMALL)
  cluster.run(2000)
  assert.equal(cluster.deliveries.length, before)
  cluster.isOpen = () => true
  cluster.run(6000)
  assert.equal(cluster.deliveries.length, before + 31)

  before = cluster.deliveries.length
  cluster.isOpen = (_, to) => to !== 'n9'
  cluster.broadcast('n4', SMALL)
  cluster.run(2000)
  assert.equal(cluster.deliveries.length, before + 30)
  cluster.isOpen = () => true
  cluster.run(4000)
  assert.equal(cluster.deliveries.length, before + 31)
})

test('1,000 nodes of which 300 crash at once: an event reaches the others, before they know of it and after', () => {
  const cluster = new BroadcastCluster('crash')
  cluster.start(1000)
  cluster.run(3000)
  for (let i = 0; i < 300; i++) cluster.crash(`n${3 * i}`)
  assert.ok(broadcast(cluster, 'n1', SMALL, 1500).reached >= 690)
  for (let i = 0; i < 300; i++) cluster.tellDown(`n${3 * i}`)
  cluster.run(4000)
  const counts = new Map<string, number>()
  for (const { node } of cluster.deliveries) counts.set(node, (counts.get(node) ?? 0) + 1)
  assert.equal(counts.size, 699, 'those that missed it got it by comparing')
  assert.ok([...counts.values()].every((count) => count === 1))
  const { reached, lastMs, copies } = broadcast(cluster, 'n2', SMALL, 1000)
  assert.equal(reached, 699)
  assert.ok(lastMs <= 100, `the last after ${lastMs} ms`)
  assert.ok(copies <= 1.2, `${copies} copies`)
})

test('churn: while nodes crash, come back and join, those that are there all the time get all events', () => {
  const cluster = new BroadcastCluster('churn')
  cluster.start(60)
  cluster.run(2000)
  let sent = 0
  for (let round = 0; round < 20; round++) {
    const node = `n${20 + ((round * 7) % 40)}`
    if (cluster.host(node).isUp) {
      cluster.crash(node)
      cluster.run(150)
      cluster.tellDown(node)
    } else cluster.join(node)
    cluster.join(`m${round}`)
    cluster.broadcast(`n${round}`, Uint8Array.of(round))
    sent++
    cluster.run(250)
  }
  cluster.run(5000)
  for (let i = 0; i < 20; i++) {
    const got = cluster.deliveries.filter(({ node }) => node === `n${i}`).map(({ payload }) => payload[0])
    assert.equal(new Set(got).size, got.length)
    assert.equal(got.length, sent - 1, `n${i}`)
  }
})

test('a node that joins later gets no old events, unless it is to have those of late', () => {
  for (const newcomerMs of [0, 10_000]) {
    const cluster = new BroadcastCluster('late', { newcomerMs })
    cluster.start(20)
    cluster.run(2000)
    for (let i = 0; i < 5; i++) cluster.broadcast('n1', Uint8Array.of(i))
    cluster.run(2000)
    cluster.join('late')
    cluster.run(5000)
    const old = cluster.deliveries.filter(({ node }) => node === 'late')
    assert.equal(old.length, newcomerMs === 0 ? 0 : 5)
    cluster.broadcast('n1', SMALL)
    cluster.run(1000)
    assert.equal(cluster.deliveries.filter(({ node }) => node === 'late').length, old.length + 1)
  }
})

test('a partition: each side goes on, and when it heals each gets what the other had', () => {
  const cluster = new BroadcastCluster('partition')
  cluster.start(40)
  cluster.run(3000)
  const side = (node: string): number => Number(node.slice(1)) % 2
  const names = cluster.up().map(({ node }) => node)
  const tell = (type: 'member-up' | 'member-down'): void => {
    for (const a of names) for (const b of names) if (side(a) !== side(b)) cluster.input(a, { type, node: b })
  }
  cluster.isOpen = (from, to) => side(from) === side(to)
  cluster.run(1000)
  tell('member-down')
  cluster.run(3000)
  const before = cluster.deliveries.length
  cluster.broadcast('n0', SMALL)
  cluster.broadcast('n1', SMALL)
  cluster.run(1000)
  assert.equal(cluster.deliveries.length, before + 38)
  cluster.isOpen = () => true
  tell('member-up')
  cluster.run(5000)
  assert.equal(cluster.deliveries.length, before + 78)
})

test('a report names those that did not get the event, and comes at once when all did', () => {
  const cluster = new BroadcastCluster('report')
  cluster.start(100)
  cluster.run(4000)
  cluster.broadcast('n0', SMALL, true, 7)
  cluster.run(1000)
  const first = cluster.reports[0]
  assert.deepEqual(first?.report, { type: 'report', broadcast: 7, reached: 99, of: 99, missing: [] })
  assert.ok((first?.at ?? Infinity) <= 4200, 'as soon as all receipts are there')

  for (const node of ['n10', 'n20', 'n30']) cluster.crash(node)
  cluster.broadcast('n50', SMALL, true, 8)
  cluster.run(4000)
  assert.deepEqual(cluster.reports[1]?.report, { type: 'report', broadcast: 8, reached: 96, of: 99, missing: ['n10', 'n20', 'n30'] })
})

test('reports are right where 30 % of all messages are lost', () => {
  for (let seed = 0; seed < 5; seed++) {
    const cluster = new BroadcastCluster(`lossy report ${seed}`)
    cluster.lossShare = 0.3
    cluster.start(64)
    cluster.run(4000)
    cluster.crash('n9')
    cluster.broadcast('n1', SMALL, true, 1)
    cluster.run(4000)
    assert.deepEqual(cluster.reports[0]?.report, { type: 'report', broadcast: 1, reached: 62, of: 63, missing: ['n9'] })
  }
})

test('the origin of a report in a large cluster hears from few', () => {
  const cluster = new BroadcastCluster('large report')
  cluster.start(500)
  cluster.run(4000)
  const before = cluster.host('n0').machine.stats().bytesReceived
  cluster.broadcast('n0', SMALL, true, 1)
  cluster.run(2000)
  assert.deepEqual(cluster.reports[0]?.report, { type: 'report', broadcast: 1, reached: 499, of: 499, missing: [] })
  const bytes = cluster.host('n0').machine.stats().bytesReceived.receipts - before.receipts
  assert.ok(bytes <= 499 * 6, `${bytes} bytes of receipts`)
})

test('1,000 events of five origins in 10 s: all everywhere once, in hardly more than one copy', () => {
  const cluster = new BroadcastCluster('many')
  cluster.start(32)
  cluster.run(4000)
  for (let i = 0; i < 1000; i++) {
    cluster.broadcast(`n${i % 5}`, Uint8Array.of(i & 0xff))
    cluster.run(10)
  }
  cluster.run(1000)
  assert.equal(cluster.deliveries.length, 31_000)
  const copies = cluster.sum(({ payloadsSent }) => payloadsSent) / 32_000
  assert.ok(copies <= 1.2, `${copies} copies`)
})

test('large payloads go through whole; those above the limit are refused', () => {
  const cluster = new BroadcastCluster('large')
  cluster.start(32)
  cluster.run(4000)
  const most = DEFAULT_BROADCAST_SETTINGS.maxPayloadBytes
  const payload = Uint8Array.from({ length: most }, (_, i) => i * 7)
  const { reached, deliveries, copies } = broadcast(cluster, 'n1', payload)
  assert.equal(reached, 31)
  assert.deepEqual(deliveries[0]?.payload, payload)
  assert.ok(copies <= 1.2, `${copies} copies`)
  cluster.broadcast('n1', new Uint8Array(most + 1))
  assert.match(cluster.refused[0]?.reason ?? '', /66049 bytes, more than 66048/)
  assert.equal(broadcast(cluster, 'n2').reached, 31)
})

test('nodes that start at once ask little of each other, and idle costs next to nothing', () => {
  const cluster = new BroadcastCluster('start')
  cluster.start(300)
  cluster.run(5000)
  assert.ok(cluster.sentMessages / 300 <= 60, `${cluster.sentMessages / 300} messages each`)
  for (const { machine } of cluster.up()) {
    const names = machine.neighbours().map(({ node }) => node)
    assert.ok(names.length >= 4 && names.length <= 12, `${names.length} neighbours`)
  }
  broadcast(cluster, 'n0')
  const total = (): number => cluster.sum(({ bytesSent }) => Object.values(bytesSent).reduce((sum, bytes) => sum + bytes, 0))
  const before = total()
  cluster.run(60_000)
  assert.ok((total() - before) / 300 / 60 <= 40, `${(total() - before) / 300 / 60} bytes a second`)
})

test('the same seed gives the same run', () => {
  const run = (): unknown => {
    const cluster = new BroadcastCluster('again')
    cluster.lossShare = 0.1
    cluster.start(30)
    cluster.run(2000)
    broadcast(cluster, 'n4')
    return cluster.deliveries.map(({ at, node, hops }) => [at, node, hops])
  }
  assert.deepEqual(run(), run())
})
