/** What is spread, in which order and how often. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { BroadcastQueue } from './broadcast-queue.ts'

interface Text {
  readonly text: string
}

function queueOf(maxQueued = 100): BroadcastQueue<Text> {
  return new BroadcastQueue(({ text }) => text.length, maxQueued)
}

function textsOf(messages: Text[]): string[] {
  return messages.map(({ text }) => text)
}

test('a message is sent as often as the limit says, and then no more', () => {
  const queue = queueOf()
  queue.add('a', { text: 'one' })
  for (let i = 0; i < 3; i++) assert.deepEqual(textsOf(queue.take(100, 3)), ['one'])
  assert.deepEqual(queue.take(100, 3), [])
  assert.ok(!queue.has('a'))
})

test('a newer message about the same takes the place of the older, and is sent as often as any', () => {
  const queue = queueOf()
  queue.add('a', { text: 'old' })
  queue.add('b', { text: 'other' })
  queue.take(100, 2)
  queue.add('a', { text: 'new' })
  assert.deepEqual(textsOf(queue.take(100, 2)), ['new', 'other'])
  assert.deepEqual(textsOf(queue.take(100, 2)), ['new'])
})

test('messages about nothing replace none', () => {
  const queue = queueOf()
  queue.add(undefined, { text: 'x' })
  queue.add(undefined, { text: 'y' })
  assert.equal(queue.take(100, 1).length, 2)
})

test('what was sent least goes first, of those the larger, of those the newer', () => {
  const queue = queueOf()
  queue.add('sent', { text: 'sent before' })
  queue.take(100, 9)
  for (const text of ['aa', 'bb', 'cccc', 'd']) queue.add(text, { text })
  assert.deepEqual(textsOf(queue.take(100, 9)), ['cccc', 'bb', 'aa', 'd', 'sent before'])
})

test('no more is taken than fits, and smaller ones fill what larger ones leave', () => {
  const queue = queueOf()
  for (const text of ['aaaaaa', 'bbbbb', 'ccc', 'd']) queue.add(text, { text })
  assert.deepEqual(textsOf(queue.take(10, 9)), ['aaaaaa', 'ccc', 'd'])
  assert.deepEqual(textsOf(queue.take(10, 9)), ['bbbbb', 'ccc', 'd'])
})

test('a full queue drops what was sent most often', () => {
  const queue = queueOf(2)
  queue.add('a', { text: 'a' })
  queue.take(100, 9)
  queue.add('b', { text: 'b' })
  queue.add('c', { text: 'c' })
  assert.ok(!queue.has('a') && queue.has('b') && queue.has('c'))
  assert.equal(queue.droppedCount, 1)
})

test('whatever is added and taken, the queue is bounded, nothing is sent too often, nothing over the budget, and it runs empty', () => {
  const step = fc.oneof(
    fc.record({ about: fc.constantFrom('a', 'b', 'c', undefined), length: fc.integer({ min: 1, max: 30 }) }),
    fc.record({ free: fc.nat(60) }),
  )
  const SEND_LIMIT = 3
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const queue = queueOf(8)
      const sentCounts = new Map<Text, number>()
      const take = (free: number): void => {
        const taken = queue.take(free, SEND_LIMIT)
        assert.ok(taken.reduce((sum, { text }) => sum + text.length, 0) <= free)
        for (const message of taken) {
          const count = (sentCounts.get(message) ?? 0) + 1
          assert.ok(count <= SEND_LIMIT)
          sentCounts.set(message, count)
        }
      }
      for (const one of steps) {
        if ('free' in one) take(one.free)
        else queue.add(one.about, { text: 'x'.repeat(one.length) })
        assert.ok(queue.length <= 8)
      }
      for (let i = 0; i < SEND_LIMIT; i++) take(1000)
      assert.equal(queue.length, 0)
      for (const about of ['a', 'b', 'c']) assert.ok(!queue.has(about))
    }),
  )
})
