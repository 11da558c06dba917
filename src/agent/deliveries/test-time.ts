/** Time for tests that need both a clock that is moved by hand and turns of the event loop in which files are written. */
import type { ManualClock } from '../manual-clock.ts'

/** Turns of the event loop that are looked at one by one before the looking gets rarer. */
const EAGER_TURNS = 200

/** Resolves when the condition holds; the test's own timeout is the limit. What takes long, such as a process, is looked at every few ms. */
export async function until(condition: () => boolean): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    await new Promise((resolve) => {
      if (turn < EAGER_TURNS) setImmediate(resolve)
      else setTimeout(resolve, 5)
    })
  }
}

/** Lets time pass in small steps, with turns of the event loop between them, until the condition holds. */
export async function passUntil(clock: ManualClock, condition: () => boolean): Promise<void> {
  while (!condition()) await pass(clock, 100)
}

/** Lets time pass, with turns of the event loop before and after. */
export async function pass(clock: ManualClock, ms: number): Promise<void> {
  await turns()
  clock.advance(ms)
  await turns()
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
}
