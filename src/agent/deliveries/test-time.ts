/** Time for tests that need both a clock that is moved by hand and turns of the event loop in which files are written. */
import type { ManualClock } from '../manual-clock.ts'

/** Turns of the event loop that are looked at one by one before the looking gets rarer. */
const EAGER_TURNS = 200

/** After so much of the machine's time, in milliseconds, what a test waits for is said not to come. */
const REAL_LIMIT_MS = 60_000

/** After so much of the moved clock's time, in milliseconds, likewise: the longest time of grace of a delivery is minutes. */
const CLOCK_LIMIT_MS = 3_600_000

/** Resolves when the condition holds; fails when it does not in a minute. What takes long, such as a process, is looked at every few ms. */
export async function until(condition: () => boolean): Promise<void> {
  const end = performance.now() + REAL_LIMIT_MS
  for (let turn = 0; !condition(); turn++) {
    if (performance.now() > end) throw new Error(`what the test waits for did not come in ${REAL_LIMIT_MS / 1000} s: ${String(condition)}`)
    await new Promise((resolve) => {
      if (turn < EAGER_TURNS) setImmediate(resolve)
      else setTimeout(resolve, 5)
    })
  }
}

/** Lets time pass in small steps, with turns of the event loop between them, until the condition holds; fails when it does not in an hour. */
export async function passUntil(clock: ManualClock, condition: () => boolean): Promise<void> {
  const end = clock.now() + CLOCK_LIMIT_MS
  while (!condition()) {
    if (clock.now() > end) throw new Error(`what the test waits for did not come in an hour of its clock: ${String(condition)}`)
    await pass(clock, 100)
  }
}

/** Lets time pass, with turns of the event loop before and after. */
export async function pass(clock: ManualClock, ms: number): Promise<void> {
  await turns()
  clock.advance(ms)
  await turns()
}

/** Turns of the event loop, enough for what follows from an event to have happened. */
export async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
}
