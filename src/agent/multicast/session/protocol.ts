/**
 * What the data plane's worker and the worker of multicast sessions say to each other. Plain values, copied from thread to thread; blocks
 * change hands as whole buffers, without a copy.
 */
import type { ReceiverEnd, ReceiverStatus, SenderEnd, SenderStatus, GoneReason } from '../../../core/multicast/session-machine-types.ts'
import type { RateMode, SessionParameters } from '../../../core/multicast/session-types.ts'
import type { ErrorBody } from '../../errors.ts'

/** What every member of a session needs of it, beside the machines' own parameters. */
export interface SessionPlace {
  readonly parameters: SessionParameters
  /** What the session's keys are made with, and the gossip key; undefined for one without encryption. */
  readonly salt: Uint8Array
  readonly key: Uint8Array | undefined
  readonly group: string
  readonly port: number
  /** Routers that a datagram may pass, plus one. */
  readonly ttl: number
}

export interface SenderSettings extends SessionPlace {
  /** The interface by name, and the family of its address that is meant. */
  readonly interface: string
  readonly family: 4 | 6
  readonly mode: RateMode
  /** The rate of mode `fixed`, else the greatest one; 0 for none given. */
  readonly rateBytesPerSec: number
}

export interface ReceiverSettings extends SessionPlace {
  /** The address that the sender sends from, and the port there that it listens at; without a zone. */
  readonly sender: string
  readonly controlPort: number
  /** This node's name, as it was invited. */
  readonly name: string
  /** What it lacks; the session's machines pass it on. */
  readonly app: Uint8Array
  /** How many were invited. */
  readonly invited: number
}

export type ToSessionWorker =
  | { readonly type: 'send'; readonly id: number; readonly settings: SenderSettings }
  | { readonly type: 'receive'; readonly id: number; readonly settings: ReceiverSettings }
  /** To a sender. */
  | { readonly type: 'invited'; readonly id: number; readonly names: readonly string[] }
  | { readonly type: 'block'; readonly id: number; readonly payload: Uint8Array }
  | { readonly type: 'end'; readonly id: number }
  | { readonly type: 'stop'; readonly id: number }
  /** To a receiver. */
  | { readonly type: 'leave'; readonly id: number }

export type FromSessionWorker =
  /** A sender has its sockets: where it listens is for the invitations, `maxPayloadBytes` is what fits into a block. */
  | {
      readonly type: 'open'
      readonly id: number
      readonly address: string
      readonly controlPort: number
      readonly maxPayloadBytes: number
    }
  /** A session that could not begin, or whose socket failed; nothing more comes of it. */
  | { readonly type: 'failed'; readonly id: number; readonly error: ErrorBody }
  /** Of a sender; `sentBytes` is what went out, UDP payload, control packets included. */
  | { readonly type: 'want-blocks'; readonly id: number; readonly count: number }
  | { readonly type: 'joined'; readonly id: number; readonly name: string; readonly app: Uint8Array }
  | { readonly type: 'reached'; readonly id: number; readonly name: string }
  | { readonly type: 'gone'; readonly id: number; readonly name: string; readonly reason: GoneReason }
  | { readonly type: 'sent'; readonly id: number; readonly status: SenderStatus; readonly sentBytes: number }
  | {
      readonly type: 'finished'
      readonly id: number
      readonly reason: SenderEnd
      readonly status: SenderStatus
      readonly sentBytes: number
    }
  /** Of a receiver. */
  | { readonly type: 'heard'; readonly id: number }
  | { readonly type: 'welcomed'; readonly id: number; readonly firstBlock: number }
  | { readonly type: 'received'; readonly id: number; readonly block: number; readonly payload: Uint8Array }
  | { readonly type: 'given-up'; readonly id: number; readonly block: number }
  /** All blocks were told of. */
  | { readonly type: 'complete'; readonly id: number }
  | { readonly type: 'ended'; readonly id: number; readonly reason: ReceiverEnd; readonly status: ReceiverStatus }
