import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../../core/lib/random.ts'
import { isPayloadOf, payloadOf } from './bytes-only-session.ts'
import { Loss } from './loss.ts'
import type { MulticastWorld, MulticastWorldOptions } from './multicast-world.ts'
import { worldOf } from './scenarios.ts'

function run(receivers: number, blocks: number, options: Partial<MulticastWorldOptions> = {}, seed = 'test'): MulticastWorld {
  const world = worldOf(receivers, blocks, seed, options)
  world.run(20_000)
  return world
}

test('all have all, for not much more than what was lost; the same run gives the same trace', () => {
  const lossOf = (): { share: number } => ({ share: 0.02 })
  const world = run(5, 10, { lossOf })
  world.checks.finish(() => false)
  assert.deepEqual(world.checks.violations, [])
  assert.ok(world.hosts.every(({ held, ended }) => held === 10 && ended === 'complete'))
  const { sourcePackets, repairPackets, proactivePackets } = world.sender.status()
  assert.equal(sourcePackets, 10 * 224)
  assert.ok(repairPackets + proactivePackets > 20 && repairPackets + proactivePackets < 150, `${repairPackets} + ${proactivePackets}`)
  assert.equal(world.traceHash, run(5, 10, { lossOf }).traceHash)
  assert.notEqual(world.traceHash, run(5, 10, { lossOf }, 'other').traceHash)
})

test('packets count on the wire as long as they would be, and no faster than the link', () => {
  const world = run(2, 10)
  const wire = 10 * 224 * 1514
  assert.ok(world.sentWireBytes > wire && world.sentWireBytes < 1.01 * wire, `${world.sentWireBytes}`)
  assert.ok(world.finishedAt - world.startedAt > wire / 125_000, `${world.finishedAt - world.startedAt} ms`)
})

test('what finds the queue full is lost for all, and repaired', () => {
  const world = run(3, 20, { link: { bytesPerSec: 20_000_000, queueBytes: 100_000 }, rate: { mostBytesPerSec: 125_000_000 } })
  world.checks.finish(() => false)
  assert.deepEqual(world.checks.violations, [])
  assert.ok(world.droppedPackets > 0)
})

test('a receiver without multicast never has anything, and is told', () => {
  const world = worldOf(4, 10, 'test')
  world.hosts[2]!.isBlocked = true
  world.run(20_000)
  world.checks.finish((receiver) => receiver === 2)
  assert.deepEqual(world.checks.violations, [])
  assert.equal(world.hosts[2]!.held, 0)
  assert.equal(world.hosts[2]!.ended, 'unreached')
})

test('the checks see what is wrong', () => {
  const world = run(3, 4)
  const [host] = world.hosts
  world.checks.delivered(host!, 2, payloadOf(2, world.sender.maxPayloadBytes))
  world.checks.delivered(host!, 4, payloadOf(4, world.sender.maxPayloadBytes))
  world.checks.delivered(host!, 3, payloadOf(2, world.sender.maxPayloadBytes))
  assert.equal(world.checks.violations.length, 4, world.checks.violations.join('; '))
  const blocked = worldOf(3, 4, 'test')
  blocked.hosts[0]!.isBlocked = true
  blocked.run(20_000)
  blocked.checks.finish(() => false)
  assert.equal(blocked.checks.violations.length, 1)
  const unfinished = worldOf(3, 100, 'test')
  unfinished.run(50)
  unfinished.checks.finish(() => true)
  assert.equal(unfinished.checks.violations.length, 4)
})

test('a payload is known by its bytes', () => {
  assert.ok(isPayloadOf(7, payloadOf(7, 20), 20))
  assert.ok(!isPayloadOf(7, payloadOf(8, 20), 20))
  assert.ok(!isPayloadOf(7, payloadOf(7, 19), 20))
})

test('loss is as much as it says, and in bursts as long', () => {
  for (const [share, burst] of [
    [0.02, undefined],
    [0.5, undefined],
    [0.02, 50],
    [0, undefined],
  ] as const) {
    const loss = new Loss(burst === undefined ? { share } : { share, burst }, new Random('loss'))
    let lost = 0
    let bursts = 0
    let before = false
    for (let packet = 0; packet < 2_000_000; packet++) {
      const is = loss.takes()
      if (is) lost++
      if (is && !before) bursts++
      before = is
    }
    assert.ok(Math.abs(lost / 2_000_000 - share) <= 0.15 * share, `${lost} lost of ${share}`)
    const mean = burst ?? 1 / (1 - share)
    if (share > 0) assert.ok(Math.abs(lost / bursts - mean) < 0.15 * mean, `bursts of ${lost / bursts}`)
  }
})
