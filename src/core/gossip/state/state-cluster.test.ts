import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VirtualStateCluster } from '../testing/virtual-state-cluster.ts'

const HOUR_MS = 3_600_000
const BYTES_64 = 'x'.repeat(64)

test('a key of 64 bytes is seen by 100 nodes within a second, at no more than 2 kB from each', () => {
  for (const seed of [1, 2]) {
    const cluster = new VirtualStateCluster(seed)
    cluster.addMany(100)
    cluster.run(20_000)
    assert.ok(cluster.isEqual())
    cluster.takeBytesPerNode()
    cluster.set('n7', 'key', BYTES_64)
    const tookMs = cluster.runUntil(() => cluster.allSee('n7', 'key', BYTES_64), 1000, 10)
    assert.ok(tookMs !== undefined, `seed ${seed}`)
    cluster.run(1000 - tookMs)
    const bytes = cluster.takeBytesPerNode()
    assert.ok(bytes <= 2000, `${bytes} bytes`)
    assert.deepEqual(cluster.faults, [])
  }
})

test('an idle cluster costs the same at any number of nodes', () => {
  const costs = [64, 200].map((nodes) => {
    const cluster = new VirtualStateCluster(nodes)
    cluster.addMany(nodes)
    cluster.run(15_000)
    assert.ok(cluster.isEqual())
    cluster.takeBytesPerNode()
    cluster.run(10_000)
    return cluster.takeBytesPerNode() / 10
  })
  for (const cost of costs) assert.ok(cost <= 60, `${cost} bytes per second`)
  assert.ok(Math.abs(costs[0]! - costs[1]!) < 1)
})

for (const lossShare of [0.1, 0.3]) {
  test(`all become equal where ${100 * lossShare} % of the messages are lost and some come twice`, () => {
    const cluster = new VirtualStateCluster(5)
    cluster.lossShare = lossShare
    cluster.doubleShare = 0.05
    cluster.addMany(20)
    for (let i = 0; i < 200; i++) {
      const node = `n${(i * 7) % 20}`
      if (i % 5 === 4) cluster.remove(node, `k${(i - 40) % 9}`)
      else cluster.set(node, `k${i % 9}`, `value ${i}`)
      cluster.run(50)
    }
    const tookMs = cluster.runUntil(() => cluster.isEqual(), 60_000)
    assert.ok(tookMs !== undefined)
    assert.deepEqual(cluster.faults, [])
  })
}

test('the two halves of a cluster become equal when they see each other again', () => {
  const cluster = new VirtualStateCluster(6)
  cluster.addMany(16)
  cluster.set('n1', 'a', 'before')
  cluster.run(5000)
  cluster.isOpen = (from, to) => Number(from.slice(1)) % 2 === Number(to.slice(1)) % 2
  for (let i = 0; i < 16; i++) cluster.set(`n${i}`, 'side', `${i % 2}`)
  cluster.remove('n1', 'a')
  cluster.run(10_000)
  assert.ok(!cluster.isEqual())
  cluster.isOpen = () => true
  const tookMs = cluster.runUntil(() => cluster.isEqual(), 20_000)
  assert.ok(tookMs !== undefined)
  assert.ok(cluster.allSee('n1', 'a', undefined))
  assert.deepEqual(cluster.faults, [])
})

test('a node that starts anew with a greater generation is believed, and what it no longer says goes', () => {
  const cluster = new VirtualStateCluster(7)
  cluster.addMany(8)
  for (let i = 0; i < 30; i++) cluster.set('n3', `k${i}`, 'old')
  cluster.run(5000)
  assert.ok(cluster.allSee('n3', 'k29', 'old'))
  cluster.crash('n3')
  cluster.run(3000)
  cluster.add('n3', 2)
  cluster.set('n3', 'k0', 'new')
  assert.ok(cluster.runUntil(() => cluster.isEqual(), 10_000) !== undefined)
  assert.ok(cluster.allSee('n3', 'k0', 'new'))
  assert.ok(cluster.allSee('n3', 'k29', undefined))
  assert.deepEqual(cluster.faults, [])
})

