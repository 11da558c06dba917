/**
 * How many bytes messages take when they are encoded, without encoding them: a simulated cluster sends millions. The lengths are counted
 * from what the encoder makes of a sample; a test holds them against the encoder.
 */
import { encodePacketMessage, encodeStreamMessage } from '../../core/gossip/memberlist-codec.ts'
import type { MemberRecord, PacketMessage, PingSource, StreamMessage } from '../../core/gossip/messages.ts'
import { PART_OVERHEAD_BYTES } from '../../core/gossip/packet.ts'

/** A compound's header, and the checksum that members of protocol 5 put around a packet. */
const COMPOUND_BYTES = 2
const CHECKSUM_BYTES = 5

const ADDRESS = new Uint8Array(4)
const NONE = new Uint8Array(0)
const SOURCE = { sourceAddress: ADDRESS, sourcePort: 0x1000, sourceNode: 'n' }
const ALIVE = { node: 'n', address: ADDRESS, port: 0x1000, meta: NONE, incarnation: 1, versions: [1, 5, 5, 2, 5, 5] } as const

/** What a message takes without its names, its sequence or incarnation number and its bytes, with the tag of each counted as one byte. */
const PING_BYTES = encodePacketMessage({ type: 'ping', sequence: 1, node: 'n', ...SOURCE }).length - 3
const BARE_PING_BYTES = encodePacketMessage({ type: 'ping', sequence: 1, node: 'n' }).length - 2
const PING_PARTS_BYTES = encodePacketMessage({ type: 'ping', sequence: 1, node: 'n', isBrief: true }).length - BARE_PING_BYTES - 2
const INDIRECT_BYTES =
  encodePacketMessage({ type: 'indirect-ping', sequence: 1, target: ADDRESS, port: 0x1000, node: 'n', nack: true, ...SOURCE }).length - 3
const ACK_BYTES = encodePacketMessage({ type: 'ack', sequence: 1, payload: undefined }).length - 1
const HASH_KEY_BYTES = encodePacketMessage({ type: 'ack', sequence: 1, payload: undefined, tableHash: 0 }).length - ACK_BYTES - 2
const NACK_BYTES = encodePacketMessage({ type: 'nack', sequence: 1 }).length - 1
const ACCUSATION_BYTES = encodePacketMessage({ type: 'suspect', incarnation: 1, node: 'n', from: 'n' }).length - 3
const ALIVE_BYTES = encodePacketMessage({ type: 'alive', ...ALIVE }).length - 2
const EXCHANGE_BYTES = encodeStreamMessage({ type: 'push-pull', isJoin: true, members: [], userState: NONE }).length - 2
const MEMBER_BYTES =
  encodeStreamMessage({ type: 'push-pull', isJoin: true, members: [{ ...ALIVE, state: 'alive' }], userState: NONE }).length -
  EXCHANGE_BYTES -
  4

/** A message as part of a packet. */
export function partBytes(message: PacketMessage): number {
  return PART_OVERHEAD_BYTES + messageBytes(message)
}

/** A message of its own. */
export function messageBytes(message: PacketMessage): number {
  switch (message.type) {
    case 'ping':
      return (
        (message.sourceNode === undefined ? BARE_PING_BYTES : PING_BYTES + sourceBytes(message)) +
        integerBytes(message.sequence) +
        textBytes(message.node) +
        (message.isBrief === true || message.wantsTableHash === true ? PING_PARTS_BYTES : 0)
      )
    case 'indirect-ping':
      return INDIRECT_BYTES + integerBytes(message.sequence) + textBytes(message.node) + sourceBytes(message) + message.target.length - 4
    case 'ack':
      return (
        ACK_BYTES +
        integerBytes(message.sequence) +
        (message.payload === undefined ? 0 : rawBytes(message.payload.length) - 1) +
        (message.tableHash === undefined ? 0 : HASH_KEY_BYTES + integerBytes(message.tableHash))
      )
    case 'nack':
      return NACK_BYTES + integerBytes(message.sequence)
    case 'suspect':
    case 'dead':
      return ACCUSATION_BYTES + integerBytes(message.incarnation) + textBytes(message.node) + textBytes(message.from)
    case 'alive':
      return ALIVE_BYTES + memberFieldsBytes(message)
    case 'user':
      return 1 + message.bytes.length
  }
}

/** The payload of a datagram with these messages. */
export function packetBytes(messages: readonly PacketMessage[]): number {
  let bytes = CHECKSUM_BYTES + (messages.length > 1 ? COMPOUND_BYTES : -PART_OVERHEAD_BYTES)
  for (const message of messages) bytes += partBytes(message)
  return bytes
}

/** What a stream carries one way. */
export function streamBytes(message: StreamMessage): number {
  if (message.type === 'push-pull') {
    let bytes = EXCHANGE_BYTES + integerBytes(message.members.length) + integerBytes(message.userState.length) + message.userState.length
    for (const member of message.members) bytes += MEMBER_BYTES + memberFieldsBytes(member)
    return bytes
  }
  if (message.type === 'ping' || message.type === 'ack') return messageBytes(message)
  return encodeStreamMessage(message).length
}

function memberFieldsBytes({ node, incarnation, meta, address }: Omit<MemberRecord, 'state'>): number {
  return integerBytes(incarnation) + textBytes(node) + (meta.length === 0 ? 0 : rawBytes(meta.length) - 1) + address.length - 4
}

function sourceBytes({ sourceNode, sourceAddress }: PingSource): number {
  return textBytes(sourceNode ?? '') + (sourceAddress?.length ?? 4) - 4
}

/** A name without its tag, by the names that there are in the simulator: ASCII. */
function textBytes(text: string): number {
  return rawBytes(text.length) - 1
}

function rawBytes(length: number): number {
  return length < 32 ? 1 + length : length < 0x10000 ? 3 + length : 5 + length
}

function integerBytes(value: number): number {
  return value < 0x80 ? 1 : value < 0x100 ? 2 : value < 0x10000 ? 3 : 5
}
