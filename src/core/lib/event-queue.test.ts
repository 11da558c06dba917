import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from './random.ts'
import { EventQueue } from './event-queue.ts'

test('events come by their time, whatever the order they were put in', () => {
  const queue = new EventQueue<number>()
  const random = new Random('times')
  const times = Array.from({ length: 500 }, () => random.below(1000) + 0.5)
  for (const time of times) queue.push(time, time)
  const taken = times.map(() => queue.pop())
  assert.deepEqual(
    taken,
    times.toSorted((a, b) => a - b),
  )
})

test('events of one time come in the order they were put in', () => {
  const queue = new EventQueue<string>()
  for (const event of ['a', 'b', 'c', 'd', 'e']) queue.push(7, event)
  queue.push(3, 'before')
  const taken = Array.from({ length: 6 }, () => queue.pop())
  assert.deepEqual(taken, ['before', 'a', 'b', 'c', 'd', 'e'])
})

test('taking and putting by turns keeps the order', () => {
  const queue = new EventQueue<{ time: number; order: number }>()
  const random = new Random('turns')
  const waiting: { time: number; order: number }[] = []
  for (let order = 0; order < 2000; order++) {
    const event = { time: random.below(50), order }
    queue.push(event.time, event)
    waiting.push(event)
    if (random.below(3) > 0) continue
    waiting.sort((a, b) => a.time - b.time || a.order - b.order)
    assert.equal(queue.peekTime(), waiting[0]!.time)
    assert.equal(queue.pop(), waiting.shift())
  }
  assert.equal(queue.length, waiting.length)
  assert.equal(queue.pending.length, waiting.length)
})

test('an empty queue has no event, and its next time never comes', () => {
  const queue = new EventQueue<number>()
  assert.equal(queue.pop(), undefined)
  assert.equal(queue.peekTime(), Infinity)
  queue.push(1, 1)
  assert.equal(queue.pop(), 1)
  assert.equal(queue.peekTime(), Infinity)
  assert.equal(queue.length, 0)
})
