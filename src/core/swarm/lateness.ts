/**
 * Which of the runs that a parent is to bring come late, and which stripes have a parent that lets them.
 *
 * A run is late when others have announced it for longer than such runs take to come by plan (smoothed, plus four deviations, as
 * RFC 6298 §2), and the parent lacks it, or has gone still, or the stream is over. A run that nobody announces can be forgotten all
 * the same: the parent takes it to be here, or to come from elsewhere, and whoever else had it is gone. What the parent could have
 * sent for seconds counts as late too when it brought later runs of the stripe seconds ago, or none for longer than it usually takes.
 *
 * Not here: runs that no parent is to bring, and what is done about any of them (`download.ts`).
 */
import type { Neighbour } from './neighbour.ts'
import type { PeerState } from './peer-state.ts'

const MAX_LATE_MS = 5000
/** The stream is over for a peer that has got one of this many last runs. */
const TAIL_RUNS = 32
/** A parent that has what is missing and sends nothing of the stripe for this long has gone still, ms. */
const STALL_MS = 1500
/** A parent has forgotten what it could send when it sends nothing of the stripe for this many times as long as it usually takes, but in less than the greatest time. */
const QUIET_GAPS = 8
/** The least time between two looks, ms. */
const LOOK_PAUSE_MS = 200

/** How things stood at a time. */
interface Mark {
  readonly at: number
  /** By stripe: the highest run that had come by plan. */
  readonly fronts: readonly number[]
  /** Parents were free to send the chunks below. */
  readonly clearedTo: number
}

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
  /** How long a stripe's next run takes to come, smoothed, ms. */
  #gapMs = 600
  /** The highest run that has come by plan, and the highest of each stripe. */
  #front = -1
  #fronts: number[] = []
  /** How far the stripes were, and up to where parents were free to send: at the last mark, and at the one before. */
  #mark: Mark
  #lastMark: Mark

  constructor(state: PeerState, now: number) {
    this.#state = state
    this.#mark = { at: now, fronts: [], clearedTo: 0 }
    this.#lastMark = this.#mark
  }

  /** The late runs, as of the last look. */
  get runs(): readonly number[] {
    return this.#runs
  }

  /** Since when a stripe's parent is another one or gone, ms; 0 for never. */
  changedAt(stripe: number): number {
    return this.#changedAt[stripe] ?? 0
  }

  /** Runs are about to be cut in another way. */
  reset(): void {
    this.#runs = []
    this.#front = -1
    this.#forgetFronts()
  }

  /** There is a plan, in which these stripes have another parent than before. */
  planned(changed: readonly boolean[], now: number): void {
    if (this.#arrivedAt.length !== changed.length) {
      this.#arrivedAt = new Array<number>(changed.length).fill(now)
      this.#changedAt = new Array<number>(changed.length).fill(now)
      this.#forgetFronts()
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

  /** Parents were told to send nothing until now: they begin anew. */
  released(now: number): void {
    this.#runs = []
    this.#counts = []
    this.#arrivedAt.fill(now)
    this.#changedAt.fill(now)
    this.#forgetFronts()
    for (const neighbour of this.#state.neighbours.values()) neighbour.owesSince = Infinity
  }

  cameByPlan(run: number, now: number): void {
    const stripe = this.#state.stripeOf(run)
    this.#gapMs += (now - (this.#arrivedAt[stripe] ?? now) - this.#gapMs) / 8
    this.#arrivedAt[stripe] = now
    this.#fronts[stripe] = Math.max(run, this.#fronts[stripe] ?? -1)
    if (run > this.#front) this.#front = run
    const seenAt = this.#state.availability.seenAt(run)
    if (seenAt === 0) return
    const lag = now - seenAt
    this.#lagDeviationMs += (Math.abs(lag - this.#lagMs) - this.#lagDeviationMs) / 8
    this.#lagMs += (lag - this.#lagMs) / 8
  }

  /** How long a run takes to come by plan after others are known to have it, at the most as a rule, ms. */
  get usualMs(): number {
    return this.#lagMs + 4 * this.#lagDeviationMs
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
    const { slowness } = state.pace
    if (now - this.#mark.at >= state.limits.markMs * slowness) {
      this.#lastMark = this.#mark
      this.#mark = { at: now, fronts: [...this.#fronts], clearedTo: state.clearedTo }
    }
    this.#runs = []
    this.#counts = new Array<number>(state.stripes).fill(0)
    if (state.isDone || state.parents.length === 0) return
    const lateMs = Math.min(MAX_LATE_MS * slowness, Math.max(state.limits.minLateMs * slowness, this.usualMs))
    const isTail = this.isTail()
    state.eachMissing(state.limits.pickWindowRuns, (run) => {
      const seenAt = state.availability.seenAt(run)
      if (seenAt === 0) {
        // Nobody is known to have it, so the plan's trees are not to blame: the tracker need not hear of it.
        if (this.#isForgotten(run, now) && isCovered(run)) this.#runs.push(run)
        return
      }
      if (now - seenAt <= lateMs || !isCovered(run)) return
      const stripe = state.stripeOf(run)
      const parent = state.parentOf(stripe)
      const isPending = parent !== undefined && state.hasAnnounced(parent, run)
      const isStill = now - Math.max(seenAt, this.#arrivedAt[stripe] ?? 0) > STALL_MS * slowness
      // What a parent has and does not send while the stream flows comes later, or at the end; some contents have no end.
      if (isPending && !isStill && !isTail && (state.content.isComplete || !this.#isForgotten(run, now))) return
      this.#runs.push(run)
      if (!isPending || isStill) this.#counts[stripe]!++
    })
    state.random.shuffle(this.#runs)
  }

  /** Whether the stripe's parent could have sent a run for seconds and won't, as far as can be told without anybody announcing it. */
  #isForgotten(run: number, now: number): boolean {
    const state = this.#state
    const stripe = state.stripeOf(run)
    const { fronts, clearedTo } = this.#lastMark
    const slowness = state.pace.patience
    if (run * state.runChunks + state.runLength(run) > clearedTo || now - this.changedAt(stripe) <= state.limits.forgottenMs * slowness)
      return false
    if (run < (fronts[stripe] ?? -1)) return true
    const quietMs = Math.min(state.limits.maxQuietMs * slowness, Math.max(state.limits.forgottenMs * slowness, QUIET_GAPS * this.#gapMs))
    return now - (this.#arrivedAt[stripe] ?? 0) > quietMs
  }

  #forgetFronts(): void {
    this.#fronts = []
    this.#mark = { ...this.#mark, fronts: [] }
    this.#lastMark = { ...this.#lastMark, fronts: [] }
  }
}
