import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { copyBytes } from '../lib/bytes.ts'
import { Random } from '../lib/random.ts'
import { isWireError } from '../wire/wire-error.ts'
import { assertRefused, author, hash, nonce, randomBytes, randomEntries, stranger, valid, verifySignature } from './fixtures.test.ts'
import { encodeSeal, encodeSegment, signSeal, signSegment } from './growing.ts'
import { Manifest } from './manifest.ts'
import { ManifestAuthor } from './manifest-author.ts'
import { encodePage, encodeRoot, type Root } from './root.ts'

const settings = { averageBytes: 256, mediaType: 'text/plain', treeBytes: 0 }

function newAuthor(signer = author): ManifestAuthor {
  return new ManifestAuthor({ ...settings, expectedBytes: undefined, signer, nonce, hash })
}

function receiverOf(from: ManifestAuthor): Manifest {
  return valid(Manifest.growing(from.headerBytes, hash, verifySignature))
}

/** Appends made-up entries to an author and signs them in runs of the given lengths. */
function segmentsOf(from: ManifestAuthor, ...runs: number[]): Uint8Array[] {
  const { lengths, hashes } = randomEntries('segments', from.manifest.knownChunks + runs.reduce((sum, run) => sum + run, 0))
  return runs.map((run) => {
    const first = from.manifest.knownChunks
    for (let i = first; i < first + run; i++) from.append(lengths[i]!, hashes.subarray(32 * i, 32 * i + 32))
    return from.flush()!
  })
}

/** Signed entries that the author's class would never make. */
function signed(from: ManifestAuthor, firstChunk: number, lengths: number[], fill: number = 0): Uint8Array {
  return encodeSegment(
    signSegment(author, from.manifest.swarmId, { firstChunk, lengths, hashes: new Uint8Array(32 * lengths.length).fill(fill) }),
  )
}

function sealOf(from: ManifestAuthor, root: Root): Uint8Array {
  return encodeSeal(signSeal(author, from.manifest.swarmId, encodeRoot(root)))
}

test('a manifest of a root has neither segments nor seal', () => {
  const receiver = valid(Manifest.sealed(newAuthor().finish().rootBytes, hash))
  const from = newAuthor()
  const [segment] = segmentsOf(from, 1)
  assertRefused(receiver.addSegment(segment!), 'ignore', /no segments/)
  assertRefused(receiver.seal(from.finish().sealBytes), 'ignore', /sealed from the start/)
  assert.deepEqual(receiver.segmentsFrom(0), [])
  assert.equal(receiver.sealBytes(), undefined)
  assert.equal(receiver.header, undefined)
})

test('a growing manifest takes segments without a gap, each once', () => {
  const from = newAuthor()
  const receiver = receiverOf(from)
  const [first, second, third] = segmentsOf(from, 3, 1024, 2)
  assert.equal(receiver.isGrowing, true)
  assert.equal(receiver.contentId(), undefined)
  assert.equal(receiver.root(), undefined)
  assertRefused(receiver.addSegment(second!), 'ignore', /before this segment/)
  assert.equal(receiver.addSegment(first!), 3)
  assert.equal(receiver.addSegment(first!), 0)
  assert.equal(receiver.addSegment(second!), 1024)
  assert.equal(receiver.addSegment(third!), 2)
  assertSameEntries(receiver, from.manifest)
  assertRefused(receiver.addPage(0, from.manifest.page(0)!), 'ignore', /before it is sealed/)
  assert.equal(receiver.isComplete, false)
})

