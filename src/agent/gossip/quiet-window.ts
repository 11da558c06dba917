/** When a burst is over: things are gathered until it has been quiet for a while, or the first one has waited for long. */
import type { Clock } from '../clock.ts'

/** Pause after which a burst is over; Serf's. */
export const QUIET_MS = 1000
/** The longest that the first of a burst waits; Serf's. */
export const MAX_GATHER_MS = 3000

/** Calls back once for each burst. */
export class QuietWindow {
  readonly #clock: Clock
  readonly #onQuiet: () => void
  #endQuiet: (() => void) | undefined
  #endMost: (() => void) | undefined

  constructor(clock: Clock, onQuiet: () => void) {
    this.#clock = clock
    this.#onQuiet = onQuiet
  }

  /** Something came. */
  touch(): void {
    this.#endQuiet?.()
    this.#endQuiet = this.#clock.schedule(QUIET_MS, () => {
      this.#flush()
    })
    this.#endMost ??= this.#clock.schedule(MAX_GATHER_MS, () => {
      this.#flush()
    })
  }

  /** Forgets the burst. */
  close(): void {
    this.#endQuiet?.()
    this.#endMost?.()
    this.#endQuiet = undefined
    this.#endMost = undefined
  }

  #flush(): void {
    this.close()
    this.#onQuiet()
  }
}
