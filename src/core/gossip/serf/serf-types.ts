/** What goes into and comes out of a `SerfMachine`, and what can be set. */
import type { Keyring } from '../keyring.ts'
import type { Endpoint, MemberRecord, ProtocolVersions, User } from '../messages.ts'
import type { Query, QueryFilter, UserEvent } from '../serf-messages.ts'
import type { SwimInput, SwimOptions, SwimOutput } from '../swim-types.ts'
import type { Verdict } from '../verdict.ts'
import type { SerfTimes } from './serf-profile.ts'

export type SerfStatus = 'alive' | 'leaving' | 'left' | 'failed'

/** A member as this one knows it. */
export interface SerfMember {
  readonly name: string
  readonly address: Uint8Array
  readonly port: number
  readonly tags: ReadonlyMap<string, string>
  readonly status: SerfStatus
  /** Alive or leaving as it is, it did not answer somebody. */
  readonly isSuspect: boolean
  readonly incarnation: number
  readonly versions: ProtocolVersions | undefined
  /** The Lamport time of the last intent that counted. */
  readonly statusTime: number
  /** When the status last changed, ms. */
  readonly changedAt: number
  /** The last round trip of a probe to it, ms. */
  readonly lastRttMs: number | undefined
}

/** What happens on the network: as of the membership machine. */
export type TransportInput = Extract<
  SwimInput,
  { readonly type: 'packet' | 'send-failed' | 'stream-opened' | 'stream-answered' | 'stream-failed' }
>

export type SerfInput =
  | TransportInput
  /** Exchange everything with these, to become a member of their cluster; events from before can be left out. */
  | { readonly type: 'join'; readonly endpoints: readonly Endpoint[]; readonly ignoreOldEvents: boolean }
  /** Tell all that this member is about to go, then that it goes. */
  | { readonly type: 'leave' }
  /** What this member says of itself, all of it. */
  | { readonly type: 'tags'; readonly tags: ReadonlyMap<string, string> }
  /** Tell all that something happened. */
  | { readonly type: 'event'; readonly name: string; readonly payload: Uint8Array; readonly canCoalesce: boolean }
  /** Ask all that the filters match; `query` is the caller's number for it. */
  | {
      readonly type: 'query'
      readonly query: number
      readonly name: string
      readonly payload: Uint8Array
      readonly filters: readonly QueryFilter[]
      readonly wantsAck: boolean
      readonly relayFactor: number
      readonly timeoutMs: number | undefined
    }
  /** Answer a query that came, by its number of the output. */
  | { readonly type: 'respond'; readonly request: number; readonly payload: Uint8Array }
  /** Have a failed member count as left; forget it at once where that is wanted. */
  | { readonly type: 'force-leave'; readonly node: string; readonly isPrune: boolean }
  /** A whole event or query that came by another way than gossip. */
  | { readonly type: 'spread'; readonly bytes: Uint8Array }
  /** Bytes for the same layer above at another member, by packet where they fit, else by a stream. */
  | { readonly type: 'send-extension'; readonly to: string; readonly bytes: Uint8Array }

export type MemberChange = 'joined' | 'updated' | 'suspected' | 'cleared' | 'failed' | 'left' | 'leaving' | 'reaped'

export type SerfOutput =
  | Extract<
      SwimOutput,
      {
        readonly type:
          | 'send'
          | 'open-stream'
          | 'close-stream'
          | 'answer'
          | 'refuse'
          | 'refuted'
          | 'packets-lost'
          | 'held-up'
          | 'exchanged'
          | 'departed'
      }
    >
  /** Open a stream, write this, close it; nothing is answered. A failure comes back as `send-failed`. */
  | { readonly type: 'send-stream'; readonly to: Endpoint; readonly node: string | undefined; readonly message: User }
  /** A member, this one too, is other than before; the verdict is why it is thought to be gone. */
  | { readonly type: 'member'; readonly change: MemberChange; readonly member: SerfMember; readonly verdict: Verdict | undefined }
  /** An event, this member's own too; each comes once. */
  | { readonly type: 'event'; readonly event: UserEvent }
  /** A query for this member, to be answered before its end. */
  | { readonly type: 'query'; readonly request: number; readonly query: Query; readonly deadlineAt: number }
  /** A member got the query. */
  | { readonly type: 'query-ack'; readonly query: number; readonly from: string }
  /** A member answered it. */
  | { readonly type: 'query-response'; readonly query: number; readonly from: string; readonly payload: Uint8Array }
  /** The query's time is over. */
  | { readonly type: 'query-done'; readonly query: number; readonly acks: number; readonly responses: number }
  /** The key ring was changed by a query; it is to be kept. */
  | { readonly type: 'key-change'; readonly operation: 'install' | 'use' | 'remove'; readonly key: Uint8Array }
  /** An event or query of this member's own, whole, for another way of spreading beside gossip. */
  | { readonly type: 'spread'; readonly bytes: Uint8Array }
  /** What the layer above at a member sent by `send-extension`. */
  | { readonly type: 'extension'; readonly from: string; readonly bytes: Uint8Array }
  /** Two claim one name: the one known by it, and another with another address. */
  | { readonly type: 'conflict'; readonly member: MemberRecord; readonly other: MemberRecord }
  /** Most members know another one by this member's name, which does not answer any more: this one stays, until they know. */
  | { readonly type: 'name-kept'; readonly reason: string }
  /** Most members know another one by this member's name: this one has to stop. */
  | { readonly type: 'conflict-lost'; readonly reason: string }
  /** A line for the snapshot, without its end. */
  | { readonly type: 'snapshot'; readonly line: string }
  /** An input was not carried out; `query` where it was one. */
  | { readonly type: 'rejected'; readonly input: SerfInput['type']; readonly reason: string; readonly query: number | undefined }

