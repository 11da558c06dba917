/**
 * The queue on the path: the one-way delay of packets above the least that was seen, by timestamps of two clocks that nobody has set. The least of some
 * packets that come one after the other counts, and of those the lower quartile: a burst that queues behind itself, or a process that is woken
 * late now and then, for whatever share of the time up to three quarters, is no queue on the path; one that stands is in all of them
 * (LEDBAT, RFC 6817, filters likewise).
 */

/** Packets of which the least delay counts. */
const FILTER = 16
/** The last ones that are kept between two reports: at a gigabit those of 50 ms. */
const KEPT = 256
/** Of them, in order, the one that counts. */
const QUANTILE = 0.25

/** The least delay is forgotten after one to two of these, ms: clocks drift, routes change. */
const BASE_PERIOD_MS = 20_000

export class DelayMeter {
  #first: number | undefined
  #base = Infinity
  #nextBase = Infinity
  #baseEndsAt = 0
  #least = Infinity
  #filtered = 0
  readonly #leasts = new Float64Array(KEPT)
  #count = 0
  #lastMs = 0

  /** The queue by the last report, ms. */
  get queueMs(): number {
    return this.#lastMs
  }

  /** A packet with the sender's timestamp (µs modulo 2^32) came. */
  add(timestampUs: number, now: number): void {
    const difference = ((now * 1000) >>> 0) - timestampUs
    this.#first ??= difference
    const delay = (difference - this.#first) | 0
    if (now >= this.#baseEndsAt) this.#renewBase(now)
    if (delay < this.#nextBase) this.#nextBase = delay
    if (delay < this.#base) this.#base = delay
    if (delay < this.#least) this.#least = delay
    if (++this.#filtered === FILTER) this.#takeLeast()
  }

  /** The queue since the call before, ms. */
  take(): number {
    if (this.#filtered > 0 && this.#count === 0) this.#takeLeast()
    const leasts = this.#leasts.subarray(0, Math.min(this.#count, KEPT)).sort()
    if (leasts.length > 0) this.#lastMs = leasts[Math.floor(QUANTILE * leasts.length)]! / 1000
    this.#count = 0
    return this.#lastMs
  }

  #takeLeast(): void {
    this.#leasts[this.#count++ % KEPT] = Math.max(0, this.#least - this.#base)
    this.#least = Infinity
    this.#filtered = 0
  }

  #renewBase(now: number): void {
    this.#base = this.#nextBase
    this.#nextBase = Infinity
    this.#baseEndsAt = now + BASE_PERIOD_MS
  }
}
