import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TreeWorld } from './tree-world.ts'

function worldWith(loss: number, seed = 'trees'): TreeWorld {
  const world = new TreeWorld(seed, 60, loss)
  world.run(8000)
  world.publish(7, 100)
  world.run(12_000)
  return world
}

test('an event comes to all, once, in one copy; the same run gives the same trace', () => {
  const world = worldWith(0)
  const [event] = world.events
  assert.ok(event!.heardAt.every((at) => at >= 0 && at < 60))
  const { received } = world.counts()
  assert.ok(received >= 59 && received <= 1.2 * 59, `${received} payloads`)
  assert.deepEqual(world.violations, [])
  assert.equal(world.traceHash, worldWith(0).traceHash)
  assert.notEqual(world.traceHash, worldWith(0, 'others').traceHash)
})

test('where datagrams are lost, what is missed is repaired', () => {
  const world = worldWith(0.3)
  assert.ok(world.events[0]!.heardAt.every((at) => at >= 0))
  assert.ok(world.counts().repaired > 0)
  assert.deepEqual(world.violations, [])
})

test('before its time an event has not come', () => {
  const world = new TreeWorld('trees', 60, 0)
  world.run(8000)
  world.publish(7, 100)
  world.run(8001)
  assert.ok(world.events[0]!.heardAt.some((at) => at < 0))
})

test('multicast comes to those that hear it, once each, and to the others the event comes by the tree', () => {
  const world = new TreeWorld('multicast', 60, 0)
  world.run(8000)
  world.carryMulticast((index) => index % 10 !== 3)
  world.publish(7, 100)
  world.run(12_000)
  const { received, sent } = world.counts()
  assert.deepEqual([world.multicasts, received, sent], [1, 59, 6])
  assert.ok(world.events[0]!.heardAt.every((at) => at >= 0))
  assert.deepEqual(world.violations, [])
  world.carryMulticast(() => false, false)
  world.publish(8, 100)
  world.run(16_000)
  assert.equal(world.multicasts, 2)
  assert.ok(world.events[1]!.heardAt.every((at) => at >= 0))
  assert.deepEqual(world.violations, [])
})
