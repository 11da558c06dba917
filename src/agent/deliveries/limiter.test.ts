import assert from 'node:assert/strict'
import test from 'node:test'
import { ManualClock } from '../manual-clock.ts'
import { Limiter } from './limiter.ts'
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

test('a limiter runs so many at once, all in the end, in order', async () => {
  const limiter = new Limiter(2)
  let running = 0
  let most = 0
  const started: number[] = []
  const task = (index: number) => async (): Promise<number> => {
    started.push(index)
    most = Math.max(most, ++running)
    await new Promise((resolve) => setImmediate(resolve))
    running--
    if (index === 1) throw new Error('one that fails')
    return index
  }
  const results = await Promise.allSettled([0, 1, 2, 3, 4].map((index) => limiter.run(task(index))))
  assert.equal(most, 2)
  assert.deepEqual(started, [0, 1, 2, 3, 4])
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
  )
})
