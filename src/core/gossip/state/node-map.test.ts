import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NodeMap, type Change } from './node-map.ts'
import type { DeltaSection, StateEntry } from './state-messages.ts'

const MAX_BYTES = 100_000
const VALUE = Uint8Array.of(1, 2, 3)

function put(key: string, version: number, value: Uint8Array = VALUE): StateEntry {
  return { key, version, value, ttlMs: undefined }
}

function gone(key: string, version: number): StateEntry {
  return { key, version, value: undefined, ttlMs: undefined }
}

function section(from: number, to: number, entries: StateEntry[], changes: Partial<DeltaSection> = {}): DeltaSection {
  return { node: 'a', generation: 1, from, to, collectedTo: 0, isLast: true, entries, ...changes }
}

function apply(map: NodeMap, delta: DeltaSection): { result: string; changed: string[] } {
  const changes: Change[] = []
  const result = map.apply(delta, MAX_BYTES, changes, 0)
  return { result, changed: changes.map(({ key, value }) => `${value === undefined ? '-' : '+'}${key}`) }
}

function keysOf(map: NodeMap): string[] {
  return [...map.values()].map(({ key }) => key).sort()
}

test('a delta is taken where nothing is missing before it, and brings nothing the second time', () => {
  const map = new NodeMap('a', 0, 1)
  assert.deepEqual(apply(map, section(1, 2, [put('x', 2)])), { result: 'gap', changed: [] })
  assert.deepEqual(apply(map, section(0, 2, [put('x', 1), put('y', 2)])), { result: 'applied', changed: ['+x', '+y'] })
  assert.deepEqual(apply(map, section(0, 2, [put('x', 1), put('y', 2)])), { result: 'stale', changed: [] })
  assert.deepEqual(apply(map, section(1, 4, [put('y', 2), gone('x', 4)])), { result: 'applied', changed: ['-x'] })
  assert.deepEqual(apply(map, section(5, 6, [put('z', 6)])), { result: 'gap', changed: [] })
  assert.deepEqual(keysOf(map), ['y'])
  assert.equal(map.version, 4)
  assert.equal(map.tombstones, 1)
})

test('a map is told in pieces of which each is a beginning', () => {
  const map = new NodeMap('a', 0, 1)
  map.isWhole = true
  for (let i = 0; i < 20; i++) map.put(`k${i % 15}`, new Uint8Array(50), undefined, 0)
  const copy = new NodeMap('a', 0, 1)
  let pieces = 0
  for (let piece = map.section(copy.digest, 200, true, 0); piece !== undefined; piece = map.section(copy.digest, 200, true, 0)) {
    assert.equal(copy.isWhole, false)
    assert.equal(piece.from, copy.version)
    assert.equal(apply(copy, piece).result, 'applied')
    pieces++
  }
  assert.ok(pieces > 5)
  assert.deepEqual(
    [...copy.values()].map(({ key, version }) => `${key} ${version}`),
    [...map.values()].map(({ key, version }) => `${key} ${version}`),
  )
  assert.equal(copy.isWhole, true)
  assert.equal(copy.bytes, map.bytes)
})

test('a value larger than a message goes alone', () => {
  const map = new NodeMap('a', 0, 1)
  map.put('small', VALUE, undefined, 0)
  map.put('large', new Uint8Array(5000), undefined, 0)
  const known = { node: 'a', generation: 1, version: 1, collectedTo: 0 }
  assert.equal(map.section(known, 200, true, 0)?.entries.length, 1)
  assert.equal(map.section(known, 200, false, 0), undefined)
  assert.equal(map.section({ ...known, version: 0 }, 200, true, 0)?.to, 1)
})

test('a greater generation takes the place of all; what it says again does not vanish meanwhile', () => {
  const map = new NodeMap('a', 0, 1)
  apply(map, section(0, 3, [put('x', 1), put('y', 2), put('z', 3)]))
  assert.equal(apply(map, section(3, 9, [put('y', 4)], { generation: 2 })).result, 'gap')
  assert.deepEqual(apply(map, section(0, 1, [put('x', 1)], { generation: 2, isLast: false })), { result: 'applied', changed: ['+x'] })
  assert.deepEqual(keysOf(map), ['x', 'y', 'z'])
  assert.deepEqual(apply(map, section(1, 2, [put('y', 2)], { generation: 2 })), { result: 'applied', changed: ['+y', '-z'] })
  assert.deepEqual(keysOf(map), ['x', 'y'])
  assert.equal(apply(map, section(0, 99, [put('w', 99)], { generation: 1 })).result, 'stale')
})

