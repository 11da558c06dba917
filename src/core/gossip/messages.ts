/**
 * What members say to each other about membership, as values: the messages of memberlist (docs/specs/04-gossip.md §3) without their
 * bytes. Names are memberlist's field names in this project's case. The bytes are `memberlist-codec.ts`.
 */

/** `[protocol min, max, current, delegate min, max, current]`: what a member speaks. */
export type ProtocolVersions = readonly [number, number, number, number, number, number]

/** Where a member can be reached: 4 or 16 bytes of address, and a port. */
export interface Endpoint {
  readonly address: Uint8Array
  readonly port: number
}

/** Who asked, so that an answer finds it; the datagram's own source where it is left out. */
export interface PingSource {
  readonly sourceAddress?: Uint8Array
  readonly sourcePort?: number
  readonly sourceNode?: string
}

export interface Ping extends PingSource {
  readonly type: 'ping'
  readonly sequence: number
  readonly node: string
  /** The ack needs no payload. */
  readonly isBrief?: boolean
  /** The ack is to tell the hash of the table. */
  readonly wantsTableHash?: boolean
}

/** Asks the receiver to ping another member for the sender. */
export interface IndirectPing extends PingSource {
  readonly type: 'indirect-ping'
  readonly sequence: number
  readonly target: Uint8Array
  readonly port: number
  readonly node: string
  /** The sender understands `nack`. */
  readonly nack: boolean
}

export interface Ack {
  readonly type: 'ack'
  readonly sequence: number
  readonly payload: Uint8Array | undefined
  /** Of the members that are not gone, as whoever answers knows them; 32 bits. */
  readonly tableHash?: number
}

/** The relay got no answer in time; it is alive itself. */
export interface Nack {
  readonly type: 'nack'
  readonly sequence: number
}

export interface Suspect {
  readonly type: 'suspect'
  readonly incarnation: number
  readonly node: string
  readonly from: string
}

export interface Alive {
  readonly type: 'alive'
  readonly incarnation: number
  readonly node: string
  readonly address: Uint8Array
  readonly port: number
  readonly meta: Uint8Array
  /** Undefined where the sender said none. */
  readonly versions: ProtocolVersions | undefined
}

/** `from` equal to `node` is a graceful leave. */
export interface Dead {
  readonly type: 'dead'
  readonly incarnation: number
  readonly node: string
  readonly from: string
}

/** Bytes for the layer above. */
export interface User {
  readonly type: 'user'
  readonly bytes: Uint8Array
}

/** One message of a packet. */
export type PacketMessage = Ping | IndirectPing | Ack | Nack | Suspect | Alive | Dead | User

export type MemberState = 'alive' | 'suspect' | 'dead' | 'left'

/** A member as a push/pull tells it. */
export interface MemberRecord {
  readonly node: string
  readonly address: Uint8Array
  readonly port: number
  readonly meta: Uint8Array
  readonly incarnation: number
  readonly state: MemberState
  readonly versions: ProtocolVersions | undefined
}

/** Both sides of a push/pull send one. */
export interface PushPull {
  readonly type: 'push-pull'
  readonly isJoin: boolean
  readonly members: readonly MemberRecord[]
  /** State of the layer above; may be empty. */
  readonly userState: Uint8Array
}

/** A refusal on a stream. */
export interface StreamError {
  readonly type: 'error'
  readonly reason: string
}

/** What a stream carries. */
export type StreamMessage = Ping | Ack | User | PushPull | StreamError
