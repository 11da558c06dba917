/**
 * How much parity goes ahead of the requests of a large group, in symbols of a block. docs/specs/07-multicast.md §6.
 *
 * In a group of hundreds somebody loses more than the mean in every block, and what the unluckiest lacks is much the same from block to block.
 * Sent ahead, it costs what it would cost when asked for, and saves a round of requests. What is followed is a quantile of what is needed
 * in all: up by a step when a block was asked for, down by another one when it was not; the two steps' ratio is that of the quantile.
 */

/** Symbols by which the estimate moves, up and down together. */
const STEP = 0.5
/** An estimate that is short by more than this many symbols rises by a share of what it is short by. */
const FAR = 4
const RISE_SHARE = 0.25

export class ParityAhead {
  #symbols = 0

  /** Symbols to send ahead. */
  get symbols(): number {
    return Math.round(this.#symbols)
  }

  /** Somebody asked: `needed` symbols of parity would have been enough. */
  asked(needed: number, quantile: number): void {
    const short = needed - this.#symbols
    if (short > FAR) this.#symbols += RISE_SHARE * short
    else if (short > 0) this.#symbols += STEP * quantile
    else this.unasked(quantile)
  }

  /** Nobody asked, in the time that requests take. */
  unasked(quantile: number): void {
    this.#symbols = Math.max(0, this.#symbols - STEP * (1 - quantile))
  }
}
