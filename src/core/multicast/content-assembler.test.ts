import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Bitfield } from '../lib/bitfield.ts'
import { Random } from '../lib/random.ts'
import { isWireError } from '../wire/wire-error.ts'
import { Writer } from '../wire/writer.ts'
import { BlockBuilder } from './block-builder.ts'
import { ContentAssembler, type AssembledContent, type AssemblerLimits, type AssemblerOutput } from './content-assembler.ts'
import { writeSegment, type BlockSegment } from './content-block.ts'

/** A receiver's content: lengths by heart, entries known up to some chunk, chunks that are here. */
class Content implements AssembledContent {
  knownChunks: number
  readonly lengths: readonly number[]
  readonly here: Bitfield

  constructor(lengths: readonly number[], knownChunks = lengths.length) {
    this.lengths = lengths
    this.knownChunks = knownChunks
    this.here = new Bitfield(lengths.length)
  }

  chunkBytes(chunk: number): number {
    return this.lengths[chunk] as number
  }

  isMissing(chunk: number): boolean {
    return !this.here.has(chunk)
  }

  /** Takes what came, and holds it against what it must be. */
  take(outputs: readonly AssemblerOutput[]): void {
    for (const output of outputs) {
      if (output.type !== 'chunks') continue
      let at = 0
      for (const [i, length] of output.lengths.entries()) {
        const chunk = output.firstChunk + i
        assert.ok(chunk < this.knownChunks, 'a chunk whose entry is known')
        assert.ok(this.here.set(chunk), 'a chunk that was missing')
        assert.ok(Buffer.from(bytesOf(chunk, this.chunkBytes(chunk))).equals(output.bytes.subarray(at, at + length)), `chunk ${chunk}`)
        at += length
      }
      assert.equal(at, output.bytes.length)
    }
  }
}

function bytesOf(chunk: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => chunk * 7 + i)
}

function blocksOf(lengths: readonly number[], blockBytes: number): Uint8Array[] {
  const builder = new BlockBuilder(blockBytes)
  builder.addChunks(0, lengths, new Uint8Array(Buffer.concat(lengths.map((length, i) => bytesOf(i, length)))))
  const blocks: Uint8Array[] = []
  for (let block = builder.take(true); block !== undefined; block = builder.take(true)) blocks.push(block)
  return blocks
}

function block(...segments: BlockSegment[]): Uint8Array {
  const out = new Writer()
  for (const segment of segments) writeSegment(out, segment)
  return out.finish()
}

function add(assembler: ContentAssembler, payload: Uint8Array): AssemblerOutput[] {
  const outputs = assembler.addBlock(payload)
  assert.ok(!isWireError(outputs))
  return outputs
}

const whole = (firstChunk: number, ...lengths: number[]): BlockSegment => ({
  type: 'chunks',
  firstChunk,
  lengths,
  bytes: new Uint8Array(Buffer.concat(lengths.map((length, i) => bytesOf(firstChunk + i, length)))),
})

test('blocks in any order, some of them twice, give each chunk once', () => {
  for (let seed = 0; seed < 40; seed++) {
    const random = new Random(seed)
    const content = new Content(Array.from({ length: 60 }, () => 1 + random.below(random.below(4) === 0 ? 3000 : 200)))
    const assembler = new ContentAssembler(content)
    const blocks = blocksOf(content.lengths, 700)
    const twice = [...blocks, ...blocks.filter(() => random.below(3) === 0)]
    for (const payload of random.shuffle(twice)) content.take(add(assembler, payload))
    assert.ok(content.here.isFull(), `seed ${seed}`)
    assert.equal(assembler.status().partialBytes, 0)
  }
})

test('whole chunks are views of their block', () => {
  const assembler = new ContentAssembler(new Content([10, 20, 30]))
  const payload = block(whole(0, 10, 20, 30))
  const outputs = add(assembler, payload)
  assert.equal(outputs.length, 1)
  assert.ok(outputs[0]?.type === 'chunks' && outputs[0].bytes.buffer === payload.buffer)
})

test('a run is cut at what is here already', () => {
  const content = new Content([10, 20, 30, 40, 50])
  for (const chunk of [0, 2]) content.here.set(chunk)
  const assembler = new ContentAssembler(content)
  const outputs = add(assembler, block(whole(0, 10, 20, 30, 40, 50)))
  assert.deepEqual(
    outputs.map((output) => output.type === 'chunks' && [output.firstChunk, output.lengths]),
    [
      [1, [20]],
      [3, [40, 50]],
    ],
  )
  content.take(outputs)
  assert.deepEqual(add(assembler, block(whole(0, 10, 20, 30, 40, 50))), [])
})

test('parts of a chunk that came by another way are let go', () => {
  const content = new Content([1000])
  const assembler = new ContentAssembler(content)
  const part = (offset: number): Uint8Array =>
    block({ type: 'chunk-part', chunk: 0, chunkBytes: 1000, offset, part: bytesOf(0, 1000).subarray(offset, offset + 100) })
  add(assembler, part(0))
  assert.ok(assembler.status().partialBytes > 1000)
  content.here.set(0)
  assert.deepEqual(add(assembler, part(100)), [])
  assert.equal(assembler.status().partialBytes, 0)
})

