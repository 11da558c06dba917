import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../../lib/random.ts'
import { distance, Vivaldi } from './vivaldi.ts'

/** Members on a line, `gapMs` apart, that probe each other by chance. */
function line(count: number, gapMs: number, rounds: number): Vivaldi[] {
  const random = new Random('line')
  const all = Array.from({ length: count }, (_, index) => new Vivaldi(random.fork(`${index}`)))
  for (let round = 0; round < rounds; round++) {
    for (const [index, one] of all.entries()) {
      const other = random.below(count)
      if (other !== index) one.update(`${other}`, all[other]!.own, Math.abs(other - index) * gapMs)
    }
  }
  return all
}

test('coordinates come to tell round trips within some percent', () => {
  const all = line(10, 10, 2000)
  let sum = 0
  let pairs = 0
  for (const [i, a] of all.entries()) {
    for (const [j, b] of all.entries()) {
      if (i >= j) continue
      const trueMs = (j - i) * 10
      sum += Math.abs(distance(a.own, b.own) * 1000 - trueMs) / trueMs
      pairs++
    }
  }
  assert.ok(sum / pairs < 0.05, `${sum / pairs}`)
  assert.ok(all.every(({ own }) => own.error < 0.2 && own.height >= 10e-6 && own.vector.length === 8))
})

test('one round trip that was held up is filtered, and one that is longer lasts', () => {
  const other = new Vivaldi(new Random('other')).own
  const one = new Vivaldi(new Random('one'))
  for (let i = 0; i < 100; i++) one.update('other', other, 10)
  const before = one.own
  one.update('other', other, 5000)
  assert.ok(Math.abs(distance(before, other) - distance(one.own, other)) < 0.002)
  for (let i = 0; i < 100; i++) one.update('other', other, 100)
  assert.ok(Math.abs(distance(one.own, other) - 0.1) < 0.02, `${distance(one.own, other)}`)
})

test('what is no number or no round trip is not taken, and what goes beyond all numbers begins anew', () => {
  const one = new Vivaldi(new Random('one'))
  const other = new Vivaldi(new Random('other')).own
  const { own } = one
  for (const rttMs of [NaN, -1, 10_001, Infinity]) assert.equal(one.update('other', other, rttMs), false)
  for (const bad of [
    { ...other, vector: [0] },
    { ...other, height: NaN },
    { ...other, vector: other.vector.map(() => Infinity) },
  ]) {
    assert.equal(one.update('other', bad, 10), false)
  }
  assert.equal(one.own, own)
  one.update('far', { ...other, vector: other.vector.map(() => 1e308) }, 10)
  assert.equal(one.resetCount, 1)
  assert.ok(one.own.vector.every((value) => value === 0))
})
