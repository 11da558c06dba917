/**
 * What goes into and comes out of `MulticastSender` and `MulticastReceiver`, and what can be set. Times are ms of the caller's own
 * monotonic clock, fractions counted: on a LAN a round trip is a fifth of one.
 */
import type { Random } from '../lib/random.ts'
import type { ErasureCode, RateControl, SessionCipher, SessionParameters } from './session-types.ts'

export type SenderInput =
  /** These were sent an invitation: the session begins once all of them are there, and may begin without the last ones. */
  | { readonly type: 'invited'; readonly names: readonly string[] }
  /** The next block, of at most `sender.maxPayloadBytes` bytes; only as many as `want-blocks` asked for. May be empty. */
  | { readonly type: 'block'; readonly payload: Uint8Array }
  /** There is no other block. */
  | { readonly type: 'end' }
  /** A datagram came to the control address. `from` tells apart who sends, for the limits: nothing is ever sent there. */
  | { readonly type: 'packet'; readonly from: string; readonly bytes: Uint8Array }
  /** End now, and tell the group. */
  | { readonly type: 'stop' }

/** Why a session is over for its sender: all was sent and nobody asks for more; `stop`; or there is nobody (left) to send to. */
export type SenderEnd = 'complete' | 'stopped' | 'nobody'

/**
 * Why a receiver is no member any more: it has everything; it went by itself; `rate.takeSlow` named it; nothing came from it for too long;
 * or it joined and multicast doesn't reach it, as it never said that it hears.
 */
export type GoneReason = 'complete' | 'left' | 'slow' | 'silent' | 'unreached'

export type SenderOutput =
  /** So many more blocks can be taken now. Comes first when the session begins, after the `joined` of those who are there. */
  | { readonly type: 'want-blocks'; readonly count: number }
  /** A receiver has joined; `app` is what it says of its needs, `receiver` its index (that of the reports). */
  | { readonly type: 'joined'; readonly name: string; readonly receiver: number; readonly app: Uint8Array }
  /** A receiver hears the group: proven, since it answered what came by it. */
  | { readonly type: 'reached'; readonly name: string; readonly receiver: number }
  /** A receiver is no member any more. */
  | { readonly type: 'gone'; readonly name: string; readonly receiver: number; readonly reason: GoneReason }
  /** Send this datagram; it is an array of its own. */
  | { readonly type: 'send'; readonly bytes: Uint8Array }
  /** The session is over; the machine does nothing more. */
  | { readonly type: 'finished'; readonly reason: SenderEnd }

export type ReceiverInput =
  /** A datagram came, to the group or to this socket; the bytes may be used again afterwards. */
  | { readonly type: 'packet'; readonly bytes: Uint8Array }
  /** This host's own socket has dropped so many datagrams since it was last said. */
  | { readonly type: 'overrun'; readonly packets: number }
  /** This block is not needed any more: what it holds came another way. */
  | { readonly type: 'skip'; readonly block: number }
  /** Go, and tell the sender. */
  | { readonly type: 'leave' }

/**
 * Why a session is over for a receiver: all blocks were decoded or given up; it had joined, and nothing came for too long, or (`unreached`)
 * never anything; the sender put it out for being too slow (`expelled`) or had no place for it (`refused`); the sender stopped; or `leave`.
 */
export type ReceiverEnd = 'complete' | 'silent' | 'unreached' | 'expelled' | 'refused' | 'stopped' | 'left'

export type ReceiverOutput =
  /** The first authentic packet of the session came. */
  | { readonly type: 'heard' }
  /** The sender knows this receiver; blocks before `firstBlock` were sent before it came. */
  | { readonly type: 'welcomed'; readonly receiver: number; readonly firstBlock: number }
  /** A block; the payload is the caller's to keep. Each block comes once, in order only if `isOrdered`. */
  | { readonly type: 'block'; readonly block: number; readonly payload: Uint8Array }
  /** A block will not come by this session any more. */
  | { readonly type: 'given-up'; readonly block: number }
  /** The end is known, and all blocks up to it were told of. The machine stays a moment, so that the sender hears of it: `ended` follows. */
  | { readonly type: 'complete' }
  /** Send this datagram to the sender's control address; it is an array of its own. */
  | { readonly type: 'send'; readonly bytes: Uint8Array }
  /** The session is over here; the machine does nothing more. */
  | { readonly type: 'ended'; readonly reason: ReceiverEnd }

export interface SenderOptions {
  readonly parameters: SessionParameters
  readonly cipher: SessionCipher
  readonly code: ErasureCode
  readonly rate: RateControl
  readonly limits?: Partial<SenderLimits>
}

export interface ReceiverOptions {
  readonly parameters: SessionParameters
  readonly cipher: SessionCipher
  readonly code: ErasureCode
  /** Seeded anew for each life of a receiver: the identity under which it seals comes from it, and must not be used twice. */
  readonly random: Random
  /** The name that the sender invited. */
  readonly name: string
  /** What the sender is to know of this receiver's needs; at most `MAX_APP_BYTES`. */
  readonly app: Uint8Array
  /** Receivers that were invited, by the invitation: joining is spread by it. */
  readonly invited?: number
  /** Whether blocks are told of in their order; else as they come, which costs no memory. */
  readonly isOrdered?: boolean
  readonly limits?: Partial<ReceiverLimits>
}

