import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EntryTable } from './entry-table.ts'
import { randomEntries } from './fixtures.test.ts'

/** A table of `chunks` entries that came in runs of up to `run`. */
function grow(chunks: number, run: number, most: number): EntryTable {
  const table = new EntryTable()
  const { lengths, hashes } = randomEntries('memory', run)
  while (table.count < chunks) {
    const count = Math.min(run, chunks - table.count)
    table.append({ firstChunk: table.count, lengths: lengths.slice(0, count), hashes: hashes.subarray(0, 32 * count) }, most)
  }
  return table
}

test('64 Ki chunks cost less than 4 MB, their number known before or not, however they come', () => {
  const chunks = 64 * 1024
  for (const run of [7, 700, 1000, 1024]) {
    assert.ok(grow(chunks, run, 16 * 1024 * 1024).memoryBytes < 4_000_000)
    assert.ok(grow(chunks, run, chunks).memoryBytes < 4_000_000)
  }
})

test('a limit far above what is there allocates nothing for it', () => {
  assert.ok(grow(1024, 1024, 16 * 1024 * 1024).memoryBytes < 100_000)
  assert.ok(grow(1, 1, 16 * 1024 * 1024).memoryBytes < 4000)
})

test('a table that is as long as it can get has nothing to spare', () => {
  assert.equal(grow(3000, 1000, 3000).memoryBytes, 3000 * 40 + 8)
})

test('hashes handed out stay right while the table grows', () => {
  const table = new EntryTable()
  const { lengths, hashes } = randomEntries('views', 1000)
  table.append({ firstChunk: 0, lengths: lengths.slice(0, 1), hashes: hashes.subarray(0, 32) }, 1000)
  const first = table.hash(0)
  table.append({ firstChunk: 0, lengths, hashes }, 1000)
  assert.deepEqual(first, hashes.subarray(0, 32))
  assert.equal(first.length, 32)
})
