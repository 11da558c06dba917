import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LamportClock, MAX_LAMPORT_TIME } from './lamport.ts'

test('a clock begins at 1, and is later than all that it gave or saw', () => {
  const clock = new LamportClock()
  assert.deepEqual([clock.next(), clock.time], [1, 2])
  clock.witness(7)
  assert.equal(clock.time, 8)
  clock.witness(3)
  assert.equal(clock.time, 8)
  clock.witness(8)
  assert.equal(clock.next(), 9)
})

test('times that nobody reaches are not taken over', () => {
  const clock = new LamportClock()
  for (const time of [MAX_LAMPORT_TIME + 1, Number.MAX_SAFE_INTEGER, Infinity, NaN, -1]) clock.witness(time)
  assert.equal(clock.time, 1)
})
