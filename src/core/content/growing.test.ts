import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { concatBytes, toHex, utf8Encode } from '../lib/bytes.ts'
import { Writer } from '../wire/writer.ts'
import { assertRefused, author, hash, nonce, randomBytes, randomEntries, valid, verifySignature } from './fixtures.test.ts'
import {
  decodeGrowingHeader,
  decodeSeal,
  decodeSegment,
  encodeGrowingHeader,
  encodeSeal,
  encodeSegment,
  growingId,
  sealMessage,
  segmentMessage,
  signSeal,
  signSegment,
  type GrowingHeader,
} from './growing.ts'
import { MAX_GROWING_HEADER_BYTES, MAX_ROOT_BYTES, MAX_SEAL_BYTES, MAX_SEGMENT_BYTES, MAX_TOTAL_BYTES, MAX_TREE_BYTES } from './limits.ts'

const header: GrowingHeader = {
  publicKey: author.publicKey,
  nonce,
  averageBytes: 16384,
  mediaType: 'video/mp4',
  treeBytes: 0,
  expectedBytes: undefined,
}
const id = growingId(header, hash)

/** The bytes of a growing header that nobody checked. */
function forged(changes: Partial<Record<'averageBytes' | 'treeBytes' | 'expected', number>>): Uint8Array {
  const writer = new Writer()
  writer.u32(0x50434701)
  writer.bytes(concatBytes([author.publicKey, nonce]))
  writer.varint(changes.averageBytes ?? 256)
  writer.text('')
  writer.varint(changes.treeBytes ?? 0)
  writer.varint(changes.expected ?? 0)
  return writer.finish()
}

test('a growing header is read back as it was written, with or without a size', () => {
  const headers = fc.record({
    bits: fc.integer({ min: 8, max: 22 }),
    mediaType: fc.string({ maxLength: 100 }).filter((text) => /^[\x20-\x7e]*$/.test(text)),
    treeBytes: fc.nat(MAX_TREE_BYTES),
    expectedBytes: fc.option(fc.oneof(fc.nat(MAX_TOTAL_BYTES), fc.constantFrom(0, MAX_TOTAL_BYTES)), { nil: undefined }),
  })
  fc.assert(
    fc.property(headers, ({ bits, ...rest }) => {
      const one = { ...header, averageBytes: 2 ** bits, ...rest }
      assert.deepEqual(decodeGrowingHeader(encodeGrowingHeader(one)), one)
    }),
  )
})

test('the growing id is the hash of the header, and differs with the nonce', () => {
  assert.equal(toHex(id), toHex(hash(encodeGrowingHeader(header))))
  assert.notEqual(toHex(id), toHex(growingId({ ...header, nonce: new Uint8Array(16) }, hash)))
})

test('a growing header beyond the limits is refused, and not encoded', () => {
  assert.ok(valid(decodeGrowingHeader(forged({}))))
  assertRefused(decodeGrowingHeader(forged({ averageBytes: 300 })), 'disconnect', /average/)
  assertRefused(decodeGrowingHeader(forged({ treeBytes: MAX_TREE_BYTES + 1 })), 'disconnect', /tree/)
  assertRefused(decodeGrowingHeader(forged({ expected: MAX_TOTAL_BYTES + 2 })), 'disconnect', /longer than the limit/)
  assertRefused(decodeGrowingHeader(new Uint8Array(MAX_GROWING_HEADER_BYTES + 1)), 'disconnect', /longer than the limit/)
  assert.throws(() => encodeGrowingHeader({ ...header, nonce: new Uint8Array(15) }), /nonce/)
  assert.throws(() => encodeGrowingHeader({ ...header, publicKey: new Uint8Array(31) }), /public key/)
  assert.throws(() => encodeGrowingHeader({ ...header, mediaType: 'a\nb' }), /media type/)
})

test('a segment is read back as it was written, and its signature fits its message', () => {
  fc.assert(
    fc.property(fc.nat(10_000), fc.integer({ min: 1, max: 1024 }), (firstChunk, count) => {
      const segment = signSegment(author, id, { firstChunk, ...randomEntries(count, count) })
      const bytes = encodeSegment(segment)
      assert.deepEqual(decodeSegment(bytes), segment)
      assert.equal(verifySignature(author.publicKey, segmentMessage(id, bytes), segment.signature), true)
    }),
    { numRuns: 30 },
  )
})

test('a segment is signed for its content, its place and its entries alone', () => {
  const entries = { firstChunk: 7, ...randomEntries('signed', 3) }
  const segment = signSegment(author, id, entries)
  const fits = (growing: Uint8Array, other: typeof entries): boolean =>
    verifySignature(author.publicKey, segmentMessage(growing, encodeSegment({ ...segment, ...other })), segment.signature)
  assert.equal(fits(id, entries), true)
  assert.equal(fits(growingId({ ...header, nonce: new Uint8Array(16) }, hash), entries), false)
  assert.equal(fits(id, { ...entries, firstChunk: 8 }), false)
  assert.equal(fits(id, { ...entries, lengths: [1, 2, 3] }), false)
  assert.equal(fits(id, { ...entries, hashes: randomBytes('other', 96) }), false)
})

test('what is signed is the domain, the growing id and the bytes (§4.3)', () => {
  const segment = encodeSegment(signSegment(author, id, { firstChunk: 0, ...randomEntries(1, 1) }))
  assert.deepEqual(segmentMessage(id, segment), concatBytes([utf8Encode('polycast segment v1\0'), id, segment.subarray(0, -64)]))
  const root = randomBytes('root', 50)
  assert.deepEqual(sealMessage(id, root), concatBytes([utf8Encode('polycast seal v1\0'), id, root]))
})

test('a segment without entries, with too many or too long is refused, and not made', () => {
  assert.throws(() => signSegment(author, id, { firstChunk: 0, ...randomEntries(0, 0) }), /1 to 1024/)
  assert.throws(() => signSegment(author, id, { firstChunk: 0, ...randomEntries(0, 1025) }), /1 to 1024/)
  assertRefused(decodeSegment(new Uint8Array(MAX_SEGMENT_BYTES + 1)), 'disconnect', /longer than the limit/)
  const empty = concatBytes([Uint8Array.of(0x50, 0x43, 0x53, 1, 0, 0), new Uint8Array(64)])
  assertRefused(decodeSegment(empty), 'disconnect', /malformed/)
})

test('a seal is read back as it was written, and its signature fits its message', () => {
  const root = randomBytes('root', 500)
  const seal = signSeal(author, id, root)
  assert.deepEqual(decodeSeal(encodeSeal(seal)), seal)
  assert.equal(verifySignature(author.publicKey, sealMessage(id, root), seal.signature), true)
  assert.equal(verifySignature(author.publicKey, segmentMessage(id, encodeSeal(seal)), seal.signature), false)
})

test('a seal longer than the limit is refused; the longest root fits', () => {
  assertRefused(decodeSeal(new Uint8Array(MAX_SEAL_BYTES + 1)), 'disconnect', /longer than the limit/)
  const longest = encodeSeal({ root: new Uint8Array(MAX_ROOT_BYTES), signature: new Uint8Array(64) })
  assert.ok(valid(decodeSeal(longest)))
  assertRefused(
    decodeSeal(encodeSeal({ root: new Uint8Array(MAX_ROOT_BYTES + 1), signature: new Uint8Array(64) })),
    'disconnect',
    /malformed/,
  )
})
