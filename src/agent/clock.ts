/** Time as the agent's services see it, so that their tests neither wait nor sleep. */

/** A clock that can be replaced by one that a test moves by hand. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number
  /** Calls back once after `delayMs`; the function returned prevents it. Never keeps the process alive. */
  schedule(delayMs: number, callback: () => void): () => void
}

/** The longest delay that Node's timers take; longer ones would fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1

/**
 * A delay for `setTimeout` that ends no sooner than `untilMs`, ms; 0 for what is due. Node's timers take whole milliseconds and count them
 * from the start of one: with less they come too early, for nothing.
 */
export function timerDelayMs(untilMs: number): number {
  return untilMs <= 0 ? 0 : Math.min(MAX_DELAY_MS, Math.ceil(untilMs) + 1)
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  schedule(delayMs, callback) {
    const timer = setTimeout(callback, Math.min(delayMs, MAX_DELAY_MS))
    timer.unref()
    return () => {
      clearTimeout(timer)
    }
  },
}
