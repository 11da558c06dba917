/**
 * What Serf's RPC says, as values and msgpack (docs/serf-rpc.md): maps of fields by their names in Go. A field that is missing reads as
 * zero, one that nobody knows is gone past. Which of them belong together is the table in `commands.ts`.
 */
import {
  BOOLEAN,
  bytes,
  dictionary,
  FLOAT,
  I64,
  list,
  nullable,
  struct,
  text,
  U16,
  U32,
  U64,
  U8,
  type Kind,
} from '../../core/gossip/msgpack-kinds.ts'

/** The most that a header has, and a body. */
export const MAX_REQUEST_BYTES: number = 1024 * 1024

const MAX_NAME_BYTES = 4096
const MAX_FILTER_NODES = 8192
const MAX_ADDRESSES = 1024
const MAX_TAGS = 256
const MAX_MEMBERS = 1_000_000

export type Texts = ReadonlyMap<string, string>

const NAME = text(MAX_NAME_BYTES)
const SHORT_TEXT = text(4096)
/** Only said by this side, which cuts what may be long. */
const TEXT = text(256 * 1024)
const LONG_TEXT: Kind<string> = text(MAX_REQUEST_BYTES)
const PAYLOAD = bytes(MAX_REQUEST_BYTES)
const TEXTS = dictionary(TEXT, MAX_MEMBERS, MAX_NAME_BYTES)
const FILTERS = dictionary(SHORT_TEXT, MAX_TAGS, MAX_NAME_BYTES)

// Before every request and response.

export interface RequestHeader {
  readonly Command: string
  readonly Seq: number
}
export const REQUEST_HEADER: Kind<RequestHeader> = struct({ Command: text(64), Seq: U64 })

export interface ResponseHeader {
  readonly Seq: number
  readonly Error: string
}
export const RESPONSE_HEADER: Kind<ResponseHeader> = struct({ Seq: U64, Error: TEXT })

// Bodies of requests.

export interface Handshake {
  readonly Version: number
}
export const HANDSHAKE: Kind<Handshake> = struct({ Version: I64 })

export interface Auth {
  readonly AuthKey: string
}
export const AUTH: Kind<Auth> = struct({ AuthKey: SHORT_TEXT })

export interface EventRequest {
  readonly Name: string
  readonly Payload: Uint8Array
  readonly Coalesce: boolean
}
export const EVENT_REQUEST: Kind<EventRequest> = struct({ Name: LONG_TEXT, Payload: PAYLOAD, Coalesce: BOOLEAN })

export interface ForceLeave {
  readonly Node: string
  readonly Prune: boolean
}
export const FORCE_LEAVE: Kind<ForceLeave> = struct({ Node: NAME, Prune: BOOLEAN })

export interface JoinRequest {
  readonly Existing: readonly string[]
  readonly Replay: boolean
}
export const JOIN_REQUEST: Kind<JoinRequest> = struct({ Existing: list(NAME, MAX_ADDRESSES), Replay: BOOLEAN })

export interface MembersFiltered {
  readonly Tags: Texts
  readonly Status: string
  readonly Name: string
}
export const MEMBERS_FILTERED: Kind<MembersFiltered> = struct({ Tags: FILTERS, Status: SHORT_TEXT, Name: SHORT_TEXT })

export interface TagsRequest {
  readonly Tags: Texts
  readonly DeleteTags: readonly string[]
}
export const TAGS_REQUEST: Kind<TagsRequest> = struct({ Tags: FILTERS, DeleteTags: list(SHORT_TEXT, MAX_TAGS) })

export interface StreamRequest {
  readonly Type: string
}
export const STREAM_REQUEST: Kind<StreamRequest> = struct({ Type: SHORT_TEXT })

export interface MonitorRequest {
  readonly LogLevel: string
}
export const MONITOR_REQUEST: Kind<MonitorRequest> = struct({ LogLevel: text(64) })

export interface StopRequest {
  readonly Stop: number
}
export const STOP_REQUEST: Kind<StopRequest> = struct({ Stop: U64 })

export interface QueryRequest {
  readonly FilterNodes: readonly string[]
  readonly FilterTags: Texts
  readonly RequestAck: boolean
  readonly RelayFactor: number
  /** Nanoseconds. */
  readonly Timeout: number
  readonly Name: string
  readonly Payload: Uint8Array
}
export const QUERY_REQUEST: Kind<QueryRequest> = struct({
  FilterNodes: list(NAME, MAX_FILTER_NODES),
  FilterTags: FILTERS,
  RequestAck: BOOLEAN,
  RelayFactor: U8,
  Timeout: I64,
  Name: LONG_TEXT,
  Payload: PAYLOAD,
})

