/** What went out of late, bytes per second: the most of the last windows, so that a pause of the source does not look like a slow sender. */

const WINDOW_MS = 10
const WINDOWS = 16

export class SendMeter {
  /** All so far. */
  bytes = 0
  #windowAt: number
  #windowBytes = 0
  readonly #rates: number[] = []

  constructor(now: number) {
    this.#windowAt = now
  }

  add(bytes: number, now: number): void {
    this.#roll(now)
    this.bytes += bytes
    this.#windowBytes += bytes
  }

  bytesPerSec(now: number): number {
    this.#roll(now)
    let most = 0
    for (const rate of this.#rates) most = Math.max(most, rate)
    return most
  }

  #roll(now: number): void {
    const elapsedMs = now - this.#windowAt
    if (elapsedMs < WINDOW_MS) return
    this.#rates.push((this.#windowBytes / elapsedMs) * 1000)
    if (this.#rates.length > WINDOWS) this.#rates.shift()
    this.#windowBytes = 0
    this.#windowAt = now
  }
}
