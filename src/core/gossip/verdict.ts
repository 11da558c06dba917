/**
 * Why a member is thought to be gone, as a value: what an operator asks first, and what logs of other detectors don't say.
 */

/** One way by which a probe tried to reach its target. */
export interface ProbePath {
  /** A ping by packet, a ping by way of another member, or a ping on a stream. */
  readonly kind: 'direct' | 'indirect' | 'stream'
  /** The member that was sent to: the target itself unless the way is indirect. */
  readonly via: string
  readonly sentAt: number
  /**
   * `ack`: the target answered. `nack`: the relay answered, the target did not answer it. `failed`: it could not be sent, or the stream
   * broke. `refused`: the host answered that nothing listens there, so that the process is gone. `silent`: nothing came.
   */
  readonly outcome: 'ack' | 'nack' | 'failed' | 'refused' | 'silent'
  /** From sending to what came, ms; undefined when nothing did. */
  readonly afterMs: number | undefined
  /** What went wrong, where something said so. */
  readonly reason: string | undefined
}

/** A probe, with all its ways and what became of them. */
export interface ProbeEvidence {
  /** Who probed: always the member that tells it. */
  readonly by: string
  readonly about: string
  readonly startedAt: number
  readonly endedAt: number
  /** The prober's own health score when it began: above 0, it waited longer because it doubted itself. */
  readonly healthScore: number
  /** The last round trip to the target that went well before, ms. */
  readonly lastRttMs: number | undefined
  readonly paths: readonly ProbePath[]
}

/** A member that suspects another, and when that was heard here. */
export interface Accusation {
  readonly by: string
  readonly at: number
}

/** Where a verdict came from: a probe of this member's own, a suspicion that ran out here, a packet, or another's whole table. */
export type VerdictSource = 'probe' | 'time-out' | 'packet' | 'push-pull'

export interface Verdict {
  readonly about: string
  readonly state: 'suspect' | 'dead' | 'left'
  readonly incarnation: number
  /** Who says so; the member itself when it left. */
  readonly from: string
  readonly source: VerdictSource
  readonly at: number
  /** Who suspected it, in the order in which that was heard here; empty when it was not suspected here. */
  readonly accusers: readonly Accusation[]
  /**
   * Why it had the time that it had: its process is `gone`, by a refused connection that another member bears out, so that a short one is
   * enough; or it is `silent`, which may pass. Undefined when it was not suspected here.
   */
  readonly grounds: 'gone' | 'silent' | undefined
  /** How long it had to refute, ms, by what is known at `at`; undefined when it was not suspected here. */
  readonly timeoutMs: number | undefined
  /** This member's own last probe of it, where it failed. */
  readonly probe: ProbeEvidence | undefined
}
