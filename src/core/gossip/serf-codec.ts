/**
 * The messages of Serf as bytes (docs/specs/04-gossip.md §7): a type byte and a map of the fields by their names in Go, or, for a relay, a
 * map and then another message. They travel in memberlist's user messages and push/pull, and some as payloads of others. Also what Serf
 * puts into a member's meta (tags) and into the payload of an ack (a coordinate).
 *
 * Decoding gives a value or a `WireError`, and never throws; payloads are views into the bytes. Empty payloads are written as nil.
 */
import { concatBytes, utf8Decode } from '../lib/bytes.ts'
import { wireError, type WireError } from '../wire/wire-error.ts'
import { MAX_META_BYTES, MAX_NAME_BYTES } from './memberlist-codec.ts'
import {
  ADDRESS,
  BOOLEAN,
  bytes,
  dictionary,
  FLOAT,
  I64,
  list,
  listOrNil,
  nullable,
  struct,
  text,
  U16,
  U32,
  U64,
  U8,
  view,
  type Kind,
} from './msgpack-kinds.ts'
import { MsgpackReader, MsgpackWriter } from './msgpack.ts'
import type { ConflictResponse, Coordinate, KeyResponse, Query, QueryFilter, Relay, SerfMessage, SerfState } from './serf-messages.ts'

/** The first byte of a Serf message. */
export const SERF_TYPES = {
  leave: 0,
  join: 1,
  pushPull: 2,
  userEvent: 3,
  query: 4,
  queryResponse: 5,
  conflictResponse: 6,
  keyRequest: 7,
  keyResponse: 8,
  relay: 9,
} as const

/** Slots of the ring of events in a push/pull; Serf has 512. */
export const MAX_EVENT_SLOTS = 8192
/** Filters of one query, and names in one filter. */
export const MAX_FILTERS = 256
const MAX_FILTER_NODES = 8192
const MAX_STATUS_TIMES = 131_072
const MAX_EVENTS_AT_ONCE = 1024
const MAX_PAYLOAD_BYTES = 65_535
const MAX_TEXT_BYTES = 4096
const MAX_TAGS = 256
const MAX_KEYS = 256
const MAX_DIMENSIONS = 32

/** Before the tags in a meta; a meta without it is a role. */
const TAGS_MAGIC = 0xff
/** Before the coordinate in the payload of an ack. */
const COORDINATE_VERSION = 1
const FILTER_NODES = 0
const FILTER_TAG = 1

const NAME = text(MAX_NAME_BYTES)
const TEXT = text(MAX_TEXT_BYTES)
const PAYLOAD = view(MAX_PAYLOAD_BYTES)
const TAGS = dictionary(TEXT, MAX_TAGS, MAX_META_BYTES)

const LEAVE = struct({ LTime: U64, Node: NAME, Prune: BOOLEAN })
const JOIN = struct({ LTime: U64, Node: NAME })
const EVENTS_AT = struct({ LTime: U64, Events: list(struct({ Name: TEXT, Payload: PAYLOAD }), MAX_EVENTS_AT_ONCE) })
const STATE = struct({
  LTime: U64,
  StatusLTimes: dictionary(U64, MAX_STATUS_TIMES, MAX_NAME_BYTES),
  LeftMembers: list(NAME, MAX_STATUS_TIMES),
  EventLTime: U64,
  Events: list(nullable(EVENTS_AT), MAX_EVENT_SLOTS),
  QueryLTime: U64,
})
const USER_EVENT = struct({ LTime: U64, Name: TEXT, Payload: PAYLOAD, CC: BOOLEAN })
const QUERY = struct({
  LTime: U64,
  ID: U32,
  Addr: ADDRESS,
  Port: U16,
  SourceNode: NAME,
  Filters: listOrNil(PAYLOAD, MAX_FILTERS),
  Flags: U32,
  RelayFactor: U8,
  Timeout: I64,
  Name: TEXT,
  Payload: PAYLOAD,
})
const NODES_FILTER = list(NAME, MAX_FILTER_NODES)
const TAG_FILTER = struct({ Tag: TEXT, Expr: TEXT })
const RESPONSE = struct({ LTime: U64, ID: U32, From: NAME, Flags: U32, Payload: PAYLOAD })
const MEMBER = nullable(
  struct({
    Name: NAME,
    Addr: ADDRESS,
    Port: U16,
    Tags: TAGS,
    Status: U8,
    ProtocolMin: U8,
    ProtocolMax: U8,
    ProtocolCur: U8,
    DelegateMin: U8,
    DelegateMax: U8,
    DelegateCur: U8,
  }),
)
const KEY_REQUEST = struct({ Key: bytes(64) })
const KEY_RESPONSE = struct({ Result: BOOLEAN, Message: TEXT, Keys: listOrNil(text(128), MAX_KEYS), PrimaryKey: text(128) })
const RELAY = struct({ DestAddr: struct({ IP: ADDRESS, Port: U16, Zone: text(64) }), DestName: NAME })
const COORDINATE = struct({ Vec: list(FLOAT, MAX_DIMENSIONS), Height: FLOAT, Error: FLOAT, Adjustment: FLOAT })

