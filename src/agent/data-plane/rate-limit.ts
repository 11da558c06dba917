/** A token bucket: so many bytes a second, with a tenth of a second's worth of burst; a rate of 0 limits nothing. */
export class RateLimit {
  readonly #bytesPerSec: number
  readonly #now: () => number
  #tokens: number
  #filledAt: number

  constructor(bytesPerSec: number, now: () => number) {
    this.#bytesPerSec = bytesPerSec
    this.#now = now
    this.#tokens = bytesPerSec / 10
    this.#filledAt = now()
  }

  /** How long to wait until something may be sent, ms; 0 for now. */
  waitMs(): number {
    if (this.#bytesPerSec === 0) return 0
    const now = this.#now()
    this.#tokens = Math.min(this.#bytesPerSec / 10, this.#tokens + ((now - this.#filledAt) / 1000) * this.#bytesPerSec)
    this.#filledAt = now
    return this.#tokens > 0 ? 0 : Math.ceil((-this.#tokens / this.#bytesPerSec) * 1000) + 1
  }

  /** Counts bytes; the bucket may go below nothing, and then has to be waited for. */
  take(bytes: number): void {
    if (this.#bytesPerSec > 0) this.#tokens -= bytes
  }

  /** Counts bytes and resolves when the rate allows more. */
  async taken(bytes: number): Promise<void> {
    this.take(bytes)
    const waitMs = this.waitMs()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
  }
}
