/**
 * What a peer asks its neighbours for: the runs that no subscription brings, or that one brings too late.
 *
 * A run is covered while the parent of its stripe is there and has not said that it leaves the run to others. Runs that are not
 * covered are asked for at once, the rarest first, ties by chance, each from the neighbour that should bring it soonest. Covered
 * ones are left to the parent unless they are late (`lateness.ts`). Few late ones are asked for at a time while the stream flows,
 * for what is asked for takes the place of what would be sent unasked. Towards the end nothing flows any more, and what is missing
 * is asked of whoever has it; the very last of it twice.
 *
 * What is under way altogether follows the rate at which this peer receives, so that a slow one does not wait for its own queue.
 */
import type { Ranges } from './ranges.ts'
import { Lateness } from './lateness.ts'
import type { Neighbour } from './neighbour.ts'
import type { PeerState } from './peer-state.ts'
import { Requests } from './requests.ts'

/** What the peer machine does for its downloads. */
export interface DownloadHost {
  /** Something is missing that only the origin may have. */
  reachOrigin(now: number): void
  drop(id: string, reason: string, untilMs: number): void
  /** Says to a neighbour what is here and it was not told yet. */
  tell(neighbour: Neighbour): void
}

const ORIGIN_HANDICAP_MS = 1e6
/** Late runs under way at a time while the stream flows. */
const MAX_LATE_RUNS = 8
/** How long the tracker has to name another parent before the runs of a lost one are asked for, ms. */
const PLAN_GRACE_MS = 300
/** Bytes under way at the least, and what arrives in this time at the most, ms. */
const MIN_OUTSTANDING_BYTES = 1024 * 1024
const OUTSTANDING_MS = 500
/** The least time between two picks, ms. */
const PICK_PAUSE_MS = 5

export class Downloads {
  /** Runs that came by request. */
  pulledRuns = 0
  readonly #state: PeerState
  readonly #host: DownloadHost
  readonly #requests: Requests
  readonly #lateness: Lateness
  /** Runs that their parent won't send: it said so, or was told that they come from elsewhere. */
  readonly #withheld: Set<number> = new Set()
  /** By neighbour: runs that it was asked for, and told while held that they are not needed. */
  readonly #takenBack: Map<string, number[]> = new Map()
  #pickedAt = -Infinity
  /** What arrives, bytes per ms, smoothed; and what has arrived since `#ratedAt`. */
  #rate = 0
  #ratedAt: number
  #arrivedBytes = 0

