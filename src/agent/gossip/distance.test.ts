import assert from 'node:assert/strict'
import { test } from 'node:test'
import { distanceMs } from './distance.ts'

const AT = { vector: [0, 0], height: 0.001, error: 1, adjustment: 0 }

test('vectors, heights and adjustments all count', () => {
  assert.equal(distanceMs(AT, { ...AT, vector: [0.03, 0.04], height: 0.002, adjustment: 0.007 })?.toFixed(6), '60.000000')
})

test('an adjustment that would make it negative is left out, and spaces do not mix', () => {
  assert.equal(distanceMs(AT, { ...AT, adjustment: -1 })?.toFixed(6), '2.000000')
  assert.equal(distanceMs(AT, { ...AT, vector: [0] }), undefined)
})
