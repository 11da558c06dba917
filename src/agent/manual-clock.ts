/** The clock of tests: it stands still until it is moved. */

import type { Clock } from './clock.ts'

interface Timer {
  readonly at: number
  readonly callback: () => void
}

/** A clock whose time passes only by `advance` and `stall`. */
export class ManualClock implements Clock {
  #now: number
  readonly #timers = new Set<Timer>()

  constructor(now: number = 1_000_000) {
    this.#now = now
  }

  now(): number {
    return this.#now
  }

  schedule(delayMs: number, callback: () => void): () => void {
    const timer = { at: this.#now + Math.max(0, delayMs), callback }
    this.#timers.add(timer)
    return () => {
      this.#timers.delete(timer)
    }
  }

  /** Lets time pass, with each timer called at its time. */
  advance(ms: number): void {
    const end = this.#now + ms
    for (let timer = this.#nextUntil(end); timer !== undefined; timer = this.#nextUntil(end)) {
      this.#timers.delete(timer)
      this.#now = Math.max(this.#now, timer.at)
      timer.callback()
    }
    this.#now = end
  }

  /** Lets time pass as in a process that was stopped: timers that came due are called late, each once. */
  stall(ms: number): void {
    this.#now += ms
    this.advance(0)
  }

  /** How many timers are set. */
  get pending(): number {
    return this.#timers.size
  }

  #nextUntil(end: number): Timer | undefined {
    let next: Timer | undefined
    for (const timer of this.#timers) {
      if (timer.at <= end && (next === undefined || timer.at < next.at)) next = timer
    }
    return next
  }
}