export function encodeSerfMessage(message: SerfMessage): Uint8Array {
  switch (message.type) {
    case 'leave':
      return encode(SERF_TYPES.leave, LEAVE, { LTime: message.time, Node: message.node, Prune: message.isPrune })
    case 'join':
      return encode(SERF_TYPES.join, JOIN, { LTime: message.time, Node: message.node })
    case 'push-pull':
      return encodeState(message)
    case 'user-event':
      return encode(SERF_TYPES.userEvent, USER_EVENT, {
        LTime: message.time,
        Name: message.name,
        Payload: message.payload,
        CC: message.canCoalesce,
      })
    case 'query':
      return encodeQuery(message)
    case 'query-response':
      return encode(SERF_TYPES.queryResponse, RESPONSE, {
        LTime: message.time,
        ID: message.id,
        From: message.from,
        Flags: message.flags,
        Payload: message.payload,
      })
    case 'conflict-response':
      return encodeConflict(message)
    case 'key-request':
      return encode(SERF_TYPES.keyRequest, KEY_REQUEST, { Key: message.key })
    case 'key-response':
      return encodeKeyResponse(message)
    case 'relay':
      return encodeRelay(message)
  }
}

/** A Serf message: the bytes of a user message, the user state of a push/pull, or the payload of a key or conflict query or response. */
export function decodeSerfMessage(bytes: Uint8Array): SerfMessage | WireError {
  const type = bytes[0]
  if (type === undefined) return wireError('ignore', 'an empty message of Serf')
  const reader = new MsgpackReader(bytes, 1)
  const message = read(type, reader, bytes)
  if (message === undefined) return wireError('ignore', `a message of Serf of the unknown type ${type}`)
  return reader.failed ? wireError('ignore', `a message of Serf (${message.type}) whose fields are wrong or cut off`) : message
}

function read(type: number, reader: MsgpackReader, bytes: Uint8Array): SerfMessage | undefined {
  switch (type) {
    case SERF_TYPES.leave: {
      const { LTime, Node, Prune } = LEAVE.read(reader)
      return { type: 'leave', time: LTime, node: Node, isPrune: Prune }
    }
    case SERF_TYPES.join: {
      const { LTime, Node } = JOIN.read(reader)
      return { type: 'join', time: LTime, node: Node }
    }
    case SERF_TYPES.pushPull:
      return readState(reader)
    case SERF_TYPES.userEvent: {
      const { LTime, Name, Payload, CC } = USER_EVENT.read(reader)
      return { type: 'user-event', time: LTime, name: Name, payload: Payload, canCoalesce: CC }
    }
    case SERF_TYPES.query:
      return readQuery(reader)
    case SERF_TYPES.queryResponse: {
      const { LTime, ID, From, Flags, Payload } = RESPONSE.read(reader)
      return { type: 'query-response', time: LTime, id: ID, from: From, flags: Flags, payload: Payload }
    }
    case SERF_TYPES.conflictResponse:
      return readConflict(reader)
    case SERF_TYPES.keyRequest:
      return { type: 'key-request', key: KEY_REQUEST.read(reader).Key }
    case SERF_TYPES.keyResponse: {
      const { Result, Message, Keys, PrimaryKey } = KEY_RESPONSE.read(reader)
      return { type: 'key-response', isOk: Result, message: Message, keys: Keys, primaryKey: PrimaryKey }
    }
    case SERF_TYPES.relay: {
      const { DestAddr, DestName } = RELAY.read(reader)
      const { IP, Port, Zone } = DestAddr
      return { type: 'relay', address: IP, port: Port, zone: Zone, node: DestName, message: bytes.subarray(reader.at) }
    }
    default:
      return undefined
  }
}

