import assert from 'node:assert/strict'
import test from 'node:test'
import { RateLimit } from './rate-limit.ts'

test('a rate of 0 limits nothing', () => {
  const limit = new RateLimit(0, () => 0)
  limit.take(1e12)
  assert.equal(limit.waitMs(), 0)
})

test('over any time at most the rate and a tenth of a second of burst pass', () => {
  let now = 0
  const rate = 1_000_000
  const limit = new RateLimit(rate, () => now)
  let passed = 0
  for (; now < 10_000; now++) {
    while (limit.waitMs() === 0) {
      limit.take(16_384)
      passed += 16_384
    }
  }
  assert.ok(passed <= (rate * now) / 1000 + rate / 10 + 16_384, `${passed} bytes in 10 s`)
  assert.ok(passed >= (rate * now) / 1000, 'and the rate is used')
})

test('what it says to wait is enough, and an idle time is not saved up', () => {
  let now = 0
  const limit = new RateLimit(100_000, () => now)
  limit.take(60_000)
  const waitMs = limit.waitMs()
  assert.ok(waitMs >= 500, `${waitMs} ms`)
  now += waitMs
  assert.equal(limit.waitMs(), 0)
  now += 3_600_000
  limit.waitMs()
  limit.take(20_001)
  assert.ok(limit.waitMs() > 0, 'after an hour of rest too')
})
