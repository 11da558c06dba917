/** What goes into and comes out of a `SwimMachine`, and what can be set. */
import type { Random } from '../lib/random.ts'
import type { MemberSnapshot } from './member-snapshot.ts'
import type { Endpoint, MemberRecord, PacketMessage, Ping, ProtocolVersions, PushPull, StreamMessage, User } from './messages.ts'
import type { GossipProfile } from './profile.ts'
import type { ProbeEvidence, Verdict } from './verdict.ts'

export type SwimInput =
  /** A packet came; its messages in their order. */
  | { readonly type: 'packet'; readonly from: Endpoint; readonly messages: readonly PacketMessage[] }
  /** A packet could not even be sent. */
  | { readonly type: 'send-failed'; readonly to: Endpoint; readonly reason: string }
  /** Somebody opened a stream and sent this; `request` is the shell's name for it, to answer it by. */
  | { readonly type: 'stream-opened'; readonly request: number; readonly from: Endpoint; readonly message: StreamMessage }
  /** The answer on a stream that this machine asked for. */
  | { readonly type: 'stream-answered'; readonly stream: number; readonly message: StreamMessage }
  /** Such a stream could not be opened, or broke before the answer. `isRefused`: the host is there, and nothing listens at the port. */
  | { readonly type: 'stream-failed'; readonly stream: number; readonly reason: string; readonly isRefused?: boolean }
  /** Exchange everything with these, to become a member of their cluster. */
  | { readonly type: 'join'; readonly endpoints: readonly Endpoint[] }
  /** Tell all that this member goes. */
  | { readonly type: 'leave' }
  /** What this member says of itself has changed. */
  | { readonly type: 'meta'; readonly meta: Uint8Array }
  /** Look whether anybody answers by this member's name at these endpoints. */
  | { readonly type: 'check-claimants'; readonly endpoints: readonly Endpoint[] }

export type SwimOutput =
  /** Send messages in one packet. `node` is the receiver's name where it is known. */
  | { readonly type: 'send'; readonly to: Endpoint; readonly node: string | undefined; readonly messages: readonly PacketMessage[] }
  /** Open a stream, send the message, and wait for the answer until `close-stream`. */
  | {
      readonly type: 'open-stream'
      readonly stream: number
      readonly to: Endpoint
      readonly node: string | undefined
      readonly message: Ping | PushPull
    }
  /** The answer does not matter any more. */
  | { readonly type: 'close-stream'; readonly stream: number }
  /** Send this on a stream that another one opened, and close it. */
  | { readonly type: 'answer'; readonly request: number; readonly message: StreamMessage }
  /** Close such a stream without an answer. */
  | { readonly type: 'refuse'; readonly request: number }
  /** A member is there that was not, or is there again. */
  | { readonly type: 'joined'; readonly member: MemberRecord }
  /** A member says something else of itself. */
  | { readonly type: 'updated'; readonly member: MemberRecord }
  /** A member may be gone. */
  | { readonly type: 'suspected'; readonly member: MemberRecord; readonly verdict: Verdict }
  /** A suspected member has refuted. */
  | { readonly type: 'cleared'; readonly member: MemberRecord }
  /** A member is gone without having said so. */
  | { readonly type: 'failed'; readonly member: MemberRecord; readonly verdict: Verdict }
  /** A member went as it had said. */
  | { readonly type: 'left'; readonly member: MemberRecord; readonly verdict: Verdict }
  /** A member that was gone for long is not in the table any more. */
  | { readonly type: 'forgotten'; readonly member: MemberRecord }
  /** Two claim one name: the one known by it, and another with another address. */
  | { readonly type: 'conflict'; readonly member: MemberRecord; readonly other: MemberRecord }
  /** The first of the endpoints to be checked that answers by this member's name; undefined when none does. */
  | { readonly type: 'claimants-checked'; readonly answering: Endpoint | undefined }
  /** Somebody said that this member is suspect, dead, or another than it is, and it has contradicted. */
  | { readonly type: 'refuted'; readonly accusation: 'suspect' | 'dead' | 'alive'; readonly by: string; readonly incarnation: number }
  /**
   * A member answered a probe. `rttMs` is undefined unless the direct ping was answered in time, without which it says nothing about the
   * network; `payload` is the layer's above.
   */
  | {
      readonly type: 'probed'
      readonly node: string
      readonly rttMs: number | undefined
      readonly payload: Uint8Array | undefined
    }
  /** A member answers on streams and not to packets: something between the two drops them. */
  | { readonly type: 'packets-lost'; readonly node: string; readonly evidence: ProbeEvidence }
  /** An exchange of everything has ended; `error` says why it failed. */
  | {
      readonly type: 'exchanged'
      readonly to: Endpoint
      readonly node: string | undefined
      readonly isJoin: boolean
      readonly error: string | undefined
    }
  /** Bytes for the layer above. */
  | { readonly type: 'user'; readonly from: Endpoint; readonly bytes: Uint8Array }
  /** The other side's state of the layer above. */
  | { readonly type: 'user-state'; readonly from: Endpoint; readonly isJoin: boolean; readonly bytes: Uint8Array }
  /** This machine was called that much too late: nobody is accused for what may have come meanwhile. */
  | { readonly type: 'held-up'; readonly forMs: number }
  /** The end of a leave: the others know, or the time for telling them is over. */
  | { readonly type: 'departed'; readonly isTold: boolean }

