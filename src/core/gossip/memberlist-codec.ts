/**
 * The messages of memberlist as bytes: of packets, and of the streams that are short (docs/specs/04-gossip.md §3). Not the layers around
 * them (`packet.ts`, `stream.ts`), nor whether what they say can be true, which is for who receives them.
 *
 * A message is a type byte and a map of its fields by their names in Go; bytes after it are not looked at. Decoding gives the message or a
 * `WireError`, never throws, and keeps nothing of the packet but the payloads of ack and user, which are views into it.
 */
import { concatBytes } from '../lib/bytes.ts'
import { wireError, type WireError } from '../wire/wire-error.ts'
import { MESSAGE_TYPES } from './message-types.ts'
import type {
  Ack,
  Alive,
  Dead,
  IndirectPing,
  MemberRecord,
  MemberState,
  Nack,
  PacketMessage,
  Ping,
  PingSource,
  ProtocolVersions,
  StreamError,
  StreamMessage,
  Suspect,
} from './messages.ts'
import { ADDRESS, BOOLEAN, bytes, integer, nullable, optional, struct, text, U16, U32, U8, view, type Kind } from './msgpack-kinds.ts'
import { MsgpackReader, MsgpackWriter } from './msgpack.ts'

/** The longest name of a member. */
export const MAX_NAME_BYTES = 512
/** The most that a member can say of itself in `meta`. */
export const MAX_META_BYTES = 512
const MAX_ACK_PAYLOAD_BYTES = 4096
const MAX_REASON_BYTES = 1024
const MAX_INT32 = 0x7fffffff

const STATES: readonly MemberState[] = ['alive', 'suspect', 'dead', 'left']

const NAME = text(MAX_NAME_BYTES)
const META = bytes(MAX_META_BYTES)

/** Six bytes; undefined where a member said none. */
const VERSIONS: Kind<ProtocolVersions | undefined> = {
  zero: undefined,
  read(reader) {
    const raw = reader.raw(6)
    if (raw === undefined || raw.length === 0) return undefined
    if (raw.length !== 6) reader.refuse()
    return [...raw] as unknown as ProtocolVersions
  },
  write(writer, versions) {
    if (versions === undefined) writer.nil()
    else writer.raw(Uint8Array.from(versions))
  },
}

const SOURCE = { SourceAddr: optional(ADDRESS), SourcePort: optional(U16), SourceNode: optional(NAME) }
/** What an ack is to have, among members of this project; memberlist goes past it. Bits. */
const PING_BRIEF = 1
const PING_TABLE_HASH = 2
const PING = struct({ SeqNo: U32, Node: NAME, P: optional(U8), ...SOURCE })
const INDIRECT_PING = struct({ SeqNo: U32, Target: ADDRESS, Port: U16, Node: NAME, Nack: BOOLEAN, ...SOURCE })
const ACK = struct({ H: optional(U32), SeqNo: U32, Payload: nullable(rawOf(view(MAX_ACK_PAYLOAD_BYTES))) })
const NACK = struct({ SeqNo: U32 })
const ACCUSATION = struct({ Incarnation: U32, Node: NAME, From: NAME })
const ALIVE = struct({ Incarnation: U32, Node: NAME, Addr: ADDRESS, Port: U16, Meta: META, Vsn: VERSIONS })
const PUSH_PULL = struct({ Join: BOOLEAN, Nodes: integer(0, MAX_INT32), UserStateLen: integer(0, MAX_INT32) })
const MEMBER = struct({ Name: NAME, Addr: ADDRESS, Port: U16, Meta: META, Incarnation: U32, State: integer(0, 3), Vsn: VERSIONS })
const USER_HEADER = struct({ UserMsgLen: integer(0, MAX_INT32) })
const STREAM_ERROR = struct({ Error: text(MAX_REASON_BYTES) })

// ---- packets ----

