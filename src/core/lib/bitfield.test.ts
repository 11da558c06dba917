import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Bitfield } from './bitfield.ts'

test('an empty bitfield has nothing, and is full when its length is 0', () => {
  const bits = new Bitfield(40)
  assert.equal(bits.count, 0)
  assert.equal(bits.isFull(), false)
  assert.equal(bits.nextSet(0), 40)
  assert.equal(bits.nextClear(0), 0)
  assert.deepEqual(bits.ranges(), [])
  assert.equal(new Bitfield(0).isFull(), true)
  assert.equal(new Bitfield(0).nextClear(0), 0)
})

test('a full bitfield has every integer below its length and none after it', () => {
  for (const length of [1, 31, 32, 33, 64, 100]) {
    const bits = Bitfield.full(length)
    assert.equal(bits.count, length)
    assert.equal(bits.isFull(), true)
    assert.equal(bits.nextClear(0), length)
    assert.equal(bits.has(length), false)
    assert.equal(bits.has(-1), false)
    assert.deepEqual(bits.ranges(), [[0, length]])
  }
})

test('setting and clearing tell whether they changed anything', () => {
  const bits = new Bitfield(33)
  assert.equal(bits.set(32), true)
  assert.equal(bits.set(32), false)
  assert.equal(bits.clear(32), true)
  assert.equal(bits.clear(32), false)
  assert.equal(bits.count, 0)
})

test('a range outside of the length is a bug when set, and not there when asked for', () => {
  const bits = new Bitfield(10)
  assert.throws(() => bits.set(10), /inside of the bitfield/)
  assert.throws(() => bits.setRange(5, 6), /inside of the bitfield/)
  assert.throws(() => bits.grow(9), /does not shrink/)
  assert.equal(bits.hasRange(5, 6), false)
})

test('a longer bitfield keeps what it had, and a clone goes its own way', () => {
  const bits = Bitfield.full(31)
  const copy = bits.clone()
  bits.grow(70)
  assert.deepEqual(bits.ranges(), [[0, 31]])
  assert.equal(bits.isFull(), false)
  bits.setRange(60, 10)
  assert.deepEqual(bits.ranges(), [
    [0, 31],
    [60, 10],
  ])
  assert.equal(copy.length, 31)
  assert.equal(copy.count, 31)
})

type Step = { kind: 'set' | 'clear' | 'range' | 'grow'; first: number; count: number }

test('it does what a set of numbers does, whatever the steps', () => {
  const step: fc.Arbitrary<Step> = fc.record({
    kind: fc.constantFrom('set', 'clear', 'range', 'grow'),
    first: fc.nat(140),
    count: fc.nat(90),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let length = 50
      const bits = new Bitfield(length)
      const model = new Set<number>()
      for (const { kind, first, count } of steps) {
        if (kind === 'grow') {
          length = Math.max(length, first + count)
          bits.grow(length)
          continue
        }
        const at = first % length
        if (kind === 'set') assert.equal(bits.set(at), !model.has(at))
        if (kind === 'clear') assert.equal(bits.clear(at), model.delete(at))
        if (kind === 'set') model.add(at)
        if (kind !== 'range') continue
        const before = model.size
        const run = Math.min(count, length - at)
        for (let i = at; i < at + run; i++) model.add(i)
        assert.equal(bits.setRange(at, run), model.size - before)
      }
      checkAgainst(bits, model, length)
      checkAgainst(bits.clone(), model, length)
    }),
  )
})

function checkAgainst(bits: Bitfield, model: ReadonlySet<number>, length: number): void {
  assert.equal(bits.length, length)
  assert.equal(bits.count, model.size)
  let nextSet = length
  let nextClear = length
  for (let i = length - 1; i >= 0; i--) {
    if (model.has(i)) nextSet = i
    else nextClear = i
    assert.equal(bits.has(i), model.has(i))
    assert.equal(bits.nextSet(i), nextSet)
    assert.equal(bits.nextClear(i), nextClear)
  }
  const members = bits.ranges().flatMap(([first, count]) => Array.from({ length: count }, (_, i) => first + i))
  assert.deepEqual(new Set(members), model)
  for (const [first, count] of bits.ranges()) {
    assert.equal(bits.hasRange(first, count), true)
    assert.equal(bits.hasRange(first, count + 1), false)
    if (first > 0) assert.equal(bits.hasRange(first - 1, count), false)
  }
}
