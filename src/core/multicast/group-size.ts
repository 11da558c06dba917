/**
 * How many receivers there are, for the timers that must not make all of them speak at once. Joins are counted; beyond the places that the
 * sender has, and where joins were lost, the feedback tells: of n receivers that draw a back-off, the first one's share F of the
 * distribution is 1 / (n + 1) on average, so that n is about the number of first requests divided by the sum of their F.
 * docs/specs/07-multicast.md §7.
 */
import { backoffShare } from './feedback-timers.ts'

/** First requests that the estimate looks back on: few enough to follow a change, enough that chance is within a factor of two. */
const MEMORY = 16

/** The resolution of the share in a NACK. */
const STEPS = 255

export class GroupSize {
  #members = 0
  #sum = 0
  #weight = 0

  /** The receivers that are known. */
  setMembers(count: number): void {
    this.#members = count
  }

  /** The first request of a round came, from one that drew `backoff` 255ths of the longest delay for `assumed` receivers. */
  sampleFirst(backoff: number, assumed: number): void {
    const forget = this.#weight >= MEMORY ? 1 - 1 / MEMORY : 1
    // The middle of the step, so that a draw of zero does not mean that there is no end of receivers.
    this.#sum = this.#sum * forget + backoffShare((backoff + 0.5) / (STEPS + 1), assumed)
    this.#weight = this.#weight * forget + 1
  }

  /** By the feedback alone; 0 as long as there were too few requests to tell. */
  get estimate(): number {
    return this.#weight >= 4 ? this.#weight / this.#sum : 0
  }

  /** What is told to the group: never less than the receivers that are known. */
  get value(): number {
    // A small estimate says nothing: only those ask that have lost something.
    return Math.max(1, this.#members, this.estimate > 2 * this.#members ? Math.round(this.estimate) : 0)
  }
}
