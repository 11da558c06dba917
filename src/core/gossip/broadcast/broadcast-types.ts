/**
 * What goes into and comes out of the broadcast machine, what can be set, and what it counts. docs/specs/06-broadcast.md.
 */
import type { Random } from '../../lib/random.ts'
import type { BroadcastMessageType } from './broadcast-messages.ts'

/** What the machine is told. */
export type BroadcastInput =
  /** Bytes of another machine's `send` came in; nothing of them is kept. */
  | { type: 'message'; from: string; bytes: Uint8Array }
  /** A member that speaks this protocol is there. */
  | { type: 'member-up'; node: string }
  /** A member is gone, or thought to be. */
  | { type: 'member-down'; node: string }
  /** Members that one datagram of this node reaches, all of them at once, and how many bytes of a shout it holds. */
  | { type: 'reached'; nodes: ReadonlySet<string>; maxBytes: number }
  /** Bytes of another machine's `shout` came in. */
  | { type: 'shouted'; bytes: Uint8Array }
  /** An event for all; `broadcast` is the caller's own number and comes back in the report. */
  | { type: 'broadcast'; broadcast: number; payload: Uint8Array; wantsReport: boolean }

/** What the machine wants done. */
export type BroadcastOutput =
  /** Bytes for another member; they may be lost, delayed, doubled or reordered. */
  | { type: 'send'; to: string; bytes: Uint8Array }
  /** Bytes for all that one datagram reaches; they may be lost, as those of `send` may. */
  | { type: 'shout'; bytes: Uint8Array }
  /** An event of another member, once each; nobody changes `payload`. */
  | { type: 'deliver'; origin: string; payload: Uint8Array; hops: number }
  /** Who has an event that a report was wanted of: `reached` of `of` other members, without the origin. */
  | { type: 'report'; broadcast: number; reached: number; of: number; missing: readonly string[] }
  /** Something of a member, or of the caller (then `from` is this node), that is not taken. */
  | { type: 'refused'; from: string; reason: string }

export interface BroadcastSettings {
  /** Neighbours that a node looks for. More: the tree is flatter and survives more, and each event costs more announcements. */
  readonly activeView: number
  /** Neighbours beyond `activeView` that a node accepts. */
  readonly viewSlack: number
  /** How long members' comings are gathered before neighbours are looked for, ms; also the pause before one more is asked. */
  readonly settleMs: number
  /** How long a request for neighbourhood waits for its answer, ms. */
  readonly requestTimeoutMs: number
  /** How long ids gather before they are announced, ms. More: fewer messages, later repair. */
  readonly announceDelayMs: number
  /** The longest wait for a payload that was announced, unless 2.5 round trips are longer, ms; experience shortens it. */
  readonly patienceMs: number
  /** The round trip assumed before one was measured, ms. */
  readonly firstRoundTripMs: number
  /** How often what one has is compared with a neighbour's, ms. */
  readonly antiEntropyMs: number
  /** How often the root pulses through the tree when nothing changes, ms. */
  readonly pulseIntervalMs: number
  /** How soon after a change of the members it does, ms, and four times that between two pulses. */
  readonly pulseDelayMs: number
  /** When a report is given at the latest, ms. */
  readonly reportTimeoutMs: number
  /** How long a gap in an origin's numbers is looked for, ms. */
  readonly gapTimeoutMs: number
  /** How long a payload is kept for others, ms; what is known of its origin is kept twice as long. */
  readonly cacheMs: number
  /** How old the events are that a newcomer gets, ms; 0: only those after it came. */
  readonly newcomerMs: number
  /** The largest payload that is sent again unasked where no acknowledgement came, bytes; larger ones are announced again. */
  readonly resendBytes: number
  /** Largest payload; a larger one is refused. */
  readonly maxPayloadBytes: number
  /** Payloads kept; the oldest goes. */
  readonly maxCachedMessages: number
  /** Their bytes; the oldest goes. */
  readonly maxCachedBytes: number
  /** Origins remembered; the one silent for longest goes. */
  readonly maxOrigins: number
  /** Numbers of an origin above its first gap that are remembered; more, and the gap is given up. */
  readonly maxAhead: number
  /** Ids announced and waited for; further ones are passed over. */
  readonly maxMissing: number
  /** Of these, ids that one member was the first to announce. */
  readonly maxMissingPerMember: number
  /** Payloads that one member can ask for in a second; further ones are not answered. */
  readonly maxGraftsPerSec: number
  /** Requests for neighbourhood that one member can make in a second; further ones are refused. */
  readonly maxRequestsPerSec: number
  /** Members that one datagram has to reach for an event to be shouted. */
  readonly minShoutMembers: number
  /** Reports under way at the origin; a further event goes without, and a report says at once that none was made. */
  readonly maxReports: number
  /** Reports under way for others; the oldest is sent on early. */
  readonly maxRelayedReports: number
  /** Members that the origin asks itself at the end. */
  readonly maxAsked: number
}

