import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GOSSIP_PROFILES } from '../../core/gossip/profile.ts'
import { GossipWorld, type GossipWorldOptions } from './gossip-world.ts'
import { GossipNode, WHOLE_META } from './whole-node.ts'
import { WholeRun, wholeOf } from './whole-run.ts'

function runOf(nodes: number, options: Partial<GossipWorldOptions> = {}): WholeRun {
  return new WholeRun(
    new GossipWorld({
      seed: 'whole',
      nodes,
      established: nodes,
      profile: GOSSIP_PROFILES.lan,
      createNode: (given, now) => new GossipNode(given, now),
      meta: WHOLE_META,
      ...options,
    }),
  )
}

test('nodes that know each other from the start are neighbours, members and Polycast nodes to each other', () => {
  const { world } = runOf(12)
  world.run(12_000)
  for (const { node } of world.hosts) {
    const { machine } = wholeOf(node)
    assert.equal(machine.serf.members().length, 12)
    assert.equal(machine.broadcast.stats().members, 11)
    assert.ok(machine.broadcast.stats().neighbours >= 5)
    assert.equal(machine.state.nodes().length, 12)
  }
  world.checks.oneView()
  assert.deepEqual(world.checks.violations, [])
})

test('an event comes to each node once, in about one copy; keys and tags to all', () => {
  const run = runOf(16)
  const { world } = run
  world.run(15_000)
  const spread = run.publish(3, 'deploy', 100)
  const key = run.set(5, 'load', Uint8Array.of(1, 2))
  const tags = run.tag(7, 'seed')
  world.run(20_000)
  assert.deepEqual([spread.count, key.count, tags.count], [16, 16, 16])
  assert.equal(wholeOf(world.hosts[2]!.node).machine.serf.member('n7')?.tags.get('role'), 'seed')
  assert.deepEqual([...run.violations(), ...world.checks.violations], [])
  assert.ok(Number(run.figures()['copies']) < 1.2, `${run.figures()['copies']} copies`)
  assert.equal(world.checks.eventCount('deploy'), 16)
})

test('what layers send is all that is sent', () => {
  const run = runOf(16)
  run.world.run(15_000)
  for (let event = 0; event < 5; event++) run.publish(event, `e${event}`, 3000)
  run.set(0, 'k', new Uint8Array(5000))
  run.world.run(40_000)
  for (const { layerBytes, sentBytes, streamBytes } of run.world.hosts) {
    const sum = Object.values(layerBytes).reduce((total, bytes) => total + bytes, 0)
    assert.equal(sum, sentBytes + streamBytes)
  }
  assert.ok(run.world.hosts.every(({ layerBytes }) => Object.values(layerBytes).every((bytes) => bytes > 0)))
  assert.deepEqual(run.violations(), [])
})

test('a node that joins whole nodes is one of them', () => {
  const run = runOf(8, { established: 7 })
  const { world } = run
  world.run(5000)
  world.start(7, [0])
  world.run(10_000)
  assert.ok(world.checks.isOne())
  assert.equal(run.publish(7, 'late', 10).count, 1)
  world.run(12_000)
  assert.equal(world.checks.eventCount('late'), 8)
  assert.deepEqual([...run.violations(), ...world.checks.violations], [])
})

test('an event that is missed and a key that is not as its node says are noticed', () => {
  const run = runOf(4)
  const { world } = run
  world.run(5000)
  world.partition([3], 60_000)
  run.publish(0, 'missed', 10)
  run.set(1, 'k', Uint8Array.of(1))
  run.tag(2, 'seed')
  world.run(6000)
  assert.match(
    run.violations().join('\n'),
    /event missed has not come to 1 nodes, n3 among them\n.*1 nodes hold another k of n1 than it says, n3 among them\n.*1 nodes hold another role of n2/,
  )
})

test('what honest nodes never do is noticed', () => {
  const run = runOf(2)
  run.publish(0, 'large', 100_000)
  assert.match(run.world.checks.violations.join('\n'), /n0 did not carry out event: /)
})

test('an event that is sent while a node joins comes to it soon', () => {
  const run = runOf(16, { established: 15 })
  const { world } = run
  world.run(15_000)
  world.at(15_000, () => world.start(15, [0]))
  for (let event = 0; event < 10; event++) world.at(15_000 + event * 2, () => void run.publish(event, `e${event}`, 10))
  world.run(17_000)
  assert.deepEqual(run.violations(), [])
})
