/**
 * Keeps all feedback together near a number of bytes per second, by telling receivers to back off for longer: then more of them hear that
 * somebody has asked already, and those who ask put more blocks into one request.
 */
const PERIOD_MS = 100

/** Receivers up to which the back-off is not stretched from the start. */
const UNSTRETCHED = 100

const MAX_STRETCH = 256

export class FeedbackBudget {
  readonly #bytesPerSec: number
  #stretch = 1
  #bytes = 0
  #periodEndsAt: number

  constructor(bytesPerSec: number, now: number) {
    this.#bytesPerSec = bytesPerSec
    this.#periodEndsAt = now + PERIOD_MS
  }

  /** What the back-off is multiplied with, 1 to 256. */
  get stretch(): number {
    return this.#stretch
  }

  /** What it begins with in a group of so many: what a large one needs would else be found out by its first storm. */
  begin(groupSize: number): void {
    this.#stretch = Math.min(MAX_STRETCH, Math.max(1, groupSize / UNSTRETCHED))
  }

  add(bytes: number, now: number): void {
    this.#bytes += bytes
    if (now < this.#periodEndsAt) return
    const elapsedMs = PERIOD_MS + now - this.#periodEndsAt
    const excess = (this.#bytes * 1000) / elapsedMs / this.#bytesPerSec
    if (excess > 1) this.#stretch = Math.min(MAX_STRETCH, this.#stretch * Math.min(2, excess))
    else if (excess < 0.6) this.#stretch = Math.max(1, this.#stretch * 0.9)
    this.#bytes = 0
    this.#periodEndsAt = now + PERIOD_MS
  }
}
