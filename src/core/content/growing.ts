/**
 * Growing header, segment and seal: the formats of a manifest whose content is still being read by its author
 * (docs/specs/01-manifest.md §4). A codec and the signed messages; `Manifest` decides what is accepted when.
 *
 *   header  = "PCG" 1, publicKey 32 bytes, nonce 16 bytes, averageBytes varint, mediaType text, treeBytes varint,
 *             expected varint                 (0: the size is not known; else the expected size + 1)
 *   segment = "PCS" 1, entries, signature 64 bytes             (entries: see format.ts)
 *   seal    = "PCE" 1, root lengthBytes, signature 64 bytes
 *
 * The growing id is the hash of the header. Signed is, with Ed25519 and the header's key:
 *   segment:  "polycast segment v1" 0, growing id, the segment without its signature
 *   seal:     "polycast seal v1" 0, growing id, root
 */
import { assert } from '../lib/assert.ts'
import { concatBytes, copyBytes, utf8Encode } from '../lib/bytes.ts'
import { Reader } from '../wire/reader.ts'
import { wireError, type WireError } from '../wire/wire-error.ts'
import { Writer } from '../wire/writer.ts'
import { isAverageChunkBytes } from './chunk-size.ts'
import { isMediaType, KIND, readEntries, readMediaType, readPrefix, writeEntries, writePrefix, type Entries } from './format.ts'
import {
  CHUNKS_PER_PAGE,
  MAX_GROWING_HEADER_BYTES,
  MAX_ROOT_BYTES,
  MAX_SEAL_BYTES,
  MAX_SEGMENT_BYTES,
  MAX_TOTAL_BYTES,
  MAX_TREE_BYTES,
} from './limits.ts'
import { HASH_BYTES, NONCE_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, type HashFunction, type Signer } from './primitives.ts'

/** What is known of a content before it has an end; its hash is the growing id. */
export interface GrowingHeader {
  /** The author's Ed25519 key, which signs every segment and the seal; 32 bytes. */
  publicKey: Uint8Array
  /** 16 random bytes: a content begun anew has another id. */
  nonce: Uint8Array
  averageBytes: number
  mediaType: string
  treeBytes: number
  /** What the source announced: for progress only, the root decides. */
  expectedBytes: number | undefined
}

/** A run of 1 to 1024 entries that the author signed. */
export interface Segment {
  firstChunk: number
  lengths: number[]
  /** 32 bytes for each entry. */
  hashes: Uint8Array
  /** 64 bytes. */
  signature: Uint8Array
}

/** The author's word that the content has ended, and as what. */
export interface Seal {
  /** The encoded root. */
  root: Uint8Array
  /** 64 bytes. */
  signature: Uint8Array
}

const SEGMENT_DOMAIN = utf8Encode('polycast segment v1\0')
const SEAL_DOMAIN = utf8Encode('polycast seal v1\0')

/** The bytes of a growing header. */
export function encodeGrowingHeader(header: GrowingHeader): Uint8Array {
  const problem = headerProblem(header)
  assert(problem === undefined, `a growing header to encode: ${problem}`)
  const writer = new Writer(128)
  writePrefix(writer, KIND.growingHeader)
  writer.bytes(header.publicKey)
  writer.bytes(header.nonce)
  writer.varint(header.averageBytes)
  writer.text(header.mediaType)
  writer.varint(header.treeBytes)
  writer.varint(header.expectedBytes === undefined ? 0 : header.expectedBytes + 1)
  return writer.finish()
}

/** The growing header in `bytes`; key and nonce are copies. */
export function decodeGrowingHeader(bytes: Uint8Array): GrowingHeader | WireError {
  if (bytes.length > MAX_GROWING_HEADER_BYTES) return wireError('disconnect', 'a growing header is longer than the limit')
  const reader = new Reader(bytes)
  readPrefix(reader, KIND.growingHeader)
  const publicKey = copyBytes(reader.bytes(PUBLIC_KEY_BYTES))
  const nonce = copyBytes(reader.bytes(NONCE_BYTES))
  const averageBytes = reader.varint()
  const mediaType = readMediaType(reader)
  const treeBytes = reader.varint()
  const expected = reader.varint()
  if (!reader.done()) return wireError('disconnect', 'a growing header is malformed')
  const expectedBytes = expected === 0 ? undefined : expected - 1
  const header = { publicKey, nonce, averageBytes, mediaType, treeBytes, expectedBytes }
  const problem = headerProblem(header)
  return problem === undefined ? header : wireError('disconnect', `a growing header is invalid: ${problem}`)
}

