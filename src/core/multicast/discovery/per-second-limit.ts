/**
 * How much may be done in each whole second of the clock: the first so much of it, and no more until the next one begins. Not a
 * `TokenBucket`, which spreads what it admits: here all of a second's share may go at once, as when many hosts start together.
 */
export class PerSecondLimit {
  readonly #perSec: number
  #second = 0
  #taken = 0

  constructor(perSec: number) {
    this.#perSec = perSec
  }

  /** Takes so much of this second's share, if that much is left. */
  take(amount: number, now: number): boolean {
    const second = Math.floor(now / 1000)
    if (second !== this.#second) this.#taken = 0
    this.#second = second
    if (this.#taken + amount > this.#perSec) return false
    this.#taken += amount
    return true
  }
}
