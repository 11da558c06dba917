/**
 * How slowly a content spreads, against what the limits of time are meant for: where links carry a few runs a second, a tree of peers is
 * seconds deep, and what is on its way must not be taken for lost.
 *
 * It is measured by how far apart runs come here, and how far apart neighbours announce runs that nobody was known to have; the quicker
 * of both counts, so that a peer behind bad parents is not patient with them. What a neighbour has when it comes tells nothing; until runs
 * come after each other, it is the time until the first was heard of that does. While nothing happens nothing is learnt: a swarm that
 * stands still is not slow. And a content that still grows may be slow at its source: there the times that runs take by plan are the limit.
 *
 * Not here: what is late (`lateness.ts`).
 */

/** Runs that come no further apart than this are what the limits are meant for, ms. */
const BRISK_GAP_MS = 12
const MAX_SLOWNESS = 128
/** Runs are taken to be so much closer together than the time until any was heard of. */
const RUNS_BEFORE_FIRST = 20
/** As long as no neighbour has had anything, connections may still be made and the trees above be filling: so many times the limits. */
const START_PATIENCE = 8
/** A run counts for so much of the average. */
const WEIGHT = 1 / 8
/** No gap counts for more than so many times the average. */
const MOST_GAPS = 8

export class Pace {
  readonly #arrivals: Gap = new Gap()
  readonly #announcements: Gap = new Gap()
  #metAt: number | undefined
  #firstMs: number | undefined
  #limit = Infinity

  /** What limits of time are multiplied by, from 1 on. */
  get slowness(): number {
    const gapMs = Math.min(this.#arrivals.ms, this.#announcements.ms)
    return Math.max(1, Math.min(MAX_SLOWNESS, this.#limit, gapMs / BRISK_GAP_MS))
  }

  /** The same for limits after which the origin is asked for what nobody is known to have: at first nobody has anything, however well all goes. */
  get patience(): number {
    return this.#firstMs === undefined ? START_PATIENCE : this.slowness
  }

  /** How long it took from the first neighbour until any had something; 0 as long as none has. */
  get firstMs(): number {
    return this.#firstMs ?? 0
  }

  /** A neighbour is there. */
  met(now: number): void {
    this.#metAt ??= now
  }

  /** A run has come. */
  arrived(now: number): void {
    this.begun(now)
    this.#arrivals.note(1, now)
  }

  /** A neighbour announced so many runs that nobody was known to have. */
  announced(runs: number, now: number): void {
    if (runs > 0) this.#announcements.note(runs, now)
  }

  /** A neighbour has something. */
  begun(now: number): void {
    if (this.#firstMs !== undefined) return
    this.#firstMs = now - (this.#metAt ?? now)
    this.#arrivals.ms = this.#firstMs / RUNS_BEFORE_FIRST
    this.#announcements.ms = this.#arrivals.ms
  }

  /** The content is at most so slow; Infinity where that is not known. */
  limit(slowness: number): void {
    this.#limit = slowness
  }
}

/** How far apart runs are, smoothed. */
class Gap {
  ms = 0
  #lastAt: number | undefined

  note(runs: number, now: number): void {
    if (this.#lastAt !== undefined) {
      const gapMs = Math.min((now - this.#lastAt) / runs, MOST_GAPS * Math.max(this.ms, BRISK_GAP_MS))
      this.ms += (gapMs - this.ms) * (1 - (1 - WEIGHT) ** runs)
    }
    this.#lastAt = now
  }
}
