/** Types of the HTTP API for what goes by gossip: members, tags, events, queries, state, keys, distances. Plain data, in JSON's terms. */
import type { ErrorBody } from '../errors.ts'
import type { GossipMember } from '../gossip/gossip.ts'
import type { Member } from '../membership/member.ts'
import type { Verdict } from '../../core/gossip/verdict.ts'

/** A member as the list shows it: the record of the membership, and what gossip knows beside it. */
export interface ListedMember extends Member {
  isSuspect?: boolean
  /** Another Polycast node, not an agent of Serf alone. */
  isPolycast?: boolean
  /** When it changed last, ms since 1970. */
  changedAt?: number
  lastRttMs?: number
}

export interface JoinOrder {
  /** `host` or `host:port`. */
  addresses: string[]
}

/** Whom to examine; this node and all members where nobody is named. */
export interface DoctorOrder {
  /** The name of a member, or `host:port`. */
  target?: string
}

export interface JoinResult {
  /** How many of them answered. */
  joined: number
}

export interface ForgetOrder {
  prune?: boolean
}

export interface TagsChange {
  set?: Record<string, string>
  remove?: string[]
}

export interface TagSet {
  tags: Record<string, string>
}

/** How a member stands, and why where it is not well. */
export interface MemberVerdict {
  name: string
  status: GossipMember['status']
  isSuspect: boolean
  changedAt: number
  verdict?: Verdict
}

/** Bytes to send: in base64, or a text that is sent as UTF-8; none is no bytes. */
export interface GivenBytes {
  payload?: string
  text?: string
}

/** Bytes that came: in base64, and as text where they are UTF-8. */
export interface ShownBytes {
  payload: string
  text?: string
}

export interface EventOrder extends GivenBytes {
  name: string
  coalesce?: boolean
  report?: boolean
}

export interface EventSent {
  isSent: true
  /** With `report`: who has got it. */
  report?: { reached: number; of: number; missing: readonly string[] }
}

/** One line of the stream of what happens. */
export type ClusterEvent =
  | { event: 'started'; at: number }
  | {
      event: 'member'
      at: number
      /** In the terms of Serf's handlers: `member-join`. */
      kind: string
      member: GossipMember
      verdict?: Verdict
    }
  | ({ event: 'user'; at: number; name: string; time: number; canCoalesce: boolean } & ShownBytes)
  /** A user event whose payload was announced by its sender and could not be fetched. */
  | { event: 'user-lost'; at: number; name: string; time: number; from: string; bytes: number; error: ErrorBody }
  | ({ event: 'query'; at: number; name: string; time: number; from: string } & ShownBytes)

export interface QueryOrder extends GivenBytes {
  name: string
  /** A selector; `all` by default. */
  to?: string
  ack?: boolean
  relayFactor?: number
  timeoutMs?: number
}

export interface QueryAnswer extends ShownBytes {
  from: string
}

/** A query that has ended. */
export interface QueryResult {
  acks: number
  responses: number
  /** Live members that it was for, as this node saw them when it began. */
  of: number
  acknowledgedBy: string[]
  answers: QueryAnswer[]
}

/** One line of the stream of a query. */
export type QueryEvent =
  | { event: 'ack'; from: string }
  | ({ event: 'response' } & QueryAnswer)
  | { event: 'done'; acks: number; responses: number; of: number }
  | { event: 'error'; error: ErrorBody }

export interface StateEntry extends ShownBytes {
  key: string
}

export interface NodeState {
  node: string
  /** By key. */
  entries: StateEntry[]
}

export interface StateOrder extends GivenBytes {
  ttlMs?: number
}

/** One line of the stream of changes of state. */
export type StateEvent =
  | { event: 'started'; at: number }
  | ({ event: 'set'; node: string; key: string; generation: number; version: number } & ShownBytes)
  | { event: 'removed'; node: string; key: string; generation: number; version: number }

export interface KeyOrder {
  operation: 'install' | 'use' | 'remove'
  /** 16, 24 or 32 bytes in base64. */
  key: string
}

export interface RttEstimate {
  from: string
  to: string
  rttMs: number
}
