/** Lets a frequent event through at most once per interval: the first at once, the last one always. */
import type { Clock } from './clock.ts'

/** Calls `emit` for pokes, at most once per interval. */
export class Throttle {
  readonly #clock: Pick<Clock, 'schedule'>
  readonly #intervalMs: number
  readonly #emit: () => void
  #cancel: (() => void) | undefined
  #isDue = false

  constructor(clock: Pick<Clock, 'schedule'>, intervalMs: number, emit: () => void) {
    this.#clock = clock
    this.#intervalMs = intervalMs
    this.#emit = emit
  }

  poke(): void {
    if (this.#cancel !== undefined) {
      this.#isDue = true
      return
    }
    this.#cancel = this.#clock.schedule(this.#intervalMs, () => {
      this.#cancel = undefined
      if (!this.#isDue) return
      this.#isDue = false
      this.poke()
    })
    this.#emit()
  }

  /** Forgets what is due: the end of the matter says more. */
  close(): void {
    this.#cancel?.()
    this.#cancel = undefined
    this.#isDue = false
  }
}
