/**
 * Whether a read or a write is done at once or handed to the thread pool.
 *
 * Data that the page cache takes or gives costs a copy, less than the two switches of thread of an asynchronous call (measured
 * with 4 receivers on 2 cores: 2.9 against 3.7 CPU seconds per GB). A disk that makes callers wait is another matter: it would
 * stop every transfer of the thread. So calls are synchronous until one takes long, and then asynchronous for some seconds.
 *
 * A promise of a call that was made at once resolves before the event loop turns: a loop that awaits nothing else (publishing
 * a file, verifying one) would let no socket and no timer have its turn. So in each turn there is a budget of time for
 * such calls; one beyond it is asynchronous, and gives the turn away.
 */
const SLOW_CALL_MS = 8
const CAUTION_MS = 5000
const TURN_BUDGET_MS = 2

/** Decides for all calls of one thread. */
export class Pace {
  readonly #now: () => number
  readonly #atNextTurn: (work: () => void) => void
  #asyncUntil = 0
  #spentMs = 0
  #isTurnKnown = false

  /** `now`: milliseconds; `atNextTurn` calls back once the event loop has turned. */
  constructor(
    now: () => number = () => performance.now(),
    atNextTurn: (work: () => void) => void = (work) => {
      setImmediate(work)
    },
  ) {
    this.#now = now
    this.#atNextTurn = atNextTurn
  }

  /** Whether the next call may block. */
  isQuick(): boolean {
    return this.#spentMs < TURN_BUDGET_MS && (this.#asyncUntil === 0 || this.#now() >= this.#asyncUntil)
  }

  /** Makes a call that blocks, and remembers how long it took. */
  call<T>(work: () => T): T {
    if (!this.#isTurnKnown) {
      this.#isTurnKnown = true
      this.#atNextTurn(() => {
        this.#isTurnKnown = false
        this.#spentMs = 0
      })
    }
    const begun = this.#now()
    try {
      return work()
    } finally {
      const ended = this.#now()
      this.#spentMs += ended - begun
      this.#asyncUntil = ended - begun > SLOW_CALL_MS ? ended + CAUTION_MS : 0
    }
  }
}
