/** Sixty-four machines of the profile `lan`: one is killed, many packets get lost, one stands still. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GOSSIP_PROFILES } from './profile.ts'
import { VirtualCluster } from './testing/virtual-cluster.ts'

const { lan } = GOSSIP_PROFILES

function clusterOf(size: number, seed: string): VirtualCluster {
  const cluster = new VirtualCluster({ seed, profile: lan, areAllPeers: true })
  for (let i = 0; i < size; i++) cluster.add(`n${i}`)
  for (let i = 1; i < size; i++) cluster.join(`n${i}`, 'n0')
  assert.ok(
    cluster.runUntil(() => cluster.isWhole(), 20_000),
    'it comes together',
  )
  cluster.run(4000)
  return cluster
}

test('one that is killed is known to be dead by all of 64 within 3 s, from any seed', () => {
  const times: number[] = []
  for (let seed = 0; seed < 20; seed++) {
    const cluster = clusterOf(64, `kill/${seed}`)
    cluster.run(seed * 53)
    const killedAt = cluster.now
    cluster.crash('n42')
    assert.ok(
      cluster.runUntil(() => cluster.allSee('n42', 'dead'), 3000),
      `seed ${seed}`,
    )
    times.push(cluster.now - killedAt)
    const failed = cluster.eventsOf('failed')
    assert.ok(failed.every(({ output }) => output.member.node === 'n42'))
    assert.ok(
      failed.some(({ output }) => output.verdict.grounds === 'gone' && output.verdict.source === 'time-out'),
      'somebody can say why',
    )
    assert.ok(cluster.eventsOf('suspected').every(({ output }) => output.member.node === 'n42'))
  }
  assert.ok(times.every((time) => time > lan.refusedSuspicionMs))
})

test('where 30 % of all packets are lost for a minute nobody is declared failed, and one that is then killed is found soon', () => {
  const cluster = clusterOf(64, 'lossy')
  cluster.lossShare = 0.3
  cluster.run(60_000)
  assert.deepEqual(cluster.eventsOf('failed'), [])
  cluster.crash('n42')
  assert.ok(cluster.runUntil(() => cluster.allSee('n42', 'dead'), 5000))
  assert.ok(cluster.eventsOf('failed').every(({ output }) => output.member.node === 'n42'))
})

test('one of 16 that stands still for 8 s is suspected, and nobody is declared failed; it tells so before it is asked', () => {
  for (let seed = 0; seed < 5; seed++) {
    const cluster = clusterOf(16, `pause/${seed}`)
    cluster.freeze('n7', 8000)
    cluster.run(8000)
    assert.ok(cluster.eventsOf('suspected').length > 0, 'it was noticed')
    cluster.run(1000)
    assert.ok(cluster.isWhole(), 'a second after, all is well')
    assert.deepEqual(cluster.eventsOf('failed'), [])
    assert.ok(cluster.eventsOf('held-up').some(({ node }) => node === 'n7'))
    cluster.run(20_000)
    assert.deepEqual(cluster.eventsOf('failed'), [])
  }
})

test('of two, the one that is killed is known to be dead within 4 s, and the one that is cut off, or stands still, has its time', () => {
  for (let seed = 0; seed < 10; seed++) {
    const killed = clusterOf(2, `kill of two/${seed}`)
    killed.run(seed * 107)
    killed.crash('n1')
    assert.ok(
      killed.runUntil(() => killed.stateOf('n0', 'n1') === 'dead', 4000),
      `seed ${seed}`,
    )
    assert.equal(killed.eventsOf('failed')[0]?.output.verdict.grounds, 'gone')
  }
  const cut = clusterOf(2, 'cut of two')
  cut.isOpen = () => false
  cut.run(10_000)
  assert.deepEqual([cut.stateOf('n0', 'n1'), cut.stateOf('n1', 'n0')], ['suspect', 'suspect'])
  const still = clusterOf(2, 'one of two stands still')
  still.freeze('n1', 8000)
  still.run(20_000)
  assert.deepEqual(still.eventsOf('failed'), [])
})

test('a host that is cut off takes no connections and refuses none: it has its time, and is found then', () => {
  const cluster = clusterOf(16, 'cut')
  cluster.isOpen = (from, to) => from !== 'n7' && to !== 'n7'
  cluster.run(10_000)
  assert.equal(cluster.stateOf('n3', 'n7'), 'suspect')
  assert.ok(
    cluster.runUntil(() => [...cluster.hosts.keys()].every((node) => node === 'n7' || cluster.stateOf(node, 'n7') === 'dead'), 15_000),
  )
  assert.ok(cluster.eventsOf('failed').every(({ node, output }) => node === 'n7' || output.member.node === 'n7'))
})
