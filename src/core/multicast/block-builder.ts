/**
 * Fills blocks with chunks and pieces of a manifest, in the order in which they are added: blocks are filled to their end, a chunk
 * that doesn't fit goes on in the next one, and several small ones share one (docs/specs/08-multicast-content.md §2).
 *
 * What is added is kept as a view until it is in a block, and copied once, into that block. How much waits is the matter of who adds:
 * `waitingBytes` tells.
 */
import { assert } from '../lib/assert.ts'
import { Writer } from '../wire/writer.ts'
import { MAX_BLOCK_BYTES, MAX_BLOCK_CHUNKS, MAX_SEGMENTS, writeSegment, type ManifestPiece, type PieceKind } from './content-block.ts'

/** A part is not begun for less than this: what is left of a block stays empty, a few hundredths of a percent of it. */
const LEAST_PART_BYTES = 64
/** The most that stands before a part or the chunks' lengths: a type, a kind and five numbers. */
const MAX_HEAD_BYTES = 32
/** The smallest block: a head and a part worth beginning. */
export const MIN_BLOCK_BYTES: number = 2 * (MAX_HEAD_BYTES + LEAST_PART_BYTES)

type Item =
  | { readonly type: 'manifest'; readonly kind: PieceKind; readonly index: number; readonly piece: number; readonly bytes: Uint8Array }
  | { readonly type: 'chunks'; readonly firstChunk: number; readonly lengths: readonly number[]; readonly bytes: Uint8Array }

export class BlockBuilder {
  readonly #blockBytes: number
  readonly #items: Item[] = []
  /** Of the first item: bytes that are in blocks, whole chunks of them, and bytes of the chunk after those. */
  #doneBytes = 0
  #doneChunks = 0
  #doneOfChunk = 0
  #waitingBytes = 0
  #pieces = 0
  #block: Writer
  #segments = 0
  #chunks = 0

  /** @param blockBytes the payload of a block at the most */
  constructor(blockBytes: number) {
    assert(blockBytes >= MIN_BLOCK_BYTES && blockBytes <= MAX_BLOCK_BYTES, 'a block of a size that there is')
    this.#blockBytes = blockBytes
    this.#block = new Writer(blockBytes + 8)
  }

  /** Bytes that were added and are in no block yet, neither one that was taken nor the one begun. */
  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** Whether nothing at all is left: nothing waits, and no block is begun. */
  get isEmpty(): boolean {
    return this.#items.length === 0 && this.#block.length === 0
  }

  /** Adds a piece of the manifest; `bytes` must stay as they are until they are in a block. */
  addManifest({ kind, index, bytes }: ManifestPiece): void {
    assert(bytes.length > 0, 'a piece with something in it')
    this.#items.push({ type: 'manifest', kind, index, piece: this.#pieces++, bytes })
    this.#waitingBytes += bytes.length
  }

  /** Adds consecutive chunks of these lengths, one after the other in `bytes`, which must stay as they are until they are in a block. */
  addChunks(firstChunk: number, lengths: readonly number[], bytes: Uint8Array): void {
    const total = lengths.reduce((sum, length) => sum + length, 0)
    assert(lengths.length > 0 && total === bytes.length, 'the bytes of these chunks')
    this.#items.push({ type: 'chunks', firstChunk, lengths, bytes })
    this.#waitingBytes += bytes.length
  }

  /** The next block, if there is enough for one, or for the rest with `isLast`: fewer bytes than a block has. */
  take(isLast: boolean = false): Uint8Array | undefined {
    let item = this.#items[0]
    while (item !== undefined) {
      const isDone = item.type === 'manifest' ? this.#putPiece(item) : this.#putChunks(item)
      if (!isDone) return this.#finish()
      this.#items.shift()
      this.#doneBytes = 0
      this.#doneChunks = 0
      item = this.#items[0]
    }
    return isLast && this.#block.length > 0 ? this.#finish() : undefined
  }

  #finish(): Uint8Array {
    const block = this.#block.finish()
    this.#block = new Writer(this.#blockBytes + 8)
    this.#segments = 0
    this.#chunks = 0
    return block
  }

  /** What fits after the head of one more segment. */
  #room(): number {
    if (this.#segments >= MAX_SEGMENTS) return 0
    return this.#blockBytes - this.#block.length - MAX_HEAD_BYTES
  }

  /** @returns whether all of it is in blocks now; else this block is full. */
  #putPiece({ kind, index, piece, bytes }: Item & { type: 'manifest' }): boolean {
    const room = this.#room()
    const left = bytes.length - this.#doneBytes
    if (room < Math.min(left, LEAST_PART_BYTES)) return false
    const offset = this.#doneBytes
    const part = this.#cut(bytes, Math.min(left, room))
    writeSegment(this.#block, { type: 'manifest', kind, index, piece, pieceBytes: bytes.length, offset, part })
    this.#segments++
    return this.#doneBytes === bytes.length
  }

  /** @returns whether all of them are in blocks now; else this block is full. */
  #putChunks(item: Item & { type: 'chunks' }): boolean {
    if (this.#doneOfChunk > 0 && !this.#putChunkPart(item)) return false
    if (this.#doneChunks === item.lengths.length) return true
    this.#putWholeChunks(item)
    if (this.#doneChunks === item.lengths.length) return true
    this.#putChunkPart(item)
    return false
  }

  #putWholeChunks({ firstChunk, lengths, bytes }: Item & { type: 'chunks' }): void {
    const room = this.#room()
    const first = this.#doneChunks
    const most = Math.min(lengths.length, first + MAX_BLOCK_CHUNKS - this.#chunks)
    let end = first
    let total = 0
    let takes = 0
    for (; end < most; end++) {
      const length = lengths[end] as number
      takes += varintBytes(length) + length
      if (takes > room) break
      total += length
    }
    if (end === first) return
    writeSegment(this.#block, {
      type: 'chunks',
      firstChunk: firstChunk + first,
      lengths: lengths.slice(first, end),
      bytes: this.#cut(bytes, total),
    })
    this.#segments++
    this.#chunks += end - first
    this.#doneChunks = end
  }

  /** Puts what fits of the chunk that is next; @returns whether that was the rest of it. */
  #putChunkPart({ firstChunk, lengths, bytes }: Item & { type: 'chunks' }): boolean {
    const chunkBytes = lengths[this.#doneChunks] as number
    const left = chunkBytes - this.#doneOfChunk
    // Where a whole chunk would fit but for a limit of counts, no part of it is what is wanted.
    const most = Math.min(left, chunkBytes - 1, this.#room())
    if (most < Math.min(left, LEAST_PART_BYTES)) return false
    const offset = this.#doneOfChunk
    const part = this.#cut(bytes, most)
    writeSegment(this.#block, { type: 'chunk-part', chunk: firstChunk + this.#doneChunks, chunkBytes, offset, part })
    this.#segments++
    this.#doneOfChunk += most
    if (this.#doneOfChunk < chunkBytes) return false
    this.#doneOfChunk = 0
    this.#doneChunks++
    return true
  }

  /** The next bytes of the first item. */
  #cut(bytes: Uint8Array, count: number): Uint8Array {
    const part = bytes.subarray(this.#doneBytes, this.#doneBytes + count)
    this.#doneBytes += count
    this.#waitingBytes -= count
    return part
  }
}

function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes++
  return bytes
}