test('chunks wait for their entries of the manifest', () => {
  const content = new Content([10, 20, 30, 40], 1)
  const assembler = new ContentAssembler(content)
  content.take(
    add(assembler, block(whole(0, 10, 20, 30), { type: 'chunk-part', chunk: 3, chunkBytes: 40, offset: 0, part: bytesOf(3, 39) })),
  )
  assert.deepEqual(content.here.ranges(), [[0, 1]])
  content.take(add(assembler, block({ type: 'chunk-part', chunk: 3, chunkBytes: 40, offset: 39, part: bytesOf(3, 40).subarray(39) })))
  content.knownChunks = 2
  content.take(assembler.manifestGrew())
  assert.deepEqual(content.here.ranges(), [[0, 2]])
  content.knownChunks = 4
  content.take(assembler.manifestGrew())
  assert.ok(content.here.isFull())
  assert.equal(assembler.status().earlyBytes, 0)
})

test('a chunk of another length than the manifest says is dropped, early or not', () => {
  const content = new Content([10, 20], 1)
  const assembler = new ContentAssembler(content)
  assert.deepEqual(
    add(assembler, block(whole(0, 11, 21), { type: 'chunk-part', chunk: 0, chunkBytes: 12, offset: 0, part: bytesOf(0, 4) })),
    [],
  )
  content.knownChunks = 2
  assert.deepEqual(assembler.manifestGrew(), [])
  assert.equal(assembler.status().contradicted, 3)
})

test('what is kept stays below the limits, and what found no room is counted', () => {
  const limits: AssemblerLimits = { maxPartialBytes: 3000, maxEarlyBytes: 3000, maxManifestBytes: 3000 }
  const content = new Content(
    Array.from({ length: 100 }, () => 1000),
    50,
  )
  const assembler = new ContentAssembler(content, limits)
  for (let chunk = 0; chunk < 100; chunk++) {
    add(assembler, block({ type: 'chunk-part', chunk, chunkBytes: 1000, offset: 0, part: new Uint8Array(10) }))
    if (chunk >= 50) add(assembler, block(whole(chunk, 1000)))
  }
  const status = assembler.status()
  assert.ok(status.partialBytes <= 3000 && status.partialBytes > 1000, `${status.partialBytes}`)
  assert.ok(status.earlyBytes <= 3000 && status.earlyBytes > 1000, `${status.earlyBytes}`)
  assert.equal(status.droppedPartial, 98)
  assert.equal(status.droppedEarly, 48)
})

test('pieces of the manifest come in the order in which they were sent', () => {
  const pieces = Array.from({ length: 12 }, (_, i) => bytesOf(i, 300))
  const builder = new BlockBuilder(400)
  for (const [index, bytes] of pieces.entries()) builder.addManifest({ kind: 'page', index, bytes })
  const blocks: Uint8Array[] = []
  for (let payload = builder.take(true); payload !== undefined; payload = builder.take(true)) blocks.push(payload)
  for (let seed = 0; seed < 10; seed++) {
    const assembler = new ContentAssembler(new Content([]))
    const outputs = new Random(seed).shuffle([...blocks]).flatMap((payload) => add(assembler, payload))
    assert.deepEqual(
      outputs,
      pieces.map((bytes, index) => ({ type: 'manifest', piece: { kind: 'page', index, bytes } })),
    )
  }
})

test('pieces that wait for one that was given up are handed out when told so, or when there is no room for more', () => {
  const piece = (index: number): Uint8Array =>
    block({ type: 'manifest', kind: 'page', index, piece: index, pieceBytes: 500, offset: 0, part: bytesOf(index, 500) })
  const indices = (outputs: readonly AssemblerOutput[]): unknown[] =>
    outputs.map((output) => output.type === 'manifest' && output.piece.index)
  const assembler = new ContentAssembler(new Content([]), { maxManifestBytes: 2300 })
  assert.deepEqual(
    [3, 1, 1].map((index) => indices(add(assembler, piece(index)))),
    [[], [], []],
  )
  assert.deepEqual(indices(assembler.releasePieces()), [1, 3])
  // One that comes too late is handed out as it is.
  assert.deepEqual(indices(add(assembler, piece(0))), [0])
  assert.deepEqual(indices(add(assembler, piece(4))), [4])
  assert.deepEqual(
    [9, 7, 8].map((index) => indices(add(assembler, piece(index)))),
    [[], [], []],
  )
  assert.deepEqual(indices(add(assembler, piece(10))), [7, 8, 9, 10])
  assert.deepEqual(indices(assembler.releasePieces()), [])
})

test('a block that is none is told', () => {
  assert.ok(isWireError(new ContentAssembler(new Content([])).addBlock(Uint8Array.of(9))))
})
