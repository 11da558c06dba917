import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import { BusyInterval } from './busy-interval.ts'

test('it runs from when it is woken until there is nothing left, and again', () => {
  mock.timers.enable({ apis: ['setTimeout'] })
  try {
    let left = 0
    let calls = 0
    const interval = new BusyInterval(
      () => {
        calls++
        left--
      },
      { everyMs: 200, isBusy: () => left > 0 },
    )
    passes(5)
    assert.equal(calls, 0)
    left = 3
    interval.wake()
    interval.wake()
    passes(10)
    assert.equal(calls, 3)
    left = 10
    interval.wake()
    passes(2)
    interval.stop()
    passes(10)
    assert.equal(calls, 5)
  } finally {
    mock.timers.reset()
  }
})

/** So many intervals pass. */
function passes(intervals: number): void {
  for (let i = 0; i < intervals; i++) mock.timers.tick(200)
}