export const DEFAULT_BROADCAST_SETTINGS: BroadcastSettings = {
  activeView: 5,
  viewSlack: 3,
  settleMs: 100,
  requestTimeoutMs: 200,
  announceDelayMs: 40,
  patienceMs: 100,
  firstRoundTripMs: 40,
  antiEntropyMs: 2500,
  pulseIntervalMs: 15_000,
  pulseDelayMs: 500,
  reportTimeoutMs: 3000,
  gapTimeoutMs: 30_000,
  cacheMs: 120_000,
  newcomerMs: 0,
  resendBytes: 512,
  maxPayloadBytes: 65_536,
  maxCachedMessages: 1024,
  maxCachedBytes: 4 * 1024 * 1024,
  maxOrigins: 4096,
  maxAhead: 1024,
  maxMissing: 1024,
  maxMissingPerMember: 256,
  maxGraftsPerSec: 256,
  maxRequestsPerSec: 10,
  minShoutMembers: 2,
  maxReports: 16,
  maxRelayedReports: 64,
  maxAsked: 256,
}

export interface BroadcastOptions {
  /** This node's own name, as the others know it. */
  readonly node: string
  /** Must differ between two lives of a node: the id of its events is drawn from it. */
  readonly random: Random
  readonly settings?: Partial<BroadcastSettings>
}

/** Counters since the start, and sizes of now. */
export interface BroadcastStats {
  readonly payloadsSent: number
  readonly payloadsReceived: number
  /** Payloads that went to all that one datagram reaches, and those that came so. */
  readonly shoutsSent: number
  readonly shoutsReceived: number
  /** Payloads that were here already. */
  readonly duplicates: number
  /** Payloads sent again or on request. */
  readonly repairs: number
  readonly graftsSent: number
  readonly graftsReceived: number
  readonly prunesSent: number
  readonly prunesReceived: number
  /** Ids announced, not messages. */
  readonly ihavesSent: number
  readonly ihavesReceived: number
  readonly bytesSent: Readonly<Record<BroadcastMessageType, number>>
  readonly bytesReceived: Readonly<Record<BroadcastMessageType, number>>
  /** The smoothed time from question to answer, ms. */
  readonly roundTripMs: number
  readonly members: number
  readonly neighbours: number
  readonly eagerNeighbours: number
  readonly cachedMessages: number
  readonly cachedBytes: number
  readonly origins: number
  readonly missing: number
  readonly dropped: Readonly<BroadcastDrops>
}

/** What was let go because of a limit, or as broken. */
export interface BroadcastDrops {
  malformed: number
  oversized: number
  /** Messages of who is no member. */
  strangers: number
  evictedMessages: number
  evictedOrigins: number
  /** Numbers of an origin that nobody had any more. */
  gaps: number
  announcements: number
  grafts: number
  requests: number
  reports: number
}