export function encodePacketMessage(message: PacketMessage): Uint8Array {
  switch (message.type) {
    case 'ping':
      return encodePing(message)
    case 'indirect-ping':
      return encode(MESSAGE_TYPES.indirectPing, INDIRECT_PING, {
        SeqNo: message.sequence,
        Target: message.target,
        Port: message.port,
        Node: message.node,
        Nack: message.nack,
        ...sourceFields(message),
      })
    case 'ack':
      return encodeAck(message)
    case 'nack':
      return encode(MESSAGE_TYPES.nack, NACK, { SeqNo: message.sequence })
    case 'suspect':
      return encodeAccusation(MESSAGE_TYPES.suspect, message)
    case 'dead':
      return encodeAccusation(MESSAGE_TYPES.dead, message)
    case 'alive':
      return encode(MESSAGE_TYPES.alive, ALIVE, {
        Incarnation: message.incarnation,
        Node: message.node,
        Addr: message.address,
        Port: message.port,
        Meta: message.meta,
        Vsn: message.versions,
      })
    case 'user':
      return concatBytes([Uint8Array.of(MESSAGE_TYPES.user), message.bytes])
  }
}

/** One message of a packet, its layers already taken off. */
export function decodePacketMessage(bytes: Uint8Array): PacketMessage | WireError {
  const type = bytes[0]
  if (type === undefined) return wireError('ignore', 'an empty message')
  if (type === MESSAGE_TYPES.user) return { type: 'user', bytes: bytes.subarray(1) }
  const reader = new MsgpackReader(bytes, 1)
  const message = readPacketMessage(type, reader)
  if (message === undefined) return wireError('ignore', `a message of type ${type}, which no packet has`)
  return reader.failed ? wireError('ignore', `a message (${message.type}) whose fields are wrong or cut off`) : message
}

function readPacketMessage(type: number, reader: MsgpackReader): PacketMessage | undefined {
  switch (type) {
    case MESSAGE_TYPES.ping:
      return readPing(reader)
    case MESSAGE_TYPES.indirectPing:
      return readIndirectPing(reader)
    case MESSAGE_TYPES.ack:
      return readAck(reader)
    case MESSAGE_TYPES.nack:
      return readNack(reader)
    case MESSAGE_TYPES.suspect:
      return { type: 'suspect', ...readAccusation(reader) }
    case MESSAGE_TYPES.dead:
      return { type: 'dead', ...readAccusation(reader) }
    case MESSAGE_TYPES.alive:
      return readAlive(reader)
    default:
      return undefined
  }
}

// ---- streams ----

/** A whole message as a stream carries it, without layers. */
export function encodeStreamMessage(message: StreamMessage): Uint8Array {
  switch (message.type) {
    case 'ping':
      return encodePing(message)
    case 'ack':
      return encodeAck(message)
    case 'user': {
      const writer = begin(MESSAGE_TYPES.user)
      USER_HEADER.write(writer, { UserMsgLen: message.bytes.length })
      writer.bytes(message.bytes)
      return writer.finish()
    }
    case 'push-pull': {
      const writer = begin(MESSAGE_TYPES.pushPull)
      const { isJoin, members, userState } = message
      PUSH_PULL.write(writer, { Join: isJoin, Nodes: members.length, UserStateLen: userState.length })
      for (const member of members) writeMember(writer, member)
      writer.bytes(userState)
      return writer.finish()
    }
    case 'error':
      return encode(MESSAGE_TYPES.error, STREAM_ERROR, { Error: message.reason })
  }
}

/** What comes before the members of a push/pull. */
export interface PushPullHeader {
  readonly isJoin: boolean
  readonly memberCount: number
  readonly userStateBytes: number
}

export function readPushPullHeader(reader: MsgpackReader): PushPullHeader {
  const { Join, Nodes, UserStateLen } = PUSH_PULL.read(reader)
  return { isJoin: Join, memberCount: Nodes, userStateBytes: UserStateLen }
}

/** One member of a push/pull. */
export function readMember(reader: MsgpackReader): MemberRecord {
  const { Name, Addr, Port, Meta, Incarnation, State, Vsn } = MEMBER.read(reader)
  if (Name === '' || Addr.length === 0) reader.refuse()
  // After a failure the number may be one that is no state; then nobody looks at the record.
  const state = STATES[State] ?? 'dead'
  return { node: Name, address: Addr, port: Port, meta: Meta, incarnation: Incarnation, state, versions: Vsn }
}

/** The length of a stream's user message. */
export function readUserHeader(reader: MsgpackReader): number {
  return USER_HEADER.read(reader).UserMsgLen
}

export function readStreamError(reader: MsgpackReader): StreamError {
  return { type: 'error', reason: STREAM_ERROR.read(reader).Error }
}

function writeMember(writer: MsgpackWriter, member: MemberRecord): void {
  MEMBER.write(writer, {
    Name: member.node,
    Addr: member.address,
    Port: member.port,
    Meta: member.meta,
    Incarnation: member.incarnation,
    State: STATES.indexOf(member.state),
    Vsn: member.versions,
  })
}

