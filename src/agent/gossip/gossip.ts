/**
 * Gossip as the rest of the agent sees it: the membership, and what members tell each other without a centre: events, queries, the
 * state that each node keeps for all to see, keys, distances.
 *
 * Not here: how. The machines of `core/gossip` decide, in a worker of their own, so that a busy event loop accuses nobody; `client.ts` is
 * this interface's end of that worker.
 */
import type { PolycastError } from '../errors.ts'
import type { Membership } from '../membership/membership.ts'
import type { Coordinate, QueryFilter } from '../../core/gossip/serf-messages.ts'
import type { Verdict } from '../../core/gossip/verdict.ts'
import type { MulticastReport } from '../multicast/reach/doctor-report.ts'
import type { Finding } from './diagnosis.ts'

/** A member as Serf tells it, with what only gossip knows. */
export interface GossipMember {
  readonly name: string
  /** IP address, as text. */
  readonly address: string
  readonly port: number
  /** With the tags that Polycast sets itself. */
  readonly tags: Readonly<Record<string, string>>
  readonly status: 'alive' | 'leaving' | 'left' | 'failed'
  readonly isSuspect: boolean
  readonly incarnation: number
  /** Least, greatest and spoken version of memberlist's protocol, then of Serf's. */
  readonly versions: readonly number[]
  /** Another Polycast node, not an agent of Serf alone. */
  readonly isPolycast: boolean
  /** When it changed last, ms since 1970. */
  readonly changedAt: number
  readonly lastRttMs: number | undefined
}

/** Something that became of a member. */
export interface MemberEvent {
  readonly change: 'joined' | 'updated' | 'suspected' | 'cleared' | 'failed' | 'left' | 'leaving' | 'reaped'
  readonly member: GossipMember
  readonly verdict: Verdict | undefined
}

/** An event that somebody sent to all; each comes once. */
export interface UserEventRecord {
  readonly name: string
  readonly payload: Uint8Array
  /** Lamport time of events. */
  readonly time: number
  readonly canCoalesce: boolean
}

/** An event that came without its payload, which could not be fetched. */
export interface LostEvent {
  readonly name: string
  readonly time: number
  /** Who sent it. */
  readonly from: string
  /** Of its payload. */
  readonly bytes: number
  readonly error: PolycastError
}

export interface EventOptions {
  /** Of several with this name that come shortly after each other, handlers need the last one alone. */
  readonly canCoalesce?: boolean
  /** Wait for the receipts of all nodes. */
  readonly wantsReport?: boolean
}

/** Who has got an event. Members that are agents of Serf give no receipts and are not counted. */
export interface EventReport {
  readonly reached: number
  readonly of: number
  readonly missing: readonly string[]
}

export interface QueryOptions {
  readonly filters?: readonly QueryFilter[]
  /** Every member that the query is for acknowledges it. */
  readonly wantsAck?: boolean
  /** Answers come by way of so many other members as well. */
  readonly relayFactor?: number
  /** By default what the size of the cluster asks for. */
  readonly timeoutMs?: number
}

export type QueryReply =
  | { readonly type: 'ack'; readonly from: string }
  | { readonly type: 'response'; readonly from: string; readonly payload: Uint8Array }

/** A query that this node is meant by. */
export interface IncomingQuery {
  /** For `respond`. */
  readonly id: number
  readonly name: string
  readonly payload: Uint8Array
  readonly from: string
  readonly time: number
  /** Answers after this come too late, ms since 1970. */
  readonly deadlineAt: number
}

/** A key of a node's state; the value is undefined once it is gone. */
export interface StateChange {
  readonly node: string
  readonly key: string
  readonly value: Uint8Array | undefined
  readonly generation: number
  readonly version: number
}

