/**
 * To which single nodes of a link a report goes, and when: scattered, so that many who tell one node do not do so at once, and no more than
 * so many a second.
 */
import type { Random } from '../../lib/random.ts'
import { TokenBucket } from '../token-bucket.ts'

/** How much a report waits for each node of the link. */
const SPREAD_MS = 5
const MAX_SPREAD_MS = 5000

export class DirectReports {
  readonly #perSec: number
  readonly #random: Random
  readonly #bucket: TokenBucket
  /** When it is due, by node. */
  readonly #due: Map<number, number> = new Map()
  readonly #toldAt: Map<number, number> = new Map()
  #nextAt = Infinity

  constructor(perSec: number, random: Random, now: number) {
    this.#perSec = perSec
    this.#random = random
    this.#bucket = new TokenBucket(perSec, perSec, now)
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
    const taken: number[] = []
    this.#nextAt = Infinity
    for (const [node, at] of this.#due) {
      if (at > now) this.#nextAt = Math.min(this.#nextAt, at)
      else if (this.#bucket.take(now)) {
        this.#due.delete(node)
        this.#toldAt.set(node, now)
        taken.push(node)
      } else {
        // Not `nextAt` of the bucket: at that moment rounding may leave a hair less than a token, and the clock has to move on for more.
        this.#nextAt = Math.min(this.#nextAt, now + 1000 / this.#perSec)
      }
    }
    return taken
  }
}
