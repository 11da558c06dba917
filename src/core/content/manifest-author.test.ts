import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { toHex } from '../lib/bytes.ts'
import { Random } from '../lib/random.ts'
import { assertRefused, author, hash, nonce, randomBytes, randomEntries, valid, verifySignature } from './fixtures.test.ts'
import { Manifest } from './manifest.ts'
import { buildSealed, ManifestAuthor } from './manifest-author.ts'

const settings = { averageBytes: 256, mediaType: 'text/plain', treeBytes: 0 }

function newAuthor(): ManifestAuthor {
  return new ManifestAuthor({ ...settings, expectedBytes: 1000, signer: author, nonce, hash })
}

test('an author has nothing to sign before the first chunk, and signs what was appended since', () => {
  const from = newAuthor()
  assert.equal(from.flush(), undefined)
  from.append(10, randomBytes(1, 32))
  from.append(11, randomBytes(2, 32))
  assert.equal(from.pendingChunks, 2)
  assert.equal(from.manifest.knownChunks, 0)
  const receiver = valid(Manifest.growing(from.headerBytes, hash, verifySignature))
  assert.equal(receiver.addSegment(from.flush()!), 2)
  assert.equal(from.pendingChunks, 0)
  assert.equal(from.flush(), undefined)
  assert.equal(from.manifest.knownBytes, 21)
  assert.equal(receiver.header!.expectedBytes, 1000)
})

test('more than 1024 entries are signed in several segments', () => {
  const from = newAuthor()
  for (let i = 0; i < 2049; i++) from.append(1, randomBytes(i, 32))
  const counts: number[] = []
  const receiver = valid(Manifest.growing(from.headerBytes, hash, verifySignature))
  for (let segment = from.flush(); segment !== undefined; segment = from.flush()) counts.push(valid(receiver.addSegment(segment)))
  assert.deepEqual(counts, [1024, 1024, 1])
})

test('the content id depends on the entries alone: not on how they were signed, nor on having grown', () => {
  fc.assert(
    fc.property(fc.integer(), fc.nat(2500), (seed, count) => {
      const { lengths, hashes } = randomEntries(seed, count)
      const whole = buildSealed({ lengths, hashes }, { ...settings, hash })
      const random = new Random(seed)
      const from = newAuthor()
      const receiver = valid(Manifest.growing(from.headerBytes, hash, verifySignature))
      lengths.forEach((length, i) => {
        from.append(length, hashes.subarray(32 * i, 32 * i + 32))
        if (random.below(300) === 0) valid(receiver.addSegment(from.flush()!))
      })
      const { rootBytes, contentId, sealBytes } = from.finish()
      for (const segment of from.manifest.segmentsFrom(receiver.knownChunks)) valid(receiver.addSegment(segment))
      assert.equal(receiver.seal(sealBytes), undefined)
      assert.equal(receiver.isComplete, true)
      for (const one of [contentId, receiver.contentId()!, hash(rootBytes)]) assert.equal(toHex(one), toHex(whole.contentId()!))
    }),
    { numRuns: 20 },
  )
})

test('finishing signs what was left, and an author who finished appends no more', () => {
  const from = newAuthor()
  from.append(10, randomBytes(1, 32))
  from.finish()
  assert.equal(from.manifest.isComplete, true)
  assert.equal(from.manifest.segmentsFrom(0).length, 1)
  assert.throws(() => from.append(1, randomBytes(2, 32)), /has not ended/)
})

test('an empty content has an end as well', () => {
  const from = newAuthor()
  const { contentId } = from.finish()
  assert.equal(from.manifest.isComplete, true)
  assert.equal(toHex(contentId), toHex(buildSealed({ lengths: [], hashes: new Uint8Array(0) }, { ...settings, hash }).contentId()!))
})

test("an author's own manifest takes nothing that a peer sends, even well signed", () => {
  const from = newAuthor()
  const twin = newAuthor()
  twin.append(10, randomBytes(1, 32))
  const segment = twin.flush()!
  assertRefused(from.manifest.addSegment(segment), 'penalise', /not the author's/)
  assertRefused(from.manifest.seal(twin.finish().sealBytes), 'penalise', /not the author's/)
  assert.equal(from.manifest.knownChunks, 0)
  assert.equal(from.manifest.isGrowing, true)
})

test('what no manifest allows is a bug of the author', () => {
  const from = newAuthor()
  assert.throws(() => from.append(1, new Uint8Array(31)), /32 bytes/)
  from.append(1025, new Uint8Array(32))
  assert.throws(() => from.flush(), /4 times the average/)
  assert.throws(() => buildSealed({ lengths: [1], hashes: new Uint8Array(31) }, { ...settings, hash }), /one hash for each/)
  assert.throws(() => buildSealed({ lengths: [1], hashes: new Uint8Array(32) }, { ...settings, treeBytes: 2, hash }), /tree is longer/)
})
