import assert from 'node:assert/strict'
import test from 'node:test'
import { isReliable, stampOf } from './path-stamp.ts'

test('a stamp counts when it is the same after the reading, and older than a tick', () => {
  const stamp = { text: 'a', changedAt: 1_000, isCoarse: false }
  assert.ok(isReliable(stamp, { ...stamp }, 1_030))
  assert.ok(!isReliable(stamp, { ...stamp, text: 'b' }, 9_999))
  assert.ok(!isReliable(stamp, { ...stamp }, 1_010))
  assert.ok(!isReliable(stamp, { ...stamp, isCoarse: true }, 3_000))
  assert.ok(isReliable(stamp, { ...stamp, isCoarse: true }, 4_000))
  assert.ok(!isReliable(stamp, { ...stamp }, 0), 'a clock that was set back')
})

test('only regular files have one', async () => {
  assert.equal(await stampOf('/'), undefined)
  assert.equal(await stampOf('/nothing/there'), undefined)
  assert.match((await stampOf(import.meta.filename))?.text ?? '', /^\d+:\d+:\d+:\d+:\d+$/)
})
