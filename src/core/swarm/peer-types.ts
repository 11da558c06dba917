/** What goes into and comes out of a `SwarmPeer`, and what can be set. */
import type { Random } from '../lib/random.ts'
import type { ContentView } from './content-view.ts'
import type { SwarmMessage } from './frames.ts'

export type PeerInput =
  /**
   * A connection with a neighbour is there and both sides have opened a channel for the content; `address` is the swarm address
   * that it gave, where known, for telling others.
   */
  | { readonly type: 'neighbour-up'; readonly id: string; readonly address?: string }
  /** The connection ended or could not be made. */
  | { readonly type: 'neighbour-down'; readonly id: string }
  | { readonly type: 'message'; readonly from: string; readonly message: SwarmMessage }
  /** Chunks are here that no neighbour sent: read from the source, or found on this node's disk. */
  | { readonly type: 'stored'; readonly firstChunk: number; readonly count: number }
  /** The content's view knows more than before, not by a neighbour. */
  | { readonly type: 'manifest-grew' }
  /** Chunks that were here are gone: found damaged on disk. */
  | { readonly type: 'lost'; readonly firstChunk: number; readonly count: number }
  /** The answer to the output `reuse`: this node's disk was searched for all entries below `upTo`; what was there came as `stored`. */
  | { readonly type: 'reused'; readonly upTo: number }
  /**
   * Another way (multicast) is about to bring the chunks that are missing from `fromChunk` on: as long as it does nothing of them is asked for
   * and parents send nothing of them unasked, so that no chunk comes twice. Infinity ends it, which whoever began it does in bounded time.
   */
  | { readonly type: 'hold'; readonly fromChunk: number }
  /** Another way brought these chunks, whose entries are known; verified here as those of a neighbour are. */
  | { readonly type: 'brought'; readonly firstChunk: number; readonly count: number; readonly payload: Uint8Array }
  /** At the origin: another way carries these chunks to peers, which pass them on: they need not be handed out to the trees first. */
  | { readonly type: 'handed-out'; readonly firstChunk: number; readonly count: number }
  /** The tracker can be reached, or can't: without it neighbours tell each other of peers. It counts as up until said otherwise. */
  | { readonly type: 'tracker'; readonly isUp: boolean }

export type PeerOutput =
  | { readonly type: 'send'; readonly to: string; readonly message: Exclude<SwarmMessage, { type: 'data' }> }
  /** For the tracker. */
  | { readonly type: 'announce'; readonly message: Extract<SwarmMessage, { type: 'announce' }> }
  /** There is something to send to a neighbour: call `nextUpload` while its link has room. */
  | { readonly type: 'uploadable'; readonly to: string }
  /** Verified bytes of chunks that were not here; `from` is '' where no neighbour sent them. */
  | { readonly type: 'write'; readonly from: string; readonly firstChunk: number; readonly count: number; readonly payload: Uint8Array }
  /** Make a connection; answered by `neighbour-up` or `neighbour-down`. */
  | { readonly type: 'connect'; readonly id: string; readonly address: string }
  /** The neighbour broke the rules: close its connection and say why. */
  | { readonly type: 'misbehaved'; readonly id: string; readonly reason: string }
  /**
   * A node has left this content and said why; the channel to it is closed. `by` need not have been a neighbour: a node that only
   * announced to its tracker is told as well. Whether to believe an error in `reason` is for the shell: the origin's it may.
   */
  | { readonly type: 'closed'; readonly by: string; readonly reason: string }
  /** Look for entries from `fromChunk` on among other contents on this node. */
  | { readonly type: 'reuse'; readonly fromChunk: number; readonly upTo: number }
  /** The manifest is complete and every chunk is here. */
  | { readonly type: 'complete' }

export interface PeerOptions {
  readonly id: string
  /** `host:port` that others reach this node's swarm port at. */
  readonly address: string
  /** Zone of this node, for the tracker's plan; '' is a zone as well. */
  readonly zone: string
  readonly content: ContentView
  /** This node has the content first: it announces nothing as long as it sends it by plan, and needs no tracker. */
  readonly isOrigin: boolean
  /** Look for chunks on this node's disk before any are sent. */
  readonly canReuse: boolean
  readonly random: Random
  readonly limits?: Partial<PeerLimits>
}

