import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { toHex } from '../lib/bytes.ts'
import { Writer } from '../wire/writer.ts'
import { assertRefused, randomBytes, randomEntries, valid } from './fixtures.test.ts'
import { MAX_CHUNKS, MAX_PAGE_BYTES, MAX_ROOT_BYTES, MAX_TOTAL_BYTES, MAX_TREE_BYTES } from './limits.ts'
import { decodePage, decodeRoot, encodePage, encodeRoot, pageCount, type Root } from './root.ts'

const root: Root = {
  totalBytes: 10_000,
  chunkCount: 3,
  averageBytes: 4096,
  mediaType: 'text/plain',
  treeBytes: 0,
  pageHashes: [randomBytes(1, 32)],
}

/** A root's bytes without the checks of `encodeRoot`. */
function forged(changes: Partial<Root>): Uint8Array {
  const { totalBytes, chunkCount, averageBytes, mediaType, treeBytes, pageHashes } = { ...root, ...changes }
  const writer = new Writer()
  writer.u32(0x50435201)
  for (const value of [totalBytes, chunkCount, averageBytes]) writer.varint(value)
  writer.text(mediaType)
  writer.varint(treeBytes)
  for (const one of pageHashes) writer.bytes(one)
  return writer.finish()
}

const anyRoot: fc.Arbitrary<Root> = fc
  .record({
    chunkCount: fc.nat(5000),
    bits: fc.integer({ min: 8, max: 22 }),
    fill: fc.double({ min: 0, max: 1, noNaN: true }),
    tree: fc.boolean(),
    media: fc.nat(255),
  })
  .map(({ chunkCount, bits, fill, tree, media }) => {
    const averageBytes = 2 ** bits
    const totalBytes = chunkCount + Math.floor(fill * chunkCount * (4 * averageBytes - 1))
    const treeBytes = tree ? Math.min(totalBytes, MAX_TREE_BYTES) : 0
    const pageHashes = Array.from({ length: pageCount(chunkCount) }, (_, i) => randomBytes(i, 32))
    return { totalBytes, chunkCount, averageBytes, mediaType: 'a'.repeat(media), treeBytes, pageHashes }
  })

/** The bytes of a page that nobody checked. */
function forgedPage(firstChunk: number, lengths: number[], count: number = lengths.length): Uint8Array {
  const writer = new Writer()
  writer.u32(0x50435001)
  writer.varint(firstChunk)
  writer.varint(count)
  for (const length of lengths) writer.varint(length)
  writer.bytes(new Uint8Array(32 * lengths.length))
  return writer.finish()
}

test('a root is read back as it was written', () => {
  fc.assert(fc.property(anyRoot, (one) => assert.deepEqual(decodeRoot(encodeRoot(one)), one)))
})

test('the root of an empty content has neither chunk nor page', () => {
  const empty = { ...root, totalBytes: 0, chunkCount: 0, pageHashes: [] }
  assert.deepEqual(decodeRoot(encodeRoot(empty)), empty)
})

test('a root that contradicts itself or the limits is refused, and not encoded', () => {
  const cases: [Partial<Root>, RegExp][] = [
    [{ averageBytes: 4095 }, /average/],
    [{ averageBytes: 128 }, /average/],
    [{ averageBytes: 2 ** 23 }, /average/],
    [{ chunkCount: 0, pageHashes: [] }, /cannot have that total/],
    [{ totalBytes: 0 }, /cannot have that total/],
    [{ totalBytes: 2 }, /cannot have that total/],
    [{ totalBytes: 3 * 4 * 4096 + 1 }, /cannot have that total/],
    [{ totalBytes: MAX_TOTAL_BYTES + 1 }, /longer than the limit/],
    [{ totalBytes: MAX_TOTAL_BYTES, chunkCount: MAX_CHUNKS + 1, averageBytes: 2 ** 22 }, /more chunks/],
    [{ treeBytes: 10_001 }, /longer than the content/],
    [{ totalBytes: 2 ** 32, chunkCount: 1025, averageBytes: 2 ** 22, treeBytes: MAX_TREE_BYTES + 1 }, /tree is longer than the limit/],
    [{ pageHashes: [] }, /number of pages/],
    [{ pageHashes: [randomBytes(1, 64)] }, /number of pages|32 bytes/],
    [{ chunkCount: 1025, totalBytes: 2000 }, /number of pages/],
  ]
  for (const [changes, message] of cases) {
    assertRefused(decodeRoot(forged(changes)), 'disconnect', message)
    assert.throws(() => encodeRoot({ ...root, ...changes }), message)
  }
})