export interface RespondRequest {
  readonly ID: number
  readonly Payload: Uint8Array
}
export const RESPOND_REQUEST: Kind<RespondRequest> = struct({ ID: U64, Payload: PAYLOAD })

export interface KeyRequest {
  /** Base64. */
  readonly Key: string
}
export const KEY_REQUEST: Kind<KeyRequest> = struct({ Key: SHORT_TEXT })

export interface CoordinateRequest {
  readonly Node: string
}
export const COORDINATE_REQUEST: Kind<CoordinateRequest> = struct({ Node: NAME })

// Bodies of responses.

/** A member, in answers and in records. */
export interface MemberRecord {
  readonly Name: string
  /** 4 or 16 bytes. */
  readonly Addr: Uint8Array
  readonly Port: number
  readonly Tags: Texts
  readonly Status: string
  readonly ProtocolMin: number
  readonly ProtocolMax: number
  readonly ProtocolCur: number
  readonly DelegateMin: number
  readonly DelegateMax: number
  readonly DelegateCur: number
}
export const MEMBER: Kind<MemberRecord> = struct({
  Name: TEXT,
  Addr: bytes(16),
  Port: U16,
  Tags: TEXTS,
  Status: TEXT,
  ProtocolMin: U8,
  ProtocolMax: U8,
  ProtocolCur: U8,
  DelegateMin: U8,
  DelegateMax: U8,
  DelegateCur: U8,
})

export interface Joined {
  readonly Num: number
}
export const JOINED: Kind<Joined> = struct({ Num: U32 })

export interface Members {
  readonly Members: readonly MemberRecord[]
}
export const MEMBERS: Kind<Members> = struct({ Members: list(MEMBER, MAX_MEMBERS) })

export interface KeysReply {
  readonly Messages: Texts
  readonly Keys: ReadonlyMap<string, number> | undefined
  readonly NumNodes: number
  readonly NumErr: number
  readonly NumResp: number
}
export const KEYS_REPLY: Kind<KeysReply> = struct({
  Messages: TEXTS,
  Keys: nullable(dictionary(U32, MAX_MEMBERS, MAX_NAME_BYTES)),
  NumNodes: U32,
  NumErr: U32,
  NumResp: U32,
})

/** By group and name. */
export const STATS: Kind<ReadonlyMap<string, Texts>> = dictionary(TEXTS, 64, MAX_NAME_BYTES)

export interface CoordinateValue {
  readonly Adjustment: number
  readonly Error: number
  readonly Height: number
  readonly Vec: readonly number[] | undefined
}
export const COORDINATE_VALUE: Kind<CoordinateValue> = struct({
  Adjustment: FLOAT,
  Error: FLOAT,
  Height: FLOAT,
  Vec: nullable(list(FLOAT, 32)),
})

export interface CoordinateReply {
  readonly Coord: CoordinateValue
  readonly Ok: boolean
}
export const COORDINATE_REPLY: Kind<CoordinateReply> = struct({ Coord: COORDINATE_VALUE, Ok: BOOLEAN })

// Records of streams.

export interface MemberEventRecord {
  readonly Event: string
  readonly Members: readonly MemberRecord[]
}
export const MEMBER_EVENT_RECORD: Kind<MemberEventRecord> = struct({ Event: TEXT, Members: list(MEMBER, MAX_MEMBERS) })

export interface UserEventRecord {
  readonly Event: string
  readonly LTime: number
  readonly Name: string
  readonly Payload: Uint8Array
  readonly Coalesce: boolean
}
export const USER_EVENT_RECORD: Kind<UserEventRecord> = struct({
  Event: TEXT,
  LTime: U64,
  Name: LONG_TEXT,
  Payload: PAYLOAD,
  Coalesce: BOOLEAN,
})

export interface QueryEventRecord {
  readonly Event: string
  readonly ID: number
  readonly LTime: number
  readonly Name: string
  readonly Payload: Uint8Array
}
export const QUERY_EVENT_RECORD: Kind<QueryEventRecord> = struct({ Event: TEXT, ID: U64, LTime: U64, Name: LONG_TEXT, Payload: PAYLOAD })

export interface LogRecord {
  readonly Log: string
}
export const LOG_RECORD: Kind<LogRecord> = struct({ Log: TEXT })

export interface QueryReplyRecord {
  readonly Type: string
  readonly From: string
  readonly Payload: Uint8Array
}
export const QUERY_REPLY_RECORD: Kind<QueryReplyRecord> = struct({ Type: TEXT, From: TEXT, Payload: PAYLOAD })
