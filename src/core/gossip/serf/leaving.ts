/**
 * A member's own leave, from the intent to the end. docs/specs/04-gossip.md §7.2.
 *
 * It is told twice: first as an intent, which gets its time to spread, then to membership. In one packet Serf's agents may take them the
 * wrong way round, and hold the member for failed. Then it stays for a moment, as not all have heard of it yet, and some may still have
 * something to ask.
 */
import type { MemberRules } from './member-rules.ts'
import type { SerfState } from './serf-state.ts'

export class Leaving {
  readonly #state: SerfState
  readonly #rules: MemberRules
  readonly #leaveMembership: (now: number) => void
  /** When membership is told at the latest; Infinity when there is no leave, or it was told. */
  #leaveAt = Infinity
  #departure: { readonly at: number; readonly isTold: boolean } | undefined
  /** Whether there was anybody to tell. */
  #isHeard = false

  constructor(state: SerfState, rules: MemberRules, leaveMembership: (now: number) => void) {
    this.#state = state
    this.#rules = rules
    this.#leaveMembership = leaveMembership
  }

  nextDeadline(): number {
    return Math.min(this.#leaveAt, this.#departure?.at ?? Infinity)
  }

  handleTimeout(now: number): void {
    if (now >= this.#leaveAt) this.#tellMembership(now)
    if (this.#departure !== undefined && now >= this.#departure.at) this.#end(this.#departure.isTold)
  }

  start(now: number): void {
    if (this.#state.isLeaving) return
    this.#state.isLeaving = true
    this.#state.emit({ type: 'snapshot', line: 'leave' })
    this.#isHeard = this.#rules.announceLeave(now)
    if (this.#isHeard) this.#leaveAt = now + this.#state.times.broadcastTimeoutMs
    else this.#tellMembership(now)
  }

  /** Whether the intent was sent as often as it is, so that membership was told now. */
  goOn(now: number): boolean {
    const { queues, self } = this.#state
    if (this.#leaveAt === Infinity || queues.intents.has(self.name)) return false
    this.#tellMembership(now)
    return true
  }

  /** Membership has told it, or has had its time. */
  departed(isTold: boolean, now: number): void {
    const { self, times } = this.#state
    self.status = 'left'
    self.changedAt = now
    this.#state.changed('left', self)
    if (this.#isHeard) this.#departure = { at: now + times.leavePropagateDelayMs, isTold }
    else this.#end(isTold)
  }

  #tellMembership(now: number): void {
    this.#leaveAt = Infinity
    this.#leaveMembership(now)
  }

  #end(isTold: boolean): void {
    this.#departure = undefined
    this.#state.emit({ type: 'departed', isTold })
  }
}
