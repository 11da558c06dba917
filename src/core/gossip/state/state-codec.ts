/**
 * The messages of node state as bytes (docs/specs/05-state.md §4).
 *
 *   message    u8 version (1) × 16 + type, body
 *   root     1 hash
 *   ranges   2 range*                  to the end; at least one
 *   digests  3 u8 isAnswer, interval*  to the end
 *   want     4 varint sequence, digest* to the end
 *   delta    5 varint sequence, section* to the end
 *   news     6 varint count, digest × count, section* to the end
 *
 *   hash       u32 high, u32 low
 *   range      u8 depth (0 to 2), varint prefix (below 16^depth), u16 which parts have nodes (lowest bit: part 0), hash each of those
 *   interval   u32 first, u32 last, varint count, digest × count
 *   digest     text node (1 to 255 bytes), varint generation, varint version, varint collectedTo
 *   section    text node, varint generation, varint from, varint to − from, varint collectedTo, u8 isLast, varint count, entry × count
 *   entry      varint version − the last one's (or from; at least 1), text key (1 to 256 bytes), u8 kind,
 *              kind 0 (removed): nothing; kind 1: lengthBytes value (at most 64 KiB); kind 2: varint ttlMs, lengthBytes value
 *
 * Decoding gives a value or a `WireError`, and never throws; values are views into the bytes. Each message has one encoding.
 */
import { utf8Encode } from '../../lib/bytes.ts'
import { Reader } from '../../wire/reader.ts'
import { wireError, type WireError } from '../../wire/wire-error.ts'
import { Writer } from '../../wire/writer.ts'
import type {
  DeltaSection,
  DigestInterval,
  NodeDigest,
  RangeHash,
  RangeHashes,
  StateEntry,
  StateMessage,
  StateMessageType,
} from './state-messages.ts'

export const MAX_NODE_NAME_BYTES = 255
export const MAX_KEY_BYTES = 256
export const MAX_VALUE_BYTES = 65_536
/** Far more than a node ever makes; so that one more is always a number. */
export const MAX_VERSION: number = 2 ** 48
export const MAX_TTL_MS: number = 2 ** 48
export const MAX_STATE_MESSAGE_BYTES: number = 1 << 20
/** In each list of a message. */
const MAX_ITEMS = 32_768
/** Those of 0, 1 and 2 digits. */
const MAX_RANGES = 273

const VERSION = 1
const TYPES: Readonly<Record<StateMessageType, number>> = { root: 1, ranges: 2, digests: 3, want: 4, delta: 5, news: 6 }
const REMOVED = 0
const VALUE = 1
const VALUE_WITH_TTL = 2

/** The bytes of a message; what it says within the limits is the caller's promise. */
export function encodeStateMessage(message: StateMessage): Uint8Array {
  const writer = new Writer(256)
  writer.u8(VERSION * 16 + TYPES[message.type])
  switch (message.type) {
    case 'root':
      writeHash(writer, message.hash)
      break
    case 'ranges':
      for (const range of message.ranges) writeRange(writer, range)
      break
    case 'digests':
      writer.u8(message.isAnswer ? 1 : 0)
      for (const { first, last, digests } of message.intervals) {
        writer.u32(first)
        writer.u32(last)
        writer.varint(digests.length)
        for (const digest of digests) writeDigest(writer, digest)
      }
      break
    case 'want':
      writer.varint(message.sequence)
      for (const digest of message.digests) writeDigest(writer, digest)
      break
    case 'delta':
      writer.varint(message.sequence)
      for (const section of message.sections) writeSection(writer, section)
      break
    case 'news':
      writer.varint(message.digests.length)
      for (const digest of message.digests) writeDigest(writer, digest)
      for (const section of message.sections) writeSection(writer, section)
      break
  }
  return writer.finish()
}

/** The message in `bytes`, all of them. */
export function decodeStateMessage(bytes: Uint8Array): StateMessage | WireError {
  if (bytes.length > MAX_STATE_MESSAGE_BYTES) return wireError('disconnect', 'a message of node state that is too long')
  const reader = new Reader(bytes)
  const head = reader.u8()
  if (head >> 4 !== VERSION) return wireError('ignore', `node state of version ${head >> 4}`)
  const message = readBody(reader, head & 15)
  if (message === undefined) return wireError('ignore', `a message of node state of the unknown type ${head & 15}`)
  return reader.done() ? message : wireError('disconnect', `a message of node state (${message.type}) that is wrong or cut off`)
}

/** How long a digest is, in bytes. */
export function digestBytes({ node, generation, version, collectedTo }: NodeDigest): number {
  return textBytes(node) + varintBytes(generation) + varintBytes(version) + varintBytes(collectedTo)
}

/** How long a section is at most, without its entries. */
export function sectionHeadBytes(node: string): number {
  return textBytes(node) + 8 * 4 + 1 + 3
}

/** How long an entry is at most. */
export function entryBytes({ key, value }: { readonly key: string; readonly value: Uint8Array | undefined }): number {
  return 8 + textBytes(key) + 1 + (value === undefined ? 0 : 8 + 3 + value.length)
}

/** How long a section is at most. */
export function sectionBytes({ node, entries }: DeltaSection): number {
  return entries.reduce((bytes, entry) => bytes + entryBytes(entry), sectionHeadBytes(node))
}

function textBytes(text: string): number {
  const { length } = utf8Encode(text)
  return varintBytes(length) + length
}

function varintBytes(value: number): number {
  let bytes = 1
  for (let rest = value; rest >= 128; rest = Math.floor(rest / 128)) bytes++
  return bytes
}

// ---- writing ----

