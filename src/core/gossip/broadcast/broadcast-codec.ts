/**
 * The messages of the broadcast trees as bytes (docs/specs/06-broadcast.md §2). One message is a type byte and its body; nothing may
 * follow. Fields are those of `wire/writer.ts`; a flag is 0 or 1.
 *
 *   id            u64 origin, varint sequence (1 or more)
 *   1 neighbour   u8 version (1), u8 wish (0 more, 1 lonely, 2 ring)
 *   2 accept      3 refuse      4 disconnect      9 prune
 *   5 pulse       text root, varint sequence, varint hops, flag isParent
 *   6 gossip      id, varint hops, u8 bits (1 isRepair, 2 has reportMs, 4 isMulticast), [varint reportMs], text originNode, lengthBytes payload
 *   7 ihave       u8 bits (1 isAgain, 2 isOverdue), u16 count, count × id
 *   8 graft       flag isLink, u16 count, count × id
 *   10 summary    u32 hash, u8 bits (1 isNew, 2 isReply)
 *   11 digest     flag isNew, u16 count, count × (u64 origin, varint upTo, varint count, count × (varint gap, varint length))
 *   12 receipts   id, varint part, flag isLast, varint count, count × varint gap
 *   13 receipts-ack  id, varint part
 *   14 ask        id
 *
 * A gap is the distance from the end of what came before it: in a digest from `upTo` or the last range (1 or more), in receipts from the
 * last hash (the first is the hash itself). Decoding gives a value or a `WireError` and never throws; a payload is a view into the bytes.
 */
import { Reader } from '../../wire/reader.ts'
import { wireError, type WireError } from '../../wire/wire-error.ts'
import { Writer } from '../../wire/writer.ts'
import type { BroadcastMessage, BroadcastMessageType, EventId, OriginDigest, Wish } from './broadcast-messages.ts'

/** Ids in one message. */
export const MAX_IDS = 256
/** Origins in one digest, and ranges of one of them. */
export const MAX_DIGEST_ORIGINS = 1024
export const MAX_DIGEST_RANGES = 64
/** Receipts in one message. */
export const MAX_RECEIPTS = 16_384
/** UTF-8 of a node's name. */
export const MAX_NODE_BYTES = 255
/** Largest payload that any decoder takes. */
export const MAX_EVENT_BYTES: number = 1024 * 1024
const MAX_HOPS = 1000
const MAX_PULSES = 2 ** 40
const VERSION = 1

const TYPES: readonly BroadcastMessageType[] = [
  'neighbour',
  'accept',
  'refuse',
  'disconnect',
  'pulse',
  'gossip',
  'ihave',
  'graft',
  'prune',
  'summary',
  'digest',
  'receipts',
  'receipts-ack',
  'ask',
]
const WISHES: readonly Wish[] = ['more', 'lonely', 'ring']

/** The bytes of a message. */
export function encodeBroadcastMessage(message: BroadcastMessage): Uint8Array {
  const writer = new Writer(message.type === 'gossip' ? message.payload.length + 64 : 32)
  writer.u8(TYPES.indexOf(message.type) + 1)
  writeBody(writer, message)
  return writer.finish()
}

function writeBody(writer: Writer, message: BroadcastMessage): void {
  switch (message.type) {
    case 'neighbour':
      writer.u8(VERSION)
      return writer.u8(WISHES.indexOf(message.wish))
    case 'accept':
    case 'refuse':
    case 'disconnect':
    case 'prune':
      return
    case 'pulse':
      writer.text(message.root)
      writer.varint(message.sequence)
      writer.varint(message.hops)
      return writer.u8(message.isParent ? 1 : 0)
    case 'gossip':
      writeId(writer, message)
      writer.varint(message.hops)
      writer.u8((message.isRepair ? 1 : 0) | (message.reportMs === undefined ? 0 : 2) | (message.isMulticast ? 4 : 0))
      if (message.reportMs !== undefined) writer.varint(message.reportMs)
      writer.text(message.originNode)
      return writer.lengthBytes(message.payload)
    case 'ihave':
      writer.u8((message.isAgain ? 1 : 0) | (message.isOverdue ? 2 : 0))
      return writeIds(writer, message.ids)
    case 'graft':
      writer.u8(message.isLink ? 1 : 0)
      return writeIds(writer, message.ids)
    case 'summary':
      writer.u32(message.hash)
      return writer.u8((message.isNew ? 1 : 0) | (message.isReply ? 2 : 0))
    case 'digest':
      writer.u8(message.isNew ? 1 : 0)
      writer.u16(message.origins.length)
      for (const origin of message.origins) writeOrigin(writer, origin)
      return
    case 'receipts': {
      writeId(writer, message)
      writer.varint(message.part)
      writer.u8(message.isLast ? 1 : 0)
      writer.varint(message.hashes.length)
      let before = 0
      for (const hash of message.hashes) {
        writer.varint(hash - before)
        before = hash
      }
      return
    }
    case 'receipts-ack':
      writeId(writer, message)
      return writer.varint(message.part)
    case 'ask':
      return writeId(writer, message)
  }
}

function writeOriginId(writer: Writer, origin: string): void {
  for (let i = 0; i < 4; i++) writer.u16(origin.charCodeAt(i))
}

function writeId(writer: Writer, { origin, sequence }: EventId): void {
  writeOriginId(writer, origin)
  writer.varint(sequence)
}

