/**
 * Control packets of a session, and the invitation. docs/specs/07-multicast.md §3 and §4; data packets are in `data-packet.ts`.
 *
 *   control    = header | body, sealed by the session's cipher
 *   header     = u64 session id | u8 type | u48 sender id | u32 counter          19 bytes, authenticated with the body
 *   2 status   = u32 timestamp | u8 bits: 1 end is known, 2 over, 4 poll, 8 stopped | u32 sequence | u32 firstBlock | u32 nextBlock
 *                | varint grttUs | varint backoffUs | varint aggregateUs | varint reportMs | varint groupSize | u8 usualNeed
 *                | varint count | count × (varint block − firstBlock, varint symbols)
 *   3 welcome  = u32 timestamp | varint groupSize | varint reportMs | varint count | count × (u48 sender id | u32 receiver | u32 firstBlock)
 *   4 expel    = varint count | count × (u32 receiver | u8 reason)
 *  16 join     = text name | lengthBytes app
 *  17 nack     = position | u8 backoff | varint count | count × (varint gap | u8 missing | u8 bytes | bytes held)
 *  18 report   = position | u8 bits: 1 complete | varint received | lost | bursts | overrun | queueUs | bytesPerSec
 *  19 leave    = u32 receiver
 *   position   = u32 receiver | u32 echo | u32 holdUs | u32 sequence | u32 firstMissing
 *
 * `nextBlock`: so many blocks were sent to the end of their first run. Sequence, of a status: that of the next data packet; of a position: one after the highest that came. Gap: from the block after the one before
 * (first: from firstMissing). `held` has a bit for each symbol that is there, low bits first; empty if it doesn't matter which ones.
 */
import { assert } from '../lib/assert.ts'
import { concatBytes, fromHex } from '../lib/bytes.ts'
import { Reader } from '../wire/reader.ts'
import { type WireError, isWireError, wireError } from '../wire/wire-error.ts'
import { Writer } from '../wire/writer.ts'
import { SESSION_ID_BYTES, readU32 } from './data-packet.ts'
import type { SessionCipher } from './session-types.ts'

/** Bytes of a control packet that are not sealed. */
export const CONTROL_HEADER_BYTES = 19

/** Bytes that a receiver may say of its needs. */
export const MAX_APP_BYTES = 1100

/** UTF-8 bytes of a receiver's name. */
export const MAX_NAME_BYTES = 255

/** Announced repairs of one status. */
export const MAX_ANNOUNCED = 64

/** Receivers of one welcome, and of one expel. */
export const MAX_WELCOMED = 64

/** Blocks of one nack. */
export const MAX_NACKED = 64

/** What the sender of a session has as its id; receivers draw one from 1 to 2^48 − 1. */
export const SENDER_ID = 0

/** The index that says: no place. */
export const REFUSED = 0xffffffff

const MAX_US = 2 ** 32 - 1

/** The sender's state, told to the group again and again. */
export interface StatusPacket {
  readonly type: 'status'
  /** The sender's clock, µs modulo 2^32. */
  readonly timestampUs: number
  /** `nextBlock` is the number of blocks: no more come. */
  readonly isEnd: boolean
  /** The sender goes: nothing is repaired any more. */
  readonly isOver: boolean
  /** Each receiver of a small group is to report at once. */
  readonly isPoll: boolean
  /** It goes before everything was sent. */
  readonly isStopped: boolean
  /** Modulo 2^32. */
  readonly sequence: number
  readonly firstBlock: number
  readonly nextBlock: number
  readonly grttUs: number
  /** 0: nobody backs off. */
  readonly backoffUs: number
  readonly aggregateUs: number
  readonly reportMs: number
  readonly groupSize: number
  /** The most symbols of a block that somebody lacked lately, on average: who lacks fewer waits longer before it asks. */
  readonly usualNeed: number
  readonly repairs: readonly AnnouncedRepair[]
}

/** So many symbols of the block will be sent anew: who lacks no more than that need not ask. */
export interface AnnouncedRepair {
  readonly block: number
  readonly symbols: number
}

/** Answers to joins, for several receivers at once. */
export interface WelcomePacket {
  readonly type: 'welcome'
  readonly timestampUs: number
  readonly groupSize: number
  readonly reportMs: number
  readonly members: readonly Welcomed[]
}

