/**
 * The header of data packets, read and written in place: what the hot path of both machines touches. docs/specs/07-multicast.md §3.
 *
 *   at  0  u64  session id
 *       8  u8   type: 1
 *       9  u64  tag over everything that follows it (`SessionCipher.tagData`)
 *      17  u8   k: source symbols of the block, 1 to 255
 *      18  u8   index: below k a source symbol, else parity row index − k
 *      19  u8   remaining: packets of this run of the block still to come
 *      20  u32  sequence of data packets, from 0, modulo 2^32
 *      24  u32  timestamp of the sender, µs modulo 2^32
 *      28  u32  block, from 0
 *      32  the symbol: up to the end of the datagram, as long in all packets of a block
 */
import { assert } from '../lib/assert.ts'

/** Bytes before the symbol. */
export const DATA_HEADER_BYTES = 32

/** Where the bytes begin that the tag covers. */
export const TAGGED_FROM = 17

/** What data packets have as their type. */
export const DATA_TYPE = 1

/** Bytes of the session id, with which each packet begins. */
export const SESSION_ID_BYTES = 8

const TAG_AT = 9

/** Whether a datagram is of the session: looked at before anything else in it. */
export function isOfSession(bytes: Uint8Array, sessionId: Uint8Array): boolean {
  if (bytes.length <= SESSION_ID_BYTES) return false
  for (let i = 0; i < SESSION_ID_BYTES; i++) if (bytes[i] !== sessionId[i]) return false
  return true
}

/** The big-endian 32 bits at `at`; the caller has checked the length. */
export function readU32(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] as number) << 24) | ((bytes[at + 1] as number) << 16) | ((bytes[at + 2] as number) << 8) | (bytes[at + 3] as number)) >>> 0
  )
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24
  bytes[at + 1] = value >>> 16
  bytes[at + 2] = value >>> 8
  bytes[at + 3] = value
}

/** Writes all of a header but its tag. Sequence and timestamp are taken modulo 2^32. */
export function writeDataHeader(
  datagram: Uint8Array,
  k: number,
  index: number,
  remaining: number,
  sequence: number,
  timestampUs: number,
  block: number,
): void {
  datagram[SESSION_ID_BYTES] = DATA_TYPE
  datagram[17] = k
  datagram[18] = index
  datagram[19] = remaining
  writeU32(datagram, 20, sequence)
  writeU32(datagram, 24, timestampUs)
  writeU32(datagram, 28, block)
}

/** Writes the tag of a packet whose other bytes are all there. */
export function writeTag(datagram: Uint8Array, high: number, low: number): void {
  writeU32(datagram, TAG_AT, high)
  writeU32(datagram, TAG_AT + 4, low)
}

/** The fields of a data packet, in an object that is used again for each. */
export class DataHeader {
  tagHigh = 0
  tagLow = 0
  k = 0
  index = 0
  remaining = 0
  sequence = 0
  timestampUs = 0
  block = 0
  symbolBytes = 0

  /** Reads a packet of type 1; false when it is cut off or means nothing. */
  read(bytes: Uint8Array): boolean {
    this.symbolBytes = bytes.length - DATA_HEADER_BYTES
    if (this.symbolBytes < 1) return false
    this.tagHigh = readU32(bytes, TAG_AT)
    this.tagLow = readU32(bytes, TAG_AT + 4)
    this.k = bytes[17] as number
    this.index = bytes[18] as number
    this.remaining = bytes[19] as number
    this.sequence = readU32(bytes, 20)
    this.timestampUs = readU32(bytes, 24)
    this.block = readU32(bytes, 28)
    return this.k >= 1
  }
}

/** The value nearest to `reference` that is `wrapped` modulo 2^32; may be negative where the reference is small. */
export function unwrapU32(wrapped: number, reference: number): number {
  assert(Number.isSafeInteger(reference), 'a reference in the range of integers')
  return reference + ((wrapped - reference) | 0)
}
