/**
 * The queue on the path: the one-way delay of packets above the least that was seen, by timestamps of two clocks that nobody has set. The least of some
 * packets that come one after the other counts, and the mean of those: a process that is woken late, or a burst that queues behind
 * itself, is no queue on the path (LEDBAT, RFC 6817, filters likewise).
 */

/** Packets of which the least delay counts. */
const FILTER = 16

/** The least delay is forgotten after one to two of these, ms: clocks drift, routes change. */
const BASE_PERIOD_MS = 20_000

export class DelayMeter {
  #first: number | undefined
  #base = Infinity
  #nextBase = Infinity
  #baseEndsAt = 0
  #least = Infinity
  #filtered = 0
  #sum = 0
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

  /** The mean queue since the call before, ms. */
  take(): number {
    if (this.#filtered > 0 && this.#count === 0) this.#takeLeast()
    if (this.#count > 0) this.#lastMs = this.#sum / this.#count / 1000
    this.#sum = 0
    this.#count = 0
    return this.#lastMs
  }

  #takeLeast(): void {
    this.#sum += Math.max(0, this.#least - this.#base)
    this.#count++
    this.#least = Infinity
    this.#filtered = 0
  }

  #renewBase(now: number): void {
    this.#base = this.#nextBase
    this.#nextBase = Infinity
    this.#baseEndsAt = now + BASE_PERIOD_MS
  }
}