export interface Welcomed {
  readonly senderId: number
  /** Index of the receiver, or `REFUSED`. */
  readonly receiver: number
  readonly firstBlock: number
}

export type ExpelReason = 'slow' | 'silent' | 'unreached'

/** These are no members any more. */
export interface ExpelPacket {
  readonly type: 'expel'
  readonly members: readonly { readonly receiver: number; readonly reason: ExpelReason }[]
}

export interface JoinPacket {
  readonly type: 'join'
  readonly name: string
  readonly app: Uint8Array
}

/** How far a receiver is. */
export interface Position {
  readonly receiver: number
  /** The sender's timestamp that came last, and how long ago that was; 0 and 0 while none came. */
  readonly echoUs: number
  readonly holdUs: number
  /** Modulo 2^32. */
  readonly sequence: number
  readonly firstMissing: number
}

export interface NackPacket extends Position {
  readonly type: 'nack'
  /** The drawn delay as a share of the longest, in 255ths: tells how many draw. */
  readonly backoff: number
  /** Ascending blocks. */
  readonly blocks: readonly NackedBlock[]
}

export interface NackedBlock {
  readonly block: number
  /** How many symbols it lacks, 1 to 255. */
  readonly missing: number
  /** Which symbols are there, a bit each; empty if it doesn't matter. */
  readonly held: Uint8Array
}

export interface ReportPacket extends Position {
  readonly type: 'report'
  /** Every block up to the end is there, or given up. */
  readonly isComplete: boolean
  readonly receivedPackets: number
  readonly lostPackets: number
  readonly lossBursts: number
  readonly overrunPackets: number
  readonly queueUs: number
  readonly receivedBytesPerSec: number
}

export interface LeavePacket {
  readonly type: 'leave'
  readonly receiver: number
}

export type ControlPacket = StatusPacket | WelcomePacket | ExpelPacket | JoinPacket | NackPacket | ReportPacket | LeavePacket

const TYPES = { status: 2, welcome: 3, expel: 4, join: 16, nack: 17, report: 18, leave: 19 } as const
const FIRST_RECEIVER_TYPE = 16
const REASONS: readonly ExpelReason[] = ['slow', 'silent', 'unreached']

/** The packet, sealed. */
export function encodeControl(
  cipher: SessionCipher,
  sessionId: Uint8Array,
  senderId: number,
  counter: number,
  packet: ControlPacket,
): Uint8Array {
  assert(counter < 2 ** 32, 'fewer control packets than counters')
  const header = new Writer(CONTROL_HEADER_BYTES)
  header.bytes(sessionId)
  header.u8(TYPES[packet.type])
  header.u48(senderId)
  header.u32(counter)
  const body = new Writer(64)
  writeBody(body, packet)
  const headerBytes = header.finish()
  return concatBytes([headerBytes, cipher.sealControl(senderId, counter, headerBytes, body.finish())])
}

/** What a control packet says of itself before it is opened; the caller has checked the session id. */
export interface ControlHeader {
  readonly senderId: number
  readonly counter: number
  readonly isOfReceiver: boolean
}

/** Reads the part that is not sealed: enough to drop replays and strangers without opening anything. */
export function decodeControlHeader(bytes: Uint8Array): ControlHeader | WireError {
  if (bytes.length < CONTROL_HEADER_BYTES) return wireError('ignore', 'a control packet is cut off')
  const type = bytes[SESSION_ID_BYTES] as number
  const senderId = (((bytes[9] as number) << 8) | (bytes[10] as number)) * 2 ** 32 + readU32(bytes, 11)
  const isOfReceiver = type >= FIRST_RECEIVER_TYPE
  if (isOfReceiver === (senderId === SENDER_ID)) return wireError('ignore', 'a control packet of the wrong side')
  return { senderId, counter: readU32(bytes, 15), isOfReceiver }
}

