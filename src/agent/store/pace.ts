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
 *
 * What nearly always waits for the disk, as syncing does, is not trusted at first: only once asynchronous calls have taken no longer than
 * it takes to hand them over, most of them (a busy machine lets some wait for the CPU), are they made at once.
 */
const SLOW_CALL_MS = 8
const CAUTION_MS = 5000
const TURN_BUDGET_MS = 2
/** So many calls as quick as that, more than slower ones, earn trust; it is lost by as many slow ones, however long it was kept. */
const TRUSTED_CALLS = 8
const TRUSTED_CALL_MS = 1

export interface PaceOptions {
  /** Calls are made at once until one is slow; else not before many were quick. */
  readonly isTrusted?: boolean
  /** Milliseconds. */
  readonly now?: () => number
  /** Calls back once the event loop has turned. */
  readonly atNextTurn?: (work: () => void) => void
}

/** Decides for all calls of one thread. */
export class Pace {
  readonly #now: () => number
  readonly #atNextTurn: (work: () => void) => void
  #asyncUntil = 0
  #quickCalls: number
  #spentMs = 0
  #isTurnKnown = false

  constructor({ isTrusted = true, now = () => performance.now(), atNextTurn = (work) => void setImmediate(work) }: PaceOptions = {}) {
    this.#now = now
    this.#atNextTurn = atNextTurn
    this.#quickCalls = isTrusted ? TRUSTED_CALLS : 0
  }

  /** Whether the next call may block. */
  isQuick(): boolean {
    if (this.#quickCalls < TRUSTED_CALLS || this.#spentMs >= TURN_BUDGET_MS) return false
    return this.#asyncUntil === 0 || this.#now() >= this.#asyncUntil
  }

  /** An asynchronous call took so long, from its order to its result. */
  note(tookMs: number): void {
    const change = tookMs <= TRUSTED_CALL_MS ? 1 : -1
    this.#quickCalls = Math.min(2 * TRUSTED_CALLS, Math.max(0, this.#quickCalls + change))
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
