import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chooseVictims, evictableBytes, type Evictable } from './quota.ts'

function content(usedAt: number, reservedBytes: number, more: Partial<Evictable> = {}): Evictable {
  return { usedAt, reservedBytes, isPinned: false, isHeld: false, stamp: {}, ...more }
}

test('what was not used for longest goes first, no more than needed', () => {
  const [a, b, c] = [content(3, 10), content(1, 10), content(2, 10)]
  assert.deepEqual(chooseVictims([a, b, c], 15, 0), [b, c])
  assert.deepEqual(chooseVictims([a, b, c], 10, 0), [b])
  assert.deepEqual(chooseVictims([a, b, c], 0, 0), [])
  assert.deepEqual(chooseVictims([a, b, c], -5, 0), [])
})

test('pinned contents and those in use stay; if the others are not enough nothing goes', () => {
  const contents = [content(1, 10, { isPinned: true }), content(2, 10, { isHeld: true }), content(3, 10)]
  assert.deepEqual(chooseVictims(contents, 10, 0), [contents[2]])
  assert.equal(chooseVictims(contents, 11, 0), undefined)
  assert.equal(evictableBytes(contents, 0), 10)
})

test('partial contents go only when they are expired, and then before all others', () => {
  const partial = content(50, 10, { stamp: undefined })
  const complete = content(1, 10)
  assert.deepEqual(chooseVictims([complete, partial], 10, 51), [partial])
  assert.deepEqual(chooseVictims([complete, partial], 10, 50), [complete])
  assert.equal(chooseVictims([complete, partial], 20, 50), undefined)
})