function writeIds(writer: Writer, ids: readonly EventId[]): void {
  writer.u16(ids.length)
  for (const id of ids) writeId(writer, id)
}

function writeOrigin(writer: Writer, { origin, upTo, ahead }: OriginDigest): void {
  writeOriginId(writer, origin)
  writer.varint(upTo)
  writer.varint(ahead.length)
  let before = upTo
  for (const [first, count] of ahead) {
    writer.varint(first - before)
    writer.varint(count)
    before = first + count
  }
}

/** The message of the bytes, or what is wrong with them. */
export function decodeBroadcastMessage(bytes: Uint8Array): BroadcastMessage | WireError {
  const reader = new Reader(bytes)
  const message = readBody(reader, TYPES[reader.u8() - 1])
  if (message === undefined || !reader.done()) return wireError('penalise', 'not a broadcast message')
  return message
}

function readBody(reader: Reader, type: BroadcastMessageType | undefined): BroadcastMessage | undefined {
  switch (type) {
    case undefined:
      return undefined
    case 'neighbour': {
      // A later version may have more fields, but not another meaning.
      if (reader.u8() < VERSION) return undefined
      const wish = WISHES[reader.u8()]
      return wish === undefined ? undefined : { type, wish }
    }
    case 'accept':
    case 'refuse':
    case 'disconnect':
    case 'prune':
      return { type }
    case 'pulse':
      return {
        type,
        root: readNode(reader),
        sequence: atMost(reader, MAX_PULSES),
        hops: atMost(reader, MAX_HOPS),
        isParent: readFlag(reader),
      }
    case 'gossip': {
      const id = readId(reader)
      const hops = atMost(reader, MAX_HOPS)
      const bits = readBits(reader, 7)
      const reportMs = (bits & 2) === 0 ? undefined : atMost(reader, 3_600_000)
      return {
        type,
        ...id,
        hops,
        isRepair: (bits & 1) !== 0,
        isMulticast: (bits & 4) !== 0,
        reportMs,
        originNode: readNode(reader),
        payload: reader.lengthBytes(MAX_EVENT_BYTES),
      }
    }
    case 'ihave': {
      const bits = readBits(reader, 3)
      return { type, isAgain: (bits & 1) !== 0, isOverdue: (bits & 2) !== 0, ids: readIds(reader) }
    }
    case 'graft':
      return { type, isLink: readFlag(reader), ids: readIds(reader) }
    case 'summary': {
      const hash = reader.u32()
      const bits = readBits(reader, 3)
      return { type, hash, isNew: (bits & 1) !== 0, isReply: (bits & 2) !== 0 }
    }
    case 'digest':
      return { type, isNew: readFlag(reader), origins: readOrigins(reader) }
    case 'receipts':
      return { type, ...readId(reader), part: reader.varint(), isLast: readFlag(reader), hashes: readHashes(reader) }
    case 'receipts-ack':
      return { type, ...readId(reader), part: reader.varint() }
    case 'ask':
      return { type, ...readId(reader) }
  }
}

function readOriginId(reader: Reader): string {
  return String.fromCharCode(reader.u16(), reader.u16(), reader.u16(), reader.u16())
}

function readId(reader: Reader): EventId {
  const origin = readOriginId(reader)
  const sequence = reader.varint()
  if (sequence === 0) reader.fail()
  return { origin, sequence }
}

function readIds(reader: Reader): EventId[] {
  const count = reader.u16()
  if (count > MAX_IDS) reader.fail()
  const ids: EventId[] = []
  for (let i = 0; i < count && !reader.failed; i++) ids.push(readId(reader))
  return ids
}

function readOrigins(reader: Reader): OriginDigest[] {
  const count = reader.u16()
  if (count > MAX_DIGEST_ORIGINS) reader.fail()
  const origins: OriginDigest[] = []
  for (let i = 0; i < count && !reader.failed; i++) {
    const origin = readOriginId(reader)
    const upTo = reader.varint()
    const rangeCount = atMost(reader, MAX_DIGEST_RANGES)
    const ahead: [number, number][] = []
    let before = upTo
    for (let range = 0; range < rangeCount && !reader.failed; range++) {
      const gap = reader.varint()
      const length = reader.varint()
      if (gap === 0 || length === 0 || !Number.isSafeInteger(before + gap + length)) reader.fail()
      ahead.push([before + gap, length])
      before += gap + length
    }
    origins.push({ origin, upTo, ahead })
  }
  return origins
}

function readHashes(reader: Reader): number[] {
  const count = atMost(reader, MAX_RECEIPTS)
  const hashes: number[] = []
  let before = 0
  for (let i = 0; i < count && !reader.failed; i++) {
    const gap = reader.varint()
    before += gap
    if ((gap === 0 && i > 0) || before > 0xffffffff) reader.fail()
    hashes.push(before)
  }
  return hashes
}

function readNode(reader: Reader): string {
  return reader.text(MAX_NODE_BYTES)
}

function readFlag(reader: Reader): boolean {
  const value = reader.u8()
  if (value > 1) reader.fail()
  return value === 1
}

function readBits(reader: Reader, most: number): number {
  const bits = reader.u8()
  if (bits > most) reader.fail()
  return bits
}

function atMost(reader: Reader, most: number): number {
  const value = reader.varint()
  if (value > most) reader.fail()
  return value
}