test('a segment that another signed, or for another content, is refused and leaves no trace', () => {
  const from = newAuthor()
  const receiver = receiverOf(from)
  const [segment] = segmentsOf(from, 3)
  const id = from.manifest.swarmId
  const forged = [
    encodeSegment(signSegment(stranger, id, { firstChunk: 0, ...randomEntries(1, 3) })),
    encodeSegment(signSegment(author, randomBytes('id', 32), { firstChunk: 0, ...randomEntries(1, 3) })),
    ...[30, 60, segment!.length - 1].map((at) => segment!.map((byte, i) => (i === at ? byte ^ 1 : byte))),
  ]
  for (const bytes of forged) assertRefused(receiver.addSegment(bytes), 'penalise', /not the author's/)
  assert.equal(receiver.knownChunks, 0)
  assert.equal(receiver.fault, undefined)
  assert.equal(receiver.addSegment(segment!), 3)
})

test('entries that the author signed twice must be the same', () => {
  const from = newAuthor()
  const receiver = receiverOf(from)
  assert.equal(receiver.addSegment(signed(from, 0, [5, 6])), 2)
  assert.equal(receiver.addSegment(signed(from, 1, [6, 7])), 1)
  assertRefused(receiver.addSegment(signed(from, 2, [8, 9])), 'ignore', /signed twice, and differ/)
  assertRefused(receiver.addSegment(signed(from, 2, [7, 9], 1)), 'ignore', /signed twice, and differ/)
  assert.match(receiver.fault!, /signed twice/)
  assert.equal(receiver.knownChunks, 3)
  assert.equal(receiver.segmentsFrom(0).length, 2)
})

test('a signed chunk of more than 4 times the average is the fault of its author', () => {
  const from = newAuthor()
  assertRefused(receiverOf(from).addSegment(signed(from, 0, [1025])), 'ignore', /4 times the average/)
})

test('a seal ends the growing, and the rest comes by segments or by pages', () => {
  for (const way of ['segments', 'pages'] as const) {
    const from = newAuthor()
    const receiver = receiverOf(from)
    const segments = segmentsOf(from, 700, 700, 700)
    const { sealBytes, rootBytes, contentId } = from.finish()
    receiver.addSegment(segments[0]!)
    receiver.addSegment(segments[1]!)
    assert.equal(receiver.seal(sealBytes), undefined)
    assert.equal(receiver.seal(copyBytes(sealBytes)), undefined)
    assert.equal(receiver.isGrowing, false)
    assert.equal(receiver.isComplete, false)
    assert.deepEqual(receiver.contentId(), contentId)
    assert.deepEqual(receiver.rootBytes(), rootBytes)
    assert.deepEqual(receiver.sealBytes(), sealBytes)
    assert.deepEqual(receiver.swarmId, from.manifest.swarmId)
    if (way === 'segments') assert.equal(receiver.addSegment(segments[2]!), 700)
    else assert.deepEqual([receiver.addPage(1, from.manifest.page(1)!), receiver.addPage(2, from.manifest.page(2)!)], [648, 52])
    assert.equal(receiver.isComplete, true)
    assertSameEntries(receiver, from.manifest)
  }
})

test('a seal that another signed, or for another content, is refused', () => {
  const from = newAuthor()
  const receiver = receiverOf(from)
  const { rootBytes, sealBytes } = from.finish()
  const id = from.manifest.swarmId
  assertRefused(receiver.seal(encodeSeal(signSeal(stranger, id, rootBytes))), 'penalise', /not the author's/)
  assertRefused(receiver.seal(encodeSeal(signSeal(author, randomBytes('id', 32), rootBytes))), 'penalise', /not the author's/)
  assertRefused(receiver.seal(sealBytes.subarray(1)), 'disconnect', /malformed/)
  assert.equal(receiver.isGrowing, true)
  assert.equal(receiver.seal(sealBytes), undefined)
  assertRefused(receiver.seal(encodeSeal(signSeal(stranger, id, rootBytes))), 'penalise', /not the author's/)
})

test('a seal that does not fit what was signed before is the fault of the author', () => {
  const from = newAuthor()
  const segments = segmentsOf(from, 3)
  const root = {
    ...settings,
    totalBytes: from.manifest.knownBytes,
    chunkCount: 3,
    pageHashes: [hash(from.manifest.page(0) ?? new Uint8Array(0))],
  }
  const right = { ...root, pageHashes: [hash(encodePage(from.manifest.entries(0, 3)))] }
  const cases: [Partial<Root>, RegExp][] = [
    [{}, /not those that the root names/],
    [{ totalBytes: root.totalBytes + 1 }, /not as long together/],
    [{ chunkCount: 2 }, /beyond the end/],
    [{ chunkCount: 4 }, /not as long together/],
    [{ averageBytes: 512 }, /root and the header differ/],
    [{ mediaType: '' }, /root and the header differ/],
    [{ treeBytes: 1 }, /root and the header differ/],
  ]
  for (const [changes, message] of cases) {
    const receiver = receiverOf(from)
    receiver.addSegment(segments[0]!)
    assertRefused(receiver.seal(sealOf(from, { ...root, ...changes })), 'ignore', message)
    assert.match(receiver.fault!, message)
    assert.equal(receiver.isGrowing, true)
  }
  const receiver = receiverOf(from)
  receiver.addSegment(segments[0]!)
  assert.equal(receiver.seal(sealOf(from, right)), undefined)
  assertRefused(receiver.seal(sealOf(from, { ...right, pageHashes: [new Uint8Array(32)] })), 'ignore', /two different contents/)
  assert.equal(receiver.isComplete, true)
})

test('a segment that comes after the seal and does not fit it is taken back', () => {
  const from = newAuthor()
  const segments = segmentsOf(from, 1000, 30)
  const { sealBytes } = from.finish()
  const receiver = receiverOf(from)
  receiver.addSegment(segments[0]!)
  receiver.seal(sealBytes)
  assertRefused(
    receiver.addSegment(
      signed(
        from,
        1000,
        Array.from({ length: 24 }, () => 1),
      ),
    ),
    'ignore',
    /not those that the root names/,
  )
  assert.equal(receiver.knownChunks, 1000)
  assertRefused(
    receiver.addSegment(
      signed(
        from,
        1000,
        Array.from({ length: 31 }, () => 1),
      ),
    ),
    'ignore',
    /beyond the end/,
  )
  assert.equal(receiver.knownChunks, 1000)
  assert.match(receiver.fault!, /not those that the root names/)
  assert.equal(receiver.addSegment(segments[1]!), 30)
  assert.equal(receiver.isComplete, true)
})

test('who joins in the middle gets the segments from where he is, as they were signed', () => {
  const from = newAuthor()
  const segments = segmentsOf(from, 5, 1, 10, 4)
  const manifest = receiverOf(from)
  for (const segment of segments) manifest.addSegment(segment)
  assert.deepEqual(manifest.segmentsFrom(0), segments)
  assert.deepEqual(manifest.segmentsFrom(4), segments)
  assert.deepEqual(manifest.segmentsFrom(5), segments.slice(1))
  assert.deepEqual(manifest.segmentsFrom(6), segments.slice(2))
  assert.deepEqual(manifest.segmentsFrom(15), segments.slice(2))
  assert.deepEqual(manifest.segmentsFrom(5, 2), segments.slice(1, 3))
  assert.deepEqual(manifest.segmentsFrom(20), [])
  assert.deepEqual(manifest.segmentsFrom(0, 0), [])
})

test('entries known from pages are in no segment', () => {
  const from = newAuthor()
  const segments = segmentsOf(from, 100, 1000)
  const { sealBytes } = from.finish()
  const manifest = receiverOf(from)
  manifest.addSegment(segments[0]!)
  manifest.seal(sealBytes)
  assert.equal(manifest.addPage(0, from.manifest.page(0)!), 924)
  assert.deepEqual(manifest.segmentsFrom(0), segments.slice(0, 1))
  assert.deepEqual(manifest.segmentsFrom(100), [])
})

test('segments on both sides of entries known from a page are not given as if they were one run', () => {
  const from = newAuthor()
  const segments = segmentsOf(from, 100, 924, 50)
  const { sealBytes } = from.finish()
  const manifest = receiverOf(from)
  manifest.addSegment(segments[0]!)
  manifest.seal(sealBytes)
  manifest.addPage(0, from.manifest.page(0)!)
  assert.equal(manifest.addSegment(segments[2]!), 50)
  assert.deepEqual(manifest.segmentsFrom(0), segments.slice(0, 1))
  assert.deepEqual(manifest.segmentsFrom(500), [])
  assert.deepEqual(manifest.segmentsFrom(1024), segments.slice(2))
})

test('the bytes that a manifest was given may change afterwards, Node Buffers too', () => {
  const from = newAuthor()
  const [segment] = segmentsOf(from, 3)
  const header = Buffer.from(from.headerBytes)
  const bytes = Buffer.from(segment!)
  const seal = Buffer.from(from.finish().sealBytes)
  const manifest = valid(Manifest.growing(header, hash, verifySignature))
  manifest.addSegment(bytes)
  manifest.seal(seal)
  for (const buffer of [header, bytes, seal]) buffer.fill(0)
  assert.deepEqual(manifest.headerBytes, from.headerBytes)
  assert.deepEqual(manifest.header, from.manifest.header)
  assert.deepEqual(manifest.rootBytes(), from.manifest.rootBytes())
  assert.deepEqual(manifest.sealBytes(), from.manifest.sealBytes())
  assert.deepEqual(manifest.root(), from.manifest.root())
  assert.deepEqual(manifest.segmentsFrom(0), [segment])
})

test('a broken header makes no manifest', () => {
  assertRefused(Manifest.growing(new Uint8Array(10), hash, verifySignature), 'disconnect', /malformed/)
})

test('whatever comes in whatever order, what is known is the truth, and with everything it is complete', () => {
  const from = newAuthor()
  const segments = segmentsOf(from, 400, 1, 623, 900, 1024, 77)
  const { sealBytes } = from.finish()
  const pages = from.manifest.root()!.pageHashes.map((_, index) => from.manifest.page(index)!)
  const other = newAuthor(stranger)
  const wrong = [...segmentsOf(other, 400), other.finish().sealBytes, pages[0]!.map((byte) => byte ^ 1)]
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const random = new Random(seed)
      const manifest = receiverOf(from)
      for (let i = 0; i < 40; i++) {
        const step = random.below(8)
        if (step < 4) manifest.addSegment(random.pick(segments))
        else if (step < 6) manifest.addPage(random.below(4), random.pick(pages))
        else if (step === 6 && random.below(5) === 0) assert.equal(manifest.seal(sealBytes), undefined)
        else if (step === 7)
          assert.ok(isWireError(manifest.addSegment(random.pick(wrong))) || isWireError(manifest.seal(random.pick(wrong))))
      }
      assertSameEntries(manifest, from.manifest)
      manifest.seal(sealBytes)
      pages.forEach((page, index) => assert.equal(isWireError(manifest.addPage(index, page)), false))
      assert.equal(manifest.isComplete, true)
      assert.equal(manifest.fault, undefined)
      assertSameEntries(manifest, from.manifest)
    }),
    { numRuns: 40 },
  )
})

function assertSameEntries(actual: Manifest, expected: Manifest): void {
  assert.deepEqual(actual.entries(0, actual.knownChunks), expected.entries(0, actual.knownChunks))
}
