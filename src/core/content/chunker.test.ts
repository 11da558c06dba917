import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Random } from '../lib/random.ts'
import { Chunker, GEAR } from './chunker.ts'
import { randomBytes } from './fixtures.test.ts'

/** Chunk lengths by the rule of §2.2, written as the spec says it, with numbers that have no 32 bits. */
function chunksBySpec(bytes: Uint8Array, average: number): number[] {
  const lengths: number[] = []
  for (let start = 0; start < bytes.length;) {
    let length = average / 4
    let hash = 0n
    let isCut = false
    while (!isCut && length < 4 * average && start + length < bytes.length) {
      const zeros = BigInt(Math.log2(average) + (length < average ? 2 : -2))
      hash = (2n * hash + BigInt(GEAR[bytes[start + length]!]! >>> 0)) % 2n ** 32n
      isCut = hash < 2n ** (32n - zeros)
      length++
    }
    length = Math.min(length, bytes.length - start)
    lengths.push(length)
    start += length
  }
  return lengths
}

function chunksOf(bytes: Uint8Array, average: number, pieceBytes: number = bytes.length + 1): number[] {
  const chunker = new Chunker(average)
  const lengths: number[] = []
  for (let at = 0; at < bytes.length; at += pieceBytes) lengths.push(...chunker.push(bytes.subarray(at, at + pieceBytes)))
  return [...lengths, ...chunker.finish()]
}

/** Where each chunk ends. */
function endsOf(lengths: readonly number[]): number[] {
  let end = 0
  return lengths.map((length) => (end += length))
}

test('the gear table is that of §2.3', () => {
  const expected: number[] = []
  for (let i = 1n; i <= 256n; i++) {
    let word = (0x506f6c79n + i * 0x9e3779b9n) % 2n ** 32n
    word = ((word ^ (word >> 16n)) * 0x85ebca6bn) % 2n ** 32n
    word = ((word ^ (word >> 13n)) * 0xc2b2ae35n) % 2n ** 32n
    expected.push(Number(word ^ (word >> 16n)))
  }
  assert.deepEqual(
    Array.from(GEAR, (word) => word >>> 0),
    expected,
  )
  assert.equal(new Set(GEAR).size, 256)
})

test('boundaries are those of the rule in §2.2', () => {
  // Bytes of few values and runs of one value reach the longest chunk; random ones the rest.
  const kinds = fc.record({
    seed: fc.integer(),
    count: fc.nat(12_000),
    alphabet: fc.constantFrom(1, 2, 256),
    average: fc.constantFrom(256, 512),
  })
  fc.assert(
    fc.property(kinds, ({ seed, count, alphabet, average }) => {
      const bytes = randomBytes(seed, count).map((byte) => byte % alphabet)
      assert.deepEqual(chunksOf(bytes, average), chunksBySpec(bytes, average))
    }),
    { numRuns: 60 },
  )
})

test('boundaries do not depend on how the stream comes in pieces', () => {
  const bytes = randomBytes('pieces', 60_000)
  const whole = chunksOf(bytes, 512)
  for (const pieceBytes of [1, 2, 7, 127, 128, 511, 512, 513, 4096])
    assert.deepEqual(chunksOf(bytes, 512, pieceBytes), whole, String(pieceBytes))
  fc.assert(
    fc.property(fc.array(fc.nat(3000), { maxLength: 40 }), (pieces) => {
      const chunker = new Chunker(512)
      const lengths: number[] = []
      let at = 0
      for (const piece of pieces) {
        lengths.push(...chunker.push(bytes.subarray(at, at + piece)))
        at = Math.min(bytes.length, at + piece)
        const sum = lengths.reduce((total, length) => total + length, 0)
        assert.equal(chunker.pendingBytes, at - sum)
      }
      lengths.push(...chunker.push(bytes.subarray(at)), ...chunker.finish())
      assert.deepEqual(lengths, whole)
    }),
    { numRuns: 50 },
  )
})

test('chunks are longer than a quarter of the average and at most 4 times as long, and about the average in the mean', () => {
  const lengths = chunksOf(randomBytes('lengths', 4 << 20), 4096)
  const sum = lengths.reduce((total, length) => total + length, 0)
  assert.equal(sum, 4 << 20)
  assert.ok(lengths.slice(0, -1).every((length) => length > 1024 && length <= 4 * 4096))
  const mean = sum / lengths.length
  assert.ok(mean > 4096 && mean < 1.25 * 4096, `the mean is ${mean}`)
})

test('a run of one byte gives chunks of the greatest length', () => {
  assert.deepEqual(chunksOf(new Uint8Array(10_000), 512), [2048, 2048, 2048, 2048, 1808])
})

test('an empty stream has no chunk, and a finished chunker begins anew', () => {
  const chunker = new Chunker(256)
  assert.deepEqual(chunker.push(new Uint8Array(0)), [])
  assert.deepEqual(chunker.finish(), [])
  const bytes = randomBytes('anew', 5000)
  const first = [...chunker.push(bytes), ...chunker.finish()]
  assert.deepEqual([...chunker.push(bytes), ...chunker.finish()], first)
  assert.equal(chunker.pendingBytes, 0)
})

test('an insertion changes no chunks but those around it', () => {
  const random = new Random('insertion')
  for (let i = 0; i < 10; i++) {
    const before = randomBytes(`insertion ${i}`, 200_000)
    const at = 20_000 + random.below(100_000)
    const after = new Uint8Array(before.length + 5)
    after.set(before.subarray(0, at))
    after.set(randomBytes(`inserted ${i}`, 5), at)
    after.set(before.subarray(at), at + 5)
    const old = new Set(endsOf(chunksOf(before, 1024)))
    const changed = endsOf(chunksOf(after, 1024)).filter((end) => !old.has(end < at ? end : end - 5))
    assert.ok(changed.length <= 8, `${changed.length} boundaries moved`)
  }
})

test('an average that manifests do not allow is a bug', () => {
  for (const average of [0, 100, 128, 1000, 8 << 20]) assert.throws(() => new Chunker(average), /average chunk length/)
})
