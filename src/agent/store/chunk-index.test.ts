import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ChunkIndex, type Place } from './chunk-index.ts'

interface Owner {
  readonly name: string
}

/** A hash whose first bytes are `key`: what the index goes by. */
function hashOf(key: number): Uint8Array {
  const hash = new Uint8Array(32)
  new DataView(hash.buffer).setUint32(0, key)
  return hash
}

/** A key for a chunk, spread as those of real hashes are. */
function spread(chunk: number): number {
  return Math.imul(chunk + 1, 0x9e3779b1) >>> 0
}

test('a chunk is found at its place, and no more when its owner is gone', () => {
  const index = new ChunkIndex<Owner>()
  const [a, b] = [{ name: 'a' }, { name: 'b' }]
  index.add(a, 10, 3, (chunk) => hashOf(chunk))
  index.add(b, 0, 100, (chunk) => (chunk % 2 === 0 ? hashOf(1000 + chunk) : undefined))
  assert.deepEqual(index.find(hashOf(11)), [{ owner: a, chunk: 11 }])
  assert.deepEqual(index.find(hashOf(1042)), [{ owner: b, chunk: 42 }])
  assert.deepEqual(index.find(hashOf(1043)), [])
  index.remove(a)
  assert.deepEqual(index.find(hashOf(11)), [])
})

test('of a hash that many hold the two places added last are known', () => {
  const index = new ChunkIndex<Owner>()
  const owners = ['a', 'b', 'c'].map((name) => ({ name }))
  for (const owner of owners) index.add(owner, 0, 1, () => hashOf(7))
  assert.deepEqual(
    index.find(hashOf(7)).map((place) => place.owner.name),
    ['c', 'b'],
  )
  index.remove(owners[2] as Owner)
  assert.deepEqual(
    index.find(hashOf(7)).map((place) => place.owner.name),
    ['b'],
  )
})

test('a content of one chunk repeated takes one slot', () => {
  const index = new ChunkIndex<Owner>()
  index.add({ name: 'zeros' }, 0, 100_000, () => hashOf(7))
  assert.equal(index.find(hashOf(7)).length, 1)
  assert.equal(index.tableBytes, 8 * 1024)
})

test('a full table takes no more and says how many it left out', () => {
  const index = new ChunkIndex<Owner>(3000)
  index.add({ name: 'large' }, 0, 10_000, (chunk) => hashOf(spread(chunk)))
  const known = Array.from({ length: 10_000 }, (_, chunk) => index.find(hashOf(spread(chunk))).length).reduce((a, b) => a + b)
  assert.equal(known + index.skippedChunks, 10_000)
  assert.ok(known >= 3000 && known < 3100, `${known} known`)
})

test('what is removed makes room again', () => {
  const index = new ChunkIndex<Owner>(3000)
  for (let round = 0; round < 20; round++) {
    const owner = { name: String(round) }
    index.add(owner, 0, 2000, (chunk) => hashOf(spread(2000 * round + chunk)))
    for (let chunk = 0; chunk < 2000; chunk++) assert.deepEqual(index.find(hashOf(spread(2000 * round + chunk))), [{ owner, chunk }])
    index.remove(owner)
  }
  assert.equal(index.skippedChunks, 0)
  assert.ok(index.tableBytes <= 4096 * 8)
})

test('a chunk costs at most 11 bytes while the table grows', () => {
  const index = new ChunkIndex<Owner>()
  index.add({ name: 'large' }, 0, 390_000, (chunk) => hashOf(spread(chunk)))
  assert.ok(index.tableBytes / 390_000 < 11, `${index.tableBytes / 390_000} bytes`)
})

test('the index agrees with lists of the two latest places', () => {
  const step = fc.record({ owner: fc.nat(3), keys: fc.array(fc.nat(30), { maxLength: 40 }), isRemoved: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const index = new ChunkIndex<Owner>()
      const owners = [0, 1, 2, 3].map((name) => ({ name: String(name) }))
      const lists = Array.from({ length: 31 }, (): Place<Owner>[] => [])
      for (const { owner: number, keys, isRemoved } of steps) {
        const owner = owners[number] as Owner
        index.remove(owner)
        for (const [key, list] of lists.entries()) lists[key] = list.filter((place) => place.owner !== owner)
        if (isRemoved) continue
        index.add(owner, 5, keys.length, (chunk) => hashOf(keys[chunk - 5] as number))
        for (const [i, key] of keys.entries()) {
          if (!keys.slice(0, i).includes(key)) lists[key] = [{ owner, chunk: i + 5 }, ...(lists[key] as Place<Owner>[])].slice(0, 2)
        }
      }
      for (const [key, list] of lists.entries()) assert.deepEqual(index.find(hashOf(key)), list)
    }),
  )
})
