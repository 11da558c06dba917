import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SerfQueues } from './serf-queues.ts'

const one = (byte: number, length = 10): { type: 'user'; bytes: Uint8Array } => ({ type: 'user', bytes: new Uint8Array(length).fill(byte) })

function queues(maxQueued = 100): SerfQueues {
  return new SerfQueues(({ bytes }) => bytes.length, maxQueued)
}

test('intents go first, then queries, then events, as far as there is room', () => {
  const all = queues()
  all.events.add(undefined, one(3))
  all.queries.add(undefined, one(2))
  all.intents.add('a', one(1))
  assert.deepEqual(
    all.take(25, 2).map(({ bytes }) => bytes[0]),
    [1, 2],
  )
  assert.deepEqual(
    all.take(30, 2).map(({ bytes }) => bytes[0]),
    [1, 2, 3],
  )
  assert.deepEqual(
    all.take(30, 2).map(({ bytes }) => bytes[0]),
    [3],
  )
})

test('of intents about one member the newest waits; events replace nothing, and a full queue drops', () => {
  const all = queues(3)
  all.intents.add('a', one(1))
  all.intents.add('a', one(2))
  for (let i = 0; i < 5; i++) all.events.add(undefined, one(i))
  assert.deepEqual([all.intents.length, all.events.length, all.events.droppedCount], [1, 3, 2])
})
