import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FeedbackBudget } from './feedback-budget.ts'
import { FeedbackGate } from './feedback-gate.ts'
import { Pacer } from './pacer.ts'
import { ReplayWindow } from './replay-window.ts'
import { TokenBucket } from './token-bucket.ts'

test('a counter is taken once, within 64 of the newest', () => {
  const window = new ReplayWindow()
  const take = (counter: number): boolean => {
    const isNew = window.isNew(counter)
    if (isNew) window.add(counter)
    return isNew
  }
  assert.deepEqual([0, 0, 5, 3, 3, 5].map(take), [true, false, true, true, false, false])
  assert.deepEqual([63, 64, 40, 40, 1, 0].map(take), [true, true, true, false, true, false])
  assert.equal(take(200), true)
  assert.deepEqual([137, 136, 64].map(take), [true, false, false])
  assert.deepEqual([232, 200, 169, 168].map(take), [true, false, true, false])
})

test('every shift keeps what was seen', () => {
  for (const step of [1, 31, 32, 33, 63, 64, 65]) {
    const window = new ReplayWindow()
    window.add(100)
    window.add(100 + step)
    assert.equal(window.isNew(100), false, `seen ${step} before`)
    assert.equal(window.isNew(100 + step), false)
    for (let counter = 101 + Math.max(0, step - 63); counter < 100 + step; counter++)
      assert.equal(window.isNew(counter), true, `${counter} after ${step}`)
  }
})

test('strangers share one budget, known ones have their own', () => {
  const gate = new FeedbackGate(10, 5, 2, 0)
  gate.learn('a', 0)
  let admitted = 0
  for (let i = 0; i < 1000; i++) if (gate.admits(`stranger-${i}`, 1)) admitted++
  assert.equal(admitted, 5)
  for (let i = 0; i < 10; i++) assert.ok(gate.admits('a', 1), 'a known one is not hurt')
  assert.ok(!gate.admits('a', 1), 'nor without a bound')
  gate.learn('b', 1)
  gate.learn('c', 1)
  assert.ok(gate.admits('b', 1))
  assert.ok(!gate.admits('c', 1), 'without a place it goes on sharing')
})

test('a bucket fills with time, up to its size', () => {
  const bucket = new TokenBucket(100, 2, 0)
  assert.deepEqual([bucket.take(0), bucket.take(0), bucket.take(0)], [true, true, false])
  assert.equal(bucket.nextAt(0), 10)
  assert.equal(bucket.take(10), true)
  assert.deepEqual([bucket.take(1000), bucket.take(1000), bucket.take(1000)], [true, true, false])
})

test('the pacer keeps the rate, and catches up no more than its burst', () => {
  const pacer = new Pacer(2, 1_000_000, 0)
  const sendUntil = (from: number, to: number, step: number): number => {
    let sent = 0
    for (let now = from; now < to; now += step)
      while (pacer.nextAt <= now) {
        pacer.charge(1000, 1_000_000, now)
        sent++
      }
    return sent
  }
  assert.ok(Math.abs(sendUntil(0, 1000, 0.5) - 1000) <= 1, 'a packet of a thousand bytes each millisecond')
  assert.ok(sendUntil(5000, 5000.5, 0.5) <= 3, 'two milliseconds worth after a pause')
  const small = new Pacer(1000, 2500, 0)
  let burst = 0
  while (small.nextAt <= 10_000) {
    small.charge(1000, 1_000_000, 10_000)
    burst++
  }
  assert.equal(burst, 3, 'and no more than so many bytes')
})

test('feedback beyond its budget stretches the back-off until it is within', () => {
  const budget = new FeedbackBudget(1000, 0)
  let now = 0
  // What comes falls as the back-off grows.
  for (let i = 0; i < 400; i++) budget.add(100 / budget.stretch, (now += 10))
  assert.ok(budget.stretch > 5 && budget.stretch < 25, `${budget.stretch}`)
  for (let i = 0; i < 100; i++) budget.add(0, (now += 100))
  assert.equal(budget.stretch, 1)
})
