/**
 * What is in a block of a session: pieces of the manifest and chunks, each with what is needed to tell what it is, so that a block makes sense
 * whichever blocks came before it. A codec and nothing more: `BlockBuilder` fills blocks, `ContentAssembler` puts together what came over several.
 *
 *   block    = segment*                                   to the end
 *   segment  = 1, u8 kind, varint index, varint piece, varint pieceBytes, varint offset, lengthBytes part      of a piece of the manifest
 *            | 2, varint firstChunk, varint count, count × varint chunkBytes, the bytes of the chunks          whole chunks
 *            | 3, varint chunk, varint chunkBytes, varint offset, lengthBytes part                             of a chunk
 *
 * The kinds of manifest pieces are those that peers of a swarm send each other (docs/specs/02-swarm.md §2). docs/specs/08-multicast-content.md §2 has
 * the rules; nothing in here is verified but against them.
 */
import { MAX_AVERAGE_CHUNK_BYTES, MAX_CHUNK_FACTOR } from '../content/chunk-size.ts'
import {
  MAX_CHUNKS,
  MAX_GROWING_HEADER_BYTES,
  MAX_PAGE_BYTES,
  MAX_ROOT_BYTES,
  MAX_SEAL_BYTES,
  MAX_SEGMENT_BYTES,
} from '../content/limits.ts'
import { Reader } from '../wire/reader.ts'
import { wireError, type WireError } from '../wire/wire-error.ts'
import type { Writer } from '../wire/writer.ts'

/** The longest chunk that a manifest can list, bytes. */
export const MAX_CHUNK_BYTES: number = MAX_AVERAGE_CHUNK_BYTES * MAX_CHUNK_FACTOR
/** The longest block that is decoded, bytes: 256 symbols of jumbo frames, and to spare. */
export const MAX_BLOCK_BYTES: number = 4 * 1024 * 1024
/** Segments of one block. */
export const MAX_SEGMENTS = 1024
/** Whole chunks of one block. */
export const MAX_BLOCK_CHUNKS = 16_384

export type PieceKind = 'header' | 'segment' | 'seal' | 'root' | 'page'

/** A piece of a manifest as swarm and session hand it on. */
export interface ManifestPiece {
  readonly kind: PieceKind
  /** The page's index; 0 for other kinds. */
  readonly index: number
  readonly bytes: Uint8Array
}

/** One thing in a block; bytes are views into it. */
export type BlockSegment =
  /** Part of a piece of the manifest; `piece` counts the pieces that the sender put into the session. */
  | {
      readonly type: 'manifest'
      readonly kind: PieceKind
      readonly index: number
      readonly piece: number
      readonly pieceBytes: number
      readonly offset: number
      readonly part: Uint8Array
    }
  /** Consecutive whole chunks, one after the other in `bytes`. */
  | { readonly type: 'chunks'; readonly firstChunk: number; readonly lengths: readonly number[]; readonly bytes: Uint8Array }
  /** Part of a chunk, and not all of it. */
  | {
      readonly type: 'chunk-part'
      readonly chunk: number
      readonly chunkBytes: number
      readonly offset: number
      readonly part: Uint8Array
    }

const SEGMENT_TYPES = { manifest: 1, chunks: 2, 'chunk-part': 3 } as const

const PIECE_KINDS: readonly PieceKind[] = ['header', 'segment', 'seal', 'root', 'page']
const MAX_PIECE_BYTES: Readonly<Record<PieceKind, number>> = {
  header: MAX_GROWING_HEADER_BYTES,
  segment: MAX_SEGMENT_BYTES,
  seal: MAX_SEAL_BYTES,
  root: MAX_ROOT_BYTES,
  page: MAX_PAGE_BYTES,
}

