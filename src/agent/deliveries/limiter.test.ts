import assert from 'node:assert/strict'
import test from 'node:test'
import { Limiter } from './limiter.ts'

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