/** As of the membership machine, but for what this layer fills in. */
export interface SerfOptions extends Omit<SwimOptions, 'meta' | 'layer' | 'isPeer'> {
  readonly tags: ReadonlyMap<string, string>
  /** Changed by queries; undefined where the cluster does not encrypt. */
  readonly keyring: Keyring | undefined
  /** The lines of the snapshot of an earlier run. */
  readonly snapshot?: readonly string[]
  /** Whether a snapshot counts that ends with a leave. */
  readonly rejoinsAfterLeave?: boolean
  /** Whether a member also understands this project's ways of spreading; without it, none does. */
  readonly isPolycast?: (member: SerfMember) => boolean
  readonly times?: Partial<SerfTimes>
  readonly serfLimits?: Partial<SerfLimits>
}

export interface SerfLimits {
  /** Name and payload of an event that goes by gossip, bytes; Serf's own agents refuse to send more than 9 KiB. */
  readonly maxEventBytes: number
  /** Name and payload of an event where all members have another way than gossip, bytes. */
  readonly maxSpreadEventBytes: number
  /** A query, and a response, with all their fields, bytes. */
  readonly maxQueryBytes: number
  /** Lamport times for which events and queries are remembered, so that each counts once; 8192 at most. */
  readonly eventBuffer: number
  /** Events, or queries, of one time; further ones are dropped. 1024 at most. */
  readonly maxEventsAtOnce: number
  /** Bytes of the events that are remembered; then the oldest are forgotten, and do not count when they come again. */
  readonly maxEventBufferBytes: number
  /** Members that are not known yet whose intents are kept; then the oldest is forgotten. */
  readonly maxIntents: number
  /** Messages of each kind that wait for being spread; then what was sent most often gives way. */
  readonly maxQueued: number
  /** Queries of this member's own that are open; further ones are rejected. */
  readonly maxOpenQueries: number
  /** Queries of others that are not answered yet; then the oldest is forgotten. */
  readonly maxOpenRequests: number
  /** Attempts to reach failed members at a time. */
  readonly maxReconnects: number
}

/** The most that Serf's own agents take of an event, name and payload, bytes. */
export const SERF_EVENT_CAP_BYTES: number = 9 * 1024

export const DEFAULT_SERF_LIMITS: SerfLimits = {
  maxEventBytes: 512,
  maxSpreadEventBytes: 65_535,
  maxQueryBytes: 1024,
  eventBuffer: 512,
  maxEventsAtOnce: 64,
  maxEventBufferBytes: 4 * 1024 * 1024,
  maxIntents: 4096,
  maxQueued: 4096,
  maxOpenQueries: 1024,
  maxOpenRequests: 1024,
  maxReconnects: 8,
}

/** What `serf info` tells, and what was dropped. */
export interface SerfStats {
  readonly members: number
  readonly failed: number
  readonly left: number
  readonly memberTime: number
  readonly eventTime: number
  readonly queryTime: number
  readonly intentQueue: number
  readonly eventQueue: number
  readonly queryQueue: number
  /** Messages that gave way in those queues. */
  readonly droppedIntents: number
  readonly droppedEvents: number
  readonly droppedQueries: number
  /** Messages of this layer that could not be read or that no honest member sends. */
  readonly refusedMessages: number
  /** Events and queries that came too late to know whether they came before. */
  readonly staleMessages: number
  /** Responses beyond the first of a member, and such to no open query. */
  readonly strayResponses: number
  /** Queries of others that were forgotten before they were answered. */
  readonly droppedRequests: number
  readonly healthScore: number
  readonly isEncrypted: boolean
  readonly coordinateResets: number
  readonly failedReconnects: number
}
