/**
 * The time that gossip goes by: never backwards, and on while the host sleeps.
 *
 * The monotonic clock stands still while a machine is suspended, so that a laptop that wakes up would think that no time has passed; the
 * wall clock goes on, but is set at times. What the wall clock gains on the monotonic one at a stroke is added: after a sleep the machine
 * sees that it was away (and doubts itself before others), and a clock that is set forward does no more harm than that.
 */
const MIN_GAIN_MS = 1000
/** Jumps that are remembered. */
const MAX_JUMPS = 16

/** That the wall clock went otherwise than the monotonic one. */
export interface ClockJump {
  /** By this clock. */
  readonly at: number
  /** Ahead, or back where it is negative. */
  readonly byMs: number
}

export class GossipClock {
  readonly #monotonic: () => number
  readonly #wall: () => number
  #offsetMs = 0
  #lastMonotonic: number
  #lastWall: number
  #jumps: ClockJump[] = []

  constructor(monotonic: () => number = () => performance.now(), wall: () => number = () => Date.now()) {
    this.#monotonic = monotonic
    this.#wall = wall
    this.#lastMonotonic = monotonic()
    this.#lastWall = wall()
  }

  /** Milliseconds since some time before. */
  now(): number {
    const monotonic = this.#monotonic()
    const wall = this.#wall()
    const gained = wall - this.#lastWall - (monotonic - this.#lastMonotonic)
    if (gained > MIN_GAIN_MS) this.#offsetMs += gained
    if (Math.abs(gained) > MIN_GAIN_MS) {
      this.#jumps = [...this.#jumps.slice(1 - MAX_JUMPS), { at: monotonic + this.#offsetMs, byMs: gained }]
    }
    this.#lastMonotonic = monotonic
    this.#lastWall = wall
    return monotonic + this.#offsetMs
  }

  /** The last times that the wall clock was set, or the host slept, for `doctor`. */
  get jumps(): readonly ClockJump[] {
    return this.#jumps
  }

  /** Milliseconds since 1970 of a time of this clock. */
  toWall(time: number): number {
    return this.#wall() - (this.now() - time)
  }
}
