/**
 * UDP packets of memberlist: the layers around messages, put on and taken off (docs/specs/04-gossip.md §4). Not which messages go into a
 * packet together, nor what they mean.
 *
 *   packet    = label header?, ( sealed | checked )           sealed: `keyring.ts`, around a checked; label: `label.ts`
 *   checked   = 0c, u32 CRC-32 of the rest, layer | layer
 *   layer     = 09, {Algo, Buf} around a layer | 07, u8 count, count times u16 length, then the layers | message
 *
 * Senders put at most one of each on, in this order. Receivers take compounds and compressed layers in one another, within the limits
 * below: what a packet of 64 KiB can make them do is bounded. One part that is bad takes no other with it.
 */
import { assert } from '../lib/assert.ts'
import { concatBytes } from '../lib/bytes.ts'
import { Reader } from '../wire/reader.ts'
import { isWireError, wireError, type WireError } from '../wire/wire-error.ts'
import { Writer } from '../wire/writer.ts'
import { compress, decompress } from './compression.ts'
import { crc32 } from './crc32.ts'
import type { Framing } from './framing.ts'
import { decrypt, encrypt, encryptionOverhead } from './keyring.ts'
import { addLabel, LABEL_HEADER_BYTES, removeLabel } from './label.ts'
import { decodePacketMessage } from './memberlist-codec.ts'
import { MESSAGE_TYPES } from './message-types.ts'
import type { PacketMessage } from './messages.ts'
import { MsgpackReader } from './msgpack.ts'

/** The payload of a datagram that gets through everywhere: what memberlist makes of its own accord. */
export const DEFAULT_PACKET_BYTES = 1400
/** Messages of one compound. */
export const MAX_PARTS = 255
/** Bytes that a compound adds for each message in it. */
export const PART_OVERHEAD_BYTES = 2
/** Messages of one packet, in all its compounds. */
export const MAX_MESSAGES_PER_PACKET = 1024
/** Bytes that all compressed layers of one packet come to. */
export const MAX_INFLATED_PACKET_BYTES: number = 256 * 1024
/** Layers in one another: compounds and compressed ones. */
export const MAX_LAYERS = 4

const COMPOUND_HEADER_BYTES = 2
const CHECKSUM_BYTES = 5

/** What a packet held: the messages in their order, and what was wrong with the rest. Payloads are views into it. */
export interface PacketContent {
  readonly messages: readonly PacketMessage[]
  readonly errors: readonly WireError[]
}

/**
 * Bytes that the messages of a packet of `maxBytes` may take, `PART_OVERHEAD_BYTES` counted for each. 0 or less where the layers leave
 * no room.
 */
export function packetRoom(framing: Framing, hasChecksum: boolean, maxBytes: number = DEFAULT_PACKET_BYTES): number {
  const { label, encryption } = framing
  const labelBytes = label.length === 0 ? 0 : LABEL_HEADER_BYTES + label.length
  const sealedBytes = encryption?.isSending ? encryptionOverhead(encryption.version) : 0
  return maxBytes - COMPOUND_HEADER_BYTES - labelBytes - sealedBytes - (hasChecksum ? CHECKSUM_BYTES : 0)
}

/** Encoded messages in as many groups as need be, in their order, each of which is one packet. What is too long for `room` goes alone. */
export function groupParts(parts: readonly Uint8Array[], room: number): readonly (readonly Uint8Array[])[] {
  const groups: Uint8Array[][] = []
  let group: Uint8Array[] = []
  let taken = 0
  for (const part of parts) {
    const bytes = part.length + PART_OVERHEAD_BYTES
    if (group.length > 0 && (taken + bytes > room || group.length === MAX_PARTS)) {
      groups.push(group)
      group = []
      taken = 0
    }
    group.push(part)
    taken += bytes
  }
  if (group.length > 0) groups.push(group)
  return groups
}

/**
 * 1 to 255 encoded messages as a packet. `hasChecksum` is for receivers of protocol 5. A packet is compressed only where that makes it
 * smaller, so it has at most the length that `packetRoom` counts.
 */
export function composePacket(parts: readonly Uint8Array[], framing: Framing, hasChecksum: boolean): Uint8Array {
  const { label, isCompressing, encryption } = framing
  let packet = compound(parts)
  if (isCompressing) {
    const compressed = compress(packet)
    if (compressed.length < packet.length) packet = compressed
  }
  if (hasChecksum) packet = addChecksum(packet)
  if (encryption?.isSending) packet = encrypt(packet, label, encryption)
  return addLabel(packet, label)
}

