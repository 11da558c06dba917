/** An interval that runs only while there is something to look after: a process that does nothing is not woken for it. */

export interface BusyIntervalOptions {
  readonly everyMs: number
  /** Whether there is still something to look after, asked after each call. */
  readonly isBusy: () => boolean
}

/** Never keeps the process alive. */
export class BusyInterval {
  readonly #callback: () => void
  readonly #options: BusyIntervalOptions
  #timer: NodeJS.Timeout | undefined

  constructor(callback: () => void, options: BusyIntervalOptions) {
    this.#callback = callback
    this.#options = options
  }

  /** There is something to look after; the first call comes an interval later, where it does not run already. */
  wake(): void {
    if (this.#timer !== undefined) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#callback()
      if (this.#options.isBusy()) this.wake()
    }, this.#options.everyMs)
    this.#timer.unref()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }
}
