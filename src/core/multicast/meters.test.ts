import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DelayMeter } from './delay-meter.ts'
import { LossMeter } from './loss-meter.ts'

test('gaps are losses, in runs', () => {
  const meter = new LossMeter()
  for (const sequence of [10, 11, 14, 15, 20]) meter.add(sequence, 0)
  assert.deepEqual(meter.take(), { received: 5, lost: 6, bursts: 2 })
  assert.deepEqual(meter.take(), { received: 0, lost: 0, bursts: 0 })
  assert.equal(meter.next, 21)
})

test('what comes late was not lost, and tells how late packets can be', () => {
  const meter = new LossMeter()
  meter.add(0, 0)
  meter.add(2, 1)
  meter.add(1, 3)
  meter.add(1, 4)
  assert.deepEqual({ ...meter.take(), late: meter.lateMs > 1.5 }, { received: 4, lost: 0, bursts: 0, late: true })
  meter.add(500, 5)
  assert.deepEqual(meter.take(), { received: 1, lost: 497, bursts: 1 })
  meter.add(100, 6)
  meter.add(101, 6)
  meter.add(600, 7)
  assert.deepEqual(meter.take(), { received: 3, lost: 97, bursts: 0 }, 'what was reported stays reported, and counts against what follows')
})

test('sequences go over 2^32', () => {
  const meter = new LossMeter()
  for (const sequence of [0xfffffffe, 0xffffffff, 1]) meter.add(sequence, 0)
  assert.equal(meter.next, 2 ** 32 + 2)
  assert.equal(meter.take().lost, 1)
})

test("the sender's position makes known that the last packets are missing", () => {
  const meter = new LossMeter()
  meter.reach(10, 0)
  assert.deepEqual([meter.next, meter.take().lost], [10, 0], 'before the first packet nothing can be lost')
  meter.add(10, 0)
  meter.reach(13, 0)
  assert.equal(meter.next, 13)
  assert.equal(meter.take().lost, 2)
  meter.add(11, 1)
  assert.equal(meter.take().lost, 0)
})

test('the queue is what the delay is above its least, whatever the clocks say', () => {
  for (const offset of [0, 5000, 2 ** 32 / 1000 - 50]) {
    const meter = new DelayMeter()
    let sent = 0
    const add = (packets: number, queueMs: number): void => {
      for (let i = 0; i < packets; i++) {
        sent += 0.1
        meter.add((sent * 1000) >>> 0, sent + offset + 0.2 + queueMs)
      }
    }
    add(64, 0)
    assert.ok(Math.abs(meter.take()) < 0.01)
    add(64, 5)
    assert.ok(Math.abs(meter.take() - 5) < 0.01, `${meter.queueMs}`)
    add(64, 0)
    assert.ok(Math.abs(meter.take()) < 0.01)
  }
})

test('single late packets are no queue', () => {
  const meter = new DelayMeter()
  for (let i = 0; i < 160; i++) meter.add(i * 100, i / 10 + (i % 5 === 0 ? 3 : 0))
  assert.ok(meter.take() < 0.1)
})

test('a process that is woken late half of the time is no queue, one that stands is', () => {
  const meter = new DelayMeter()
  const add = (queueMs: (i: number) => number): number => {
    for (let i = 0; i < 1600; i++) meter.add(i * 100, i / 10 + queueMs(i))
    return meter.take()
  }
  assert.ok(add((i) => (Math.floor(i / 100) % 2 === 0 ? 0 : 12)) < 0.1)
  assert.ok(add((i) => (Math.floor(i / 100) % 2 === 0 ? 6 : 12)) > 5.9)
})