export interface SenderLimits {
  /** Bytes that a datagram has on the wire beside its payload: Ethernet with checksum, IPv4, UDP. Counted into the rate. */
  readonly packetOverheadBytes: number
  /** What may be sent at once after a pause, ms of the rate. More helps a caller that is woken late, less spares queues. */
  readonly burstMs: number
  /** The same, bytes at the most. */
  readonly burstBytes: number
  /** Datagrams that stay untouched after `nextDatagram` gave them out: the one given out so many calls ago is used again. */
  readonly datagramSlots: number
  /** Blocks that are taken before they can be sent. */
  readonly aheadBlocks: number
  /** Blocks that can be repaired at a time, at the most; memory is this times the size of a block. */
  readonly windowBlocks: number
  /** The same, bytes; at least 4 blocks whatever it says. */
  readonly windowBytes: number
  /** How long one receiver may hold the session up at a full window, ms; beyond it, for a twentieth of the time: then blocks are given up. */
  readonly stallMs: number
  /** How long after the second receiver the session waits for the other invited ones, ms. */
  readonly settleMs: number
  /** How long it waits for a second receiver, and at all for a first, ms; then it begins with one, or ends as `nobody`. */
  readonly startTimeoutMs: number
  /** Receivers at a time; more are refused. */
  readonly maxReceivers: number
  /** How long joins are collected for one WELCOME, ms. */
  readonly welcomeMs: number
  /** How long a receiver may be silent, ms; longer in groups whose reports are thinner than that. */
  readonly receiverSilentMs: number
  /** How long a receiver that has joined may take to show that it hears the group, ms. */
  readonly reachMs: number
  /** The group's round trip before the first measurement, its least and its greatest value, ms. */
  readonly initialGrttMs: number
  readonly minGrttMs: number
  readonly maxGrttMs: number
  /** RFC 5401's K: the back-off lasts up to K times the group's round trip. */
  readonly backoffFactor: number
  /** The longest back-off of a group that is not small, ms: least, and greatest, however much feedback comes. */
  readonly minBackoffMs: number
  readonly maxBackoffMs: number
  /** Receivers up to which nobody backs off. */
  readonly smallGroup: number
  /** How long requests for one block are collected before it is repaired, ms: least and greatest. */
  readonly minAggregateMs: number
  readonly maxAggregateMs: number
  /** Time between two status packets while data flows, ms. */
  readonly statusMs: number
  /** The same in a small group while the rate doubles with each round of reports, ms: all are asked for one then. */
  readonly startStatusMs: number
  /** The same while there is nothing to send, ms. */
  readonly heartbeatMs: number
  /** The first pause between two status packets when there is nothing to send, ms; it doubles up to `heartbeatMs`, or grows up to `endMs`. */
  readonly minStatusMs: number
  /** The longest pause between two status packets that tell the end, ms: short, as everybody waits for them and a burst may lose many. */
  readonly endMs: number
  /** How often the end is said, and nobody asks for anything, before the sender goes without having heard from all. */
  readonly endRepeats: number
  /** Receivers up to which the sender waits for each by what it reports; in larger groups, until nobody asks any more. */
  readonly exactGroup: number
  /** Repairs of one block; then it is given up. */
  readonly maxRepairs: number
  /** All feedback together that the sender steers for, bytes per second, packet overhead counted. */
  readonly feedbackBytesPerSec: number
  /** Time between two reports of a receiver in a small group, ms. */
  readonly reportMs: number
  /** Packets per second that one known receiver may send, with a second's worth at once; more are dropped unread. */
  readonly maxPacketsPerReceiver: number
  /** Packets per second from unknown addresses together; more are dropped unread. */
  readonly maxUnknownPackets: number
  /** Requests of single receivers kept per block while it waits for repair; more are merged into one. */
  readonly maxRequestsPerBlock: number
}

/** For 1 Gbit/s and round trips from 0.2 ms: docs/specs/07-multicast.md §8 has the reasons. */
export const DEFAULT_SENDER_LIMITS: SenderLimits = {
  packetOverheadBytes: 46,
  burstMs: 8,
  burstBytes: 96 * 1024,
  datagramSlots: 256,
  aheadBlocks: 4,
  windowBlocks: 256,
  windowBytes: 48 * 1024 * 1024,
  stallMs: 100,
  settleMs: 80,
  startTimeoutMs: 1000,
  maxReceivers: 16_384,
  welcomeMs: 1,
  receiverSilentMs: 2000,
  reachMs: 1000,
  initialGrttMs: 5,
  minGrttMs: 0.2,
  maxGrttMs: 2000,
  backoffFactor: 6,
  minBackoffMs: 5,
  maxBackoffMs: 60,
  smallGroup: 8,
  minAggregateMs: 0.3,
  maxAggregateMs: 50,
  statusMs: 25,
  startStatusMs: 12,
  heartbeatMs: 50,
  minStatusMs: 3,
  endMs: 20,
  endRepeats: 60,
  exactGroup: 64,
  maxRepairs: 64,
  feedbackBytesPerSec: 25_000,
  reportMs: 25,
  maxPacketsPerReceiver: 2000,
  maxUnknownPackets: 4000,
  maxRequestsPerBlock: 64,
}