test('a map older than the collected tombstones is walked through anew, and only by who knows better', () => {
  const owner = new NodeMap('a', 0, 1)
  owner.isWhole = true
  for (const key of ['x', 'y', 'z']) owner.put(key, VALUE, undefined, 0)
  const old = new NodeMap('a', 0, 1)
  apply(old, owner.section(old.digest, 10_000, true, 0)!)
  owner.put('x', undefined, undefined, 0)
  owner.put('v', VALUE, undefined, 0)
  owner.collect(owner.lastTombstoneBefore(0))
  assert.deepEqual(owner.digest, { node: 'a', generation: 1, version: 6, collectedTo: 4 })
  const whole = owner.section(old.digest, 10_000, true, 0)!
  assert.equal(whole.from, 0)
  // Without the walk the removed key would stay.
  assert.equal(apply(old, { ...whole, from: 3, entries: whole.entries.filter(({ version }) => version > 3) }).result, 'gap')
  assert.deepEqual(apply(old, whole), { result: 'applied', changed: ['+v', '-x'] })
  assert.deepEqual(keysOf(old), ['v', 'y', 'z'])
})

test('who is on the way up to the collected tombstones neither believes nor misleads those who are behind them', () => {
  const walking = new NodeMap('a', 0, 1)
  apply(walking, section(0, 5, [put('x', 3), put('y', 5)]))
  // Floor 11 at version 12; the key that was set at 8 was removed at 11.
  assert.equal(apply(walking, section(0, 7, [put('z', 7)], { collectedTo: 11, isLast: false })).result, 'applied')
  assert.deepEqual([walking.version, walking.collectedTo], [7, 11])
  assert.deepEqual(keysOf(walking), ['x', 'y', 'z'])
  // One that knows up to 10, the tombstone at 11 not.
  const behind = new NodeMap('a', 0, 1)
  behind.isWhole = true
  for (let i = 1; i <= 10; i++) behind.put(`b${i}`, VALUE, undefined, 0)
  assert.equal(behind.section(walking.digest, 10_000, true, 0), undefined)
  assert.equal(apply(walking, section(7, 10, [put('gone', 8)])).result, 'stale')
  assert.equal(walking.section({ node: 'a', generation: 1, version: 4, collectedTo: 0 }, 10_000, true, 0), undefined)
  assert.equal(apply(walking, section(7, 12, [put('w', 12)], { collectedTo: 11 })).result, 'applied')
  assert.deepEqual(keysOf(walking), ['w', 'z'])
})

test('half of the tombstones make room at a time, the oldest first', () => {
  const owner = new NodeMap('a', 0, 1)
  for (let i = 0; i < 10; i++) owner.put(`k${i}`, VALUE, undefined, 0)
  for (let i = 0; i < 10; i++) owner.put(`k${i}`, undefined, undefined, 0)
  assert.equal(owner.bytes, owner.tombstoneBytes)
  owner.collect(owner.halfOfTombstones())
  assert.equal(owner.tombstones, 5)
  assert.equal(owner.oldestTombstone()?.key, 'k5')
  assert.equal(owner.collectedTo, 15)
})

test('what would be more than a node may say is not taken', () => {
  const map = new NodeMap('a', 0, 1)
  const changes: Change[] = []
  assert.equal(map.apply(section(0, 1, [put('k', 1, new Uint8Array(2000))]), 2000, changes, 0), 'too-large')
  assert.equal(map.version, 0)
  assert.deepEqual(changes, [])
})

test('what takes no more room is told from what does, and a key named twice is never taken', () => {
  const map = new NodeMap('a', 0, 1)
  apply(map, section(0, 1, [put('k', 1, new Uint8Array(100))]))
  assert.equal(map.growth(section(1, 2, [gone('k', 2)])), -100)
  assert.equal(map.growth(section(0, 1, [put('k', 1, new Uint8Array(100))])), 0)
  assert.equal(map.growth(section(0, 1, [put('k', 1, new Uint8Array(100))], { generation: 2 })), 133)
  assert.equal(apply(map, section(1, 3, [gone('k', 2), put('k', 3)])).result, 'too-large')
  assert.equal(map.bytes, 133)
})
