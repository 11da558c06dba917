/** When a receiver asks for what, by what the sender says of the group. docs/specs/07-multicast.md §6, §7. */
import type { Random } from '../lib/random.ts'
import type { BlockReceiver } from './block-receiver.ts'
import { drawBackoffMs } from './feedback-timers.ts'
import type { LossMeter } from './loss-meter.ts'
import type { ReceivedBlock } from './received-block.ts'
import type { ReceiverLimits } from './session-machine-types.ts'
import { MAX_NACKED, type NackedBlock, type StatusPacket } from './session-packets.ts'
import { MAX_SYMBOLS, trimSet } from './symbol-set.ts'
import { TokenBucket } from './token-bucket.ts'

/** Requests of one block after which it is said what is there, whatever the indices tell: the highest one may have got lost. */
const PLAIN_REQUESTS = 2

/** The part of the longest back-off by which each symbol less defers a request. */
const DEFER_SHARE = 1 / 6

/** Bytes of a NACK beside its blocks, and of a block beside what it holds: a gap, a count and a length. */
const NACK_BYTES = 48
const BLOCK_BYTES = 8

/** What a nack says beside the receiver's position. */
interface PlannedNack {
  readonly backoff: number
  readonly blocks: readonly NackedBlock[]
}

export class RequestPlan {
  suppressed = 0
  readonly #limits: ReceiverLimits
  readonly #random: Random
  readonly #blocks: BlockReceiver
  readonly #loss: LossMeter
  readonly #bucket: TokenBucket
  /** What the sender said last. */
  #grttMs = 5
  #backoffMs = 0
  #aggregateMs = 0.3
  #groupSize = 1
  #usualNeed = 0
  /** The delay that was drawn for the next request, ms; below 0 for none. */
  #drawnMs = -1

  constructor(limits: ReceiverLimits, random: Random, blocks: BlockReceiver, loss: LossMeter, now: number) {
    this.#limits = limits
    this.#random = random
    this.#blocks = blocks
    this.#loss = loss
    this.#bucket = new TokenBucket(limits.maxNacksPerSec, Math.max(1, limits.maxNacksPerSec / 10), now)
  }

  /** The longest back-off, ms; 0 in a small group. */
  get backoffMs(): number {
    return this.#backoffMs
  }

  get groupSize(): number {
    return this.#groupSize
  }

  setGroupSize(count: number): void {
    this.#groupSize = count
  }

  takeStatus(packet: StatusPacket): void {
    this.#grttMs = packet.grttUs / 1000
    this.#backoffMs = packet.backoffUs / 1000
    this.#aggregateMs = packet.aggregateUs / 1000
    this.#groupSize = packet.groupSize
    this.#usualNeed = packet.usualNeed
  }

  /** What is repaired for others anyway need not be asked for. */
  suppress({ repairs }: StatusPacket, now: number): void {
    for (const { block: number, symbols } of repairs) {
      const block = this.#blocks.open.get(number)
      if (block === undefined || block.missing > symbols) continue
      if (block.lackingSince !== Infinity && block.holdUntil <= now) {
        this.suppressed++
        // The next request is drawn anew: with the old draws kept, the early ones would be used up, and the rest come all at once.
        this.#drawnMs = -1
      }
      block.holdUntil = Math.max(block.holdUntil, now + this.#holdoffMs())
    }
  }

  /** When the first of the blocks that lack something may be asked for, after the drawn delay; Infinity if none does. */
  nextAt(now: number): number {
    const reorderMs = this.#reorderMs()
    let earliest = Infinity
    for (const block of this.#blocks.open.values()) {
      const at = Math.max(block.lackingSince + reorderMs, block.holdUntil)
      if (at < Infinity) earliest = Math.min(earliest, at + this.#deferMs(block))
    }
    if (earliest === Infinity) return Infinity
    if (this.#drawnMs < 0) this.#drawnMs = drawBackoffMs(this.#random, this.#backoffMs, this.#groupSize)
    return Math.max(earliest + Math.min(this.#drawnMs, this.#backoffMs), this.#bucket.nextAt(now))
  }

  /** What to ask for now, in a datagram that has `freeBytes` beside what sealing adds; undefined for nothing. */
  take(freeBytes: number, now: number): PlannedNack | undefined {
    if (this.#bucket.nextAt(now) > now) return undefined
    const reorderMs = this.#reorderMs()
    const limit = Math.min(this.#limits.maxNackBlocks, MAX_NACKED)
    const blocks: NackedBlock[] = []
    let left = freeBytes - NACK_BYTES
    for (const block of this.#blocks.open.values()) {
      if (Math.max(block.lackingSince + reorderMs, block.holdUntil) > now) continue
      const held = heldOf(block)
      left -= BLOCK_BYTES + held.length
      if (blocks.length === limit || left < 0) break
      blocks.push({ block: block.block, missing: block.missing, held })
      block.requests++
      block.holdUntil = now + this.#holdoffMs()
    }
    if (blocks.length === 0) return undefined
    this.#bucket.take(now)
    const backoff = this.#backoffMs > 0 ? Math.round((255 * Math.min(this.#drawnMs, this.#backoffMs)) / this.#backoffMs) : 0
    this.#drawnMs = -1
    return { backoff: Math.max(0, backoff), blocks }
  }

  /** How long an answer may take: to the sender and back, while it gathers, and until the runs before it are over. */
  #holdoffMs(): number {
    const ms = 1.5 * this.#grttMs + this.#aggregateMs + 1.5 * this.#blocks.runMs + this.#reorderMs()
    return Math.min(this.#limits.maxHoldoffMs, ms)
  }

  #reorderMs(): number {
    return Math.min(this.#limits.maxReorderMs, Math.max(this.#limits.minReorderMs, 1.5 * this.#loss.lateMs))
  }

  /**
   * In a group that backs off: who lacks less than is usually asked for waits longer, by a part of the back-off for each symbol, since the
   * answer to who lacks the most serves all.
   */
  #deferMs(block: ReceivedBlock): number {
    // What an answer has left over is less than usual for everybody.
    if (this.#backoffMs === 0 || block.runs > 1) return 0
    return Math.min(1, Math.max(0, this.#usualNeed - block.missing) * DEFER_SHARE) * this.#backoffMs
  }
}

/** Which symbols are there, if that may matter: new ones serve whatever is missing, as long as there are any. */
function heldOf(block: ReceivedBlock): Uint8Array {
  const isPlain = block.requests < PLAIN_REQUESTS && block.missing < MAX_SYMBOLS - 1 - block.highestIndex
  return isPlain ? new Uint8Array(0) : trimSet(block.held)
}
