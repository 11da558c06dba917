import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Grtt } from './grtt.ts'

test('the first measurement replaces what was assumed, without a floor of ten milliseconds', () => {
  const grtt = new Grtt(5, 0.1, 1000)
  assert.equal(grtt.valueMs, 5)
  grtt.sample(0.2, 0)
  assert.equal(grtt.valueMs, 0.2)
})

test('the longest round trip counts at once, and is forgotten slowly', () => {
  const grtt = new Grtt(5, 0.1, 1000)
  grtt.sample(0.2, 0)
  grtt.sample(8, 1)
  assert.equal(grtt.valueMs, 8)
  let now = 1
  const values: number[] = []
  for (let i = 0; i < 100; i++) {
    grtt.sample(0.2, (now += 10))
    values.push(grtt.valueMs)
  }
  assert.ok((values[5] as number) > 5, 'not yet')
  assert.ok((values[99] as number) < 1, 'after a second')
})

test('a slow receiver among fast ones keeps it up', () => {
  const grtt = new Grtt(5, 0.1, 1000)
  for (let now = 0; now < 2000; now += 10) grtt.sample(now % 30 === 0 ? 4 : 0.2, now)
  assert.equal(grtt.valueMs, 4)
})

test('it stays within its bounds', () => {
  const grtt = new Grtt(5, 0.5, 100)
  grtt.sample(0.01, 0)
  assert.equal(grtt.valueMs, 0.5)
  grtt.sample(5000, 1)
  assert.equal(grtt.valueMs, 100)
})
