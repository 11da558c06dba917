/** What a node with all its layers sends when nothing happens. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualGossipCluster } from './testing/virtual-gossip-cluster.ts'

const NODES = 64
const SECONDS = 60
const HEADERS = 28

test('64 nodes with state that do nothing send at most 250 B/s each, payload of datagrams and streams', () => {
  const cluster = new VirtualGossipCluster('idle')
  for (let i = 0; i < NODES; i++) cluster.add(`node-${i}`)
  for (let i = 1; i < NODES; i++) cluster.join(`node-${i}`, 'node-0')
  cluster.run(5000)
  const value = new Uint8Array(40)
  for (const node of cluster.hosts.keys()) cluster.input(node, { type: 'set-state', key: 'load', value, ttlMs: undefined })
  cluster.run(40_000)
  assert.ok(cluster.isWhole())
  assert.equal(cluster.machine('node-5').state.entries('node-9').length, 1)
  cluster.resetTraffic()
  cluster.run(SECONDS * 1000)
  const perNode = (count: number): number => count / NODES / SECONDS
  const bytesPerSec = perNode(cluster.packetBytes + cluster.streamBytes)
  const wireBytesPerSec = perNode(cluster.packetBytes + cluster.streamBytes + HEADERS * cluster.packets)
  assert.ok(bytesPerSec > 50 && bytesPerSec <= 250, `${bytesPerSec} B/s`)
  assert.ok(wireBytesPerSec <= 400, `${wireBytesPerSec} B/s with the headers of IP and UDP`)
  assert.ok(cluster.machine('node-5').serf.coordinate()!.error < 1, 'coordinates are still learnt')
})
