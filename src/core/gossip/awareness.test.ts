/** A member's doubt about itself. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Awareness } from './awareness.ts'

test('the score stays from 0 to 7, and times grow with it', () => {
  const awareness = new Awareness(8)
  assert.equal(awareness.scale(1000), 1000)
  awareness.apply(-1)
  assert.equal(awareness.score, 0)
  awareness.apply(3)
  assert.equal(awareness.scale(1000), 4000)
  awareness.apply(100)
  assert.equal(awareness.score, 7)
  awareness.apply(-1)
  assert.equal(awareness.score, 6)
})

test('whatever is applied, a scaled time is from once to eight times the time', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -10, max: 10 })), (deltas) => {
      const awareness = new Awareness(8)
      for (const delta of deltas) {
        awareness.apply(delta)
        assert.ok(awareness.scale(10) >= 10 && awareness.scale(10) <= 80)
      }
    }),
  )
})