/** The id of a content that still grows: the hash of its encoded header. */
export function growingId(header: GrowingHeader, hash: HashFunction): Uint8Array {
  return hash(encodeGrowingHeader(header))
}

/** The bytes of a segment. */
export function encodeSegment(segment: Segment): Uint8Array {
  assert(segment.signature.length === SIGNATURE_BYTES, 'a signature of 64 bytes')
  return concatBytes([encodeUnsigned(segment), segment.signature])
}

/** The segment in `bytes`; hashes and signature are views of them. Its signature is not checked here. */
export function decodeSegment(bytes: Uint8Array): Segment | WireError {
  if (bytes.length > MAX_SEGMENT_BYTES) return wireError('disconnect', 'a manifest segment is longer than the limit')
  const reader = new Reader(bytes)
  readPrefix(reader, KIND.segment)
  const entries = readEntries(reader)
  const signature = reader.bytes(SIGNATURE_BYTES)
  if (!reader.done()) return wireError('disconnect', 'a manifest segment is malformed')
  return { firstChunk: entries.firstChunk, lengths: [...entries.lengths], hashes: entries.hashes, signature }
}

/** Signs a run of entries for the content of that growing id. */
export function signSegment(signer: Signer, growing: Uint8Array, entries: Entries): Segment {
  const signature = signer.sign(concatBytes([SEGMENT_DOMAIN, growing, encodeUnsigned(entries)]))
  return { firstChunk: entries.firstChunk, lengths: [...entries.lengths], hashes: entries.hashes, signature }
}

/** The message that an encoded segment's signature is over. */
export function segmentMessage(growing: Uint8Array, segmentBytes: Uint8Array): Uint8Array {
  return concatBytes([SEGMENT_DOMAIN, growing, segmentBytes.subarray(0, segmentBytes.length - SIGNATURE_BYTES)])
}

/** The bytes of a seal. */
export function encodeSeal(seal: Seal): Uint8Array {
  assert(seal.signature.length === SIGNATURE_BYTES, 'a signature of 64 bytes')
  const writer = new Writer(seal.root.length + SIGNATURE_BYTES + 16)
  writePrefix(writer, KIND.seal)
  writer.lengthBytes(seal.root)
  writer.bytes(seal.signature)
  return writer.finish()
}

/** The seal in `bytes`, as views of them. Neither signature nor root is checked here. */
export function decodeSeal(bytes: Uint8Array): Seal | WireError {
  if (bytes.length > MAX_SEAL_BYTES) return wireError('disconnect', 'a seal is longer than the limit')
  const reader = new Reader(bytes)
  readPrefix(reader, KIND.seal)
  const root = reader.lengthBytes(MAX_ROOT_BYTES)
  const signature = reader.bytes(SIGNATURE_BYTES)
  return reader.done() ? { root, signature } : wireError('disconnect', 'a seal is malformed')
}

/** Signs an encoded root as the end of the content of that growing id. */
export function signSeal(signer: Signer, growing: Uint8Array, root: Uint8Array): Seal {
  return { root, signature: signer.sign(sealMessage(growing, root)) }
}

/** The message that a seal's signature is over. */
export function sealMessage(growing: Uint8Array, root: Uint8Array): Uint8Array {
  return concatBytes([SEAL_DOMAIN, growing, root])
}

function encodeUnsigned(entries: Entries): Uint8Array {
  const count = entries.lengths.length
  assert(count >= 1 && count <= CHUNKS_PER_PAGE && entries.hashes.length === count * HASH_BYTES, '1 to 1024 entries with their hashes')
  const writer = new Writer(16 + count * (HASH_BYTES + 4))
  writePrefix(writer, KIND.segment)
  writeEntries(writer, entries)
  return writer.finish()
}

function headerProblem(header: GrowingHeader): string | undefined {
  if (header.publicKey.length !== PUBLIC_KEY_BYTES) return 'the public key does not have 32 bytes'
  if (header.nonce.length !== NONCE_BYTES) return 'the nonce does not have 16 bytes'
  if (!isAverageChunkBytes(header.averageBytes)) return 'the average chunk length is not allowed'
  if (!isMediaType(header.mediaType)) return 'the media type is not printable ASCII of at most 255 characters'
  if (header.treeBytes > MAX_TREE_BYTES) return 'the tree is longer than the limit'
  if (header.expectedBytes !== undefined && header.expectedBytes > MAX_TOTAL_BYTES) return 'the content is longer than the limit'
  return undefined
}
