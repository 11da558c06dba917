/**
 * When a socket over a slow link is read next.
 *
 * Packet by packet each frame would wake the process a dozen times, and what is not whole is of no use: once all that has come is
 * read and a frame is not whole, the rest is left to gather in the kernel for as long as it should take to come. How fast a link is,
 * is measured from one moment when all was read to the next, in the middle of a frame, where the sender had no reason to wait: so
 * waiting itself does not make a link look slower, whose next wait would then be longer.
 */

/** Where the rest comes sooner there is no waiting, and never longer than the most, ms: two frames that come abreast, or a sender that waits for the CPU, deceive the measurement. */
const LEAST_MS = 40
const MOST_MS = 400
const LEAST_MISSING_BYTES = 2048
/** Over links that are faster nothing is waited for, bytes per ms. */
const SLOW_LINK_RATE = 150
/** What a slower measurement takes off the rate that is believed: what comes slowly may have been sent slowly. */
const FALL = 1 / 4

export class Gather {
  /** Bytes per ms; 0 until it was measured. */
  #rate = 0
  /** When all was read last, ms, and what has been read since; undefined where no frame had begun then. */
  #emptyAt: number | undefined
  #bytesSince = 0

  /**
   * How long to leave the socket alone, ms, after `count` bytes of `offered` were read at `now` and `missingBytes` of a frame that has
   * begun are still to come; 0 for not at all.
   */
  waitMs(count: number, offered: number, missingBytes: number, now: number): number {
    this.#bytesSince += count
    if (count >= offered) return 0
    if (this.#emptyAt !== undefined) this.#measure(now - this.#emptyAt)
    this.#emptyAt = missingBytes > 0 ? now : undefined
    this.#bytesSince = 0
    if (this.#rate === 0 || this.#rate > SLOW_LINK_RATE || missingBytes < LEAST_MISSING_BYTES) return 0
    const waitMs = Math.min(MOST_MS, missingBytes / this.#rate)
    return waitMs < LEAST_MS ? 0 : waitMs
  }

  #measure(elapsedMs: number): void {
    const rate = this.#bytesSince / Math.max(elapsedMs, 0.01)
    this.#rate = rate > this.#rate ? rate : this.#rate + (rate - this.#rate) * FALL
  }
}
