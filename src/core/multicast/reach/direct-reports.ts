/**
 * To which single nodes of a link a report goes, and when: scattered, so that many who tell one node do not do so at once, and no more than
 * so many a second.
 */
import type { Random } from '../../lib/random.ts'

/** How much a report waits for each node of the link. */
const SPREAD_MS = 5
const MAX_SPREAD_MS = 5000

export class DirectReports {
  readonly #perSec: number
  readonly #random: Random
  /** When it is due, by node. */
  readonly #due: Map<number, number> = new Map()
  readonly #toldAt: Map<number, number> = new Map()
  #tokens: number
  #tokensAt = -Infinity
  #nextAt = Infinity

  constructor(perSec: number, random: Random) {
    this.#perSec = perSec
    this.#random = random
    this.#tokens = perSec
  }

  nextDeadline(): number {
    return this.#nextAt
  }

  /** How long ago a node was told; Infinity for never. */
  toldAgoMs(node: number, now: number): number {
    return now - (this.#toldAt.get(node) ?? -Infinity)
  }

  /** A node is to be told, on a link of so many. */
  schedule(node: number, population: number, now: number): void {
    if (this.#due.has(node)) return
    const at = now + this.#random.float() * Math.min(MAX_SPREAD_MS, SPREAD_MS * (population + 1))
    this.#due.set(node, at)
    this.#nextAt = Math.min(this.#nextAt, at)
  }

  forget(node: number): void {
    this.#due.delete(node)
    this.#toldAt.delete(node)
  }

  /** Those that are to be told now. */
  takeDue(now: number): number[] {
    this.#tokens = Math.min(this.#perSec, this.#tokens + ((now - this.#tokensAt) * this.#perSec) / 1000)
    this.#tokensAt = now
    const taken: number[] = []
    this.#nextAt = Infinity
    for (const [node, at] of this.#due) {
      if (at > now) this.#nextAt = Math.min(this.#nextAt, at)
      else if (this.#tokens >= 1) {
        this.#tokens--
        this.#due.delete(node)
        this.#toldAt.set(node, now)
        taken.push(node)
      } else this.#nextAt = Math.min(this.#nextAt, now + 1000 / this.#perSec)
    }
    return taken
  }
}
