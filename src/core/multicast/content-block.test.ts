import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Writer } from '../wire/writer.ts'
import { isWireError } from '../wire/wire-error.ts'
import { decodeBlock, MAX_BLOCK_BYTES, MAX_SEGMENTS, writeSegment, type BlockSegment, type PieceKind } from './content-block.ts'

function encode(...segments: BlockSegment[]): Uint8Array {
  const out = new Writer()
  for (const segment of segments) writeSegment(out, segment)
  return out.finish()
}

function refused(bytes: Uint8Array): string {
  const result = decodeBlock(bytes)
  assert.ok(isWireError(result), JSON.stringify(result))
  assert.equal(result.disposition, 'disconnect')
  return result.message
}

const part = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => 0xa0 + i)

test('the vectors of the specification (08-multicast-content.md §2)', () => {
  const segments: BlockSegment[] = [
    { type: 'manifest', kind: 'page', index: 3, piece: 5, pieceBytes: 1000, offset: 300, part: part(4) },
    { type: 'chunks', firstChunk: 300, lengths: [2, 1], bytes: part(3) },
    { type: 'chunk-part', chunk: 302, chunkBytes: 20_000, offset: 16_384, part: part(2) },
  ]
  const bytes = encode(...segments)
  assert.equal(Buffer.from(bytes).toString('hex'), '01040305e807ac0204a0a1a2a302ac02020201a0a1a203ae02a09c0180800102a0a1')
  assert.deepEqual(decodeBlock(bytes), segments)
  assert.deepEqual(decodeBlock(new Uint8Array(0)), [])
})

test('what is encoded is decoded, as views', () => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 60 })
  const kind = fc.constantFrom<PieceKind>('header', 'segment', 'seal', 'root', 'page')
  const segment: fc.Arbitrary<BlockSegment> = fc.oneof(
    fc
      .record({ kind, index: fc.nat(5000), piece: fc.nat(), offset: fc.nat(200), more: fc.nat(200), part: bytes })
      .map(({ more, ...rest }) => ({
        type: 'manifest' as const,
        ...rest,
        index: rest.kind === 'page' ? rest.index : 0,
        pieceBytes: rest.offset + rest.part.length + more,
      })),
    fc
      .record({ firstChunk: fc.nat(16_000_000), chunks: fc.array(bytes, { minLength: 1, maxLength: 9 }) })
      .map(({ firstChunk, chunks }) => ({
        type: 'chunks' as const,
        firstChunk,
        lengths: chunks.map((chunk) => chunk.length),
        bytes: new Uint8Array(Buffer.concat(chunks)),
      })),
    fc
      .record({ chunk: fc.nat(16_000_000), offset: fc.nat(10_000), more: fc.integer({ min: 1, max: 9000 }), part: bytes })
      .map(({ more, ...rest }) => ({
        type: 'chunk-part' as const,
        ...rest,
        chunkBytes: rest.offset + rest.part.length + more,
      })),
  )
  fc.assert(
    fc.property(fc.array(segment, { maxLength: 8 }), (segments) => {
      const block = encode(...segments)
      const decoded = decodeBlock(block)
      assert.deepEqual(decoded, segments)
      for (const one of decoded) {
        assert.equal((one.type === 'chunks' ? one.bytes : one.part).buffer, block.buffer)
      }
    }),
  )
})

test('what breaks a rule is refused', () => {
  const piece = { type: 'manifest', kind: 'page', index: 0, piece: 0, pieceBytes: 4, offset: 0, part: part(4) } as const
  const ofChunk = { type: 'chunk-part', chunk: 0, chunkBytes: 9, offset: 0, part: part(4) } as const
  const run = { type: 'chunks', firstChunk: 0, lengths: [4], bytes: part(4) } as const
  assert.ok(!isWireError(decodeBlock(encode(piece, ofChunk, run))))
  for (const [what, segment] of Object.entries<BlockSegment>({
    'a part beyond its piece': { ...piece, offset: 1 },
    'a piece longer than its kind can be': { ...piece, kind: 'header', pieceBytes: 513 },
    'an empty part of a piece': { ...piece, part: part(0) },
    'an index of what has none': { ...piece, kind: 'segment', index: 1 },
    'a page beyond the last': { ...piece, index: 2 ** 30 },
    'a part beyond its chunk': { ...ofChunk, offset: 6 },
    'an empty part of a chunk': { ...ofChunk, part: part(0) },
    'a part that is the whole chunk': { ...ofChunk, chunkBytes: 4 },
    'a chunk longer than there are': { ...ofChunk, chunkBytes: 16 * 1024 * 1024 + 1 },
    'a chunk beyond the last': { ...ofChunk, chunk: 16 * 1024 * 1024 },
    'no chunk': { ...run, lengths: [], bytes: part(0) },
    'an empty chunk': { ...run, lengths: [0, 4] },
    'chunks beyond the last': { ...run, firstChunk: 16 * 1024 * 1024 },
    'chunks with fewer bytes than they say': { ...run, lengths: [5] },
  })) {
    assert.match(refused(encode(segment)), /a segment that ends before its fields do, or has one that may not be/, what)
  }
  for (const bytes of [[0], [4], [1, 5, 0, 0, 1, 0, 1, 0], [2], [3, 0x80]]) refused(Uint8Array.from(bytes))
  const small = encode({ ...run, lengths: [1], bytes: part(1) })
  assert.match(refused(new Uint8Array(Buffer.concat(Array.from({ length: MAX_SEGMENTS + 1 }, () => small)))), /too many segments/)
  assert.match(refused(new Uint8Array(MAX_BLOCK_BYTES + 1)), /are allowed/)
})

test('chunks are counted over all segments of a block', () => {
  const run = (chunks: number): BlockSegment => ({
    type: 'chunks',
    firstChunk: 0,
    lengths: Array.from({ length: chunks }, () => 1),
    bytes: new Uint8Array(chunks),
  })
  assert.ok(!isWireError(decodeBlock(encode(run(8192), run(8192)))))
  assert.match(refused(encode(run(8192), run(8193))), /too many segments or chunks/)
})

test('no bytes make the decoder throw, and what it takes has one encoding', () => {
  // Small numbers first, so that most of them get beyond the first field.
  const byte = fc.oneof(fc.nat(5), fc.nat(255))
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 60 }), (list) => {
      const bytes = Uint8Array.from(list)
      const segments = decodeBlock(bytes)
      if (!isWireError(segments)) assert.deepEqual(encode(...segments), bytes)
    }),
    { numRuns: 3000 },
  )
})
