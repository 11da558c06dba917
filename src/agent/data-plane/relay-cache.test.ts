import assert from 'node:assert/strict'
import test from 'node:test'
import { RelayCache } from './relay-cache.ts'
import { Payload } from './slabs.ts'

function payload(bytes: number): Payload {
  return new Payload(new Uint8Array(bytes))
}

test('what is not written yet stays, however much it is; what is written goes, the oldest first', () => {
  const cache = new RelayCache(250)
  for (const chunk of [0, 10, 20, 30]) cache.add(chunk, 10, payload(100))
  for (const chunk of [0, 10, 20, 30]) assert.ok(cache.get(chunk, 10), `${chunk} is here`)
  cache.written(10)
  assert.equal(cache.get(10, 10), undefined)
  cache.written(0)
  assert.equal(cache.get(0, 10), undefined)
  cache.written(20)
  assert.ok(cache.get(20, 10), 'within the limit written ones stay too')
  cache.add(40, 10, payload(100))
  assert.equal(cache.get(20, 10), undefined)
})

test('only exactly the range that came is given', () => {
  const cache = new RelayCache(1000)
  cache.add(4, 4, payload(10))
  assert.equal(cache.get(4, 3), undefined)
  assert.equal(cache.get(5, 3), undefined)
  assert.equal(cache.get(4, 4)?.bytes.length, 10)
})

test('the same range again changes nothing', () => {
  const cache = new RelayCache(1000)
  const first = payload(10)
  cache.add(0, 1, first)
  cache.add(0, 1, payload(10))
  assert.equal(cache.get(0, 1), first)
  cache.clear()
  assert.equal(cache.get(0, 1), undefined)
})