export interface ReceiverLimits {
  /** Blocks under way, at the most; beyond it the oldest is given up. */
  readonly windowBlocks: number
  /** The same, bytes; at least 4 blocks whatever it says. */
  readonly windowBytes: number
  /** Time between two JOINs until a WELCOME comes, ms; it grows by a half each time, up to the second. Each is spread by a half. */
  readonly joinRetryMs: number
  readonly maxJoinRetryMs: number
  /** First JOINs of so many invited are spread over this long for each of them, ms. */
  readonly joinSpreadMs: number
  /** How long after the start nothing at all may come, ms. */
  readonly unreachedMs: number
  /** How long nothing may come later, ms. */
  readonly silentMs: number
  /** How long a missing packet counts as late rather than lost, ms: least, and greatest as observed lateness raises it. */
  readonly minReorderMs: number
  readonly maxReorderMs: number
  /** The longest wait for the answer to a NACK before it is sent again, ms. */
  readonly maxHoldoffMs: number
  /** NACK packets per second, with a tenth of a second's worth at once; more wait. */
  readonly maxNacksPerSec: number
  /** Blocks in one NACK. */
  readonly maxNackBlocks: number
  /** How often a block that does not open is asked for again in whole before it is given up. */
  readonly maxSpoiled: number
  /** For how long every packet is checked after a forged one was found, ms. */
  readonly suspectMs: number
  /** How long the machine stays after `complete`, so that the sender hears of it, ms. */
  readonly lingerMs: number
}

export const DEFAULT_RECEIVER_LIMITS: ReceiverLimits = {
  windowBlocks: 256,
  windowBytes: 48 * 1024 * 1024,
  joinRetryMs: 15,
  maxJoinRetryMs: 500,
  joinSpreadMs: 0.25,
  unreachedMs: 1500,
  silentMs: 1000,
  minReorderMs: 0.3,
  maxReorderMs: 20,
  maxHoldoffMs: 100,
  maxNacksPerSec: 1000,
  maxNackBlocks: 32,
  maxSpoiled: 3,
  suspectMs: 5000,
  lingerMs: 150,
}

/** What a sender has done so far; all counts since its start. */
export interface SenderStatus {
  /** Waiting for receivers, sending, telling the end, over. */
  readonly phase: 'joining' | 'sending' | 'ending' | 'over'
  readonly receivers: number
  readonly groupSize: number
  readonly grttMs: number
  /** The longest back-off that receivers use, ms; 0 in small groups. */
  readonly backoffMs: number
  readonly rateBytesPerSec: number
  readonly blocks: number
  readonly payloadBytes: number
  readonly sourcePackets: number
  /** Parity that was sent before anybody asked. */
  readonly proactivePackets: number
  readonly repairPackets: number
  /** Of the repairs: symbols that were sent before. */
  readonly resentPackets: number
  /** Of data packets, UDP payload. */
  readonly sentBytes: number
  readonly controlPackets: number
  readonly controlBytes: number
  readonly nacks: number
  readonly reports: number
  readonly joins: number
  /** Of all feedback that was read, UDP payload. */
  readonly feedbackBytes: number
  /** Blocks that left the window while somebody lacked them. */
  readonly givenUpBlocks: number
  /** How long a full window held the session up, ms. */
  readonly stalledMs: number
  /** Dropped: of no such session, not readable, not authentic, seen before, beyond a limit. */
  readonly foreignPackets: number
  readonly malformedPackets: number
  readonly forgedPackets: number
  readonly replayedPackets: number
  readonly limitedPackets: number
  readonly refusedReceivers: number
}

/** What a receiver has seen so far; all counts since its start. */
export interface ReceiverStatus {
  /** Not welcomed yet, receiving, the end is known, lingering after the last block, over. */
  readonly phase: 'joining' | 'receiving' | 'ending' | 'complete' | 'over'
  readonly blocks: number
  readonly payloadBytes: number
  readonly givenUpBlocks: number
  /** Blocks that are under way. */
  readonly openBlocks: number
  readonly receivedPackets: number
  readonly receivedBytes: number
  readonly lostPackets: number
  readonly overrunPackets: number
  /** Symbols that were there, or not needed any more. */
  readonly duplicatePackets: number
  readonly restoredSymbols: number
  readonly nacks: number
  readonly suppressedNacks: number
  readonly reports: number
  readonly feedbackBytes: number
  readonly queueMs: number
  readonly foreignPackets: number
  readonly malformedPackets: number
  readonly forgedPackets: number
  readonly replayedPackets: number
  /** Blocks that did not open. */
  readonly spoiledBlocks: number
}
