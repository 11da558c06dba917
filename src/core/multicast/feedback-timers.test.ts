import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../lib/random.ts'
import { backoffShare, drawBackoffMs } from './feedback-timers.ts'
import { GroupSize } from './group-size.ts'

/** How many of `count` receivers ask, if one falls silent `hearMs` after the first one asked. */
function countRequests(random: Random, count: number, longestMs: number, assumed: number, hearMs: number): number {
  const delays = Array.from({ length: count }, () => drawBackoffMs(random, longestMs, assumed))
  const first = Math.min(...delays)
  return delays.filter((delay) => delay <= first + hearMs).length
}

function meanRequests(count: number, assumed: number, factor: number): number {
  const random = new Random(`${count}-${assumed}`)
  let sum = 0
  for (let i = 0; i < 50; i++) sum += countRequests(random, count, factor, assumed, 0.5)
  return sum / 50
}

test('few of many ask, if they know how many they are (RFC 5401 §3.2.2)', () => {
  for (const [count, most] of [
    [10, 2],
    [100, 3],
    [1000, 4],
    [10_000, 5],
  ] as const) {
    const mean = meanRequests(count, count, 6)
    assert.ok(mean >= 1 && mean <= most, `${mean} of ${count}`)
  }
  assert.ok(meanRequests(10_000, 10, 6) > 30, 'and many if they think that they are few')
})

test('delays stay in their bounds, and follow their distribution', () => {
  const random = new Random('bounds')
  const delays = Array.from({ length: 4000 }, () => drawBackoffMs(random, 8, 100))
  assert.ok(delays.every((delay) => delay >= 0 && delay <= 8))
  for (const share of [0.25, 0.5, 0.75]) {
    const below = delays.filter((delay) => delay < 8 * share).length / delays.length
    assert.ok(Math.abs(below - backoffShare(share, 100)) < 0.03, `${below} below ${share}`)
  }
  assert.equal(drawBackoffMs(random, 0, 100), 0)
})

test('the group size follows from how early the first ones ask', () => {
  for (const count of [50, 1000, 20_000]) {
    const random = new Random(`size-${count}`)
    const size = new GroupSize()
    size.setMembers(10)
    for (let i = 0; i < 16; i++) {
      // What is assumed is what was told to them, as in a session.
      const assumed = size.value
      let first = 255
      for (let receiver = 0; receiver < count; receiver++) first = Math.min(first, Math.round(255 * drawBackoffMs(random, 1, assumed)))
      size.sampleFirst(first, assumed)
    }
    assert.ok(size.value > count / 2.5 && size.value < count * 2.5, `${size.value} for ${count}`)
  }
})

test('members that are known are never fewer than they are', () => {
  const size = new GroupSize()
  assert.equal(size.value, 1)
  size.setMembers(500)
  for (let i = 0; i < 20; i++) size.sampleFirst(255, 500)
  assert.equal(size.value, 500)
  size.setMembers(3)
  assert.equal(size.value, 3)
})
