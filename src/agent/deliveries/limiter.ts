/**
 * Runs tasks, in the order in which they came, as many at the same time as go well: one more for each that was quick, one less for each
 * that was not, whether it succeeded or failed. Hundreds of calls at once over a slow link are all late, are all given up and made again, and none gets through.
 */
import type { Clock } from '../clock.ts'

export interface LimiterOptions {
  /** How many run at once in the beginning, at the least and at the most. */
  readonly first: number
  readonly least: number
  readonly most: number
  /** A task that takes longer was not quick, ms. */
  readonly quickMs: number
}

export class Limiter {
  readonly #options: LimiterOptions
  readonly #clock: Clock
  readonly #waiting: (() => void)[] = []
  #limit: number
  #running = 0

  constructor(options: LimiterOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#limit = options.first
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    // Whoever ends its wait has counted it.
    if (this.#running >= this.#limit) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    else this.#running++
    const startedAt = this.#clock.now()
    try {
      return await task()
    } finally {
      this.#running--
      this.#adapt(this.#clock.now() - startedAt)
    }
  }

  #adapt(tookMs: number): void {
    const { least, most, quickMs } = this.#options
    this.#limit = tookMs <= quickMs ? Math.min(most, this.#limit + 1) : Math.max(least, this.#limit - 1)
    for (; this.#running < this.#limit && this.#waiting.length > 0; this.#running++) this.#waiting.shift()!()
  }
}
