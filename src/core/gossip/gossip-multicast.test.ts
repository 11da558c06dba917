/** Whole nodes and multicast: an event or query goes out as one datagram, ends in Serf's rules as ever, and agents of Serf get it by gossip. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualGossipCluster } from './testing/virtual-gossip-cluster.ts'

const NODES = ['n0', 'n1', 'n2', 'n3']
const SERF = 'serf'

/** Four nodes, of which each reaches all others by multicast, and one that speaks as an agent of Serf does. */
function clusterOf(seed: string): VirtualGossipCluster {
  const cluster = new VirtualGossipCluster(seed)
  for (const node of NODES) cluster.add(node)
  cluster.add(SERF, false)
  for (const node of [...NODES.slice(1), SERF]) cluster.join(node, 'n0')
  cluster.run(6000)
  assert.ok(cluster.isWhole())
  for (const node of NODES)
    cluster.input(node, { type: 'reached', names: new Set(NODES.filter((other) => other !== node)), maxBytes: 1200 })
  return cluster
}

/** What was put out for multicast since the mark comes to these nodes. */
function carry(cluster: VirtualGossipCluster, mark: number, nodes: readonly string[]): number {
  const datagrams = cluster.eventsOf('multicast').slice(mark)
  for (const { output } of datagrams) for (const node of nodes) cluster.input(node, { type: 'multicast', bytes: output.bytes })
  return datagrams.length
}

function heardBy(cluster: VirtualGossipCluster, name: string): string[] {
  return cluster
    .eventsOf('event')
    .flatMap(({ node, output }) => (output.event.name === name ? [node] : []))
    .toSorted()
}

test('an event by one datagram, to Serf by gossip; doubled or lost it comes once all the same', () => {
  const cluster = clusterOf('event')
  const send = (name: string): void =>
    cluster.input('n0', { type: 'event', event: 1, name, payload: Uint8Array.of(1), canCoalesce: false, wantsReport: false })
  send('all')
  assert.equal(carry(cluster, 0, ['n1', 'n2', 'n3', 'n3']), 1)
  assert.deepEqual(heardBy(cluster, 'all'), NODES, 'without any time passing')
  cluster.run(3000)
  assert.deepEqual(heardBy(cluster, 'all'), [...NODES, SERF])
  assert.equal(
    [...cluster.hosts.values()].reduce((sum, { machine }) => sum + machine.broadcast.stats().payloadsSent, 0),
    0,
    'the tree carried nothing',
  )

  send('lost')
  assert.equal(carry(cluster, 1, ['n1']), 1)
  cluster.run(3000)
  assert.deepEqual(heardBy(cluster, 'lost'), [...NODES, SERF])
})

test('a query goes the same way, and its report is as ever', () => {
  const cluster = clusterOf('query')
  const query = { query: 5, name: 'q', payload: new Uint8Array(0), filters: [], wantsAck: true, relayFactor: 0, timeoutMs: 1000 }
  cluster.input('n1', { type: 'query', ...query })
  assert.equal(carry(cluster, 0, ['n0', 'n2', 'n3']), 1)
  cluster.run(3000)
  assert.deepEqual(
    cluster
      .eventsOf('query-ack')
      .map(({ output }) => output.from)
      .toSorted(),
    [...NODES, SERF],
  )
})

test('what no honest node sends by multicast is told and goes no further', () => {
  const cluster = clusterOf('hostile')
  cluster.input('n0', { type: 'multicast', bytes: Uint8Array.of(9) })
  assert.deepEqual(
    cluster.eventsOf('refused').map(({ node, output }) => [node, output.from]),
    [['n0', 'multicast']],
  )
})
