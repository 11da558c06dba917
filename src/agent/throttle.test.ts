import assert from 'node:assert/strict'
import test from 'node:test'
import { ManualClock } from './manual-clock.ts'
import { Throttle } from './throttle.ts'

test('a throttle lets the first through at once, then one per interval, the last one always', () => {
  const clock = new ManualClock()
  let value = 0
  const seen: number[] = []
  const throttle = new Throttle(clock, 100, () => seen.push(value))
  for (value = 1; value <= 5; value++) throttle.poke()
  assert.deepEqual(seen, [1])
  value = 5
  clock.advance(100)
  assert.deepEqual(seen, [1, 5])
  clock.advance(1000)
  assert.deepEqual(seen, [1, 5])
  assert.equal(clock.pending, 0)
  value = 6
  throttle.poke()
  assert.deepEqual(seen, [1, 5, 6])
  throttle.poke()
  throttle.close()
  clock.advance(1000)
  assert.deepEqual(seen, [1, 5, 6])
})
