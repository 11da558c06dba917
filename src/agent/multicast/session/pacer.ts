/**
 * The clock of sessions: runs each when it wants to be run, in steps below the millisecond that timers have.
 *
 * Until the next one is due the thread waits in `Atomics.wait`, which wakes after 0.05 to 0.2 ms without using the CPU, runs it, and goes
 * once through the event loop, so that feedback is read and timers go off. A datagram's callback would do neither: it comes before anything
 * else that the loop has to do. Where nobody has to do anything within a few milliseconds, a timer takes over.
 */

/** What is run by the pacer. */
export interface Paced {
  /** Does what is due; returns when to run it again at the latest, ms. */
  turn(now: number): number
}

/** Nearer than this the thread waits, further away a timer does, ms: timers come up to 1.2 ms late. What comes meanwhile is read so much later. */
const NEAR_MS = 2.5

export class Pacer {
  /** When each is to be run. */
  readonly #due: Map<Paced, number> = new Map()
  readonly #cell: Int32Array = new Int32Array(new SharedArrayBuffer(4))
  #nextAt = Infinity
  /** It will run in this turn of the event loop. */
  #isSoon = false
  #timer: NodeJS.Timeout | undefined

  add(paced: Paced): void {
    this.wake(paced)
  }

  remove(paced: Paced): void {
    this.#due.delete(paced)
  }

  /** Something changed for one: it is run in this turn of the event loop. */
  wake(paced: Paced): void {
    this.#due.set(paced, -Infinity)
    this.#nextAt = -Infinity
    clearTimeout(this.#timer)
    this.#soon()
  }

  readonly #run = (): void => {
    this.#isSoon = false
    const waitMs = this.#nextAt - performance.now()
    if (waitMs > 0) Atomics.wait(this.#cell, 0, 0, waitMs)
    const now = performance.now()
    for (const [paced, dueAt] of this.#due) {
      if (dueAt > now) continue
      const nextAt = paced.turn(now)
      // It may have gone, or have been woken.
      if (this.#due.get(paced) === dueAt) this.#due.set(paced, nextAt)
    }
    this.#plan()
  }

  #plan(): void {
    let next = Infinity
    for (const dueAt of this.#due.values()) next = Math.min(next, dueAt)
    this.#nextAt = next
    clearTimeout(this.#timer)
    if (next === Infinity) return
    const waitMs = next - performance.now()
    if (waitMs > NEAR_MS) this.#timer = setTimeout(this.#run, Math.floor(waitMs - 1))
    else this.#soon()
  }

  #soon(): void {
    if (this.#isSoon) return
    this.#isSoon = true
    setImmediate(this.#run)
  }
}