/** What the members answered to a change of keys, or to the question for them. */
export interface KeyReport {
  /** Members that were asked, that answered, and that answered with an error. */
  readonly members: number
  readonly responses: number
  readonly errors: number
  /** Names of members that are down and did not answer: they come back with the keys that they had. */
  readonly absent: readonly string[]
  /** By member: what went wrong. */
  readonly messages: Readonly<Record<string, string>>
  /** By key, in base64: how many members have it; and as primary key. */
  readonly keys: Readonly<Record<string, number>>
  readonly primaryKeys: Readonly<Record<string, number>>
}

/** One member, address or the node itself, and what is wrong with it. */
export interface Examination {
  readonly name: string
  /** `host:port`; the target as it was given where that stands for none. */
  readonly address: string
  /** This node itself, an address of no member, or how the member stands. */
  readonly status: 'self' | 'unknown' | GossipMember['status']
  /** The cause first; none where all is well. */
  readonly findings: readonly Finding[]
}

/** What was found when members were examined. */
export interface DoctorReport {
  /** Who looked. */
  readonly node: string
  /** This node first. */
  readonly examined: readonly Examination[]
  /** Members that were left out because there are so many. */
  readonly skipped: number
  /** Of this node; undefined where a member was named, or multicast is off. */
  readonly multicast: MulticastReport | undefined
}

/** One node's view of the cluster, and its voice in it. */
export interface Gossip extends Membership {
  /** All members with what gossip knows of them, sorted by name. */
  gossipMembers(): GossipMember[]
  /** Calls back with each thing that becomes of a member; the function returned ends it. */
  onMemberEvent(listener: (event: MemberEvent) => void): () => void
  /** The whole new set of tags of this node; rejects with `bad-request` where they are not allowed. */
  setTags(tags: Readonly<Record<string, string>>): Promise<void>
  /** Makes a failed member a left one, or with `isPrune` has all forget it at once, whether it is known here or not. */
  forget(name: string, options: { readonly isPrune: boolean }): Promise<void>
  /** Why a member is not alive; undefined for one that is, or is not known. */
  explain(name: string): Promise<Verdict | undefined>

  /**
   * Sends an event to all; a long payload goes by the swarm. Resolves once it is on its way, or with the report that is wanted. Rejects
   * with `bad-request` where it is too long, and where a payload is shared: `overloaded`, `no-space`, `quota-exceeded`.
   */
  event(name: string, payload: Uint8Array, options?: EventOptions): Promise<EventReport | undefined>
  onEvent(listener: (event: UserEventRecord) => void): () => void
  /** Calls back with each event whose payload could not be fetched, in place of the event. */
  onLostEvent(listener: (event: LostEvent) => void): () => void
  /** Asks all that the filters match; resolves when the time is over, or `signal` ends it. */
  query(
    name: string,
    payload: Uint8Array,
    options: QueryOptions,
    onReply: (reply: QueryReply) => void,
    signal?: AbortSignal,
  ): Promise<{ acks: number; responses: number }>
  onQuery(listener: (query: IncomingQuery) => void): () => void
  respond(id: number, payload: Uint8Array): Promise<void>

  /** The state of a node, by key; empty where nothing is known. */
  state(node: string): Promise<ReadonlyMap<string, Uint8Array>>
  /** Sets a key of this node's own state; `ttlMs` after which it goes by itself. Rejects with `bad-request` beyond the limits. */
  setState(key: string, value: Uint8Array, ttlMs?: number): Promise<void>
  removeState(key: string): Promise<void>
  /** Calls back with each change of any node's state; the function returned ends it. */
  onState(listener: (change: StateChange) => void): () => void

  /** Changes keys on all members, or asks for them. Rejects with `bad-request` where gossip is not encrypted. */
  keys(operation: 'install' | 'use' | 'remove' | 'list', key?: Uint8Array): Promise<KeyReport>
  /** Where a member is in the space of round-trip times; this node where no name is given. */
  coordinate(name?: string): Promise<Coordinate | undefined>
  /** Examines a member or an address, or this node and its members, by asking them; takes some seconds. */
  doctor(target?: string): Promise<DoctorReport>
  /** Counters of the machines, by name. */
  gossipStats(): Promise<Record<string, number>>
}
