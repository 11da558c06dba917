/** What is in the blocks of a session: all that its receivers lack, and no more. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blake3 } from '@napi-rs/blake-hash'
import { buildSealed, isWireError, Manifest } from '../../core/content/index.ts'
import { Bitfield } from '../../core/lib/bitfield.ts'
import { ContentAssembler } from '../../core/multicast/content-assembler.ts'
import { encodeNeeds } from '../../core/multicast/needs.ts'
import { ManifestView } from './manifest-view.ts'
import { ContentBlocks } from './multicast-blocks.ts'

const AVERAGE_BYTES = 16 * 1024
const LENGTHS = [5000, 20_000, 60_000, 1, 9000, 33_000, 16_384, 40_000, 12_345, 64_000]
const BLOCK_BYTES = 30_000

const bytesOf = (chunk: number): Uint8Array => new Uint8Array(LENGTHS[chunk]!).fill(chunk + 1)
const CONTENT = Buffer.concat(LENGTHS.map((_, chunk) => bytesOf(chunk)))
const HASHES = Buffer.concat(LENGTHS.map((_, chunk) => blake3(bytesOf(chunk))))

/** Blocks of the content, of which these chunks can be read. */
function bed(have: Bitfield = Bitfield.full(LENGTHS.length)): { blocks: ContentBlocks; handedOut: number[]; manifest: Manifest } {
  const manifest = buildSealed(
    { lengths: LENGTHS, hashes: HASHES },
    { averageBytes: AVERAGE_BYTES, mediaType: '', treeBytes: 0, hash: blake3 },
  )
  const handedOut: number[] = []
  const blocks = new ContentBlocks(
    {
      view: new ManifestView(manifest, manifest.contentId()!, () => undefined),
      have: () => have,
      isDone: () => have.count === LENGTHS.length,
      readBytes: (offset, length) => Promise.resolve(CONTENT.subarray(offset, offset + length)),
    },
    {
      blockBytes: BLOCK_BYTES,
      handedOut: (first, count) => handedOut.push(...Array.from({ length: count }, (_, i) => first + i)),
    },
  )
  return { blocks, handedOut, manifest }
}

function needsOf(...held: number[]): Uint8Array {
  const have = new Bitfield(LENGTHS.length)
  for (const chunk of held) have.set(chunk)
  return encodeNeeds(have)
}

/** All blocks up to the end, or until there is none for now. */
async function drain(blocks: ContentBlocks): Promise<{ payloads: Uint8Array[]; isEnd: boolean }> {
  const payloads: Uint8Array[] = []
  for (;;) {
    const { payload, isEnd } = await blocks.next()
    if (payload === undefined) return { payloads, isEnd }
    payloads.push(payload)
  }
}

/** What a receiver that knows only the root makes of blocks. */
function receive(root: Uint8Array, payloads: readonly Uint8Array[]): Map<number, Uint8Array> {
  const manifest = Manifest.sealed(root, blake3)
  assert.ok(!isWireError(manifest))
  const view = new ManifestView(manifest, manifest.contentId()!, () => undefined)
  const chunks = new Map<number, Uint8Array>()
  const assembler = new ContentAssembler({
    get knownChunks() {
      return manifest.knownChunks
    },
    chunkBytes: (chunk) => manifest.chunkBytes(chunk),
    isMissing: (chunk) => !chunks.has(chunk),
  })
  const take = (outputs: ReturnType<ContentAssembler['addBlock']>): void => {
    assert.ok(!isWireError(outputs))
    for (const output of outputs) {
      if (output.type === 'manifest') {
        view.acceptManifest(output.piece)
        take(assembler.manifestGrew())
        continue
      }
      let offset = 0
      output.lengths.forEach((length, i) => {
        const chunk = output.firstChunk + i
        assert.equal(view.verify(chunk, 1, output.bytes.subarray(offset, offset + length)), -1)
        chunks.set(chunk, output.bytes.subarray(offset, offset + length))
        offset += length
      })
    }
  }
  for (const payload of payloads) take(assembler.addBlock(payload))
  return chunks
}

void test('one who knows the root alone gets manifest and content from the blocks, in any order', async () => {
  const { blocks, handedOut, manifest } = bed()
  blocks.joined('a', needsOf(), false)
  const { payloads, isEnd } = await drain(blocks)
  assert.ok(isEnd)
  assert.ok(payloads.every((payload) => payload.length <= BLOCK_BYTES))
  assert.deepEqual(
    handedOut,
    LENGTHS.map((_, chunk) => chunk),
  )
  assert.equal(receive(manifest.rootBytes()!, payloads).size, LENGTHS.length)
  assert.equal(receive(manifest.rootBytes()!, payloads.toReversed()).size, LENGTHS.length)
})

void test('only what somebody lacks is sent, what the most lack first', async () => {
  const { blocks, handedOut } = bed()
  blocks.joined('a', needsOf(0, 1, 2, 3), false)
  blocks.joined('b', needsOf(0, 1, 2, 5, 6, 7, 8, 9), false)
  await drain(blocks)
  assert.deepEqual(handedOut, [4, 3, 5, 6, 7, 8, 9])
})

void test('nothing is sent again for those who come late: they get it by the swarm', async () => {
  const { blocks, handedOut } = bed()
  blocks.joined('a', needsOf(), false)
  await drain(blocks)
  handedOut.length = 0
  blocks.joined('b', needsOf(), false)
  blocks.joined('c', needsOf(), false)
  await drain(blocks)
  assert.deepEqual(handedOut, [])
})

void test('in a network that loses much, what a late one lacks is sent again', async () => {
  const { blocks, handedOut } = bed()
  blocks.joined('a', needsOf(), true)
  await drain(blocks)
  handedOut.length = 0
  blocks.joined('b', needsOf(3, 4), true)
  await drain(blocks)
  assert.deepEqual(handedOut, [0, 1, 2, 5, 6, 7, 8, 9])
})

void test('who says what cannot be read counts as having nothing', async () => {
  const { blocks, handedOut } = bed()
  blocks.joined('a', Uint8Array.of(200, 200), false)
  await drain(blocks)
  assert.equal(handedOut.length, LENGTHS.length)
})

void test('a content that is still being read is sent as far as it is here', async () => {
  const have = new Bitfield(LENGTHS.length)
  have.setRange(0, 4)
  const { blocks, handedOut } = bed(have)
  blocks.joined('a', needsOf(), false)
  const first = await drain(blocks)
  assert.ok(!first.isEnd)
  assert.deepEqual(handedOut, [0, 1, 2, 3])
  have.setRange(4, LENGTHS.length - 4)
  const rest = await drain(blocks)
  assert.ok(rest.isEnd)
  assert.equal(handedOut.length, LENGTHS.length)
})
