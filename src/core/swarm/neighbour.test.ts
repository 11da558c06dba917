/** The record of one neighbour: its limits, and how it is judged by its answers. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitfield } from '../lib/bitfield.ts'
import { Neighbour } from './neighbour.ts'
import { noteAsked, takeNext, type ChunkRange } from './upload.ts'

const ALL = 1000
const IN_ORDER = Array.from({ length: ALL }, (_, chunk) => chunk)
const ALL_OF_IT = { runChunks: 1, stripes: 1, mask: 1 }

/** `leftTo` as of `subscribe`. */
function subscribed(leftTo?: number): Neighbour {
  const neighbour = new Neighbour('c', 'c:1', ALL)
  neighbour.subscribe(ALL_OF_IT, leftTo, 0)
  neighbour.clearTo = ALL
  return neighbour
}

/** Everything that is sent to it, in order. */
function drain(neighbour: Neighbour, have: Bitfield, runChunks: number): ChunkRange[] {
  const sent: ChunkRange[] = []
  for (;;) {
    const range = takeNext(neighbour, have, ALL, runChunks, Infinity)
    if (range === undefined) return sent
    sent.push(range)
  }
}

test('what waits for a slow neighbour is bounded, and what is let go is found again', () => {
  const neighbour = subscribed()
  const have = new Bitfield(ALL)
  for (let chunk = 0; chunk < ALL; chunk++) {
    have.set(chunk)
    neighbour.pushFresh(chunk, 1, chunk)
    assert.ok(neighbour.freshCount() <= 256)
  }
  const sent = drain(neighbour, have, 1).map(({ firstChunk }) => firstChunk)
  assert.deepEqual(
    sent.toSorted((a, b) => a - b),
    IN_ORDER,
  )
})

/** What is sent in all to a neighbour that takes one chunk while three come; after each has come, `then`. */
function sentWhileComing(neighbour: Neighbour, then: (chunk: number) => void = () => undefined): number[] {
  const have = new Bitfield(ALL)
  const sent: number[] = []
  for (let chunk = 0; chunk < ALL; chunk++) {
    have.set(chunk)
    neighbour.pushFresh(chunk, 1, chunk)
    then(chunk)
    if (chunk % 3 === 0) sent.push(takeNext(neighbour, have, ALL, 1, Infinity)!.firstChunk)
  }
  for (const { firstChunk } of drain(neighbour, have, 1)) sent.push(firstChunk)
  return sent
}

test('what comes faster than it can be sent is sent in its order', () => {
  assert.deepEqual(sentWhileComing(subscribed(0)), IN_ORDER)
})

test('what was there before a neighbour subscribed is sent before what comes after, in order', () => {
  const neighbour = subscribed(0)
  const sent = sentWhileComing(neighbour, (chunk) => {
    if (chunk === 40) neighbour.subscribe(ALL_OF_IT, chunk + 1, chunk)
  })
  assert.deepEqual(sent, IN_ORDER)
})

test('no range is longer than a run, nor past the end of one', () => {
  const neighbour = subscribed()
  const have = Bitfield.full(ALL)
  noteAsked(neighbour, [5, 30], ALL)
  const sent = drain(neighbour, have, 8)
  assert.equal(
    sent.reduce((sum, { count }) => sum + count, 0),
    ALL,
  )
  for (const { firstChunk, count } of sent) assert.equal(Math.floor(firstChunk / 8), Math.floor((firstChunk + count - 1) / 8))
})

test('its window grows with quick answers and shrinks with slow ones, within bounds', () => {
  const neighbour = new Neighbour('p', undefined, 1)
  const start = neighbour.windowBytes
  neighbour.answered(20, 65536)
  assert.equal(neighbour.windowBytes, start + 65536)
  for (let i = 0; i < 1000; i++) neighbour.answered(20, 65536)
  assert.equal(neighbour.windowBytes, 16 * 1024 * 1024)
  for (let i = 0; i < 1000; i++) neighbour.answered(1000, 65536)
  assert.equal(neighbour.windowBytes, 64 * 1024)
})

test('pauses after unanswered requests double, up to sixteenfold, and end with an answer', () => {
  const neighbour = new Neighbour('p', undefined, 1)
  const pauses: number[] = []
  for (let i = 0; i < 6; i++) {
    neighbour.snub(0, 100)
    pauses.push(neighbour.snubbedUntil)
  }
  assert.deepEqual(pauses, [100, 200, 400, 800, 1600, 1600])
  neighbour.received(50)
  neighbour.answered(50, 1)
  assert.deepEqual([neighbour.strikes, neighbour.snubbedUntil], [0, 0])
})

test('chunks that nobody asked for clear its strikes, and not what it took back', () => {
  const neighbour = new Neighbour('p', undefined, 1)
  neighbour.snub(0, 100)
  neighbour.tookBack(0, 100)
  neighbour.received(10)
  assert.deepEqual([neighbour.strikes, neighbour.takenBack], [0, 1])
})

test('what is expected of it rises with what it has still to send', () => {
  const neighbour = new Neighbour('p', undefined, 1)
  const idle = neighbour.expectedMs(65536)
  neighbour.outstandingBytes = 131072
  assert.ok(neighbour.expectedMs(65536) > idle)
})
