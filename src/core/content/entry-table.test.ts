import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { EntryTable } from './entry-table.ts'
import { randomEntries } from './fixtures.test.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

const bytesInUse = (): number => {
  collectGarbage()
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

function grow(chunks: number, most: number): EntryTable {
  const table = new EntryTable()
  const { lengths, hashes } = randomEntries('memory', 1024)
  while (table.count < chunks) table.append({ firstChunk: table.count, lengths, hashes }, most)
  return table
}

test('64 Ki chunks cost less than 4 MB, their number known before or not', () => {
  for (const most of [64 * 1024, 16 * 1024 * 1024]) {
    grow(1024, most)
    const before = bytesInUse()
    const table = grow(64 * 1024, most)
    const used = bytesInUse() - before
    assert.equal(table.count, 64 * 1024)
    assert.ok(used < 4_000_000, `${used} bytes`)
  }
})

test('a limit far above what is there allocates nothing for it', () => {
  const before = bytesInUse()
  const table = grow(1024, 16 * 1024 * 1024)
  const used = bytesInUse() - before
  assert.equal(table.count, 1024)
  assert.ok(used < 1_000_000, `${used} bytes`)
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