// ---- both ----

export function readPing(reader: MsgpackReader): Ping {
  const fields = PING.read(reader)
  const parts = fields.P ?? 0
  return {
    type: 'ping',
    sequence: fields.SeqNo,
    node: fields.Node,
    ...((parts & PING_BRIEF) === 0 ? {} : { isBrief: true }),
    ...((parts & PING_TABLE_HASH) === 0 ? {} : { wantsTableHash: true }),
    ...sourceOf(fields),
  }
}

export function readAck(reader: MsgpackReader): Ack {
  const { H, SeqNo, Payload } = ACK.read(reader)
  return { type: 'ack', sequence: SeqNo, payload: Payload, ...(H === undefined ? {} : { tableHash: H }) }
}

function readIndirectPing(reader: MsgpackReader): IndirectPing {
  const fields = INDIRECT_PING.read(reader)
  const { SeqNo, Target, Port, Node, Nack: nack } = fields
  if (Target.length === 0) reader.refuse()
  return { type: 'indirect-ping', sequence: SeqNo, target: Target, port: Port, node: Node, nack, ...sourceOf(fields) }
}

function readNack(reader: MsgpackReader): Nack {
  return { type: 'nack', sequence: NACK.read(reader).SeqNo }
}

function readAccusation(reader: MsgpackReader): Omit<Suspect | Dead, 'type'> {
  const { Incarnation, Node, From } = ACCUSATION.read(reader)
  if (Node === '') reader.refuse()
  return { incarnation: Incarnation, node: Node, from: From }
}

function readAlive(reader: MsgpackReader): Alive {
  const { Incarnation, Node, Addr, Port, Meta, Vsn } = ALIVE.read(reader)
  if (Node === '' || Addr.length === 0) reader.refuse()
  return { type: 'alive', incarnation: Incarnation, node: Node, address: Addr, port: Port, meta: Meta, versions: Vsn }
}

function encodePing(ping: Ping): Uint8Array {
  const parts = (ping.isBrief === true ? PING_BRIEF : 0) | (ping.wantsTableHash === true ? PING_TABLE_HASH : 0)
  const P = parts === 0 ? undefined : parts
  return encode(MESSAGE_TYPES.ping, PING, { SeqNo: ping.sequence, Node: ping.node, P, ...sourceFields(ping) })
}

function encodeAck(ack: Ack): Uint8Array {
  return encode(MESSAGE_TYPES.ack, ACK, { H: ack.tableHash, SeqNo: ack.sequence, Payload: ack.payload })
}

function encodeAccusation(type: number, { incarnation, node, from }: Suspect | Dead): Uint8Array {
  return encode(type, ACCUSATION, { Incarnation: incarnation, Node: node, From: from })
}

interface SourceFields {
  readonly SourceAddr: Uint8Array | undefined
  readonly SourcePort: number | undefined
  readonly SourceNode: string | undefined
}

/** Go leaves out what is zero, so that zero is the same as left out. */
function sourceFields({ sourceAddress, sourcePort, sourceNode }: PingSource): SourceFields {
  return {
    SourceAddr: sourceAddress?.length === 0 ? undefined : sourceAddress,
    SourcePort: sourcePort === 0 ? undefined : sourcePort,
    SourceNode: sourceNode === '' ? undefined : sourceNode,
  }
}

function sourceOf({ SourceAddr, SourcePort, SourceNode }: SourceFields): PingSource {
  return {
    ...(SourceAddr !== undefined && SourceAddr.length > 0 ? { sourceAddress: SourceAddr } : {}),
    ...(SourcePort !== undefined && SourcePort > 0 ? { sourcePort: SourcePort } : {}),
    ...(SourceNode !== undefined && SourceNode !== '' ? { sourceNode: SourceNode } : {}),
  }
}

/** Empty bytes as such, not as nil. */
function rawOf(kind: Kind<Uint8Array>): Kind<Uint8Array> {
  return { ...kind, write: (writer, value) => writer.raw(value) }
}

function begin(type: number): MsgpackWriter {
  const writer = new MsgpackWriter()
  writer.bytes(Uint8Array.of(type))
  return writer
}

function encode<T>(type: number, kind: Kind<T>, value: T): Uint8Array {
  const writer = begin(type)
  kind.write(writer, value)
  return writer.finish()
}
