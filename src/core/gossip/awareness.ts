/**
 * Local health awareness: a member's doubt about itself. Lifeguard §IV-A (arXiv 1707.00788).
 *
 * A member that gets no answer from many is more likely slow itself than all of them dead. Each sign of that raises the score, each
 * probe that went well lowers it, and the higher it is, the longer its own probes wait before they accuse.
 */
import { assert } from '../lib/assert.ts'

export class Awareness {
  readonly #most: number
  #score = 0

  /** The score stays below `maxMultiplier`. */
  constructor(maxMultiplier: number) {
    assert(maxMultiplier >= 1, 'a multiplier of at least 1')
    this.#most = maxMultiplier - 1
  }

  /** 0 for healthy. */
  get score(): number {
    return this.#score
  }

  apply(delta: number): void {
    this.#score = Math.min(Math.max(this.#score + delta, 0), this.#most)
  }

  /** A time, longer by the doubt. */
  scale(ms: number): number {
    return ms * (this.#score + 1)
  }
}
