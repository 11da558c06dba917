import assert from 'node:assert/strict'
import test from 'node:test'
import { ManualClock } from '../manual-clock.ts'
import { Limiter } from './limiter.ts'
import { turns } from './test-time.ts'

/** Tasks that end when they are told to, and which of them have started. */
function tasks(limits: { first: number; least: number; most: number }) {
  const clock = new ManualClock()
  const limiter = new Limiter({ ...limits, quickMs: 1000 }, clock)
  const started: number[] = []
  const ends = new Map<number, { resolve: (index: number) => void; reject: (error: Error) => void }>()
  const results: Promise<number>[] = []
  const add = (count: number): void => {
    for (let i = 0; i < count; i++) {
      const index = results.length
      results.push(
        limiter.run(() => {
          started.push(index)
          return new Promise((resolve, reject) => ends.set(index, { resolve, reject }))
        }),
      )
    }
  }
  return { clock, started, ends, results, add }
}

test('a limiter runs so many at once, all in the end, in order, and those that fail free their place', async () => {
  const { started, ends, results, add } = tasks({ first: 2, least: 2, most: 2 })
  add(5)
  await turns()
  assert.deepEqual(started, [0, 1])
  ends.get(1)!.reject(new Error('one that fails'))
  await assert.rejects(results[1]!, /one that fails/)
  await turns()
  assert.deepEqual(started, [0, 1, 2])
  for (const index of [0, 2, 3, 4]) {
    ends.get(index)!.resolve(index)
    await turns()
  }
  assert.deepEqual(started, [0, 1, 2, 3, 4])
  assert.deepEqual(await Promise.all([results[0], results[2], results[3], results[4]]), [0, 2, 3, 4])
})

test('quick tasks let more run at once, late ones fewer, within the limits', async () => {
  const { clock, started, ends, add } = tasks({ first: 2, least: 1, most: 4 })
  add(20)
  await turns()
  const end = async (index: number): Promise<void> => {
    ends.get(index)!.resolve(index)
    await turns()
  }
  for (const index of [0, 1, 2]) await end(index)
  assert.equal(started.length, 3 + 4, 'one more for each of two, and no more than four at once')
  clock.advance(1001)
  for (const index of [3, 4, 5]) await end(index)
  assert.equal(started.length, 7, 'one less for each of three')
  await end(6)
  assert.equal(started.length, 8, 'one at the least')
})
