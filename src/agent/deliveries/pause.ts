/** Waiting that can be cut short. */
import type { Clock } from '../clock.ts'

/** Resolves after `delayMs`, or at once when `signal` aborts: who waits looks at the signal afterwards. */
export function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve()
      return
    }
    const end = (): void => {
      cancel()
      signal.removeEventListener('abort', end)
      resolve()
    }
    const cancel = clock.schedule(delayMs, end)
    signal.addEventListener('abort', end, { once: true })
  })
}
