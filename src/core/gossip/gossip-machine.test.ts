/** What the layers do together: events of all sizes by the tree, and their reports. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DEFAULT_BROADCAST_SETTINGS } from './broadcast/broadcast-types.ts'
import type { GossipInput } from './gossip-machine.ts'
import { DEFAULT_SERF_LIMITS } from './serf/serf-types.ts'
import { VirtualGossipCluster } from './testing/virtual-gossip-cluster.ts'

const NODES = 8

function clusterOf(seed: string): VirtualGossipCluster {
  const cluster = new VirtualGossipCluster(seed)
  for (let i = 0; i < NODES; i++) cluster.add(`n${i}`)
  for (let i = 1; i < NODES; i++) cluster.join(`n${i}`, 'n0')
  cluster.run(10_000)
  assert.ok(cluster.isWhole())
  return cluster
}

function event(number: number, payload: Uint8Array, name = 'e'): GossipInput {
  return { type: 'event', event: number, name, payload, canCoalesce: false, wantsReport: true }
}

for (const name of ['e', 'n'.repeat(2000)]) {
  test(`an event whose name has ${name.length} bytes may be as long as is said, and no longer`, () => {
    const cluster = clusterOf(`edge ${name.length}`)
    const most = DEFAULT_SERF_LIMITS.maxSpreadEventBytes - name.length
    cluster.input('n1', event(1, new Uint8Array(most), name))
    cluster.run(5000)
    const heard = cluster.events.filter(({ output }) => output.type === 'event' && output.event.payload.length === most)
    assert.deepEqual(heard.map(({ node }) => node).toSorted(), [...cluster.hosts.keys()].toSorted())
    const reports = cluster.events.filter(({ output }) => output.type === 'report').map(({ output }) => output)
    assert.deepEqual(reports, [{ type: 'report', event: 1, reached: NODES - 1, of: NODES - 1, missing: [] }])
    cluster.input('n1', event(2, new Uint8Array(most + 1), name))
    assert.equal(cluster.events.at(-1)?.output.type, 'rejected')
  })
}

test('an event of which a report cannot be made is not sent, and who wants it is told', () => {
  const cluster = clusterOf('reports')
  const { maxReports } = DEFAULT_BROADCAST_SETTINGS
  for (let i = 0; i <= maxReports; i++) cluster.input('n1', event(i, Uint8Array.of(i)))
  const rejected = cluster.events.filter(({ output }) => output.type === 'rejected' && output.input === 'event')
  assert.equal(rejected.length, 1)
  cluster.run(5000)
  assert.equal(cluster.events.filter(({ output }) => output.type === 'report').length, maxReports)
  assert.equal(cluster.events.filter(({ node, output }) => node === 'n2' && output.type === 'event').length, maxReports)
})
