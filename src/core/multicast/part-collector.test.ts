import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { PartCollector } from './part-collector.ts'

test('parts in any order and more than once give the whole, as soon as nothing is missing', () => {
  const order = fc.uniqueArray(fc.nat(19), { minLength: 20, maxLength: 20 })
  fc.assert(
    fc.property(order, fc.array(fc.nat(19), { maxLength: 20 }), (first, again) => {
      const collector = new PartCollector(10_000)
      const whole = Uint8Array.from({ length: 97 }, (_, i) => i + 1)
      const missing = new Set(whole.keys())
      for (const [i, index] of first.entries()) {
        // Each part overlaps the next, and is followed by one that may have come before.
        for (const at of [index, again[i] ?? index]) {
          const part = whole.subarray(at * 5, at * 5 + 7)
          for (const byte of part.keys()) missing.delete(at * 5 + byte)
          const result = collector.add('x', 97, at * 5, part)
          if (missing.size > 0) assert.equal(result, undefined)
          else {
            assert.deepEqual(result, whole)
            assert.equal(collector.heldBytes, 0)
            return
          }
        }
      }
      assert.fail('never whole')
    }),
  )
})

test('where there is no room, the one without a part for longest is dropped', () => {
  const collector = new PartCollector(3 * (1000 + 256))
  const part = new Uint8Array(400)
  for (const name of ['a', 'b', 'c', 'a']) collector.add(name, 1000, 0, part)
  collector.add('d', 1000, 0, part)
  assert.equal(collector.dropped, 1)
  assert.equal(collector.heldBytes, 3 * 1256)
  // a had a part after b, so it is there; b is not.
  assert.ok(collector.add('a', 1000, 400, new Uint8Array(600)))
  assert.equal(collector.add('b', 1000, 400, new Uint8Array(600)), undefined)
})

test('what is larger than all the room is dropped at once, and drops nothing', () => {
  const collector = new PartCollector(2000)
  collector.add('small', 1000, 0, new Uint8Array(1))
  assert.equal(collector.add('large', 1745, 0, new Uint8Array(1)), undefined)
  assert.equal(collector.dropped, 1)
  assert.equal(collector.heldBytes, 1256)
})

test('another length begins anew', () => {
  const collector = new PartCollector(10_000)
  collector.add('x', 10, 0, new Uint8Array(5))
  assert.equal(collector.add('x', 8, 5, new Uint8Array(3)), undefined)
  assert.deepEqual(collector.add('x', 8, 0, new Uint8Array(5).fill(1)), Uint8Array.of(1, 1, 1, 1, 1, 0, 0, 0))
})

test('a thing with too many gaps is dropped', () => {
  const collector = new PartCollector(10_000)
  for (let i = 0; i < 64; i++) collector.add('x', 1000, 2 * i + 1, new Uint8Array(1))
  assert.equal(collector.dropped, 0)
  collector.add('x', 1000, 500, new Uint8Array(1))
  assert.equal(collector.dropped, 1)
  assert.equal(collector.heldBytes, 0)
})
