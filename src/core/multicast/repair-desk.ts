/** Takes the requests of receivers, and says what the group is to be told of them. docs/specs/07-multicast.md §6, §7. */
import type { BlockSender } from './block-sender.ts'
import { unwrapU32 } from './data-packet.ts'
import type { FeedbackSteering } from './feedback-steering.ts'
import type { SenderLimits } from './session-machine-types.ts'
import { type AnnouncedRepair, MAX_ANNOUNCED, type NackPacket } from './session-packets.ts'

export class RepairDesk {
  readonly #limits: SenderLimits
  readonly #blocks: BlockSender
  readonly #steering: FeedbackSteering
  #announceAt = Infinity
  #announcedAt = -Infinity

  constructor(limits: SenderLimits, blocks: BlockSender, steering: FeedbackSteering) {
    this.#limits = limits
    this.#blocks = blocks
    this.#steering = steering
  }

  /** When the group is to be told of requests that it doesn't know; Infinity for none. */
  get announceAt(): number {
    return this.#announceAt
  }

  /** A receiver asks. True if there is something to send for it. */
  take(packet: NackPacket, now: number): boolean {
    const blocks = this.#blocks
    const sequence = unwrapU32(packet.sequence, blocks.sequence)
    let isAnswered = false
    let isFirst = false
    let isNews = false
    for (const { block, missing, held } of packet.blocks) {
      const asked = blocks.blockOf(block)
      if (asked === undefined || asked.repairs >= this.#limits.maxRepairs) continue
      const need = Math.min(missing, asked.k) - asked.underWay(sequence, held)
      if (need <= 0) continue
      isAnswered = true
      isFirst ||= asked.requests.need === 0
      asked.activeAt = now
      asked.requests.add(packet.receiver, need, held)
      blocks.ask(asked, now + this.#steering.aggregateMs)
      isNews ||= asked.requests.need > asked.announced
    }
    if (isFirst) this.#steering.sampleFirst(packet.backoff)
    if (isNews && this.#steering.backoffMs > 0)
      this.#announceAt = Math.min(this.#announceAt, Math.max(now, this.#announcedAt + this.#steering.grttMs / 4))
    return isAnswered
  }

  /** What is going to be repaired, so that those who lack no more than that keep silent. In a small group nobody waits for it. */
  announce(now: number): readonly AnnouncedRepair[] {
    this.#announceAt = Infinity
    this.#announcedAt = now
    const repairs: AnnouncedRepair[] = []
    if (this.#steering.backoffMs === 0) return repairs
    for (const block of this.#blocks.asked) {
      if (repairs.length === MAX_ANNOUNCED) break
      block.announced = block.requests.need
      repairs.push({ block: block.block, symbols: block.announced })
    }
    return repairs.sort((a, b) => a.block - b.block)
  }
}
