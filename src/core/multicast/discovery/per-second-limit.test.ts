import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PerSecondLimit } from './per-second-limit.ts'

test('each second has its share, all at once if need be', () => {
  const limit = new PerSecondLimit(3)
  assert.deepEqual([limit.take(1, 0), limit.take(1, 0), limit.take(1, 0), limit.take(1, 999)], [true, true, true, false])
  assert.deepEqual([limit.take(3, 1000), limit.take(1, 1999), limit.take(1, 7000)], [true, false, true])
})

test('what is too much for the rest of a second takes nothing from it', () => {
  const limit = new PerSecondLimit(10)
  assert.deepEqual([limit.take(8, 500), limit.take(3, 500), limit.take(2, 500), limit.take(11, 5000)], [true, false, true, false])
})
