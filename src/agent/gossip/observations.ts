/** What an examination of a member, or of this node, has seen: what `diagnosis.ts` finds causes in, gathered by `doctor.ts`. */
import type { UnreadableCause } from '../../core/gossip/unreadable.ts'

/** Pings by UDP of one size. */
export interface PingCount {
  /** Of a packet's payload. */
  readonly bytes: number
  readonly sent: number
  readonly answered: number
}

/**
 * A ping by TCP. `silent`: no connection came about; `accepted`: one did, and nothing else came; `closed`: it was closed without an answer;
 * `unreadable`: an answer came that cannot be read, or says that this node's bytes could not be.
 */
export interface StreamObservation {
  readonly result: 'answered' | 'refused' | 'unreachable' | 'silent' | 'accepted' | 'closed' | 'unreadable'
  readonly reason: string
  readonly cause: UnreadableCause | undefined
}

/** What a member says of itself when it is asked. */
export interface PeerReport {
  /** How long ago it heard this node by UDP, ms; undefined for never. */
  readonly heardAgoMs: number | undefined
  /** How long ago the examination began when that came, ms: what was heard since was part of it. */
  readonly windowMs: number
  readonly heldUps: readonly HeldUp[]
  readonly healthScore: number
}

/** That a node did not get to run. */
export interface HeldUp {
  readonly agoMs: number
  readonly forMs: number
}

/** What was observed of one member or address. */
export interface TargetObservation {
  readonly name: string
  /** `host:port`. */
  readonly address: string
  readonly pings: readonly PingCount[]
  readonly stream: StreamObservation
  /** Whether another node answers at this address; where it was looked at. */
  readonly hasAnotherName: boolean
  /** Others that were asked to ping it. */
  readonly relays: readonly { readonly via: string; readonly outcome: 'ack' | 'nack' | 'silent' }[]
  /** Whether an answer that it was asked for over TCP came by UDP; undefined where it could not be asked. */
  readonly echoed: boolean | undefined
  /** How long ago anything of it was heard by UDP, ms; undefined for never. */
  readonly heardAgoMs: number | undefined
  /** What came from its address and could not be read. */
  readonly unreadable:
    | { readonly cause: UnreadableCause; readonly reason: string; readonly agoMs: number; readonly count: number }
    | undefined
  /** What it said by way of others. */
  readonly told: PeerReport | undefined
}

/** What was observed of this node itself. */
export interface SelfObservation {
  readonly name: string
  readonly healthScore: number
  readonly heldUps: readonly HeldUp[]
  readonly clockJumps: readonly { readonly agoMs: number; readonly byMs: number }[]
  /** How late timers were during the examination, at the worst, ms. */
  readonly timerLagMs: number
  /** Addresses whose bytes cannot be read, and which belong to no member. */
  readonly strangers: readonly {
    readonly address: string
    readonly cause: UnreadableCause
    readonly reason: string
    readonly count: number
  }[]
}
