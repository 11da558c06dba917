/**
 * What the main thread and the data plane's worker say to each other: calls by method name with an id, their results, and
 * events. Plain values only, for they are copied from thread to thread.
 */
import type { RateMode } from '../../core/multicast/session-types.ts'
import type { ErrorBody } from '../errors.ts'
import type { FromAnyWorker, WorkerCall } from '../worker-thread.ts'
import type { Caller, ContentInfo, PublishInput, ReachedNode, SwarmPeerProgress, Ticket, TransferProgress } from './data-plane.ts'

/** What the worker has to know from the start. */
export interface WorkerOptions {
  readonly dataDirectory: string
  readonly name: string
  readonly bind: string
  /** The host part of the address that others reach this node at. */
  readonly advertise: string
  readonly swarmPort: number
  readonly zone: string
  readonly quotaBytes: number
  readonly partialKeepMs: number
  readonly stripes: number
  readonly maxNeighbours: number
  readonly uploadWindowBytes: number
  readonly requestTimeoutMs: number
  readonly stallTimeoutMs: number
  readonly uploadRateBytesPerSec: number
  readonly downloadRateBytesPerSec: number
  readonly dialTimeoutMs: number
  readonly multicast: MulticastSettings
  readonly source: {
    readonly connectTimeoutMs: number
    readonly idleTimeoutMs: number
    readonly retries: number
    readonly retryPauseMs: number
    readonly maxRedirects: number
  }
}

/** How contents are sent by multicast. */
export interface MulticastSettings {
  readonly isOn: boolean
  /** Whether invitations are followed: a session's rate is its sender's, which a limit of this node cannot hold. */
  readonly isReceiving: boolean
  /** A session begins with so many receivers that multicast reaches and that lack much. */
  readonly minReceivers: number
  /** Contents of less go by the swarm alone. */
  readonly minBytes: number
  readonly mode: RateMode
  /** The rate of mode `fixed`, else the greatest one; 0 for none given. */
  readonly rateBytesPerSec: number
  /** Datagrams are no longer than this, whatever gets through; 0 for no such limit. */
  readonly datagramBytes: number
  /** The port of the groups. */
  readonly port: number
  readonly ttl: number
}

export interface CompletedTransfer {
  readonly contentId: string
  readonly totalBytes: number
  readonly receivedBytes: number
  readonly multicastBytes: number
  readonly reusedBytes: number
}

/** Method → parameters and result. */
export interface WorkerMethods {
  publish: { params: { input: PublishInput; name?: string; publishId: number }; result: Ticket }
  fetch: { params: { ticket: Ticket; transferId: number }; result: CompletedTransfer }
  cancelFetch: { params: { transferId: number }; result: void }
  watchSwarm: { params: { swarmId: string; watchId: number }; result: void }
  unwatchSwarm: { params: { watchId: number }; result: void }
  output: { params: { contentId: string; dest: string; allowHardLink: boolean; overwrite: boolean }; result: { method: string } }
  contents: { params: null; result: ContentInfo[] }
  content: { params: { id: string }; result: ContentInfo | undefined }
  pin: { params: { id: string }; result: void }
  unpin: { params: { id: string }; result: void }
  remove: { params: { id: string; force: boolean }; result: void }
  gc: { params: null; result: { removed: number; bytes: number } }
  verify: { params: { id: string }; result: { chunks: number; bad: number[] } }
  call: { params: { address: string; method: string; params: unknown; timeoutMs: number; callId: number }; result: unknown }
  cancelCall: { params: { callId: number }; result: void }
  /** Whom multicast reaches from here, and the keys of the group, the primary one first; none where gossip is not encrypted. */
  setMulticast: { params: { reached: readonly ReachedNode[]; keys: readonly Uint8Array[] }; result: void }
  stats: { params: null; result: Record<string, number> }
  close: { params: null; result: void }
}

export type WorkerMethod = keyof WorkerMethods

export type ToWorker =
  | WorkerCall<WorkerMethod>
  /** The main thread's answer to an event `incoming-call`. */
  | { readonly type: 'answer'; readonly id: number; readonly result: unknown; readonly error?: ErrorBody }

export type FromWorker = FromAnyWorker<{ readonly swarmPort: number }> | DataPlaneEvent

export type DataPlaneEvent =
  | { readonly type: 'sealed'; readonly publishId: number; readonly contentId: string; readonly totalBytes: number }
  | { readonly type: 'publish-failed'; readonly publishId: number; readonly error: ErrorBody }
  | { readonly type: 'progress'; readonly transferId: number; readonly progress: TransferProgress }
  | { readonly type: 'swarm'; readonly watchId: number; readonly sentBytes: number; readonly peers: SwarmPeerProgress[] }
  | { readonly type: 'incoming-call'; readonly id: number; readonly method: string; readonly params: unknown; readonly from: Caller }
  | { readonly type: 'log'; readonly level: 'info' | 'warn' | 'error'; readonly message: string; readonly fields: Record<string, unknown> }
