/**
 * Whether the oldest block of a full window must stay, and who holds the session up by that. In a group of which each member counts, those who lack
 * it are known by what they say; in a large one, a block is done with when nobody has asked for it for a while. Nobody may hold the others
 * up for long: each receiver for `stallMs`, and beyond that for a small share of the time; then its block is given up, and comes to it another way.
 */
import type { FeedbackSteering } from './feedback-steering.ts'
import type { Member, MemberTable } from './member-table.ts'
import type { SenderBlock } from './sender-block.ts'
import type { SenderLimits } from './session-machine-types.ts'
import type { RateControl } from './session-types.ts'

/** The share of time for which a member may hold the session up in the long run. */
const STALL_SHARE = 0.05

/** Who has not answered for this long nobody waits for, ms: some polls and answers may have got lost. */
const ANSWER_MS = 60

/** Time between two polls while nothing waits, ms. */
const POLL_EVERY_MS = 100

export class StallWatch {
  /** Blocks that left the window while somebody lacked them. */
  givenUpBlocks = 0
  stalledMs = 0
  readonly #limits: SenderLimits
  readonly #members: MemberTable
  readonly #steering: FeedbackSteering
  /** Since when the present stall lasts, and until when it has been counted; Infinity without one. */
  #since = Infinity
  #countedAt = Infinity
  #isToPoll = false
  #polledAt = -Infinity
  readonly #rate: RateControl

  constructor(limits: SenderLimits, members: MemberTable, steering: FeedbackSteering, rate: RateControl) {
    this.#rate = rate
    this.#limits = limits
    this.#members = members
    this.#steering = steering
  }

  get isStalled(): boolean {
    return this.#since !== Infinity
  }

  /** Judges the oldest block of a full window; to be asked whenever a new block could begin but for that. */
  isNeeded(block: SenderBlock, now: number): boolean {
    this.#count(block.block, now)
    const isNeeded = this.#members.count <= this.#limits.exactGroup ? this.#isLacked(block, now) : this.#isAskedFor(block, now)
    if (isNeeded && this.#since === Infinity) {
      this.#since = now
      this.#countedAt = now
      this.#isToPoll = true
    }
    return isNeeded
  }

  /** The window has a place again. */
  end(): void {
    this.#since = Infinity
    this.#countedAt = Infinity
  }

  /** Whether a stall has begun since the call before: whoever is behind is asked where it is, before the session waits for it. */
  takePoll(): boolean {
    const isToPoll = this.#isToPoll
    this.#isToPoll = false
    return isToPoll
  }

  /** All members are asked for a report. */
  polled(now: number): void {
    this.#polledAt = now
    for (const member of this.#members.active.values()) if (member.hearsAt >= member.polledAt) member.polledAt = now
  }

  /** Whether a member is to be asked where it is before the window is full: it is behind by what it said last, which may be long ago. */
  isBehind(firstBlock: number, sentBlocks: number, windowBlocks: number, now: number): boolean {
    if (this.#members.count > this.#limits.exactGroup || now - this.#polledAt < POLL_EVERY_MS) return false
    if (sentBlocks - firstBlock < windowBlocks / 2) return false
    for (const { firstMissing } of this.#members.active.values()) if (firstMissing < (firstBlock + sentBlocks) / 2) return true
    return false
  }

  /** So much time has passed, stalled or not. */
  forgive(elapsedMs: number): void {
    for (const member of this.#members.active.values()) member.heldUpMs = Math.max(0, member.heldUpMs - STALL_SHARE * elapsedMs)
  }

  /** Time has passed while the window was full, whether repairs were sent meanwhile or nothing. */
  #count(block: number, now: number): void {
    if (this.#countedAt === Infinity) return
    const elapsedMs = now - this.#countedAt
    this.#countedAt = now
    this.stalledMs += elapsedMs
    for (const member of this.#members.active.values()) if (member.firstMissing <= block) member.heldUpMs += elapsedMs
  }

  #isLacked({ block }: SenderBlock, now: number): boolean {
    let isLacked = false
    for (const member of this.#members.active.values()) {
      if (member.firstMissing > block) continue
      if (member.heldUpMs < this.#limits.stallMs && !this.#isDeaf(member, now)) return true
      isLacked = true
    }
    if (isLacked) this.givenUpBlocks++
    return false
  }

  /** Whether nobody waits for a member: it has not heard what it was asked, or is on its way out. */
  #isDeaf({ hearsAt, polledAt, receiver }: Member, now: number): boolean {
    return (hearsAt < polledAt && now - polledAt > ANSWER_MS) || this.#rate.isSlow(receiver)
  }

  #isAskedFor(block: SenderBlock, now: number): boolean {
    const isAsked = block.repairAt !== Infinity
    if (!isAsked && now - block.activeAt >= this.#steering.quietMs) return false
    if (now - Math.min(this.#since, now) < this.#limits.stallMs) return true
    if (isAsked) this.givenUpBlocks++
    return false
  }
}
