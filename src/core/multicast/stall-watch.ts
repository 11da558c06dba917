/**
 * Whether the oldest block of a full window must stay, and who holds the session up by that. In a group of which each member counts, those who lack
 * it are known by what they say; in a large one, a block is done with when nobody has asked for it for a while. Nobody may hold the others
 * up for long: each receiver for `stallMs`, and beyond that for a small share of the time; then its block is given up, and comes to it another way.
 */
import type { FeedbackSteering } from './feedback-steering.ts'
import type { MemberTable } from './member-table.ts'
import type { SenderBlock } from './sender-block.ts'
import type { SenderLimits } from './session-machine-types.ts'

/** The share of time for which a member may hold the session up in the long run. */
const STALL_SHARE = 0.05

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

  constructor(limits: SenderLimits, members: MemberTable, steering: FeedbackSteering) {
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
    const isNeeded = this.#members.count <= this.#limits.exactGroup ? this.#isLacked(block) : this.#isAskedFor(block, now)
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

  #isLacked({ block }: SenderBlock): boolean {
    let isLacked = false
    for (const { firstMissing, heldUpMs } of this.#members.active.values()) {
      if (firstMissing > block) continue
      if (heldUpMs < this.#limits.stallMs) return true
      isLacked = true
    }
    if (isLacked) this.givenUpBlocks++
    return false
  }

  #isAskedFor(block: SenderBlock, now: number): boolean {
    const isAsked = block.repairAt !== Infinity
    if (!isAsked && now - block.activeAt >= this.#steering.quietMs) return false
    if (now - Math.min(this.#since, now) < this.#limits.stallMs) return true
    if (isAsked) this.givenUpBlocks++
    return false
  }
}
