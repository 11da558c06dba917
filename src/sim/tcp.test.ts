import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../core/lib/random.ts'
import { lossyRate, retransmission } from './tcp.ts'

test('without loss nothing holds a connection back', () => {
  assert.equal(lossyRate(0, 10), Infinity)
  assert.deepEqual(retransmission(new Random(1), 1_000_000, 0, 10), { bytes: 0, delayMs: 0 })
})

test('a connection is half as fast at four times the loss, and at twice the round trip', () => {
  const rate = lossyRate(0.001, 10)
  assert.ok(Math.abs(lossyRate(0.004, 10) - rate / 2) < 1e-9)
  assert.ok(Math.abs(lossyRate(0.001, 20) - rate / 2) < 1e-9)
})

test('about the share of packets that is lost is sent again, and what waits for one waits a round trip at the least', () => {
  const random = new Random('loss')
  let again = 0
  for (let frame = 0; frame < 1000; frame++) {
    const { bytes, delayMs } = retransmission(random, 14_600, 0.05, 8)
    again += bytes / 1460
    assert.equal(bytes > 0, delayMs >= 8)
    if (bytes === 0) assert.equal(delayMs, 0)
  }
  assert.ok(again > 450 && again < 620, `${again} of 10,000 packets were sent again`)
})

test('a packet that is lost twice waits for a time-out', () => {
  const draws = [0, 0, 1]
  const random = { float: () => draws.shift() ?? 1 } as unknown as Random
  assert.deepEqual(retransmission(random, 1000, 0.5, 8), { bytes: 2920, delayMs: 208 })
})
