import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pace } from './pace.ts'

test('calls block until one was slow, and again some seconds later', () => {
  let now = 0
  const pace = new Pace(() => now)
  assert.equal(pace.isQuick(), true)
  assert.equal(
    pace.call(() => 7),
    7,
  )
  assert.equal(pace.isQuick(), true)
  pace.call(() => (now += 50))
  assert.equal(pace.isQuick(), false)
  now += 4999
  assert.equal(pace.isQuick(), false)
  now += 1
  assert.equal(pace.isQuick(), true)
})

test('a slow call that fails counts as slow', () => {
  let now = 0
  const pace = new Pace(() => now)
  assert.throws(() =>
    pace.call(() => {
      now += 50
      throw new Error('EIO')
    }),
  )
  assert.equal(pace.isQuick(), false)
})