/**
 * Of the times, those are multiplied by how slowly the content comes (`pace.ts`) that say when it is heard of or late: `haveIntervalMs` and the
 * announcements' (to 2 s at the most), `minLateMs`, `originGraceMs`, `originHelpMs`, `markMs`, `forgottenMs`, `maxQuietMs`, `minRequestTimeoutMs`.
 */
export interface PeerLimits {
  /** Neighbours at the most; more are refused. */
  readonly maxNeighbours: number
  /** How often neighbours that ask for nothing are told what is here, ms. More often: late runs are noticed sooner; costs a frame per neighbour. */
  readonly haveIntervalMs: number
  /** The same for neighbours that ask, ms. */
  readonly fastHaveIntervalMs: number
  /** How often late runs are looked for, ms. */
  readonly tickMs: number
  /** How often the tracker hears of progress, ms. */
  readonly announceIntervalMs: number
  /** The same in the first `earlyMs` of a transfer, while it is not known who is slow, ms. */
  readonly earlyAnnounceIntervalMs: number
  readonly earlyMs: number
  /** The least time after which a run that others have and the plan did not bring counts as late, ms. */
  readonly minLateMs: number
  /** How long a run that only the origin is known to have is left to others, ms. */
  readonly originGraceMs: number
  /** After how long the origin helps with a run that others have and don't get to send, ms. */
  readonly originHelpMs: number
  /** How often it is noted how far the stripes are, ms: what was passed over or free to be sent at the note before the last, it is time for. */
  readonly markMs: number
  /** How long a new parent has until its runs can count as forgotten, and for how long a stripe has to be quiet at the least, ms. */
  readonly forgottenMs: number
  /** For how long a stripe may be quiet at the most until what its parent could send counts as forgotten, ms. */
  readonly maxQuietMs: number
  /** The least time after which a request counts as unanswered, ms. */
  readonly minRequestTimeoutMs: number
  /** Unanswered requests in a row after which a neighbour is dropped. */
  readonly maxStrikes: number
  /** The same for one that has never sent a chunk. */
  readonly maxStrikesUnproven: number
  /** Times in a row that a neighbour may take back what it announced, when it is asked for it, until it is dropped. */
  readonly maxTakenBack: number
  /** How long a neighbour that was dropped for its silence, or for taking back what it announced, stays away, ms. */
  readonly silentBanMs: number
  /** How often a peer without a tracker tells its neighbours of the others, ms. */
  readonly peersIntervalMs: number
  /** Neighbours up to which a peer follows up what others name to it. More: finds chunks sooner when many die at once; costs connections. */
  readonly wantedNeighbours: number
  /** The least time between two attempts to reach the origin for what nobody else has, ms; doubled each time that it fails. */
  readonly originConnectMs: number
  /** How long a neighbour that nothing passes to or from is kept when neighbours are many, ms. */
  readonly idleNeighbourMs: number
  /** Runs that one pick looks at. */
  readonly pickWindowRuns: number
}

export const DEFAULT_PEER_LIMITS: PeerLimits = {
  maxNeighbours: 64,
  haveIntervalMs: 200,
  fastHaveIntervalMs: 20,
  tickMs: 100,
  announceIntervalMs: 500,
  earlyAnnounceIntervalMs: 200,
  earlyMs: 3000,
  // Where links are full, a process that waits for its turn on the CPU puts all below it behind by as much: with 400 ms, 16 peers on two
  // cores asked each other, and the origin, for a fifth of the content that was on its way.
  minLateMs: 1500,
  originGraceMs: 2000,
  originHelpMs: 10_000,
  markMs: 5000,
  forgottenMs: 10_000,
  maxQuietMs: 15_000,
  minRequestTimeoutMs: 3000,
  maxStrikes: 3,
  maxStrikesUnproven: 2,
  maxTakenBack: 4,
  silentBanMs: 30_000,
  peersIntervalMs: 2000,
  wantedNeighbours: 8,
  originConnectMs: 1000,
  idleNeighbourMs: 10_000,
  pickWindowRuns: 512,
}

/** How a peer stands, for progress and diagnosis. */
export interface PeerStatus {
  readonly neighbours: number
  readonly haveChunks: number
  readonly haveBytes: number
  readonly receivedBytes: number
  readonly duplicateBytes: number
  readonly badBytes: number
  readonly requestedRuns: number
  /** Runs that came by request, not by the plan. */
  readonly pulledRuns: number
  /** Since when nothing new has come, ms on the machine's clock. */
  readonly lastProgressAt: number
}