function writeHash(writer: Writer, { high, low }: RangeHash): void {
  writer.u32(high)
  writer.u32(low)
}

function writeRange(writer: Writer, { depth, prefix, children }: RangeHashes): void {
  writer.u8(depth)
  writer.varint(prefix)
  writer.u16(children.reduce((bits, child, i) => (child === undefined ? bits : bits | (1 << i)), 0))
  for (const child of children) if (child !== undefined) writeHash(writer, child)
}

function writeDigest(writer: Writer, { node, generation, version, collectedTo }: NodeDigest): void {
  writer.text(node)
  writer.varint(generation)
  writer.varint(version)
  writer.varint(collectedTo)
}

function writeSection(writer: Writer, { node, generation, from, to, collectedTo, isLast, entries }: DeltaSection): void {
  writer.text(node)
  writer.varint(generation)
  writer.varint(from)
  writer.varint(to - from)
  writer.varint(collectedTo)
  writer.u8(isLast ? 1 : 0)
  writer.varint(entries.length)
  let last = from
  for (const { key, version, value, ttlMs } of entries) {
    writer.varint(version - last)
    last = version
    writer.text(key)
    writer.u8(value === undefined ? REMOVED : ttlMs === undefined ? VALUE : VALUE_WITH_TTL)
    if (value === undefined) continue
    if (ttlMs !== undefined) writer.varint(ttlMs)
    writer.lengthBytes(value)
  }
}

// ---- reading ----

function readBody(reader: Reader, type: number): StateMessage | undefined {
  switch (type) {
    case TYPES.root:
      return { type: 'root', hash: readHash(reader) }
    case TYPES.ranges: {
      const ranges = toEnd(reader, readRange)
      if (ranges.length === 0 || ranges.length > MAX_RANGES) reader.fail()
      return { type: 'ranges', ranges }
    }
    case TYPES.digests:
      return { type: 'digests', isAnswer: readFlag(reader), intervals: toEnd(reader, readInterval) }
    case TYPES.want:
      return { type: 'want', sequence: reader.varint(), digests: toEnd(reader, readDigest) }
    case TYPES.delta:
      return { type: 'delta', sequence: reader.varint(), sections: toEnd(reader, readSection) }
    case TYPES.news:
      return { type: 'news', digests: counted(reader, readDigest), sections: toEnd(reader, readSection) }
    default:
      return undefined
  }
}

/** Each item takes at least one byte or makes the reader fail, so that this ends. */
function toEnd<T>(reader: Reader, read: (reader: Reader) => T): T[] {
  const items: T[] = []
  while (reader.remaining > 0 && items.length < MAX_ITEMS) items.push(read(reader))
  return items
}

function counted<T>(reader: Reader, read: (reader: Reader) => T): T[] {
  const count = reader.varint()
  if (count > MAX_ITEMS) reader.fail()
  const items: T[] = []
  for (let i = 0; i < count && !reader.failed; i++) items.push(read(reader))
  return items
}

function readFlag(reader: Reader): boolean {
  const flag = reader.u8()
  if (flag > 1) reader.fail()
  return flag === 1
}

/** A version, or how many there are between two. */
function readVersion(reader: Reader): number {
  const version = reader.varint()
  if (version > MAX_VERSION) reader.fail()
  return version
}

function readName(reader: Reader, maxBytes: number): string {
  const name = reader.text(maxBytes)
  if (name === '') reader.fail()
  return name
}

function readHash(reader: Reader): RangeHash {
  return { high: reader.u32(), low: reader.u32() }
}

function readRange(reader: Reader): RangeHashes {
  const depth = reader.u8()
  const prefix = reader.varint()
  if (depth > 2 || prefix >= 16 ** depth) reader.fail()
  const bits = reader.u16()
  const children = Array.from({ length: 16 }, (_, i) => ((bits >> i) & 1 ? readHash(reader) : undefined))
  return { depth, prefix, children }
}

function readInterval(reader: Reader): DigestInterval {
  const first = reader.u32()
  const last = reader.u32()
  if (last < first) reader.fail()
  return { first, last, digests: counted(reader, readDigest) }
}

function readDigest(reader: Reader): NodeDigest {
  const node = readName(reader, MAX_NODE_NAME_BYTES)
  return { node, generation: reader.varint(), version: readVersion(reader), collectedTo: readVersion(reader) }
}

function readSection(reader: Reader): DeltaSection {
  const node = readName(reader, MAX_NODE_NAME_BYTES)
  const generation = reader.varint()
  const from = readVersion(reader)
  const to = from + readVersion(reader)
  const collectedTo = readVersion(reader)
  const isLast = readFlag(reader)
  let last = from
  const entries = counted(reader, () => {
    const entry = readEntry(reader, last)
    last = entry.version
    return entry
  })
  if (to > MAX_VERSION || last > to) reader.fail()
  return { node, generation, from, to, collectedTo, isLast, entries }
}

function readEntry(reader: Reader, last: number): StateEntry {
  const gap = readVersion(reader)
  if (gap === 0) reader.fail()
  const version = last + gap
  const key = readName(reader, MAX_KEY_BYTES)
  const kind = reader.u8()
  if (kind === REMOVED) return { key, version, value: undefined, ttlMs: undefined }
  if (kind > VALUE_WITH_TTL) reader.fail()
  const ttlMs = kind === VALUE_WITH_TTL ? reader.varint() : undefined
  if (ttlMs !== undefined && ttlMs > MAX_TTL_MS) reader.fail()
  return { key, version, value: reader.lengthBytes(MAX_VALUE_BYTES), ttlMs }
}
