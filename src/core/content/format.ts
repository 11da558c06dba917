/**
 * What the formats of this folder have in common: the four bytes that each begins with, and entries of chunks. Not
 * exported from `polycast/content`.
 *
 *   prefix  = "PC" kind version        kind: one of the letters below; version: 1
 *   entries = firstChunk varint, count varint, count × length varint, count × 32 bytes of hash
 *
 * The kinds keep a root, a page and a header from ever having the same hash (docs/specs/01-manifest.md §1).
 */
import { MAX_AVERAGE_CHUNK_BYTES, MAX_CHUNK_FACTOR } from './chunk-size.ts'
import { CHUNKS_PER_PAGE, MAX_CHUNKS, MAX_MEDIA_TYPE_BYTES } from './limits.ts'
import { HASH_BYTES } from './primitives.ts'
import type { Reader } from '../wire/reader.ts'
import type { Writer } from '../wire/writer.ts'

/** The formats, by the third byte of each. */
export const KIND: { readonly [name in 'root' | 'page' | 'growingHeader' | 'segment' | 'seal' | 'tree']: number } = {
  root: 0x52, // R
  page: 0x50, // P
  growingHeader: 0x47, // G
  segment: 0x53, // S
  seal: 0x45, // E
  tree: 0x54, // T
}

const MARK = 0x5043 // "PC"
const VERSION = 1
const MAX_CHUNK_BYTES = MAX_AVERAGE_CHUNK_BYTES * MAX_CHUNK_FACTOR

/** A run of a manifest's entries: chunk `firstChunk` + i has length `lengths[i]` and the hash at byte 32 i of `hashes`. */
export interface Entries {
  readonly firstChunk: number
  readonly lengths: readonly number[]
  readonly hashes: Uint8Array
}

export function writePrefix(writer: Writer, kind: number): void {
  writer.u16(MARK)
  writer.u8(kind)
  writer.u8(VERSION)
}

/** Reads a prefix; the reader fails when it is another. */
export function readPrefix(reader: Reader, kind: number): void {
  if (reader.u16() !== MARK || reader.u8() !== kind || reader.u8() !== VERSION) reader.fail()
}

export function writeEntries(writer: Writer, entries: Entries): void {
  writer.varint(entries.firstChunk)
  writer.varint(entries.lengths.length)
  for (const length of entries.lengths) writer.varint(length)
  writer.bytes(entries.hashes)
}

/** Reads 1 to 1024 entries; the reader fails beyond the limits. `hashes` is a view. */
export function readEntries(reader: Reader): Entries {
  const firstChunk = reader.varint()
  const count = reader.varint()
  if (count < 1 || count > CHUNKS_PER_PAGE || firstChunk + count > MAX_CHUNKS) {
    reader.fail()
  }
  const lengths: number[] = []
  while (lengths.length < count && !reader.failed) {
    const length = reader.varint()
    if (length < 1 || length > MAX_CHUNK_BYTES) reader.fail()
    lengths.push(length)
  }
  return { firstChunk, lengths, hashes: reader.bytes(count * HASH_BYTES) }
}

/** Reads a media type; the reader fails unless it is printable ASCII, so that it may go into a header or a terminal as it is. */
export function readMediaType(reader: Reader): string {
  const text = reader.text(MAX_MEDIA_TYPE_BYTES)
  if (!isMediaType(text)) reader.fail()
  return text
}

/** Whether a manifest may state this media type; empty means not known. */
export function isMediaType(text: string): boolean {
  return text.length <= MAX_MEDIA_TYPE_BYTES && /^[\x20-\x7e]*$/.test(text)
}