/** The messages in a packet; an error where its outer layers are not for this member, or broken. */
export function peelPacket(packet: Uint8Array, framing: Framing): PacketContent | WireError {
  const { label, encryption } = framing
  const labelled = removeLabel(packet, label)
  if (labelled === undefined) return wireError('ignore', 'a packet that is empty, or ends in its label')
  if (isWireError(labelled)) return labelled
  const plain =
    encryption === undefined ? labelled : (decrypt(labelled, label, encryption) ?? (encryption.isRequired ? undefined : labelled))
  if (plain === undefined) return wireError('ignore', 'a packet that no key of the ring decrypts')
  const checked = removeChecksum(plain)
  if (isWireError(checked)) return checked
  const peeling = new Peeling()
  peeling.layer(checked, 0)
  return { messages: peeling.messages, errors: peeling.errors }
}

/** Takes compounds and compressed layers apart, with one budget for all of them. */
class Peeling {
  readonly messages: PacketMessage[] = []
  readonly errors: WireError[] = []
  #partsLeft = MAX_MESSAGES_PER_PACKET
  #inflatedBytesLeft = MAX_INFLATED_PACKET_BYTES

  layer(bytes: Uint8Array, depth: number): void {
    const type = bytes[0]
    if (type !== MESSAGE_TYPES.compound && type !== MESSAGE_TYPES.compressed) {
      const message = decodePacketMessage(bytes)
      if (isWireError(message)) this.errors.push(message)
      else this.messages.push(message)
    } else if (depth === MAX_LAYERS) this.#refuse(`more than ${MAX_LAYERS} layers in one another`)
    else if (type === MESSAGE_TYPES.compound) this.#compound(bytes, depth)
    else this.#compressed(bytes, depth)
  }

  #compound(bytes: Uint8Array, depth: number): void {
    const reader = new Reader(bytes.subarray(1))
    const count = reader.u8()
    const lengths = new Reader(reader.bytes(2 * count))
    if (reader.failed) {
      this.#refuse('a compound that ends in its header')
      return
    }
    for (let i = 0; i < count; i++) {
      const length = lengths.u16()
      if (length > reader.remaining) {
        this.#refuse(`a compound that is cut off: ${count - i} of ${count} messages are missing`)
        return
      }
      if (this.#partsLeft === 0) {
        this.#refuse(`more than ${MAX_MESSAGES_PER_PACKET} messages in one packet`)
        return
      }
      this.#partsLeft--
      this.layer(reader.bytes(length), depth + 1)
    }
  }

  #compressed(bytes: Uint8Array, depth: number): void {
    const inflated = decompress(new MsgpackReader(bytes, 1), this.#inflatedBytesLeft)
    if (isWireError(inflated)) {
      this.errors.push(inflated)
      return
    }
    this.#inflatedBytesLeft -= inflated.length
    this.layer(inflated, depth + 1)
  }

  #refuse(message: string): void {
    this.errors.push(wireError('ignore', message))
  }
}

function compound(parts: readonly Uint8Array[]): Uint8Array {
  assert(parts.length > 0 && parts.length <= MAX_PARTS, `1 to ${MAX_PARTS} messages`)
  if (parts.length === 1) return parts[0] as Uint8Array
  const header = new Writer(COMPOUND_HEADER_BYTES + PART_OVERHEAD_BYTES * parts.length)
  header.u8(MESSAGE_TYPES.compound)
  header.u8(parts.length)
  for (const part of parts) header.u16(part.length)
  return concatBytes([header.finish(), ...parts])
}

function addChecksum(bytes: Uint8Array): Uint8Array {
  const header = new Writer(CHECKSUM_BYTES)
  header.u8(MESSAGE_TYPES.checksum)
  header.u32(crc32(bytes))
  return concatBytes([header.finish(), bytes])
}

function removeChecksum(bytes: Uint8Array): Uint8Array | WireError {
  if (bytes[0] !== MESSAGE_TYPES.checksum) return bytes
  const reader = new Reader(bytes.subarray(1))
  const expected = reader.u32()
  const rest = reader.bytes(reader.remaining)
  if (rest.length === 0 || crc32(rest) !== expected) return wireError('ignore', 'a packet whose checksum does not fit')
  return rest
}
