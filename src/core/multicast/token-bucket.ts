/** How often something may happen: so many per second, so many at once. */
export class TokenBucket {
  readonly #perSec: number
  readonly #burst: number
  #tokens: number
  #at: number

  constructor(perSec: number, burst: number, now: number) {
    this.#perSec = perSec
    this.#burst = burst
    this.#tokens = burst
    this.#at = now
  }

  /** Takes one, if there is one. */
  take(now: number): boolean {
    this.#refill(now)
    if (this.#tokens < 1) return false
    this.#tokens--
    return true
  }

  /** When there will be one. */
  nextAt(now: number): number {
    this.#refill(now)
    return this.#tokens >= 1 ? now : now + ((1 - this.#tokens) * 1000) / this.#perSec
  }

  #refill(now: number): void {
    this.#tokens = Math.min(this.#burst, this.#tokens + (Math.max(0, now - this.#at) * this.#perSec) / 1000)
    this.#at = now
  }
}
