import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatBytes, copyBytes, toHex } from '../lib/bytes.ts'
import { assertRefused, hash, randomBytes, randomEntries, valid } from './fixtures.test.ts'
import { Manifest } from './manifest.ts'
import { buildSealed } from './manifest-author.ts'
import { encodePage, encodeRoot, type Root } from './root.ts'

const settings = { averageBytes: 256, mediaType: 'text/plain', treeBytes: 0 }

/** A whole content of made-up entries, its receiver's empty manifest, and its pages. */
function sealedContent(chunkCount: number): { whole: Manifest; receiver: Manifest; pages: Uint8Array[] } {
  const whole = buildSealed(randomEntries(chunkCount, chunkCount), { ...settings, hash })
  const pages = whole.root()!.pageHashes.map((_, index) => whole.page(index)!)
  return { whole, receiver: valid(Manifest.sealed(whole.rootBytes()!, hash)), pages }
}

test('a manifest of a root takes pages in order until it is complete', () => {
  const { whole, receiver, pages } = sealedContent(2500)
  assert.equal(receiver.isGrowing, false)
  assert.equal(receiver.isComplete, false)
  assert.equal(toHex(receiver.swarmId), toHex(whole.contentId()!))
  assertRefused(receiver.addPage(1, pages[1]!), 'ignore', /before this one/)
  assert.equal(receiver.addPage(0, pages[0]!), 1024)
  assert.equal(receiver.addPage(0, pages[0]!), 0)
  assert.equal(receiver.addPage(1, pages[1]!), 1024)
  assert.equal(receiver.page(2), undefined)
  assert.equal(receiver.addPage(2, pages[2]!), 452)
  assert.equal(receiver.isComplete, true)
  assert.equal(receiver.knownBytes, whole.root()!.totalBytes)
  assertSameEntries(receiver, whole)
})

test('lengths, offsets, hashes and pages are those of the entries', () => {
  const { lengths, hashes } = randomEntries('accessors', 1500)
  const manifest = buildSealed({ lengths, hashes }, { ...settings, hash })
  let offset = 0
  lengths.forEach((length, chunk) => {
    assert.equal(manifest.chunkBytes(chunk), length)
    assert.equal(manifest.chunkOffset(chunk), offset)
    assert.deepEqual(manifest.chunkHash(chunk), hashes.subarray(32 * chunk, 32 * chunk + 32))
    assert.equal(manifest.chunkAt(offset), chunk)
    assert.equal(manifest.chunkAt(offset + length - 1), chunk)
    offset += length
  })
  assert.equal(manifest.chunkOffset(1500), offset)
  assert.deepEqual(manifest.page(1), encodePage({ firstChunk: 1024, lengths: lengths.slice(1024), hashes: hashes.subarray(32 * 1024) }))
  assert.deepEqual(manifest.entries(3, 2), { firstChunk: 3, lengths: lengths.slice(3, 5), hashes: hashes.subarray(96, 160) })
  assert.deepEqual([manifest.averageBytes, manifest.mediaType, manifest.treeBytes], [256, 'text/plain', 0])
})

test('asking for what is not known is a bug', () => {
  const { receiver } = sealedContent(10)
  const calls: (() => unknown)[] = [
    () => receiver.chunkBytes(0),
    () => receiver.chunkHash(0),
    () => receiver.chunkOffset(1),
    () => receiver.chunkOffset(-1),
    () => receiver.chunkAt(0),
    () => receiver.entries(0, 1),
    () => receiver.verifyChunk(0, new Uint8Array(1)),
  ]
  for (const call of calls) assert.throws(call, /that the manifest knows/)
  assert.equal(receiver.chunkOffset(0), 0)
  assert.equal(receiver.page(0), undefined)
  assert.equal(receiver.page(-1), undefined)
})

