/**
 * What Serf's members say to each other inside memberlist's user messages, as values (docs/specs/04-gossip.md §7). Names are Serf's field
 * names in this project's case. The bytes are `serf-codec.ts`.
 *
 * Times are Lamport times: counters of the cluster, for members, for events and for queries.
 */

/** Somebody is going to leave, or is made to. */
export interface LeaveIntent {
  readonly type: 'leave'
  readonly time: number
  readonly node: string
  /** Forget the member at once. */
  readonly isPrune: boolean
}

export interface JoinIntent {
  readonly type: 'join'
  readonly time: number
  readonly node: string
}

export interface UserEvent {
  readonly type: 'user-event'
  readonly time: number
  readonly name: string
  readonly payload: Uint8Array
  /** Of several with this name, the last one will do. */
  readonly canCoalesce: boolean
}

/** Which members a query is for: those that all its filters match. */
export type QueryFilter =
  | { readonly type: 'nodes'; readonly nodes: readonly string[] }
  /** A regular expression (Go's) for the value of a tag. */
  | { readonly type: 'tag'; readonly tag: string; readonly expression: string }
  /** One that this version does not know, whole: it matches nobody. */
  | { readonly type: 'unknown'; readonly bytes: Uint8Array }

/** Bits of a query's flags. */
export const QUERY_FLAGS = {
  /** Of a query: an acknowledgement is wanted. Of a response: it is one. */
  ack: 1,
  /** Do not pass it on. */
  noBroadcast: 2,
} as const

export interface Query {
  readonly type: 'query'
  readonly time: number
  readonly id: number
  /** Where responses go. */
  readonly address: Uint8Array
  readonly port: number
  readonly sourceNode: string
  readonly filters: readonly QueryFilter[]
  readonly flags: number
  /** Members that responses are sent through as well. */
  readonly relayFactor: number
  readonly timeoutNs: number
  readonly name: string
  readonly payload: Uint8Array
}

export interface QueryResponse {
  readonly type: 'query-response'
  readonly time: number
  readonly id: number
  readonly from: string
  readonly flags: number
  readonly payload: Uint8Array
}

/** A member as the answer to "who has this name" tells it. */
export interface ConflictMember {
  readonly name: string
  readonly address: Uint8Array
  readonly port: number
  readonly tags: ReadonlyMap<string, string>
  /** 0 none, 1 alive, 2 leaving, 3 left, 4 failed. */
  readonly status: number
  /** Least, greatest and spoken version of memberlist's protocol, then of Serf's. */
  readonly versions: readonly [number, number, number, number, number, number]
}

/** The payload of a response to the query for a name; undefined where nobody is known by it. */
export interface ConflictResponse {
  readonly type: 'conflict-response'
  readonly member: ConflictMember | undefined
}

/** The payload of a query that changes keys. */
export interface KeyRequest {
  readonly type: 'key-request'
  readonly key: Uint8Array
}

/** The payload of its response. Keys are in base64. */
export interface KeyResponse {
  readonly type: 'key-response'
  readonly isOk: boolean
  readonly message: string
  readonly keys: readonly string[]
  readonly primaryKey: string
}

/** A message that the receiver is to pass on to somebody. */
export interface Relay {
  readonly type: 'relay'
  readonly address: Uint8Array
  readonly port: number
  /** Of an IPv6 address that needs one. */
  readonly zone: string
  readonly node: string
  /** A whole Serf message, as it will arrive. */
  readonly message: Uint8Array
}

/** Events of one time. */
export interface EventsAt {
  readonly time: number
  readonly events: readonly { readonly name: string; readonly payload: Uint8Array }[]
}

/** The user state of a push/pull. */
export interface SerfState {
  readonly type: 'push-pull'
  readonly time: number
  /** When each member last changed its mind. */
  readonly statusTimes: ReadonlyMap<string, number>
  readonly leftMembers: readonly string[]
  readonly eventTime: number
  /** A ring: what is at an index has that time modulo the ring's length. */
  readonly events: readonly (EventsAt | undefined)[]
  readonly queryTime: number
}

export type SerfMessage =
  | LeaveIntent
  | JoinIntent
  | SerfState
  | UserEvent
  | Query
  | QueryResponse
  | ConflictResponse
  | KeyRequest
  | KeyResponse
  | Relay

/** Where a member is in the space of round-trip times (Dabek et al., Vivaldi, SIGCOMM 2004), in seconds. */
export interface Coordinate {
  readonly vector: readonly number[]
  readonly height: number
  readonly error: number
  readonly adjustment: number
}