/** Opens and reads a control packet; undefined when it is not authentic. */
export function openControl(cipher: SessionCipher, bytes: Uint8Array, header: ControlHeader): ControlPacket | WireError | undefined {
  const sealed = bytes.subarray(CONTROL_HEADER_BYTES)
  const body = cipher.openControl(header.senderId, header.counter, bytes.subarray(0, CONTROL_HEADER_BYTES), sealed)
  if (body === undefined) return undefined
  const reader = new Reader(body)
  const packet = readBody(bytes[SESSION_ID_BYTES] as number, reader)
  if (isWireError(packet)) return packet
  return reader.done() ? packet : wireError('penalise', 'a control packet is malformed')
}

function writeBody(writer: Writer, packet: ControlPacket): void {
  switch (packet.type) {
    case 'status':
      return writeStatus(writer, packet)
    case 'welcome':
      writer.u32(packet.timestampUs)
      writer.varint(packet.groupSize)
      writer.varint(packet.reportMs)
      writer.varint(packet.members.length)
      for (const member of packet.members) {
        writer.u48(member.senderId)
        writer.u32(member.receiver)
        writer.u32(member.firstBlock)
      }
      return
    case 'expel':
      writer.varint(packet.members.length)
      for (const { receiver, reason } of packet.members) {
        writer.u32(receiver)
        writer.u8(REASONS.indexOf(reason))
      }
      return
    case 'join':
      writer.text(packet.name)
      return writer.lengthBytes(packet.app)
    case 'nack':
      return writeNack(writer, packet)
    case 'report':
      writePosition(writer, packet)
      writer.u8(packet.isComplete ? 1 : 0)
      for (const value of reportCounts(packet)) writer.varint(value)
      return
    case 'leave':
      return writer.u32(packet.receiver)
  }
}

function readBody(type: number, reader: Reader): ControlPacket | WireError {
  switch (type) {
    case TYPES.status:
      return readStatus(reader)
    case TYPES.welcome:
      return readWelcome(reader)
    case TYPES.expel:
      return readExpel(reader)
    case TYPES.join:
      return { type: 'join', name: reader.text(MAX_NAME_BYTES), app: reader.lengthBytes(MAX_APP_BYTES) }
    case TYPES.nack:
      return readNack(reader)
    case TYPES.report:
      return readReport(reader)
    case TYPES.leave:
      return { type: 'leave', receiver: reader.u32() }
    default:
      return wireError('ignore', 'a control packet of an unknown type')
  }
}

function writeStatus(writer: Writer, packet: StatusPacket): void {
  writer.u32(packet.timestampUs)
  writer.u8((packet.isEnd ? 1 : 0) | (packet.isOver ? 2 : 0) | (packet.isPoll ? 4 : 0) | (packet.isStopped ? 8 : 0))
  writer.u32(packet.sequence)
  writer.u32(packet.firstBlock)
  writer.u32(packet.nextBlock)
  for (const value of [packet.grttUs, packet.backoffUs, packet.aggregateUs, packet.reportMs, packet.groupSize]) writer.varint(value)
  writer.u8(packet.usualNeed)
  writer.varint(packet.repairs.length)
  for (const { block, symbols } of packet.repairs) {
    writer.varint(block - packet.firstBlock)
    writer.varint(symbols)
  }
}

function readStatus(reader: Reader): StatusPacket {
  const timestampUs = reader.u32()
  const bits = reader.u8()
  const sequence = reader.u32()
  const firstBlock = reader.u32()
  const nextBlock = reader.u32()
  const grttUs = boundedVarint(reader, MAX_US)
  const backoffUs = boundedVarint(reader, MAX_US)
  const aggregateUs = boundedVarint(reader, MAX_US)
  const reportMs = boundedVarint(reader, MAX_US)
  const groupSize = boundedVarint(reader, MAX_US)
  const usualNeed = reader.u8()
  const count = boundedVarint(reader, MAX_ANNOUNCED)
  const repairs: AnnouncedRepair[] = []
  for (let i = 0; i < count && !reader.failed; i++) {
    const block = firstBlock + boundedVarint(reader, MAX_US)
    repairs.push({ block, symbols: boundedVarint(reader, 255) })
  }
  if (bits > 15 || firstBlock > nextBlock) reader.fail()
  return {
    type: 'status',
    timestampUs,
    isEnd: (bits & 1) !== 0,
    isOver: (bits & 2) !== 0,
    isPoll: (bits & 4) !== 0,
    isStopped: (bits & 8) !== 0,
    sequence,
    firstBlock,
    nextBlock,
    grttUs,
    backoffUs,
    aggregateUs,
    reportMs,
    groupSize,
    usualNeed,
    repairs,
  }
}

