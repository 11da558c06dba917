/**
 * A hundred machines through one life: they join all at once, one crashes, one is accused, the network breaks in two and heals, all of it
 * on a network that loses packets, and then on one that does not.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GOSSIP_PROFILES, pushPullIntervalMs } from './profile.ts'
import { suspicionBounds } from './suspicion.ts'
import { VirtualCluster } from './testing/virtual-cluster.ts'

const SIZE = 100
const { minMs, maxMs } = suspicionBounds(GOSSIP_PROFILES.serf, SIZE)

/** All start together and join by way of the first three. */
function joinStorm(cluster: VirtualCluster): void {
  for (let i = 0; i < SIZE; i++) cluster.add(`n${i}`)
  for (let i = 1; i < SIZE; i++) cluster.join(`n${i}`, `n${i < 3 ? 0 : i % 3}`)
}

/** All know nearly all by gossip within seconds; the few that it passed by come with the exchanges of everything. */
function comesTogether(cluster: VirtualCluster): void {
  cluster.run(5000)
  const known = [...cluster.hosts.values()].map(({ machine }) => machine.status().alive)
  assert.ok(known.reduce((sum, count) => sum + count, 0) >= 0.99 * SIZE * SIZE, 'gossip reaches 99 %')
  assert.ok(
    cluster.runUntil(() => cluster.isWhole(), pushPullIntervalMs(GOSSIP_PROFILES.serf, SIZE)),
    'all know all',
  )
}

function failures(cluster: VirtualCluster): string[] {
  return cluster.eventsOf('failed').map(({ output }) => output.member.node)
}

test('without loss: all know all soon, nobody is suspected, a crash is found in time, an accused member lives on', () => {
  const cluster = new VirtualCluster({ seed: 'hundred' })
  joinStorm(cluster)
  comesTogether(cluster)
  cluster.run(15_000)
  assert.deepEqual([cluster.eventsOf('suspected').length, failures(cluster).length], [0, 0])

  cluster.crash('n42')
  const crashedAt = cluster.now
  // The first probe that meets it is there within moments; two more confirm; the rest is the least time, and spreading.
  assert.ok(
    cluster.runUntil(() => cluster.allSee('n42', 'dead'), minMs + 6000),
    'all know of the crash',
  )
  assert.ok(cluster.now - crashedAt >= minMs)
  assert.deepEqual(new Set(failures(cluster)), new Set(['n42']))
  assert.ok(cluster.eventsOf('suspected').every(({ output }) => output.member.node === 'n42'))

  const before = cluster.eventsOf('suspected').length
  cluster.input('n7', {
    type: 'packet',
    from: cluster.host('n8').endpoint,
    messages: [{ type: 'suspect', incarnation: 1, node: 'n23', from: 'n8' }],
  })
  assert.ok(
    cluster.runUntil(() => cluster.isWhole() && cluster.machine('n7').member('n23')?.incarnation === 2, 4000),
    'the accused is cleared',
  )
  assert.ok(cluster.eventsOf('suspected').length > before)
  assert.equal(cluster.eventsOf('held-up').length, 0)
  assert.deepEqual(new Set(failures(cluster)), new Set(['n42']))
})

test('with loss: all know all, a crash is found, nobody else is held for dead, and two halves become one again', () => {
  const cluster = new VirtualCluster({ seed: 'lossy', lossShare: 0.1 })
  joinStorm(cluster)
  comesTogether(cluster)
  cluster.crash('n42')
  assert.ok(
    cluster.runUntil(() => cluster.allSee('n42', 'dead'), maxMs),
    'all know of the crash',
  )
  assert.deepEqual(new Set(failures(cluster)), new Set(['n42']))

  const isLeft = (node: string): boolean => Number(node.slice(1)) < SIZE / 2
  cluster.isOpen = (from, to) => isLeft(from) === isLeft(to)
  cluster.run(2 * minMs)
  assert.ok(failures(cluster).length > 1, 'the halves hold each other for dead')
  cluster.isOpen = () => true
  // What the layer above does from time to time: a member tries one that it holds for dead.
  cluster.join('n0', 'n99')
  assert.ok(
    cluster.runUntil(() => cluster.isWhole(), 30_000),
    'the halves are one again',
  )
  cluster.run(10_000)
  assert.ok(cluster.isWhole())
})
