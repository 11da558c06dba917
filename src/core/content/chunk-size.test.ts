import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { averageChunkBytes, isAverageChunkBytes } from './chunk-size.ts'

const KI = 1024
const MI = KI * KI
const GI = KI * MI

test('the average depends on the size as §2.1 has it', () => {
  const table: [number | undefined, number][] = [
    [undefined, 64 * KI],
    [0, 16 * KI],
    [1, 16 * KI],
    [128 * MI, 16 * KI],
    [128 * MI + 1, 32 * KI],
    [256 * MI, 32 * KI],
    [256 * MI + 1, 64 * KI],
    [4 * GI, 512 * KI],
    [32 * GI, 4 * MI],
    [32 * GI + 1, 4 * MI],
    [2 ** 48, 4 * MI],
  ]
  for (const [totalBytes, average] of table) assert.equal(averageChunkBytes(totalBytes), average, String(totalBytes))
})

test('any average is one that a manifest may state, and gives at most 8 Ki chunks up to 32 GiB', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 48), (totalBytes) => {
      const average = averageChunkBytes(totalBytes)
      assert.ok(isAverageChunkBytes(average))
      if (totalBytes <= 32 * GI) assert.ok(totalBytes / average <= 8 * KI)
    }),
  )
})

test('an average is a power of two from 256 to 4 Mi', () => {
  for (let bits = 8; bits <= 22; bits++) assert.equal(isAverageChunkBytes(2 ** bits), true)
  for (const bytes of [0, 1, 128, 255, 257, 3 * 256, 8 * MI, -256, NaN, Infinity])
    assert.equal(isAverageChunkBytes(bytes), false, String(bytes))
})
