/** Sequence numbers of one stream of datagrams: which ones came, so that none counts twice, and how many did not. */

const WINDOW = 32
/** What one datagram more weighs in the share of those that are lost: the memory is about this many datagrams long. */
const MEMORY = 24
/** A gap that is longer than this says that the numbers began anew, or nothing. */
const MAX_GAP = 64

export class SequenceWindow {
  #highest = -1
  /** Bit n: `#highest` − n came. */
  #seen = 0
  #lossShare = 0
  #count = 0
  #isGapForgiven = false

  /** Share of datagrams that did not come, 0 to 1, the newest ones weighing most. */
  get lossShare(): number {
    return this.#lossShare
  }

  /** What did not come until the next one is not counted as lost: nothing could come. */
  forgiveGap(): void {
    this.#isGapForgiven = true
  }

  /** Takes note of a number; false for one that came before, or is too old to tell. */
  accept(sequence: number): boolean {
    const ahead = sequence - this.#highest
    if (this.#highest < 0) {
      this.#highest = sequence
      this.#seen = 1
      this.#note(false)
      return true
    }
    if (ahead > 0) {
      this.#highest = sequence
      this.#seen = ahead >= WINDOW ? 1 : ((this.#seen << ahead) | 1) >>> 0
      for (let lost = 1; lost < Math.min(ahead, MAX_GAP) && !this.#isGapForgiven; lost++) this.#note(true)
      this.#isGapForgiven = false
      this.#note(false)
      return true
    }
    const bit = -ahead
    if (bit >= WINDOW || ((this.#seen >>> bit) & 1) === 1) return false
    this.#seen = (this.#seen | (1 << bit)) >>> 0
    // It was counted as lost, and was late.
    this.#lossShare = Math.max(0, this.#lossShare - 1 / Math.min(MEMORY, Math.max(1, this.#count)))
    return true
  }

  #note(isLost: boolean): void {
    this.#count++
    // Until the memory is full, all count alike.
    const weight = 1 / Math.min(MEMORY, this.#count)
    this.#lossShare += ((isLost ? 1 : 0) - this.#lossShare) * weight
  }
}
