/**
 * What the sender tells its group about when to speak: how large the group is, how long its round trip, how long to back off before asking, how often
 * to report. docs/specs/07-multicast.md §7.
 */
import { FeedbackBudget } from './feedback-budget.ts'
import { GroupSize } from './group-size.ts'
import { Grtt } from './grtt.ts'
import type { SenderLimits } from './session-machine-types.ts'

/** Bytes of a report on the wire, for how often a large group may send one. */
const REPORT_WIRE_BYTES = 140

/** Round trips beyond this are no measurement, ms. */
const MAX_RTT_MS = 10_000

/** The share of blocks that nobody is to ask for: while feedback is not too much, and when it is. */
const FEW_UNASKED = 0.15
const MANY_UNASKED = 0.7

export class FeedbackSteering {
  readonly #limits: SenderLimits
  readonly #grtt: Grtt
  readonly #size: GroupSize = new GroupSize()
  readonly #budget: FeedbackBudget

  constructor(limits: SenderLimits, now: number) {
    this.#limits = limits
    this.#grtt = new Grtt(limits.initialGrttMs, limits.minGrttMs, limits.maxGrttMs)
    this.#budget = new FeedbackBudget(limits.feedbackBytesPerSec, now)
  }

  get grttMs(): number {
    return this.#grtt.valueMs
  }

  get groupSize(): number {
    return this.#size.value
  }

  /** The longest back-off, ms; 0 in a small group. */
  get backoffMs(): number {
    const { smallGroup, backoffFactor, minBackoffMs, maxBackoffMs } = this.#limits
    if (this.#size.value <= smallGroup) return 0
    return Math.min(maxBackoffMs, Math.max(minBackoffMs, backoffFactor * this.grttMs) * this.#budget.stretch)
  }

  /** How long requests are gathered, ms: for the others' to come while nobody backs off, else until most have drawn. */
  get aggregateMs(): number {
    const { minAggregateMs, maxAggregateMs } = this.#limits
    const { backoffMs, grttMs } = this
    return Math.min(maxAggregateMs, Math.max(minAggregateMs, backoffMs > 0 ? grttMs + backoffMs / 2 : grttMs / 4))
  }

  /** Time between two reports of a receiver, ms: all reports together take half of what feedback may take. */
  get reportMs(): number {
    const { reportMs, feedbackBytesPerSec } = this.#limits
    return Math.max(reportMs, Math.ceil((this.#size.value * REPORT_WIRE_BYTES * 2000) / feedbackBytesPerSec))
  }

  /** How long after the last request for a block in a large group nobody will ask for it any more, ms. */
  get quietMs(): number {
    return 4 * (this.backoffMs + this.grttMs + this.aggregateMs) + this.#limits.minStatusMs
  }

  /** How long requests for a block take to come, ms; 0 in a small group. */
  get requestsWithinMs(): number {
    return this.backoffMs === 0 ? 0 : 1.5 * (this.backoffMs + this.grttMs + this.aggregateMs)
  }

  /** In how many of the blocks nobody is to ask, by parity that goes ahead. */
  get unaskedShare(): number {
    return this.backoffMs < this.#limits.maxBackoffMs ? FEW_UNASKED : MANY_UNASKED
  }

  /** The session begins, with the members that there are. */
  begin(): void {
    this.#budget.begin(this.#size.value)
  }

  setMembers(count: number): void {
    this.#size.setMembers(count)
  }

  /** Feedback came, of so many bytes of UDP payload. */
  count(bytes: number, now: number): void {
    this.#budget.add(bytes + this.#limits.packetOverheadBytes, now)
  }

  /** The first request of a round came. */
  sampleFirst(backoff: number): void {
    if (this.backoffMs > 0) this.#size.sampleFirst(backoff, this.#size.value)
  }

  /** The round trip by a timestamp that was returned after a receiver had held it, ms; undefined when it cannot be. */
  sampleRtt(sentUs: number, heldUs: number, nowUs: number, now: number): number | undefined {
    const rttMs = ((nowUs - sentUs - heldUs) | 0) / 1000
    if (rttMs < 0 || rttMs > MAX_RTT_MS) return undefined
    this.#grtt.sample(rttMs, now)
    return rttMs
  }
}
