import assert from 'node:assert/strict'
import { test } from 'node:test'
import { GossipClock } from './gossip-clock.ts'

test('it goes on over a sleep of the host, and never back', () => {
  let monotonic = 1000
  let wall = 1_700_000_000_000
  const clock = new GossipClock(
    () => monotonic,
    () => wall,
  )
  const start = clock.now()
  monotonic += 500
  wall += 500
  assert.equal(clock.now() - start, 500)
  wall += 3_600_000
  monotonic += 10
  assert.equal(clock.now() - start, 3_600_500, 'an hour of sleep')
  wall -= 7_200_000
  monotonic += 10
  assert.equal(clock.now() - start, 3_600_510, 'the wall clock was set back')
  monotonic += 100
  wall += 600
  assert.equal(clock.now() - start, 3_600_610, 'a clock that is adjusted by less than a second')
  assert.equal(clock.toWall(clock.now() - 1000), wall - 1000)
})

test('jumps of the wall clock are remembered, ahead and back', () => {
  let monotonic = 0
  let wall = 1_000_000
  const clock = new GossipClock(
    () => monotonic,
    () => wall,
  )
  monotonic += 10
  wall += 10
  clock.now()
  assert.deepEqual(clock.jumps, [])
  wall += 60_000
  clock.now()
  wall -= 120_000
  clock.now()
  assert.deepEqual(
    clock.jumps.map(({ byMs }) => byMs),
    [60_000, -120_000],
  )
  assert.equal(clock.now(), 60_010)
  for (let times = 0; times < 40; times++) {
    wall -= 2000
    clock.now()
  }
  assert.equal(clock.jumps.length, 16)
})
