/**
 * Root and page: the formats of a manifest whose content has an end (docs/specs/01-manifest.md §3). A codec and nothing
 * more: `Manifest` holds what they say against each other.
 *
 *   root = "PCR" 1, totalBytes varint, chunkCount varint, averageBytes varint, mediaType text, treeBytes varint,
 *          ⌈chunkCount / 1024⌉ × 32 bytes of page hash
 *   page = "PCP" 1, entries                   (entries: see format.ts)
 *
 * The content id is the hash of the root. Every value has one encoding, so that a page encoded again has the same hash.
 */
import { assert } from '../lib/assert.ts'
import { copyBytes } from '../lib/bytes.ts'
import { Reader } from '../wire/reader.ts'
import { wireError, type WireError } from '../wire/wire-error.ts'
import { Writer } from '../wire/writer.ts'
import { isAverageChunkBytes, MAX_CHUNK_FACTOR } from './chunk-size.ts'
import { isMediaType, KIND, readEntries, readMediaType, readPrefix, writeEntries, writePrefix, type Entries } from './format.ts'
import { CHUNKS_PER_PAGE, MAX_CHUNKS, MAX_PAGE_BYTES, MAX_ROOT_BYTES, MAX_TOTAL_BYTES, MAX_TREE_BYTES } from './limits.ts'
import { HASH_BYTES } from './primitives.ts'

/** What a content is: its hash is the content id. */
export interface Root {
  totalBytes: number
  chunkCount: number
  /** The chunker's average: a power of two; no chunk is longer than 4 times this. */
  averageBytes: number
  /** Printable ASCII; empty when not known. */
  mediaType: string
  /** Leading bytes of the content that are the encoded tree of a directory; 0 for a file. */
  treeBytes: number
  /** One hash for every 1024 chunks begun, 32 bytes each. */
  pageHashes: Uint8Array[]
}

/** Up to 1024 entries of a manifest, the first at a multiple of 1024. */
export interface Page {
  firstChunk: number
  lengths: number[]
  /** 32 bytes for each entry. */
  hashes: Uint8Array
}

/** The bytes of a root; a root that `decodeRoot` would refuse is a bug. */
export function encodeRoot(root: Root): Uint8Array {
  const problem = rootProblem(root)
  assert(problem === undefined, `a root to encode: ${problem}`)
  const writer = new Writer(64 + root.pageHashes.length * HASH_BYTES)
  writePrefix(writer, KIND.root)
  writer.varint(root.totalBytes)
  writer.varint(root.chunkCount)
  writer.varint(root.averageBytes)
  writer.text(root.mediaType)
  writer.varint(root.treeBytes)
  for (const hash of root.pageHashes) writer.bytes(hash)
  return writer.finish()
}

/** The root in `bytes`; its page hashes are copies. */
export function decodeRoot(bytes: Uint8Array): Root | WireError {
  if (bytes.length > MAX_ROOT_BYTES) return wireError('disconnect', 'a manifest root is longer than the limit')
  const reader = new Reader(bytes)
  readPrefix(reader, KIND.root)
  const totalBytes = reader.varint()
  const chunkCount = reader.varint()
  const averageBytes = reader.varint()
  const mediaType = readMediaType(reader)
  const treeBytes = reader.varint()
  const pageHashes: Uint8Array[] = []
  while (reader.remaining > 0) pageHashes.push(copyBytes(reader.bytes(HASH_BYTES)))
  if (reader.failed) return wireError('disconnect', 'a manifest root is malformed')
  const root = { totalBytes, chunkCount, averageBytes, mediaType, treeBytes, pageHashes }
  const problem = rootProblem(root)
  return problem === undefined ? root : wireError('disconnect', `a manifest root is invalid: ${problem}`)
}

/** How many pages a manifest of so many chunks has. */
export function pageCount(chunkCount: number): number {
  return Math.ceil(chunkCount / CHUNKS_PER_PAGE)
}

/** The bytes of a page. */
export function encodePage(page: Page): Uint8Array {
  const problem = pageProblem(page)
  assert(problem === undefined, `a page to encode: ${problem}`)
  const writer = new Writer(16 + page.lengths.length * (HASH_BYTES + 4))
  writePrefix(writer, KIND.page)
  writeEntries(writer, page)
  return writer.finish()
}

/** The page in `bytes`; its hashes are a view of them. */
export function decodePage(bytes: Uint8Array): Page | WireError {
  if (bytes.length > MAX_PAGE_BYTES) return wireError('disconnect', 'a manifest page is longer than the limit')
  const reader = new Reader(bytes)
  readPrefix(reader, KIND.page)
  const entries = readEntries(reader)
  if (!reader.done()) return wireError('disconnect', 'a manifest page is malformed')
  const problem = pageProblem(entries)
  if (problem !== undefined) return wireError('disconnect', `a manifest page is invalid: ${problem}`)
  return { firstChunk: entries.firstChunk, lengths: [...entries.lengths], hashes: entries.hashes }
}

function rootProblem(root: Root): string | undefined {
  if (!isAverageChunkBytes(root.averageBytes)) return 'the average chunk length is not allowed'
  if (root.totalBytes > MAX_TOTAL_BYTES) return 'the content is longer than the limit'
  if (root.chunkCount > MAX_CHUNKS) return 'there are more chunks than the limit'
  if (root.chunkCount > root.totalBytes || root.totalBytes > root.chunkCount * root.averageBytes * MAX_CHUNK_FACTOR) {
    return 'so many chunks cannot have that total length'
  }
  if (root.treeBytes > MAX_TREE_BYTES) return 'the tree is longer than the limit'
  if (root.treeBytes > root.totalBytes) return 'the tree is longer than the content'
  if (!isMediaType(root.mediaType)) return 'the media type is not printable ASCII of at most 255 characters'
  if (root.pageHashes.length !== pageCount(root.chunkCount)) return 'the number of pages does not fit the number of chunks'
  if (root.pageHashes.some((hash) => hash.length !== HASH_BYTES)) return 'a page hash does not have 32 bytes'
  return undefined
}

function pageProblem(page: Entries): string | undefined {
  if (page.firstChunk % CHUNKS_PER_PAGE !== 0) return 'it does not begin at a multiple of 1024'
  if (page.lengths.length < 1 || page.lengths.length > CHUNKS_PER_PAGE) return 'it does not have 1 to 1024 entries'
  if (page.hashes.length !== page.lengths.length * HASH_BYTES) return 'it does not have one hash for each entry'
  return undefined
}
