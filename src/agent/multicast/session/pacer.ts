/**
 * The clock of senders: runs each as often as it may send, in steps far below the millisecond that timers have.
 *
 * Between two turns the thread waits in `Atomics.wait`, which wakes after 0.05 to 0.2 ms without using the CPU, and then goes once
 * through the event loop, so that feedback is read and timers go off. A datagram's callback would do neither: it comes before anything else
 * that the loop has to do. Where nobody has to do anything within a few milliseconds, a timer takes over.
 */

/** What is run by the pacer. */
export interface Paced {
  /** Does what is due; returns when to run it again at the latest, ms. */
  turn(now: number): number
}

/** The longest wait between two turns of the event loop, ms: what came meanwhile is read this late. */
const STEP_MS = 0.15
/** Nearer than this the thread waits, further away a timer does, ms: timers come up to 1.2 ms late. */
const NEAR_MS = 2.5

export class Pacer {
  readonly #paced: Set<Paced> = new Set()
  readonly #cell: Int32Array = new Int32Array(new SharedArrayBuffer(4))
  #immediate: NodeJS.Immediate | undefined
  #timer: NodeJS.Timeout | undefined

  add(paced: Paced): void {
    this.#paced.add(paced)
    this.wake()
  }

  remove(paced: Paced): void {
    this.#paced.delete(paced)
  }

  /** Something changed: all are run in this turn of the event loop. */
  wake(): void {
    if (this.#immediate !== undefined) return
    clearTimeout(this.#timer)
    this.#immediate = setImmediate(this.#run)
  }

  readonly #run = (): void => {
    this.#immediate = undefined
    if (this.#paced.size === 0) return
    let next = Infinity
    for (const paced of this.#paced) next = Math.min(next, paced.turn(performance.now()))
    const waitMs = next - performance.now()
    if (waitMs > NEAR_MS) {
      clearTimeout(this.#timer)
      if (next < Infinity) this.#timer = setTimeout(this.#run, Math.floor(waitMs - 1))
      return
    }
    if (waitMs > 0) Atomics.wait(this.#cell, 0, 0, Math.min(waitMs, STEP_MS))
    this.wake()
  }
}