/** Writes one segment. */
export function writeSegment(out: Writer, segment: BlockSegment): void {
  out.u8(SEGMENT_TYPES[segment.type])
  switch (segment.type) {
    case 'manifest':
      out.u8(PIECE_KINDS.indexOf(segment.kind))
      out.varint(segment.index)
      out.varint(segment.piece)
      out.varint(segment.pieceBytes)
      out.varint(segment.offset)
      out.lengthBytes(segment.part)
      return
    case 'chunks':
      out.varint(segment.firstChunk)
      out.varint(segment.lengths.length)
      for (const length of segment.lengths) out.varint(length)
      out.bytes(segment.bytes)
      return
    case 'chunk-part':
      out.varint(segment.chunk)
      out.varint(segment.chunkBytes)
      out.varint(segment.offset)
      out.lengthBytes(segment.part)
  }
}

/**
 * The segments of a block, views into it.
 *
 * Never throws; what breaks the grammar or a limit is a WireError with disposition `disconnect`: whoever sealed this block doesn't speak
 * the protocol.
 */
export function decodeBlock(bytes: Uint8Array): BlockSegment[] | WireError {
  if (bytes.length > MAX_BLOCK_BYTES) return wireError('disconnect', `a block of ${bytes.length} bytes, ${MAX_BLOCK_BYTES} are allowed`)
  const input = new Reader(bytes)
  const segments: BlockSegment[] = []
  let chunks = 0
  while (input.remaining > 0) {
    const segment = readSegment(input)
    if (segment === undefined || input.failed) {
      return wireError('disconnect', 'a block with a segment that ends before its fields do, or has one that may not be')
    }
    if (segment.type === 'chunks') chunks += segment.lengths.length
    segments.push(segment)
    if (segments.length > MAX_SEGMENTS || chunks > MAX_BLOCK_CHUNKS)
      return wireError('disconnect', 'a block with too many segments or chunks')
  }
  // A failed reader has nothing remaining either.
  if (input.failed) return wireError('disconnect', 'a block that ends before its fields do')
  return segments
}

/** Undefined for a type that does not exist; the reader fails for what breaks a rule. */
function readSegment(input: Reader): BlockSegment | undefined {
  switch (input.u8()) {
    case SEGMENT_TYPES.manifest:
      return readPiecePart(input)
    case SEGMENT_TYPES.chunks:
      return readChunks(input)
    case SEGMENT_TYPES['chunk-part']:
      return readChunkPart(input)
    default:
      return undefined
  }
}

function readPiecePart(input: Reader): BlockSegment | undefined {
  const kind = PIECE_KINDS[input.u8()]
  if (kind === undefined) return undefined
  const index = input.varint()
  const piece = input.varint()
  const pieceBytes = input.varint()
  const offset = input.varint()
  const part = input.lengthBytes(MAX_PIECE_BYTES[kind])
  if (pieceBytes > MAX_PIECE_BYTES[kind] || part.length === 0 || offset + part.length > pieceBytes) return undefined
  if (index > MAX_CHUNKS || (index > 0 && kind !== 'page')) return undefined
  return { type: 'manifest', kind, index, piece, pieceBytes, offset, part }
}

function readChunks(input: Reader): BlockSegment | undefined {
  const firstChunk = input.varint()
  const count = input.varint()
  if (count === 0 || count > MAX_BLOCK_CHUNKS || firstChunk + count > MAX_CHUNKS) return undefined
  const lengths: number[] = []
  let total = 0
  while (lengths.length < count && !input.failed) {
    const length = input.varint()
    if (length === 0 || length > MAX_CHUNK_BYTES) return undefined
    lengths.push(length)
    total += length
  }
  return { type: 'chunks', firstChunk, lengths, bytes: input.bytes(total) }
}

function readChunkPart(input: Reader): BlockSegment | undefined {
  const chunk = input.varint()
  const chunkBytes = input.varint()
  const offset = input.varint()
  const part = input.lengthBytes(MAX_CHUNK_BYTES)
  if (chunk >= MAX_CHUNKS || chunkBytes > MAX_CHUNK_BYTES) return undefined
  // A whole chunk has one encoding: the other type.
  if (part.length === 0 || part.length >= chunkBytes || offset + part.length > chunkBytes) return undefined
  return { type: 'chunk-part', chunk, chunkBytes, offset, part }
}