test('a chunk is verified by length and hash', () => {
  const chunks = [randomBytes('a', 300), randomBytes('b', 10)]
  const entries = { lengths: chunks.map((chunk) => chunk.length), hashes: concatBytes(chunks.map((chunk) => hash(chunk))) }
  const manifest = buildSealed(entries, { ...settings, hash })
  assert.equal(manifest.verifyChunk(0, chunks[0]!), true)
  assert.equal(manifest.verifyChunk(1, chunks[1]!), true)
  assert.equal(manifest.verifyChunk(0, chunks[1]!), false)
  assert.equal(manifest.verifyChunk(1, chunks[1]!.subarray(1)), false)
  for (let at = 0; at < 10; at++) {
    const flipped = copyBytes(chunks[1]!)
    flipped[at]! ^= 1
    assert.equal(manifest.verifyChunk(1, flipped), false)
  }
})

test('a chunk of another length than the entry says does not verify, even with its hash', () => {
  const chunk = randomBytes('liar', 20)
  const manifest = buildSealed({ lengths: [21], hashes: hash(chunk) }, { ...settings, hash })
  assert.equal(manifest.verifyChunk(0, chunk), false)
})

test('an empty content is complete with its root alone', () => {
  const { whole, receiver } = sealedContent(0)
  assert.equal(receiver.isComplete, true)
  assert.equal(receiver.knownBytes, 0)
  assert.equal(receiver.page(0), undefined)
  assert.equal(whole.root()!.pageHashes.length, 0)
})

test('a page that the root does not name is refused and leaves no trace', () => {
  const { receiver, pages } = sealedContent(1030)
  const flipped = copyBytes(pages[0]!)
  flipped[100]! ^= 1
  assertRefused(receiver.addPage(0, flipped), 'penalise', /hash that the root names/)
  assertRefused(receiver.addPage(0, pages[1]!), 'penalise', /hash that the root names/)
  assertRefused(receiver.addPage(2, pages[1]!), 'disconnect', /no page of that index/)
  assertRefused(receiver.addPage(-1, pages[1]!), 'disconnect', /no page of that index/)
  assertRefused(receiver.addPage(0.5, pages[1]!), 'disconnect', /no page of that index/)
  assertRefused(receiver.addPage(0, new Uint8Array(1 << 20)), 'disconnect', /longer than the limit/)
  assert.equal(receiver.knownChunks, 0)
  assert.equal(receiver.fault, undefined)
  assert.equal(receiver.addPage(0, pages[0]!), 1024)
})

test('a broken root makes no manifest', () => {
  assertRefused(Manifest.sealed(new Uint8Array(10), hash), 'disconnect', /malformed/)
})

test('a root whose pages do not fit it is the fault of its author, not of a peer', () => {
  const page = { firstChunk: 0, ...randomEntries('fault', 3) }
  const totalBytes = page.lengths.reduce((sum, length) => sum + length, 0)
  const contents: [Uint8Array, Partial<Root>, RegExp][] = [
    [encodePage(page), { totalBytes: totalBytes + 1 }, /not as long together/],
    [encodePage(page), { totalBytes: totalBytes - 1 }, /not as long together/],
    [encodePage(page), { chunkCount: 4 }, /page of other chunks/],
    [encodePage({ ...page, firstChunk: 1024 }), {}, /page of other chunks/],
    [encodePage({ ...page, lengths: [1, 1, 1025] }), { totalBytes: 1027 }, /4 times the average/],
    [Uint8Array.of(1, 2, 3), {}, /page that is none/],
  ]
  for (const [bytes, changes, message] of contents) {
    const root = { ...settings, totalBytes, chunkCount: 3, pageHashes: [hash(bytes)], ...changes }
    const manifest = valid(Manifest.sealed(encodeRoot(root), hash))
    assertRefused(manifest.addPage(0, bytes), 'ignore', message)
    assert.match(manifest.fault!, message)
    assert.equal(manifest.knownChunks, 0)
  }
})

function assertSameEntries(actual: Manifest, expected: Manifest): void {
  assert.deepEqual(actual.entries(0, actual.knownChunks), expected.entries(0, actual.knownChunks))
}
