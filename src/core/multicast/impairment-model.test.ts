import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../lib/random.ts'
import { ImpairmentModel, parseImpairment, type ImpairmentOptions } from './impairment-model.ts'

const PACKETS = 20_000

function run(options: ImpairmentOptions, seed = 'model'): (readonly number[])[] {
  const model = new ImpairmentModel(options, new Random(seed))
  return Array.from({ length: PACKETS }, (_, index) => model.arrivals(1000, index))
}

test('nothing wrong: all arrives at once, in order', () => {
  assert.ok(run({}).every((arrivals, index) => arrivals.length === 1 && arrivals[0] === index))
})

test('independent loss, duplicates, delay and jitter, the same for the same seed', () => {
  const options = { lossShare: 0.1, duplicateShare: 0.05, delayMs: 5, jitterMs: 3 }
  const arrivals = run(options)
  assert.deepEqual(arrivals, run(options))
  assert.notDeepEqual(arrivals, run(options, 'another'))
  assert.ok(Math.abs(arrivals.filter(({ length }) => length === 0).length / PACKETS - 0.1) < 0.01)
  assert.ok(Math.abs(arrivals.filter(({ length }) => length === 2).length / PACKETS - 0.045) < 0.01)
  for (const [index, times] of arrivals.entries()) for (const time of times) assert.ok(time >= index + 5 && time < index + 8)
})

test('bursts: their share and their length', () => {
  const lost = run({ burstPackets: 20, burstLossShare: 0.1 }).map(({ length }) => length === 0)
  const share = lost.filter(Boolean).length / PACKETS
  assert.ok(share > 0.05 && share < 0.16, String(share))
  const bursts = lost.filter((isLost, index) => isLost && lost[index - 1] !== true).length
  assert.ok((share * PACKETS) / bursts > 12, `${bursts} bursts`)
})

test('a rate: what fits arrives late, what does not is lost', () => {
  const model = new ImpairmentModel({ rateBytesPerSec: 1_000_000, queueBytes: 10_000 }, new Random(1))
  const arrivals = Array.from({ length: 20 }, () => model.arrivals(1000, 0))
  assert.deepEqual(
    arrivals.slice(0, 10).map(([at]) => at),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  )
  assert.ok(arrivals.slice(10).every(({ length }) => length === 0))
  assert.equal(model.counters.overflowed, 10)
  assert.deepEqual(model.arrivals(1000, 100), [101])
})

test('its text', () => {
  assert.deepEqual(parseImpairment('loss=0.02,burst=50,burst-loss=0.01,delay=5,jitter=3,rate=1e6,seed=x'), {
    options: { lossShare: 0.02, burstPackets: 50, burstLossShare: 0.01, delayMs: 5, jitterMs: 3, rateBytesPerSec: 1e6 },
    seed: 'x',
  })
  for (const bad of ['', 'loss', 'loss=2', 'los=0.1', 'delay=-1', 'loss=']) assert.equal(parseImpairment(bad), undefined, bad)
})
