/**
 * Whether a read or a write is done at once or handed to the thread pool.
 *
 * Data that the page cache takes or gives costs a copy, less than the two switches of thread of an asynchronous call (measured
 * with 4 receivers on 2 cores: 2.9 against 3.7 CPU seconds per GB). A disk that makes callers wait is another matter: it would
 * stop every transfer of the thread. So calls are synchronous until one takes long, and then asynchronous for some seconds.
 */
const SLOW_CALL_MS = 8
const CAUTION_MS = 5000

export class Pace {
  readonly #now: () => number
  #asyncUntil = 0

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Whether the next call may block. */
  isQuick(): boolean {
    return this.#asyncUntil === 0 || this.#now() >= this.#asyncUntil
  }

  /** Makes a call that blocks, and remembers when it was slow. */
  call<T>(work: () => T): T {
    const begun = this.#now()
    try {
      return work()
    } finally {
      const ended = this.#now()
      this.#asyncUntil = ended - begun > SLOW_CALL_MS ? ended + CAUTION_MS : 0
    }
  }
}
