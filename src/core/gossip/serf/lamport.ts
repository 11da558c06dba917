/**
 * The counter of a cluster that orders what members say without their clocks (Lamport, CACM 21/7, 1978). docs/specs/04-gossip.md §7.2.
 *
 * Serf has three: of what members intend, of events, and of queries. A time that is beyond any that honest members reach is not taken
 * over: it would be told to all, and leave nothing to count to.
 */

/** Times above this are nobody's; 2^53 is where counting ends. */
export const MAX_LAMPORT_TIME: number = 2 ** 52

export class LamportClock {
  /** Zero is "never": the first time is 1. */
  #time = 1

  get time(): number {
    return this.#time
  }

  /** The time for something new, which is over with it. */
  next(): number {
    return this.#time++
  }

  /** Something of this time was heard; what is said from now on is later. */
  witness(time: number): void {
    if (time >= this.#time && isLamportTime(time)) this.#time = time + 1
  }
}

export function isLamportTime(time: number): boolean {
  return time >= 0 && time <= MAX_LAMPORT_TIME
}