/** What the machine asks of the layer above while it puts together a message. */
export interface GossipLayer {
  /** Messages for a packet, of at most so many bytes in sum by `messageBytes`. */
  broadcasts(freeBytes: number, sendLimit: number): readonly User[]
  /** Whether it has any. */
  hasBroadcasts(): boolean
  /** What an ack carries. */
  ackPayload(): Uint8Array | undefined
  /** Whether the next ack of a member that would leave it out is to carry it. */
  wantsPayload(): boolean
  /** What an exchange of everything carries. */
  localState(isJoin: boolean): Uint8Array
}

export interface SwimOptions {
  /** The name, one of its kind in the cluster. */
  readonly node: string
  /** Where others reach this member. */
  readonly endpoint: Endpoint
  /** What it says of itself. */
  readonly meta: Uint8Array
  readonly versions: ProtocolVersions
  readonly profile: GossipProfile
  readonly random: Random
  /** The bytes that a message takes in a packet, with what a packet adds for it. */
  readonly messageBytes: (message: PacketMessage) => number
  /** The bytes of messages that a packet holds. */
  readonly packetBytes: number
  readonly layer?: GossipLayer
  /**
   * Whether a member understands what pings and acks have beside memberlist's fields, and answers to where a packet came from; without
   * it, none does.
   */
  readonly isPeer?: (node: string) => boolean
  /**
   * For how long a member must have been dead before another one may come by its name at another address, ms; never unless it is given.
   * The name of one that left is free at once.
   */
  readonly reclaimAfterMs?: number | undefined
  /**
   * Members that are known from the start. Where this member itself is among them, its incarnation follows on; and if it is alive there
   * and says the same of itself, the others are taken to know it, and it doesn't announce itself. Not held to `maxMembers`.
   */
  readonly members?: MemberSnapshot
  readonly limits?: Partial<SwimLimits>
}

export interface SwimLimits {
  /** Members at the most; more are not taken in. */
  readonly maxMembers: number
  /** UTF-16 units of a name. */
  readonly maxNameLength: number
  /** Bytes of what a member says of itself. */
  readonly maxMetaBytes: number
  /** Messages waiting to be spread; then those that were sent most often give way. */
  readonly maxBroadcasts: number
  /** Pings made for others at a time; more are not made. */
  readonly maxRelayed: number
  /** Probes under way, beside the one of the round and the one on the ring; more suspicions are left to others to confirm. */
  readonly maxConfirming: number
  /** Exchanges that wait for an answer; more joins fail at once. */
  readonly maxExchanges: number
  /** How long a leave may take, ms. */
  readonly leaveTimeoutMs: number
}

export const DEFAULT_SWIM_LIMITS: SwimLimits = {
  maxMembers: 100_000,
  maxNameLength: 255,
  maxMetaBytes: 512,
  maxBroadcasts: 16_384,
  maxRelayed: 512,
  maxConfirming: 16,
  maxExchanges: 128,
  leaveTimeoutMs: 5000,
}

/** How a member stands, for diagnosis. */
export interface SwimStatus {
  readonly alive: number
  readonly suspect: number
  readonly dead: number
  readonly left: number
  readonly incarnation: number
  /** 0 for healthy, see `awareness.ts`. */
  readonly healthScore: number
  readonly queuedBroadcasts: number
  readonly droppedBroadcasts: number
  /** Messages that no honest member sends, and members beyond the limit. */
  readonly refusedMessages: number
  /** Pings for others that were not made because too many were under way. */
  readonly refusedRelays: number
  /** Packets that could not be sent. */
  readonly failedSends: number
  /** Probes of suspected members that were not made because too many were under way. */
  readonly skippedProbes: number
}