// ---- state ----

function encodeState(state: SerfState): Uint8Array {
  return encode(SERF_TYPES.pushPull, STATE, {
    LTime: state.time,
    StatusLTimes: state.statusTimes,
    LeftMembers: state.leftMembers,
    EventLTime: state.eventTime,
    Events: state.events.map(
      (at) => at && { LTime: at.time, Events: at.events.map(({ name, payload }) => ({ Name: name, Payload: payload })) },
    ),
    QueryLTime: state.queryTime,
  })
}

function readState(reader: MsgpackReader): SerfState {
  const { LTime, StatusLTimes, LeftMembers, EventLTime, Events, QueryLTime } = STATE.read(reader)
  return {
    type: 'push-pull',
    time: LTime,
    statusTimes: StatusLTimes,
    leftMembers: LeftMembers,
    eventTime: EventLTime,
    events: Events.map((at) => at && { time: at.LTime, events: at.Events.map(({ Name, Payload }) => ({ name: Name, payload: Payload })) }),
    queryTime: QueryLTime,
  }
}

// ---- queries ----

function encodeQuery(query: Query): Uint8Array {
  return encode(SERF_TYPES.query, QUERY, {
    LTime: query.time,
    ID: query.id,
    Addr: query.address,
    Port: query.port,
    SourceNode: query.sourceNode,
    Filters: query.filters.map(encodeFilter),
    Flags: query.flags,
    RelayFactor: query.relayFactor,
    Timeout: query.timeoutNs,
    Name: query.name,
    Payload: query.payload,
  })
}

function readQuery(reader: MsgpackReader): Query {
  const fields = QUERY.read(reader)
  return {
    type: 'query',
    time: fields.LTime,
    id: fields.ID,
    address: fields.Addr,
    port: fields.Port,
    sourceNode: fields.SourceNode,
    filters: fields.Filters.map(decodeFilter),
    flags: fields.Flags,
    relayFactor: fields.RelayFactor,
    timeoutNs: fields.Timeout,
    name: fields.Name,
    payload: fields.Payload,
  }
}

function encodeFilter(filter: QueryFilter): Uint8Array {
  switch (filter.type) {
    case 'nodes':
      return encode(FILTER_NODES, NODES_FILTER, filter.nodes)
    case 'tag':
      return encode(FILTER_TAG, TAG_FILTER, { Tag: filter.tag, Expr: filter.expression })
    case 'unknown':
      return filter.bytes
  }
}

/** A filter that cannot be read is unknown, so that the query can be passed on to those who know it. */
function decodeFilter(bytes: Uint8Array): QueryFilter {
  const reader = new MsgpackReader(bytes, 1)
  let filter: QueryFilter | undefined
  if (bytes[0] === FILTER_NODES) filter = { type: 'nodes', nodes: NODES_FILTER.read(reader) }
  else if (bytes[0] === FILTER_TAG) {
    const { Tag, Expr } = TAG_FILTER.read(reader)
    filter = { type: 'tag', tag: Tag, expression: Expr }
  }
  return filter === undefined || reader.failed ? { type: 'unknown', bytes } : filter
}

