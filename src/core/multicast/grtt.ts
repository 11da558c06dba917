/**
 * The group's round trip: the longest that any receiver has, as the timers of all depend on it. After RFC 5401 §3.7.1 (peak
 * tracking: up at once, down slowly), without NORM's and UFTP's floor of ten milliseconds, that would cost a LAN most of its time.
 *
 * A round trip is measured by the sender: a receiver returns the timestamp that it saw last, and for how long it held it.
 */

/** A period at whose end the value may fall, in round trips; and the least, ms. */
const PERIOD_ROUND_TRIPS = 16
const MIN_PERIOD_MS = 40

/** How far it falls in a period at the most: the group's slowest may have been silent. */
const FALL = 0.7

export class Grtt {
  readonly #minMs: number
  readonly #maxMs: number
  #valueMs: number
  #peakMs = 0
  #periodEndsAt = Infinity
  #hasSamples = false

  constructor(initialMs: number, minMs: number, maxMs: number) {
    this.#minMs = minMs
    this.#maxMs = maxMs
    this.#valueMs = this.#bound(initialMs)
  }

  get valueMs(): number {
    return this.#valueMs
  }

  sample(rttMs: number, now: number): void {
    if (!this.#hasSamples) {
      // What was assumed before gives way at once.
      this.#hasSamples = true
      this.#valueMs = this.#bound(rttMs)
      this.#beginPeriod(now)
    }
    this.#peakMs = Math.max(this.#peakMs, rttMs)
    if (rttMs > this.#valueMs) this.#valueMs = this.#bound(rttMs)
    if (now < this.#periodEndsAt) return
    this.#valueMs = this.#bound(Math.max(this.#peakMs, FALL * this.#valueMs))
    this.#beginPeriod(now)
  }

  #beginPeriod(now: number): void {
    this.#peakMs = 0
    this.#periodEndsAt = now + Math.max(MIN_PERIOD_MS, PERIOD_ROUND_TRIPS * this.#valueMs)
  }

  #bound(ms: number): number {
    return Math.min(this.#maxMs, Math.max(this.#minMs, ms))
  }
}