test('a media type that could do harm in a header or a terminal is refused', () => {
  for (const mediaType of ['text/plain\r\nx: y', 'a\0', '\u001b[31m', 'é', 'a'.repeat(256)]) {
    assertRefused(decodeRoot(forged({ mediaType })), 'disconnect', /malformed/)
    assert.throws(() => encodeRoot({ ...root, mediaType }), /media type/)
  }
})

test('a root longer than the limit is refused; the longest allowed fits', () => {
  assertRefused(decodeRoot(new Uint8Array(MAX_ROOT_BYTES + 1)), 'disconnect', /longer than the limit/)
  const pageHashes = Array.from({ length: pageCount(MAX_CHUNKS) }, () => new Uint8Array(32))
  const longest = {
    ...root,
    totalBytes: MAX_TOTAL_BYTES,
    chunkCount: MAX_CHUNKS,
    averageBytes: 2 ** 22,
    mediaType: 'm'.repeat(255),
    pageHashes,
  }
  assert.ok(encodeRoot(longest).length <= MAX_ROOT_BYTES)
})

test('the page hashes of a root share no memory with the bytes that it came in', () => {
  const bytes = Buffer.from(encodeRoot(root))
  const decoded = valid(decodeRoot(bytes))
  bytes.fill(0)
  assert.equal(toHex(decoded.pageHashes[0]!), toHex(root.pageHashes[0]!))
})

test('a page is read back as it was written', () => {
  const pages = fc.record({ index: fc.nat(100), count: fc.integer({ min: 1, max: 1024 }), longest: fc.constantFrom(1, 200, 2 ** 24) })
  fc.assert(
    fc.property(pages, ({ index, count, longest }) => {
      const page = { firstChunk: 1024 * index, ...randomEntries(index, count, longest) }
      assert.deepEqual(decodePage(encodePage(page)), page)
    }),
  )
})

test('the longest page fits into the limit', () => {
  const page = { firstChunk: MAX_CHUNKS - 1024, lengths: Array.from({ length: 1024 }, () => 2 ** 24), hashes: new Uint8Array(32 * 1024) }
  assert.ok(encodePage(page).length <= MAX_PAGE_BYTES)
  assertRefused(decodePage(new Uint8Array(MAX_PAGE_BYTES + 1)), 'disconnect', /longer than the limit/)
})

test('a page that cannot be is refused', () => {
  assert.ok(valid(decodePage(forgedPage(0, [1]))))
  assertRefused(decodePage(forgedPage(5, [1])), 'disconnect', /multiple of 1024/)
  assertRefused(decodePage(forgedPage(MAX_CHUNKS, [1])), 'disconnect', /malformed/)
  assertRefused(decodePage(forgedPage(0, [])), 'disconnect', /malformed/)
  assertRefused(decodePage(forgedPage(0, [0])), 'disconnect', /malformed/)
  assertRefused(decodePage(forgedPage(0, [2 ** 24 + 1])), 'disconnect', /malformed/)
  assertRefused(decodePage(forgedPage(0, [1, 1], 3)), 'disconnect', /malformed/)
  assertRefused(decodePage(forgedPage(0, [1], 2 ** 40)), 'disconnect', /malformed/)
  assertRefused(
    decodePage(
      forgedPage(
        0,
        Array.from({ length: 1025 }, () => 1),
      ),
    ),
    'disconnect',
    /malformed/,
  )
})
