import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { SeenRing, type SeenRingOptions } from './event-buffer.ts'
import { LamportClock } from './lamport.ts'

function ring(options: Partial<SeenRingOptions<string>> = {}): SeenRing<string> {
  return new SeenRing(new LamportClock(), {
    length: 4,
    maxAtOnce: 2,
    maxBytes: 1000,
    bytesOf: (item) => item.length,
    isSame: (a, b) => a === b,
    ...options,
  })
}

test('each item of a time counts once', () => {
  const seen = ring()
  assert.deepEqual([seen.admit(1, 'a'), seen.admit(1, 'a'), seen.admit(1, 'b'), seen.admit(2, 'a')], ['new', 'seen', 'new', 'new'])
  assert.equal(seen.staleCount, 0)
})

test('what is further back than the ring does not count', () => {
  const seen = ring()
  seen.admit(10, 'x')
  // The clock is at 11 now.
  assert.deepEqual([seen.admit(6, 'a'), seen.admit(7, 'a')], ['stale', 'new'])
  assert.equal(seen.staleCount, 1)
})

test('a slot is used again, and what was in it before is forgotten as too old', () => {
  const seen = ring()
  seen.admit(1, 'a')
  assert.equal(seen.admit(5, 'a'), 'new')
  assert.equal(seen.admit(1, 'a'), 'stale')
  assert.deepEqual(
    seen.slots().map((slot) => slot?.time),
    [undefined, 5, undefined, undefined],
  )
})

test('what is before the least time, or beyond all times, does not count', () => {
  const seen = ring()
  seen.raiseMinTime(3)
  seen.raiseMinTime(2)
  assert.deepEqual([seen.admit(2, 'a'), seen.admit(3, 'a'), seen.admit(2 ** 53, 'a'), seen.admit(4, 'a')], ['stale', 'new', 'stale', 'new'])
})

test('more items of one time, or more bytes, than the limits: the former do not count, the oldest of the latter are forgotten', () => {
  const seen = ring({ maxBytes: 10 })
  assert.deepEqual([seen.admit(1, 'a'), seen.admit(1, 'b'), seen.admit(1, 'c')], ['new', 'new', 'stale'])
  assert.equal(seen.admit(2, '123456789'), 'new')
  assert.deepEqual(
    seen.slots().map((slot) => slot?.time),
    [undefined, undefined, 2, undefined],
  )
  assert.equal(seen.admit(1, 'a'), 'stale')
})

test('whatever comes in whatever order, nothing counts twice', () => {
  const items = fc.array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.constantFrom('a', 'b', 'c')), { maxLength: 200 })
  fc.assert(
    fc.property(items, (all) => {
      const seen = ring({ maxBytes: 5 })
      const counted = all.filter(([time, item]) => seen.admit(time, item) === 'new').map(String)
      assert.equal(new Set(counted).size, counted.length)
    }),
  )
})
