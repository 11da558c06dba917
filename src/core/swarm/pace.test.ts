import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Pace } from './pace.ts'

/** A peer that met its first neighbour at 0 and heard of the first run after `firstMs`. */
function begun(firstMs: number): Pace {
  const pace = new Pace()
  pace.met(0)
  pace.begun(firstMs)
  return pace
}

function arrive(pace: Pace, from: number, count: number, everyMs: number): number {
  for (let i = 0; i < count; i++) pace.arrived(from + i * everyMs)
  return from + count * everyMs
}

function announce(pace: Pace, from: number, count: number, everyMs: number): number {
  for (let i = 0; i < count; i++) pace.announced(1, from + i * everyMs)
  return from + count * everyMs
}

test('quick links are not slow, before and after anything has come', () => {
  const pace = begun(5)
  assert.equal(new Pace().slowness, 1)
  assert.equal(pace.slowness, 1)
  announce(pace, arrive(pace, 5, 100, 1.3), 100, 1.3)
  assert.equal(pace.slowness, 1)
})

test('runs that come ten times as far apart as brisk ones make limits about ten times as long', () => {
  const pace = begun(2400)
  assert.ok(pace.slowness > 5, 'as long as the first run took tells that before the second')
  announce(pace, 2400, 60, 120)
  arrive(pace, 2400, 60, 120)
  assert.ok(pace.slowness > 9 && pace.slowness < 11, `${pace.slowness}`)
  assert.equal(pace.firstMs, 2400)
})

test('before anybody has anything, more patience is due than the links may need, and afterwards as much as they do', () => {
  const pace = new Pace()
  pace.met(0)
  assert.equal(pace.slowness, 1)
  assert.equal(pace.patience, 8)
  pace.begun(5)
  assert.equal(pace.patience, 1)
})

test('who gets little where others get much is not patient', () => {
  const pace = begun(5)
  arrive(pace, 5, 40, 200)
  announce(pace, 5, 40, 2)
  assert.equal(pace.slowness, 1)
})

test('a batch counts as its runs, and a standstill for no more than some runs', () => {
  const pace = begun(2000)
  for (let i = 0; i < 60; i++) {
    pace.announced(5, 2000 + i * 500)
    pace.arrived(2000 + i * 100)
  }
  const before = pace.slowness
  assert.ok(before > 7 && before < 9.5, `${before}`)
  pace.announced(1, 1_000_000)
  pace.arrived(1_000_000)
  assert.ok(pace.slowness < 2.2 * before)
})

test('a content that grows is as slow as runs by plan are, and no slower', () => {
  const pace = begun(2400)
  announce(pace, 2400, 60, 500)
  arrive(pace, 2400, 60, 500)
  pace.limit(0.3)
  assert.equal(pace.slowness, 1)
  pace.limit(3)
  assert.equal(pace.slowness, 3)
})
