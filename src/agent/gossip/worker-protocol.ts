/**
 * What the main thread and the gossip worker say to each other: calls by method name with an id, their results, and events. Plain values
 * only, for they are copied from thread to thread.
 */
import type { Coordinate, QueryFilter } from '../../core/gossip/serf-messages.ts'
import type { ProfileName } from '../../core/gossip/profile.ts'
import type { Verdict } from '../../core/gossip/verdict.ts'
import type { ReachEntry } from '../../core/multicast/reach/reach-types.ts'
import type { FromAnyWorker, WorkerCall } from '../worker-thread.ts'
import type {
  DoctorReport,
  EventReport,
  IncomingQuery,
  MemberEvent,
  GossipMember,
  QueryReply,
  StateChange,
  UserEventRecord,
} from './gossip.ts'

/** What the worker has to know from the start. */
export interface GossipWorkerOptions {
  readonly name: string
  readonly bind: string
  /** IP address that others reach this node at. */
  readonly advertise: string
  readonly port: number
  readonly swarmPort: number
  readonly tags: Readonly<Record<string, string>>
  /** `serf` has the times of Serf's own agents in everything. */
  readonly profile: ProfileName
  readonly label: string
  readonly isCompressing: boolean
  /** Where the key ring is kept; undefined for plain gossip. */
  readonly keyFile: string | undefined
  /** Where it is noted who was there, for a start without any address to join; undefined for nowhere. */
  readonly snapshotFile: string | undefined
  /** Where the number of starts is kept. */
  readonly generationFile: string
  /** How long a failed member is tried to be reached, and one that left is remembered, ms. */
  readonly reconnectTimeoutMs: number
  readonly tombstoneTimeoutMs: number
  /** Where beacons of multicast are sent; undefined for no multicast. */
  readonly multicast: { readonly port: number; readonly ttl: number } | undefined
}

/** How an attempt to join an address ended. */
export interface JoinOutcome {
  readonly address: string
  /** Undefined where it worked; this node's own address counts as neither. */
  readonly error: string | undefined
  readonly isSelf: boolean
}

/** Method → parameters and result. */
export interface GossipMethods {
  /** With `onlyMissing` those at whose address a live member is known are left alone. */
  join: { params: { addresses: readonly string[]; onlyMissing: boolean }; result: JoinOutcome[] }
  leave: { params: null; result: { isTold: boolean } }
  setTags: { params: { tags: Readonly<Record<string, string>> }; result: void }
  forget: { params: { name: string; isPrune: boolean }; result: void }
  explain: { params: { name: string }; result: Verdict | undefined }
  event: {
    params: { name: string; payload: Uint8Array; canCoalesce: boolean; wantsReport: boolean }
    result: EventReport | undefined
  }
  query: {
    params: {
      queryId: number
      name: string
      payload: Uint8Array
      filters: readonly QueryFilter[]
      wantsAck: boolean
      relayFactor: number
      timeoutMs: number | undefined
    }
    result: { acks: number; responses: number }
  }
  cancelQuery: { params: { queryId: number }; result: void }
  respond: { params: { id: number; payload: Uint8Array }; result: void }
  state: { params: { node: string }; result: ReadonlyMap<string, Uint8Array> }
  setState: { params: { key: string; value: Uint8Array; ttlMs: number | undefined }; result: void }
  removeState: { params: { key: string }; result: void }
  /** The keys of the ring, the primary one first; changing them goes through queries. */
  ringKeys: { params: null; result: readonly Uint8Array[] }
  coordinate: { params: { name: string | undefined }; result: Coordinate | undefined }
  /** Somebody will soon send to many members. */
  reachWanted: { params: null; result: void }
  doctor: { params: { target: string | undefined }; result: DoctorReport }
  stats: { params: null; result: Record<string, number> }
  close: { params: null; result: void }
}

export type GossipMethod = keyof GossipMethods

export type ToGossipWorker = WorkerCall<GossipMethod>

/** What the worker says when it is ready: its port, itself, and who its snapshot says was there. */
export interface GossipReady {
  readonly port: number
  readonly self: GossipMember
  readonly rejoin: readonly string[]
}

export type FromGossipWorker = FromAnyWorker<GossipReady> | GossipWorkerEvent

export type GossipWorkerEvent =
  | { readonly type: 'member'; readonly event: MemberEvent }
  /** Of this node itself, without being an event: its incarnation, after it has contradicted somebody. */
  | { readonly type: 'self'; readonly self: GossipMember }
  | { readonly type: 'user-event'; readonly event: UserEventRecord }
  | { readonly type: 'query'; readonly query: IncomingQuery }
  | { readonly type: 'query-reply'; readonly queryId: number; readonly reply: QueryReply }
  | { readonly type: 'state'; readonly change: StateChange }
  /** Who is reached by multicast, all of it, after each change. */
  | { readonly type: 'reach'; readonly entries: readonly ReachEntry[] }
  /** Another node has this node's name, and keeps it. */
  | { readonly type: 'conflict-lost'; readonly address: string; readonly reason: string }
  | { readonly type: 'log'; readonly level: 'debug' | 'info' | 'warn'; readonly message: string; readonly fields: Record<string, unknown> }
