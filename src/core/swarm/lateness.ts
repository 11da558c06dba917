/**
 * Which of the runs that a parent is to bring come late, and which stripes have a parent that lets them.
 *
 * A run is late when others have announced it for longer than such runs take to come by plan (smoothed, plus four deviations, as
 * RFC 6298 §2), and the parent lacks it, or has gone still, or the stream is over. Not here: runs that no parent is to bring, and
 * what is done about any of them (`download.ts`).
 */
import type { Neighbour } from './neighbour.ts'
import type { PeerState } from './peer-state.ts'

const MAX_LATE_MS = 5000
/** The stream is over for a peer that has got one of this many last runs. */
const TAIL_RUNS = 32
/** A parent that has what is missing and sends nothing of the stripe for this long has gone still, ms. */
const STALL_MS = 1500
/** The least time between two looks, ms. */
const LOOK_PAUSE_MS = 200

export class Lateness {
  readonly #state: PeerState
  /** Covered runs that were late at the last look, in random order, and how many of each stripe. */
  #runs: number[] = []
  #counts: number[] = []
  #lookedAt = -Infinity
  /** How long a run takes to come by plan after others are known to have it, smoothed, ms, and its mean deviation. */
  #lagMs = 100
  #lagDeviationMs = 75
  /** By stripe: when a run last came by plan, and since when the parent is another one or gone. */
  #arrivedAt: number[] = []
  #changedAt: number[] = []
  /** The highest run that has come by plan. */
  #front = -1

  constructor(state: PeerState) {
    this.#state = state
  }

  /** The late runs, as of the last look. */
  get runs(): readonly number[] {
    return this.#runs
  }

  /** Since when a stripe's parent is another one or gone, ms; 0 for never. */
  changedAt(stripe: number): number {
    return this.#changedAt[stripe] ?? 0
  }

  /** The runs are others than before. */
  reset(): void {
    this.#runs = []
    this.#front = -1
  }

  /** There is a plan, in which these stripes have another parent than before. */
  planned(changed: readonly boolean[], now: number): void {
    if (this.#arrivedAt.length !== changed.length) {
      this.#arrivedAt = new Array<number>(changed.length).fill(now)
      this.#changedAt = new Array<number>(changed.length).fill(now)
    }
    changed.forEach((isChanged, stripe) => {
      if (!isChanged) return
      this.#arrivedAt[stripe] = now
      this.#changedAt[stripe] = now
    })
  }

  neighbourGone(neighbour: Neighbour, now: number): void {
    this.#state.parents.forEach((parent, stripe) => {
      if (parent === neighbour.id) this.#changedAt[stripe] = now
    })
  }

  cameByPlan(run: number, now: number): void {
    this.#arrivedAt[this.#state.stripeOf(run)] = now
    if (run > this.#front) this.#front = run
    const seenAt = this.#state.availability.seenAt(run)
    if (seenAt === 0) return
    const lag = now - seenAt
    this.#lagDeviationMs += (Math.abs(lag - this.#lagMs) - this.#lagDeviationMs) / 8
    this.#lagMs += (lag - this.#lagMs) / 8
  }

  /** Towards the end nothing flows any more. */
  isTail(): boolean {
    const { content, runChunks } = this.#state
    return content.isComplete && (this.#front + TAIL_RUNS) * runChunks >= content.knownChunks
  }

  /** Stripes without a parent, or with one that has let several runs come late. */
  lateStripes(): number[] {
    const late: number[] = []
    this.#state.parents.forEach((parent, stripe) => {
      if (parent === undefined || (this.#counts[stripe] ?? 0) >= 3) late.push(stripe)
    })
    return late
  }

  /** Looks for late runs again, unless it did so just now. */
  look(isCovered: (run: number) => boolean, now: number): void {
    const state = this.#state
    if (now - this.#lookedAt < LOOK_PAUSE_MS) return
    this.#lookedAt = now
    this.#runs = []
    this.#counts = new Array<number>(state.stripes).fill(0)
    if (state.isDone || state.parents.length === 0) return
    const lateMs = Math.min(MAX_LATE_MS, Math.max(state.limits.minLateMs, this.#lagMs + 4 * this.#lagDeviationMs))
    const isTail = this.isTail()
    state.eachMissing(state.limits.pickWindowRuns, (run) => {
      const seenAt = state.availability.seenAt(run)
      if (seenAt === 0 || now - seenAt <= lateMs || !isCovered(run)) return
      const stripe = state.stripeOf(run)
      const parent = state.parentOf(stripe)
      const isPending = parent !== undefined && state.hasAnnounced(parent, run)
      const isStill = now - Math.max(seenAt, this.#arrivedAt[stripe] ?? 0) > STALL_MS
      if (isPending && !isStill && !isTail) return
      this.#runs.push(run)
      if (!isPending || isStill) this.#counts[stripe]!++
    })
    state.random.shuffle(this.#runs)
  }
}
