import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../../lib/bytes.ts'
import { Random } from '../../lib/random.ts'
import { VirtualStateCluster } from '../testing/virtual-state-cluster.ts'

const NODES = 7
const STEPS = 120
const SEEDS = 20

/** Everything goes wrong at the same time, with times and limits so small that each rule is needed all the time. */
function runChaos(seed: number): void {
  const random = new Random(`chaos ${seed}`)
  const cluster = new VirtualStateCluster(seed, {
    graceMs: 4000,
    expirySlackMs: 1000,
    maxMessageBytes: 200,
    maxNodeBytes: 2500,
    quarantineMs: 1000,
    maxRetries: 1,
  })
  cluster.addMany(NODES)
  cluster.doubleShare = 0.05
  const generations = new Map<string, number>()
  for (let step = 0; step < STEPS; step++) {
    const node = `n${random.below(NODES)}`
    const key = `k${random.below(25)}`
    switch (random.below(12)) {
      case 0:
        cluster.lossShare = random.pick([0, 0.1, 0.4])
        break
      case 1: {
        const split = random.below(NODES)
        cluster.isOpen = (from, to) => Number(from.slice(1)) < split === Number(to.slice(1)) < split
        break
      }
      case 2:
        cluster.isOpen = () => true
        break
      case 3:
        if (!cluster.hosts.get(node)!.isUp) {
          generations.set(node, (generations.get(node) ?? 1) + 1)
          cluster.add(node, generations.get(node))
        } else if (random.below(3) === 0) {
          cluster.crash(node)
        }
        break
      case 4:
        cluster.run(random.below(8000))
        break
      case 5:
      case 6:
      case 7:
        if (cluster.hosts.get(node)!.isUp) cluster.remove(node, key)
        break
      default: {
        if (!cluster.hosts.get(node)!.isUp) break
        const value = new Uint8Array(random.below(400)).fill(step)
        const ttlMs = random.below(4) === 0 ? 1 + random.below(6000) : undefined
        if (cluster.machine(node).check(key, value) === undefined) cluster.set(node, key, value, ttlMs)
      }
    }
    cluster.run(random.below(300))
  }
  cluster.isOpen = () => true
  cluster.lossShare = 0
  for (const { node, isUp } of cluster.hosts.values()) {
    if (!isUp) cluster.add(node, (generations.get(node) ?? 1) + 1)
  }
  const tookMs = cluster.runUntil(() => cluster.isEqual(), 90_000)
  assert.ok(tookMs !== undefined, `seed ${seed}: all become equal`)
  cluster.run(20_000)
  assert.ok(cluster.runUntil(() => cluster.isEqual(), 20_000) !== undefined, `seed ${seed}: and stay so`)
  // Equal to each other, and equal to what the owners say.
  for (const owner of cluster.hosts.keys()) {
    const truth = cluster.machine(owner).entries(owner)
    for (const { key, value } of truth) assert.equal(toHex(cluster.machine('n0').get(owner, key)!), toHex(value))
    assert.equal(cluster.machine('n0').entries(owner).length, truth.length)
  }
  for (const { machine } of cluster.hosts.values()) {
    const { bytesHeld, droppedRumors, tombstones } = machine.stats()
    const counted = machine.nodes().flatMap(({ node }) => machine.entries(node).map(({ key, value }) => 32 + key.length + value.length))
    assert.equal(bytesHeld - counted.reduce((sum, bytes) => sum + bytes, 0), 0, `seed ${seed}: bytes are counted right`)
    assert.equal(tombstones, 0, `seed ${seed}: all tombstones are collected in the end`)
    assert.equal(droppedRumors, 0)
  }
  assert.deepEqual(cluster.faults, [], `seed ${seed}`)
}

test('whatever is lost, cut off, started anew, removed and collected: all come to know what the owners say', () => {
  for (let seed = 0; seed < SEEDS; seed++) runChaos(seed)
})
