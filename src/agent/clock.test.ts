import assert from 'node:assert/strict'
import test from 'node:test'
import { timerDelayMs } from './clock.ts'

test('a delay is whole milliseconds and never too short, nothing for what is due, and no longer than timers take', () => {
  assert.deepEqual([-5, 0, 0.2, 1, 1.5, 200].map(timerDelayMs), [0, 0, 2, 2, 3, 201])
  assert.deepEqual([2 ** 31, Infinity].map(timerDelayMs), [2 ** 31 - 1, 2 ** 31 - 1])
})