test('a node that starts anew with the same generation refutes what it said before', () => {
  const cluster = new VirtualStateCluster(8)
  cluster.addMany(8)
  for (let i = 0; i < 30; i++) cluster.set('n3', `k${i}`, 'old')
  cluster.run(5000)
  cluster.crash('n3')
  cluster.add('n3', 1)
  cluster.set('n3', 'k0', 'new')
  assert.ok(cluster.runUntil(() => cluster.isEqual() && cluster.allSee('n3', 'k0', 'new'), 10_000) !== undefined)
  assert.ok(cluster.allSee('n3', 'k29', undefined))
  assert.ok(cluster.machine('n3').stats().refutations > 0)
})

test('who joins late gets states of 1 MiB in pieces, and small ones are not held up', () => {
  const cluster = new VirtualStateCluster(9)
  cluster.addMany(4)
  const value = new Uint8Array(1000).fill(7)
  for (const node of ['n0', 'n1']) for (let i = 0; i < 990; i++) cluster.set(node, `key ${i}`, value)
  cluster.set('n3', 'small', 'here')
  assert.ok(cluster.runUntil(() => cluster.isEqual(), 120_000) !== undefined)
  cluster.run(5000)
  let largest = 0
  cluster.onOutput = (_, output) => {
    if (output.type === 'send') largest = Math.max(largest, output.bytes.length)
  }
  cluster.add('late')
  const late = cluster.machine('late')
  const smallMs = cluster.runUntil(() => late.get('n3', 'small') !== undefined, 5000)
  const tookMs = cluster.runUntil(() => cluster.isEqual(), 120_000)
  assert.ok(smallMs !== undefined && tookMs !== undefined && smallMs < tookMs)
  assert.ok(largest <= 1200)
  assert.equal(late.entries('n1').length, 990)
  assert.deepEqual(cluster.faults, [])
})

test('who was away for longer than removed keys are remembered does not bring them back', () => {
  const cluster = new VirtualStateCluster(10)
  cluster.addMany(8)
  cluster.set('n0', 'gone', 'x')
  cluster.set('n0', 'kept', 'y')
  cluster.run(5000)
  cluster.isOpen = (from, to) => from !== 'n5' && to !== 'n5'
  cluster.remove('n0', 'gone')
  cluster.run(3 * HOUR_MS)
  assert.equal(cluster.machine('n1').stats().tombstones, 0)
  assert.ok(cluster.machine('n5').get('n0', 'gone') !== undefined)
  const events: string[] = []
  cluster.onOutput = (node, output) => {
    if (node === 'n5' && output.type === 'changed') events.push(`${output.key} ${output.value === undefined ? 'gone' : 'set'}`)
  }
  cluster.isOpen = () => true
  assert.ok(cluster.runUntil(() => cluster.isEqual(), 20_000) !== undefined)
  assert.ok(cluster.allSee('n0', 'gone', undefined))
  assert.ok(cluster.allSee('n0', 'kept', 'y'))
  assert.deepEqual(events, ['gone gone'])
  assert.deepEqual(cluster.faults, [])
})

test('a key goes when its time is over, also where its owner does not', () => {
  const cluster = new VirtualStateCluster(11)
  cluster.addMany(8)
  cluster.set('n0', 'a', 'x', 5000)
  cluster.set('n1', 'b', 'x', 5000)
  cluster.run(2000)
  assert.ok(cluster.allSee('n0', 'a', 'x') && cluster.allSee('n1', 'b', 'x'))
  cluster.crash('n1')
  cluster.run(4000)
  assert.ok(cluster.allSee('n0', 'a', undefined))
  assert.ok(cluster.allSee('n1', 'b', 'x'))
  cluster.run(11_000)
  assert.ok(cluster.allSee('n1', 'b', undefined))
  assert.ok(cluster.isEqual())
  assert.deepEqual(cluster.faults, [])
})

test('what is forgotten stays so, though others forget it later', () => {
  const cluster = new VirtualStateCluster(12)
  cluster.addMany(5)
  cluster.set('n4', 'a', 'x')
  cluster.run(3000)
  cluster.crash('n4')
  cluster.tell('n0', { type: 'member-forgotten', node: 'n4' })
  cluster.run(10_000)
  assert.equal(cluster.machine('n0').get('n4', 'a'), undefined)
  for (const node of ['n1', 'n2', 'n3']) cluster.tell(node, { type: 'member-forgotten', node: 'n4' })
  assert.ok(cluster.isEqual())
  cluster.add('n4', 2)
  cluster.set('n4', 'a', 'again')
  assert.ok(cluster.runUntil(() => cluster.allSee('n4', 'a', 'again'), 5000) !== undefined)
})
