import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../../lib/random.ts'
import { BroadcastState } from './broadcast-state.ts'
import type { BroadcastSettings } from './broadcast-types.ts'
import { SeenEvents } from './seen-events.ts'

function seenEvents(settings: Partial<BroadcastSettings> = {}): { seen: SeenEvents; state: BroadcastState } {
  const state = new BroadcastState({ node: 'self', random: new Random(1), settings })
  const seen = new SeenEvents(state)
  seen.settle()
  return { seen, state }
}

const ORIGIN = 'abcd'

test('each event is new once, in whatever order; equal sets have equal hashes, others not', () => {
  const a = seenEvents().seen
  const b = seenEvents().seen
  const random = new Random('order')
  const numbers = random.shuffle(Array.from({ length: 100 }, (_, i) => i + 1))
  for (const sequence of numbers) assert.ok(a.add({ origin: ORIGIN, sequence }, 0))
  for (const sequence of numbers) assert.ok(!a.add({ origin: ORIGIN, sequence }, 0))
  const hashes = new Set([0])
  for (let sequence = 1; sequence <= 100; sequence++) {
    b.add({ origin: ORIGIN, sequence }, 0)
    assert.ok(!hashes.has(b.hash))
    hashes.add(b.hash)
  }
  assert.equal(a.hash, b.hash)
  assert.deepEqual(a.digest(), [{ origin: ORIGIN, upTo: 100, ahead: [] }])
})

test('what another has and this one not is named', () => {
  const a = seenEvents().seen
  const b = seenEvents().seen
  for (const sequence of [1, 2, 3, 5, 6, 9]) a.add({ origin: ORIGIN, sequence }, 0)
  for (const sequence of [1, 6]) b.add({ origin: ORIGIN, sequence }, 0)
  assert.deepEqual(a.digest(), [
    {
      origin: ORIGIN,
      upTo: 3,
      ahead: [
        [5, 2],
        [9, 1],
      ],
    },
  ])
  assert.deepEqual(
    b.missing(a.digest(), 100).map(({ sequence }) => sequence),
    [2, 3, 5, 9],
  )
  assert.equal(b.missing(a.digest(), 2).length, 2)
  assert.deepEqual(a.missing(b.digest(), 100), [])
})

test('a newcomer takes over the past, and misses nothing after it', () => {
  const old = seenEvents().seen
  for (const sequence of [1, 2, 4]) old.add({ origin: ORIGIN, sequence }, 0)
  const state = new BroadcastState({ node: 'new', random: new Random(1) })
  const seen = new SeenEvents(state)
  assert.ok(seen.isNew)
  seen.adopt(old.digest(), 0)
  assert.ok(!seen.isNew)
  assert.deepEqual(seen.missing(old.digest(), 10), [])
  old.add({ origin: ORIGIN, sequence: 5 }, 0)
  assert.deepEqual(seen.missing(old.digest(), 10), [{ origin: ORIGIN, sequence: 5 }])
})

test('gaps are given up after their time, or when too much lies above; silent origins and too many are forgotten', () => {
  const { seen, state } = seenEvents({ maxAhead: 10, maxOrigins: 2, gapTimeoutMs: 1000, cacheMs: 2000 })
  seen.add({ origin: ORIGIN, sequence: 1 }, 0)
  seen.add({ origin: ORIGIN, sequence: 3 }, 0)
  seen.expire(1000)
  assert.ok(!seen.has({ origin: ORIGIN, sequence: 2 }))
  seen.expire(1001)
  assert.ok(seen.has({ origin: ORIGIN, sequence: 2 }))
  assert.equal(state.dropped.gaps, 1)
  seen.add({ origin: ORIGIN, sequence: 1_000_000_000_000 }, 1001)
  assert.deepEqual(seen.digest()[0]?.upTo, 1_000_000_000_000 - 10)
  seen.add({ origin: 'efgh', sequence: 1 }, 1002)
  seen.add({ origin: 'ijkl', sequence: 1 }, 1003)
  assert.deepEqual([seen.originCount, state.dropped.evictedOrigins], [2, 1])
  seen.expire(6000)
  assert.deepEqual([seen.originCount, seen.hash], [0, 0])
})

test('a digest that claims the largest numbers costs little', () => {
  const { seen } = seenEvents()
  const most = Number.MAX_SAFE_INTEGER
  const digest = [{ origin: ORIGIN, upTo: most - 10, ahead: [[most - 8, 5] as const] }]
  assert.ok(seen.missing(digest, 256).length <= 256)
})