function encodeKeyResponse({ isOk, message, keys, primaryKey }: KeyResponse): Uint8Array {
  return encode(SERF_TYPES.keyResponse, KEY_RESPONSE, { Result: isOk, Message: message, Keys: keys, PrimaryKey: primaryKey })
}

function encodeConflict({ member }: ConflictResponse): Uint8Array {
  if (member === undefined) return encode(SERF_TYPES.conflictResponse, MEMBER, undefined)
  const [ProtocolMin, ProtocolMax, ProtocolCur, DelegateMin, DelegateMax, DelegateCur] = member.versions
  return encode(SERF_TYPES.conflictResponse, MEMBER, {
    Name: member.name,
    Addr: member.address,
    Port: member.port,
    Tags: member.tags,
    Status: member.status,
    ProtocolMin,
    ProtocolMax,
    ProtocolCur,
    DelegateMin,
    DelegateMax,
    DelegateCur,
  })
}

function readConflict(reader: MsgpackReader): ConflictResponse {
  const fields = MEMBER.read(reader)
  if (fields === undefined) return { type: 'conflict-response', member: undefined }
  const { Name, Addr, Port, Tags, Status, ProtocolMin, ProtocolMax, ProtocolCur, DelegateMin, DelegateMax, DelegateCur } = fields
  const versions = [ProtocolMin, ProtocolMax, ProtocolCur, DelegateMin, DelegateMax, DelegateCur] as const
  return { type: 'conflict-response', member: { name: Name, address: Addr, port: Port, tags: Tags, status: Status, versions } }
}

function encodeRelay({ address, port, zone, node, message }: Relay): Uint8Array {
  const header = encode(SERF_TYPES.relay, RELAY, { DestAddr: { IP: address, Port: port, Zone: zone }, DestName: node })
  return concatBytes([header, message])
}

// ---- in the fields of memberlist ----

/** Tags as a member's meta; the caller sees to it that they come to at most `MAX_META_BYTES`. */
export function encodeTags(tags: ReadonlyMap<string, string>): Uint8Array {
  return encode(TAGS_MAGIC, TAGS, tags)
}

/** The tags in a meta; one that has none is a role, as members of old said it. */
export function decodeTags(meta: Uint8Array): ReadonlyMap<string, string> | WireError {
  if (meta[0] !== TAGS_MAGIC) {
    const role = utf8Decode(meta)
    return role === undefined ? wireError('ignore', 'a role that is no text') : new Map([['role', role]])
  }
  const reader = new MsgpackReader(meta, 1)
  const tags = TAGS.read(reader)
  return reader.failed ? wireError('ignore', 'tags that are wrong or cut off') : tags
}

/** A coordinate as the payload of an ack. */
export function encodeCoordinate({ vector, height, error, adjustment }: Coordinate): Uint8Array {
  return encode(COORDINATE_VERSION, COORDINATE, { Vec: vector, Height: height, Error: error, Adjustment: adjustment })
}

/** The coordinate in the payload of an ack; all its numbers are finite. */
export function decodeCoordinate(payload: Uint8Array): Coordinate | WireError {
  if (payload[0] !== COORDINATE_VERSION) return wireError('ignore', 'an ack whose payload is no coordinate')
  const reader = new MsgpackReader(payload, 1)
  const { Vec, Height, Error, Adjustment } = COORDINATE.read(reader)
  if (reader.failed) return wireError('ignore', 'a coordinate that is wrong or cut off')
  if (![...Vec, Height, Error, Adjustment].every(Number.isFinite)) return wireError('ignore', 'a coordinate that is not finite')
  return { vector: Vec, height: Height, error: Error, adjustment: Adjustment }
}

function encode<T>(type: number, kind: Kind<T>, value: T): Uint8Array {
  const writer = new MsgpackWriter()
  writer.bytes(Uint8Array.of(type))
  kind.write(writer, value)
  return writer.finish()
}