function readWelcome(reader: Reader): WelcomePacket {
  const timestampUs = reader.u32()
  const groupSize = boundedVarint(reader, MAX_US)
  const reportMs = boundedVarint(reader, MAX_US)
  const count = boundedVarint(reader, MAX_WELCOMED)
  const members: Welcomed[] = []
  for (let i = 0; i < count && !reader.failed; i++) {
    const senderId = reader.u48()
    members.push({ senderId, receiver: reader.u32(), firstBlock: reader.u32() })
  }
  return { type: 'welcome', timestampUs, groupSize, reportMs, members }
}

function readExpel(reader: Reader): ExpelPacket {
  const count = boundedVarint(reader, MAX_WELCOMED)
  const members: { receiver: number; reason: ExpelReason }[] = []
  for (let i = 0; i < count && !reader.failed; i++) {
    const receiver = reader.u32()
    const reason = REASONS[reader.u8()]
    if (reason === undefined) reader.fail()
    else members.push({ receiver, reason })
  }
  return { type: 'expel', members }
}

function writeNack(writer: Writer, packet: NackPacket): void {
  writePosition(writer, packet)
  writer.u8(packet.backoff)
  writer.varint(packet.blocks.length)
  let next = packet.firstMissing
  for (const { block, missing, held } of packet.blocks) {
    writer.varint(block - next)
    writer.u8(missing)
    writer.u8(held.length)
    writer.bytes(held)
    next = block + 1
  }
}

function readNack(reader: Reader): NackPacket {
  const position = readPosition(reader)
  const backoff = reader.u8()
  const count = boundedVarint(reader, MAX_NACKED)
  const blocks: NackedBlock[] = []
  let next = position.firstMissing
  for (let i = 0; i < count && !reader.failed; i++) {
    const block = next + boundedVarint(reader, MAX_US)
    const missing = reader.u8()
    const heldBytes = reader.u8()
    if (missing === 0 || heldBytes > 32 || block > MAX_US) reader.fail()
    else blocks.push({ block, missing, held: reader.bytes(heldBytes) })
    next = block + 1
  }
  return { type: 'nack', ...position, backoff, blocks }
}

function readReport(reader: Reader): ReportPacket {
  const position = readPosition(reader)
  const bits = reader.u8()
  if (bits > 1) reader.fail()
  return {
    type: 'report',
    ...position,
    isComplete: bits === 1,
    receivedPackets: boundedVarint(reader, MAX_US),
    lostPackets: boundedVarint(reader, MAX_US),
    lossBursts: boundedVarint(reader, MAX_US),
    overrunPackets: boundedVarint(reader, MAX_US),
    queueUs: boundedVarint(reader, MAX_US),
    receivedBytesPerSec: reader.varint(),
  }
}

function reportCounts(packet: ReportPacket): number[] {
  return [
    packet.receivedPackets,
    packet.lostPackets,
    packet.lossBursts,
    packet.overrunPackets,
    Math.min(MAX_US, packet.queueUs),
    packet.receivedBytesPerSec,
  ]
}

function writePosition(writer: Writer, position: Position): void {
  writer.u32(position.receiver)
  writer.u32(position.echoUs)
  writer.u32(position.holdUs)
  writer.u32(position.sequence)
  writer.u32(position.firstMissing)
}

function readPosition(reader: Reader): Position {
  return {
    receiver: reader.u32(),
    echoUs: reader.u32(),
    holdUs: reader.u32(),
    sequence: reader.u32(),
    firstMissing: reader.u32(),
  }
}

function boundedVarint(reader: Reader, largest: number): number {
  const value = reader.varint()
  if (value <= largest) return value
  reader.fail()
  return 0
}

/** The eight bytes of a session id's hex. */
export function sessionIdBytes(sessionId: string): Uint8Array {
  const bytes = fromHex(sessionId)
  assert(bytes?.length === SESSION_ID_BYTES, 'a session id of 16 hex digits')
  return bytes
}