  constructor(state: PeerState, host: DownloadHost, now: number) {
    this.#state = state
    this.#host = host
    this.#requests = new Requests(
      state,
      (id, reason, untilMs) => host.drop(id, reason, untilMs),
      (neighbour) => host.tell(neighbour),
    )
    this.#lateness = new Lateness(state, now)
    this.#ratedAt = now
  }

  /** Runs asked for so far. */
  get requestedRuns(): number {
    return this.#requests.count
  }

  // ---- what happened ----

  /** Runs are about to be cut in another way. */
  reset(): void {
    this.#requests.reset()
    this.#lateness.reset()
    this.#withheld.clear()
    this.#takenBack.clear()
  }

  /** There is a plan; `last` are the parents of the one before. */
  planned(last: readonly (string | undefined)[], now: number): void {
    const changed = this.#state.parents.map((parent, stripe) => parent !== last[stripe])
    this.#lateness.planned(changed, now)
    for (const run of this.#withheld) if (changed[this.#state.stripeOf(run)]) this.#withheld.delete(run)
  }

  withheld(from: string, ranges: Ranges, now: number): void {
    const { runChunks, availability, parents, content } = this.#state
    for (let i = 0; i < ranges.length; i += 2) {
      const end = Math.min(ranges[i]! + ranges[i + 1]!, content.knownChunks + runChunks)
      for (let run = Math.floor(ranges[i]! / runChunks); run * runChunks < end; run++) {
        if (parents[this.#state.stripeOf(run)] !== from) continue
        this.#withheld.add(run)
        availability.markSeen(run, now)
      }
    }
  }

  /** A neighbour said that it does not have what it was asked for. */
  refused(neighbour: Neighbour, run: number, now: number): void {
    this.#requests.refused(neighbour, run, now)
  }

  neighbourGone(neighbour: Neighbour, now: number): void {
    this.#requests.neighbourGone(neighbour)
    this.#lateness.neighbourGone(neighbour, now)
  }

  /** Chunks came from a neighbour, new or not. */
  arrived(neighbour: Neighbour, firstChunk: number, bytes: number, now: number): void {
    const state = this.#state
    const run = Math.floor(firstChunk / state.runChunks)
    this.#arrivedBytes += bytes
    neighbour.received(now)
    if (!state.hasRun(run)) return
    if (this.#withheld.size > 0) this.#withheld.delete(run)
    state.pace.arrived(now)
    const askedAt = neighbour.outstanding.get(run)
    if (askedAt === undefined) this.#lateness.cameByPlan(run, now)
    else {
      neighbour.answered(now - askedAt, bytes)
      this.pulledRuns++
    }
    if (this.#requests.arrived(neighbour, run, now) && !state.isDone) this.pickSoon(now)
  }

  /** Chunks came by another way than from a neighbour. */
  brought(firstChunk: number, count: number, now: number): void {
    const state = this.#state
    if (this.#requests.size === 0 && this.#withheld.size === 0) return
    for (let run = Math.floor(firstChunk / state.runChunks); run * state.runChunks < firstChunk + count; run++) {
      if (!state.hasRun(run)) continue
      this.#withheld.delete(run)
      this.#requests.arrived(undefined, run, now)
    }
  }

  /** Another way is about to bring all that is missing: what was asked for is taken back. */
  held(): void {
    for (const neighbour of this.#state.neighbours.values()) {
      if (neighbour.outstanding.size === 0) continue
      this.#takenBack.set(neighbour.id, [...(this.#takenBack.get(neighbour.id) ?? []), ...neighbour.outstanding.keys()])
    }
    this.#requests.reset()
  }

  /** The other way brings nothing more: what parents did not send meanwhile is nobody's fault. */
  released(now: number): void {
    this.#lateness.released(now)
    // Whoever was told that a run is not needed counts it as served, and leaves it out later, too, even as a parent.
    for (const [id, runs] of this.#takenBack) {
      const missing = runs.filter((run) => !this.#state.hasRun(run))
      if (missing.length > 0 && this.#state.neighbours.has(id)) {
        this.#state.send(id, { type: 'lost', ranges: this.#state.rangesOf([...new Set(missing)]) })
      }
    }
    this.#takenBack.clear()
    this.pickSoon(now)
  }

  /** A neighbour announced something. */
  announced(now: number): void {
    if (this.#hasUncovered() || this.#requests.size > 0) this.pickSoon(now)
  }

  pickSoon(now: number): void {
    this.#state.timers.setSooner('pick', Math.max(now, this.#pickedAt + PICK_PAUSE_MS))
  }

  tick(now: number): void {
    const passed = now - this.#ratedAt
    if (passed > 0) {
      this.#rate += (this.#arrivedBytes / passed - this.#rate) / 4
      this.#ratedAt = now
      this.#arrivedBytes = 0
    }
    const { pace, limits, content } = this.#state
    // Where the content still grows, few runs can be the source's doing: then the links are slow only if runs take long to come.
    pace.limit(content.isComplete ? Infinity : this.#lateness.usualMs / limits.minLateMs)
    if (this.#state.heldFrom === 0) return
    this.#requests.checkTimeouts(now)
    this.#lateness.look((run) => this.#isCovered(run, now), now)
    this.pick(now)
  }

  /** Stripes without a parent, or with one that has let several runs come late. */
  lateStripes(): number[] {
    return this.#state.heldFrom < Infinity ? [] : this.#lateness.lateStripes()
  }

  // ---- picking ----

  /** Asks for what should be asked for now. */
  pick(now: number): void {
    const state = this.#state
    this.#pickedAt = now
    if (state.isDone || state.heldFrom === 0 || state.options.isOrigin || state.neighbours.size === 0) return
    let room = Math.max(MIN_OUTSTANDING_BYTES / state.pace.slowness, this.#rate * OUTSTANDING_MS)
    for (const neighbour of state.neighbours.values()) room -= neighbour.outstandingBytes
    const orders: Map<Neighbour, number[]> = new Map()
    const ask = (run: number): void => {
      const neighbour = this.#bestHolder(run, now)
      if (neighbour === undefined) {
        if (state.availability.holders(run) === 0) this.#host.reachOrigin(now)
        return
      }
      room -= state.runBytes(run)
      this.#requests.add(neighbour, run, now)
      const order = orders.get(neighbour)
      if (order === undefined) orders.set(neighbour, [run])
      else order.push(run)
    }
    if (!this.#canAnyTake(now)) return
    if (room > 0 && this.#hasUncovered()) {
      for (const run of this.#uncovered(now)) {
        if (room <= 0) break
        ask(run)
      }
    }
    let lateRuns = this.#lateness.isTail() ? Infinity : MAX_LATE_RUNS - this.#requests.size
    for (const run of this.#lateness.runs) {
      if (room <= 0 || lateRuns <= 0) break
      if (this.#requests.has(run) || state.hasRun(run)) continue
      lateRuns--
      ask(run)
    }
    if (orders.size === 0) this.#pickDoubles(now)
    for (const [neighbour, runs] of orders) this.#send(neighbour, runs)
  }

  /** Whether anybody may be asked for one more run, whatever it is; a slow peer's neighbours mostly may not. */
  #canAnyTake(now: number): boolean {
    for (const { snubbedUntil, outstandingBytes, windowBytes } of this.#state.neighbours.values()) {
      if (snubbedUntil <= now && outstandingBytes < windowBytes) return true
    }
    return false
  }

  #hasUncovered(): boolean {
    if (this.#withheld.size > 0 || this.#state.parents.length === 0) return true
    for (let stripe = 0; stripe < this.#state.stripes; stripe++) if (this.#state.parentOf(stripe) === undefined) return true
    return false
  }

  #isCovered(run: number, now: number): boolean {
    const state = this.#state
    if (state.parents.length === 0 || this.#withheld.has(run)) return false
    const stripe = state.stripeOf(run)
    if (state.parentOf(stripe) !== undefined) return true
    // A parent that is being connected to, or was lost: there will be one in a moment.
    return state.isTrackerUp && state.parents[stripe] !== undefined && now - this.#lateness.changedAt(stripe) < PLAN_GRACE_MS
  }

  /** Runs to ask for that no parent brings, in the order to ask. */
  #uncovered(now: number): number[] {
    const { availability, limits, random } = this.#state
    const runs: { run: number; key: number }[] = []
    this.#state.eachMissing(limits.pickWindowRuns, (run) => {
      if (this.#requests.has(run) || this.#isCovered(run, now)) return
      const holders = availability.holders(run)
      if (holders > 0 || this.#mayAskOrigin(run, now)) runs.push({ run, key: holders + random.float() })
    })
    return runs.sort((a, b) => a.key - b.key).map(({ run }) => run)
  }

  /** The origin is asked only for what nobody else turns out to have. */
  #mayAskOrigin(run: number, now: number): boolean {
    const { availability, limits, parents } = this.#state
    if (parents.length === 0) return true
    const since = Math.max(availability.seenAt(run), this.#lateness.changedAt(this.#state.stripeOf(run)))
    return now - since > limits.originGraceMs * this.#state.pace.patience
  }

  /** The neighbour that would bring the run soonest, among those that announced it and have room. */
  #bestHolder(run: number, now: number): Neighbour | undefined {
    const state = this.#state
    const bytes = state.runBytes(run)
    const isOld = now - state.availability.seenAt(run) > state.limits.originHelpMs * state.pace.slowness
    let best: Neighbour | undefined
    let bestMs = Infinity
    let hasOthers = false
    for (const neighbour of state.neighbours.values()) {
      if (neighbour.snubbedUntil > now || !state.hasAnnounced(neighbour, run)) continue
      if (!neighbour.isOrigin) hasOthers = true
      if (neighbour.outstanding.has(run)) continue
      if (neighbour.outstanding.size > 0 && neighbour.outstandingBytes + bytes > neighbour.windowBytes) continue
      const expectedMs = neighbour.expectedMs(bytes) + (neighbour.isOrigin ? ORIGIN_HANDICAP_MS : 0)
      if (expectedMs < bestMs) {
        best = neighbour
        bestMs = expectedMs
      }
    }
    return best?.isOrigin && hasOthers && !isOld ? undefined : best
  }

  /** The end of a content: what has waited longest is asked of a second neighbour. */
  #pickDoubles(now: number): void {
    const state = this.#state
    if (this.#requests.size === 0 || !state.content.isComplete) return
    const missing = Math.ceil((state.content.knownChunks - state.have.count) / state.runChunks)
    if (missing > this.#requests.size + 4) return
    const orders: Map<Neighbour, number[]> = new Map()
    for (const run of this.#requests.slow(now)) {
      const second = this.#bestHolder(run, now)
      if (second === undefined || second.isOrigin) continue
      this.#requests.add(second, run, now)
      orders.set(second, [...(orders.get(second) ?? []), run])
    }
    for (const [neighbour, runs] of orders) this.#send(neighbour, runs)
  }

  // ---- asking ----

  /** Runs of these stripes that others were asked for: the new parent need not send them. */
  cancelAsked(parent: Neighbour, mask: number): void {
    const state = this.#state
    const runs = [...this.#requests.runs()].filter((run) => (mask >>> state.stripeOf(run)) & 1)
    if (runs.length === 0) return
    for (const run of runs) this.#withheld.add(run)
    state.send(parent.id, { type: 'cancel', ranges: state.rangesOf(runs) })
  }

  /** Asks a neighbour for runs, and tells the parents that would send them that they need not. */
  #send(neighbour: Neighbour, runs: number[]): void {
    const state = this.#state
    const ranges: number[] = []
    const covered: Map<Neighbour, number[]> = new Map()
    for (const run of runs.sort((a, b) => a - b)) {
      const from = run * state.runChunks
      const end = from + state.runLength(run)
      for (let chunk = state.have.nextClear(from); chunk < end; chunk = state.have.nextClear(chunk)) {
        const to = Math.min(end, state.have.nextSet(chunk))
        const last = ranges.length - 2
        if (last >= 0 && ranges[last]! + ranges[last + 1]! === chunk) ranges[last + 1]! += to - chunk
        else ranges.push(chunk, to - chunk)
        chunk = to
      }
      const parent = state.parentOf(state.stripeOf(run))
      if (parent === undefined || parent === neighbour || this.#withheld.has(run)) continue
      this.#withheld.add(run)
      const list = covered.get(parent)
      if (list === undefined) covered.set(parent, [from, end - from])
      else list.push(from, end - from)
    }
    if (ranges.length > 0) state.send(neighbour.id, { type: 'request', ranges })
    for (const [parent, list] of covered) state.send(parent.id, { type: 'cancel', ranges: list })
  }
}
