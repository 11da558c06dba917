import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { BlockBuilder, MIN_BLOCK_BYTES } from './block-builder.ts'
import { ContentAssembler, type AssemblerOutput } from './content-assembler.ts'
import { decodeBlock, type ManifestPiece } from './content-block.ts'
import { isWireError } from '../wire/wire-error.ts'

/** A content of which everything is known and nothing is here. */
function anyContent(lengths: readonly number[]): ConstructorParameters<typeof ContentAssembler>[0] {
  return { knownChunks: lengths.length, chunkBytes: (chunk) => lengths[chunk] as number, isMissing: () => true }
}

function chunk(index: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => index * 31 + i)
}

test('blocks are full to their end but the last, and give back everything in order', () => {
  const lengths = fc.array(fc.oneof(fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 1500 })), { minLength: 1, maxLength: 40 })
  fc.assert(
    fc.property(
      lengths,
      fc.integer({ min: MIN_BLOCK_BYTES, max: 2500 }),
      fc.array(fc.nat(39), { maxLength: 3 }),
      (all, blockBytes, cuts) => {
        const builder = new BlockBuilder(blockBytes)
        const blocks: Uint8Array[] = []
        const pieces: ManifestPiece[] = []
        const takeAll = (isLast: boolean): void => {
          for (let block = builder.take(isLast); block !== undefined; block = builder.take(isLast)) blocks.push(block)
        }
        let from = 0
        for (const cut of [...cuts.toSorted((a, b) => a - b), all.length]) {
          const to = Math.min(cut, all.length)
          const piece: ManifestPiece = { kind: 'page', index: pieces.length, bytes: chunk(pieces.length, 10 + 77 * to) }
          pieces.push(piece)
          builder.addManifest(piece)
          if (to > from) {
            const part = all.slice(from, to)
            builder.addChunks(from, part, new Uint8Array(Buffer.concat(part.map((length, i) => chunk(from + i, length)))))
          }
          takeAll(false)
          assert.equal(builder.waitingBytes, 0)
          from = to
        }
        takeAll(true)
        assert.ok(builder.isEmpty)

        const assembler = new ContentAssembler(anyContent(all))
        const outputs: AssemblerOutput[] = []
        for (const [i, block] of blocks.entries()) {
          assert.ok(block.length <= blockBytes)
          if (i < blocks.length - 1) assert.ok(block.length > blockBytes - 100, `${block.length} of ${blockBytes}`)
          const result = assembler.addBlock(block)
          assert.ok(!isWireError(result))
          outputs.push(...result)
        }
        const chunks = outputs.flatMap((output) => (output.type === 'chunks' ? output.lengths.map((_, i) => output.firstChunk + i) : []))
        assert.deepEqual(
          chunks,
          all.map((_, i) => i),
        )
        const bytes = Buffer.concat(outputs.flatMap((output) => (output.type === 'chunks' ? [output.bytes] : [])))
        assert.ok(bytes.equals(Buffer.concat(all.map((length, i) => chunk(i, length)))))
        assert.deepEqual(
          outputs.flatMap((output) => (output.type === 'manifest' ? [output.piece] : [])),
          pieces,
        )
      },
    ),
  )
})

test('small chunks share a block, and a large one goes over several', () => {
  const builder = new BlockBuilder(1000)
  builder.addChunks(5, [100, 100, 2000, 50], new Uint8Array(2250))
  assert.equal(builder.waitingBytes, 2250)
  const shapes: unknown[] = []
  for (let block = builder.take(true); block !== undefined; block = builder.take(true)) {
    const segments = decodeBlock(block)
    assert.ok(!isWireError(segments))
    shapes.push(
      segments.map((segment) =>
        segment.type === 'chunks'
          ? [segment.firstChunk, segment.lengths.length]
          : segment.type === 'chunk-part'
            ? [segment.chunk, segment.offset, segment.part.length]
            : [],
      ),
    )
  }
  assert.deepEqual(shapes, [
    [
      [5, 2],
      [7, 0, 763],
    ],
    [[7, 763, 968]],
    [
      [7, 1731, 269],
      [8, 1],
    ],
  ])
})

test('a block is full at the limits of what a decoder takes', () => {
  const builder = new BlockBuilder(1_000_000)
  builder.addChunks(
    0,
    Array.from({ length: 17_000 }, () => 1),
    new Uint8Array(17_000),
  )
  for (let i = 0; i < 1100; i++) builder.addManifest({ kind: 'page', index: i, bytes: new Uint8Array(1) })
  const counts: number[] = []
  for (let block = builder.take(true); block !== undefined; block = builder.take(true)) {
    const segments = decodeBlock(block)
    assert.ok(!isWireError(segments))
    counts.push(segments.length)
  }
  assert.deepEqual(counts, [1, 1024, 77])
})

test('what cannot be in a block is a bug', () => {
  assert.throws(() => new BlockBuilder(MIN_BLOCK_BYTES - 1), /a size that there is/)
  const builder = new BlockBuilder(1000)
  assert.throws(() => builder.addChunks(0, [5, 6], new Uint8Array(10)), /the bytes of these chunks/)
  assert.throws(() => builder.addManifest({ kind: 'seal', index: 0, bytes: new Uint8Array(0) }), /something in it/)
  assert.equal(builder.take(true), undefined)
})
