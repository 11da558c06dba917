/**
 * What a peer asks its neighbours for: the runs that no subscription brings, or that one brings too late.
 *
 * A run is covered while the parent of its stripe is there and has not said that it leaves the run to others. Runs that are not
 * covered are asked for at once, the rarest first, ties by chance, each from the neighbour that should bring it soonest. Covered
 * ones are left to the parent unless they are late: others have had them for long, and the parent lacks them, or has gone still.
 * Few late ones are asked for at a time while the stream flows, for what is asked for takes the place of what would be sent
 * unasked. Towards the end nothing flows any more, and what is missing is asked of whoever has it; the very last of it twice.
 *
 * What is under way altogether follows the rate at which this peer receives, so that a slow one does not wait for its own queue.
 */
import type { Ranges } from './frames.ts'
import type { Neighbour } from './neighbour.ts'
import type { PeerState } from './peer-state.ts'

interface Asked {
  readonly from: string
  readonly at: number
  /** Asked of a second one. */
  isDouble: boolean
}

/** What the peer machine does for its downloads. */
export interface DownloadHost {
  /** Something is missing that only the origin may have. */
  reachOrigin(now: number): void
  misbehaved(id: string, reason: string, untilMs: number): void
}

const MAX_LATE_MS = 5000
const ORIGIN_HANDICAP_MS = 1e6
/** The stream is over for a peer that has got one of this many last runs. */
const TAIL_RUNS = 32
/** Late runs under way at a time while the stream flows. */
const MAX_LATE_RUNS = 8
/** A parent that has what is missing and sends nothing of the stripe for this long has gone still, ms. */
const STALL_MS = 1500
/** How long the tracker has to name another parent before the runs of a lost one are asked for, ms. */
const PLAN_GRACE_MS = 300
/** Bytes under way at the least, and what arrives in this time at the most, ms. */
const MIN_OUTSTANDING_BYTES = 1024 * 1024
const OUTSTANDING_MS = 500
/** The least time between two picks, and between two looks for late runs, ms. */
const PICK_PAUSE_MS = 5
const LATE_PAUSE_MS = 200

export class Downloads {
  requestedRuns = 0
  pulledRuns = 0
  readonly #state: PeerState
  readonly #host: DownloadHost
  /** Runs that were asked for. */
  readonly #asked: Map<number, Asked> = new Map()
  /** Runs that their parent won't send: it said so, or was told that they come from elsewhere. */
  readonly #withheld: Set<number> = new Set()
  /** Covered runs that were late at the last look, and how many of each stripe. */
  #late: number[] = []
  #lateCounts: number[] = []
  #lookedAt = -Infinity
  #pickedAt = -Infinity
  /** All runs below this are here. */
  #firstMissing = 0
  /** How long a run takes to come by plan after others are known to have it, smoothed, ms, and its mean deviation. */
  #lagMs = 100
  #lagDeviationMs = 75
  /** By stripe: when a run last came by plan, and since when the parent is another one or gone. */
  #arrivedAt: number[] = []
  #changedAt: number[] = []
  /** The highest run that has come by plan. */
  #front = -1
  /** What arrives, bytes per ms, smoothed; and what has arrived since `#ratedAt`. */
  #rate = 0
  #ratedAt: number
  #arrivedBytes = 0

  constructor(state: PeerState, host: DownloadHost, now: number) {
    this.#state = state
    this.#host = host
    this.#ratedAt = now
  }

  // ---- what happened ----

  /** The runs are others than before. */
  reset(): void {
    this.#asked.clear()
    this.#withheld.clear()
    this.#late = []
    this.#firstMissing = 0
    this.#front = -1
    for (const neighbour of this.#state.neighbours.values()) {
      neighbour.outstanding.clear()
      neighbour.outstandingBytes = 0
    }
  }

  /** There is a plan; `last` are the parents of the one before. */
  planned(last: readonly (string | undefined)[], now: number): void {
    const { parents, stripes } = this.#state
    const changed = parents.map((parent, stripe) => parent !== last[stripe])
    if (this.#arrivedAt.length !== stripes) {
      this.#arrivedAt = new Array<number>(stripes).fill(now)
      this.#changedAt = new Array<number>(stripes).fill(now)
    }
    changed.forEach((isChanged, stripe) => {
      if (!isChanged) return
      this.#arrivedAt[stripe] = now
      this.#changedAt[stripe] = now
    })
    for (const run of this.#withheld) if (changed[run % stripes]) this.#withheld.delete(run)
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

  /** Chunks that were here are gone. */
  lost(): void {
    this.#firstMissing = 0
  }

  /** A neighbour said that it does not have what it was asked for. */
  refused(neighbour: Neighbour, run: number): void {
    if (neighbour.outstanding.has(run)) this.#forget(neighbour, run)
  }

  neighbourGone(neighbour: Neighbour, now: number): void {
    for (const run of neighbour.outstanding.keys()) {
      if (this.#asked.get(run)?.from === neighbour.id) this.#asked.delete(run)
    }
    neighbour.outstanding.clear()
    neighbour.outstandingBytes = 0
    this.#state.parents.forEach((parent, stripe) => {
      if (parent === neighbour.id) this.#changedAt[stripe] = now
    })
  }

  /** Chunks came from a neighbour, new or not. */
  arrived(neighbour: Neighbour, firstChunk: number, bytes: number, now: number): void {
    const state = this.#state
    const run = Math.floor(firstChunk / state.runChunks)
    this.#arrivedBytes += bytes
    neighbour.receivedAt = now
    if (!state.hasRun(run)) return
    if (this.#withheld.size > 0) this.#withheld.delete(run)
    const askedAt = neighbour.outstanding.get(run)
    if (askedAt === undefined) this.#cameByPlan(run, now)
    else {
      neighbour.answered(now - askedAt, bytes)
      this.pulledRuns++
    }
    if (!this.#asked.delete(run)) return
    for (const other of state.neighbours.values()) {
      if (!other.outstanding.has(run)) continue
      this.#forget(other, run)
      if (other !== neighbour) state.send(other.id, { type: 'cancel', ranges: [run * state.runChunks, state.runLength(run)] })
    }
    if (!state.isDone) this.pickSoon(now)
  }

  #cameByPlan(run: number, now: number): void {
    this.#arrivedAt[this.#state.stripeOf(run)] = now
    if (run > this.#front) this.#front = run
    const seenAt = this.#state.availability.seenAt(run)
    if (seenAt === 0) return
    const lag = now - seenAt
    this.#lagDeviationMs += (Math.abs(lag - this.#lagMs) - this.#lagDeviationMs) / 8
    this.#lagMs += (lag - this.#lagMs) / 8
  }

  /** A neighbour announced something. */
  announced(now: number): void {
    if (this.#hasUncovered() || this.#asked.size > 0) this.pickSoon(now)
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
    this.#checkTimeouts(now)
    if (now - this.#lookedAt >= LATE_PAUSE_MS) this.#lookForLate(now)
    this.pick(now)
  }

  /** Stripes without a parent, or with one that has let several runs come late. */
  lateStripes(): number[] {
    const late: number[] = []
    this.#state.parents.forEach((parent, stripe) => {
      if (parent === undefined || (this.#lateCounts[stripe] ?? 0) >= 3) late.push(stripe)
    })
    return late
  }

  // ---- picking ----

  /** Asks for what should be asked for now. */
  pick(now: number): void {
    const state = this.#state
    this.#pickedAt = now
    if (state.isDone || state.options.isOrigin || state.neighbours.size === 0) return
    let room = Math.max(MIN_OUTSTANDING_BYTES, this.#rate * OUTSTANDING_MS)
    for (const neighbour of state.neighbours.values()) room -= neighbour.outstandingBytes
    const orders: Map<Neighbour, number[]> = new Map()
    const ask = (run: number): void => {
      const neighbour = this.#bestHolder(run, now)
      if (neighbour === undefined) {
        if (state.availability.holders(run) === 0) this.#host.reachOrigin(now)
        return
      }
      room -= state.runBytes(run)
      this.#ask(neighbour, run, now)
      const order = orders.get(neighbour)
      if (order === undefined) orders.set(neighbour, [run])
      else order.push(run)
    }
    if (this.#hasUncovered()) for (const run of this.#uncovered(now)) if (room > 0) ask(run)
    let lateRuns = this.#isTail() ? Infinity : MAX_LATE_RUNS - this.#asked.size
    for (const run of this.#late) {
      if (room <= 0 || lateRuns <= 0) break
      if (this.#asked.has(run) || state.hasRun(run)) continue
      lateRuns--
      ask(run)
    }
    if (orders.size === 0) this.#pickDoubles(now)
    for (const [neighbour, runs] of orders) this.#send(neighbour, runs)
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
    return state.isTrackerUp && state.parents[stripe] !== undefined && now - this.#changedAt[stripe]! < PLAN_GRACE_MS
  }

  /** Runs to ask for that no parent brings, in the order to ask. */
  #uncovered(now: number): number[] {
    const { availability, limits, random } = this.#state
    const runs: { run: number; key: number }[] = []
    this.#eachMissing(limits.pickWindowRuns, (run) => {
      if (this.#asked.has(run) || this.#isCovered(run, now)) return
      const holders = availability.holders(run)
      if (holders > 0 || this.#mayAskOrigin(run, now)) runs.push({ run, key: holders + random.float() })
    })
    return runs.sort((a, b) => a.key - b.key).map(({ run }) => run)
  }

  #isTail(): boolean {
    const { content, runChunks } = this.#state
    return content.isComplete && (this.#front + TAIL_RUNS) * runChunks >= content.knownChunks
  }

  #lookForLate(now: number): void {
    const state = this.#state
    this.#lookedAt = now
    this.#late = []
    this.#lateCounts = new Array<number>(state.stripes).fill(0)
    if (state.isDone || state.parents.length === 0) return
    const lateMs = Math.min(MAX_LATE_MS, Math.max(state.limits.minLateMs, this.#lagMs + 4 * this.#lagDeviationMs))
    const isTail = this.#isTail()
    this.#eachMissing(state.limits.pickWindowRuns, (run) => {
      const seenAt = state.availability.seenAt(run)
      if (seenAt === 0 || now - seenAt <= lateMs || !this.#isCovered(run, now)) return
      const stripe = state.stripeOf(run)
      const parent = state.parentOf(stripe)
      const isPending = parent !== undefined && state.hasAnnounced(parent, run)
      const isStill = now - Math.max(seenAt, this.#arrivedAt[stripe] ?? 0) > STALL_MS
      if (isPending && !isStill && !isTail) return
      this.#late.push(run)
      if (!isPending || isStill) this.#lateCounts[stripe]!++
    })
    state.random.shuffle(this.#late)
  }

  /** The origin is asked only for what nobody else turns out to have. */
  #mayAskOrigin(run: number, now: number): boolean {
    const { availability, limits, parents } = this.#state
    if (parents.length === 0) return true
    const since = Math.max(availability.seenAt(run), this.#changedAt[this.#state.stripeOf(run)] ?? 0)
    return now - since > limits.originGraceMs
  }

  /** The neighbour that would bring the run soonest, among those that announced it and have room. */
  #bestHolder(run: number, now: number): Neighbour | undefined {
    const state = this.#state
    const bytes = state.runBytes(run)
    const holders = state.availability.holders(run)
    const isOriginAllowed = holders === 0 || now - state.availability.seenAt(run) > state.limits.originHelpMs
    let best: Neighbour | undefined
    let bestMs = Infinity
    for (const neighbour of state.neighbours.values()) {
      if (neighbour.snubbedUntil > now || neighbour.outstanding.has(run)) continue
      if (neighbour.isOrigin && !isOriginAllowed) continue
      if (neighbour.outstanding.size > 0 && neighbour.outstandingBytes + bytes > neighbour.windowBytes) continue
      if (!state.hasAnnounced(neighbour, run)) continue
      const expectedMs = neighbour.expectedMs(bytes) + (neighbour.isOrigin ? ORIGIN_HANDICAP_MS : 0)
      if (expectedMs < bestMs) {
        best = neighbour
        bestMs = expectedMs
      }
    }
    return best
  }

  /** Runs of these stripes that others were asked for: the new parent need not send them. */
  cancelAsked(parent: Neighbour, mask: number): void {
    const state = this.#state
    const runs = [...this.#asked.keys()].filter((run) => (mask >>> state.stripeOf(run)) & 1)
    const ranges: number[] = []
    for (const run of runs.sort((a, b) => a - b)) {
      ranges.push(run * state.runChunks, state.runLength(run))
      this.#withheld.add(run)
    }
    if (ranges.length > 0) state.send(parent.id, { type: 'cancel', ranges })
  }

  /** The end of a content: what has waited longest is asked of a second neighbour. */
  #pickDoubles(now: number): void {
    const state = this.#state
    if (this.#asked.size === 0 || !state.content.isComplete) return
    const missing = Math.ceil((state.content.knownChunks - state.have.count) / state.runChunks)
    if (missing > this.#asked.size + 4) return
    for (const [run, asked] of this.#asked) {
      const first = state.neighbours.get(asked.from)
      if (asked.isDouble || now - asked.at < Math.max(150, 2 * (first?.latencyMs ?? 0))) continue
      const second = this.#bestHolder(run, now)
      if (second === undefined || second.isOrigin) continue
      this.#ask(second, run, now)
      this.#asked.set(run, { from: asked.from, at: asked.at, isDouble: true })
      this.#send(second, [run])
    }
  }

  #ask(neighbour: Neighbour, run: number, now: number): void {
    this.#asked.set(run, { from: neighbour.id, at: now, isDouble: false })
    neighbour.outstanding.set(run, now)
    neighbour.outstandingBytes += this.#state.runBytes(run)
    this.requestedRuns++
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

  // ---- time-outs ----

  /** Slow is not silent: only who has sent nothing at all for as long gets a strike. */
  #checkTimeouts(now: number): void {
    const state = this.#state
    for (const neighbour of state.neighbours.values()) {
      if (neighbour.outstanding.size === 0) continue
      const timeoutMs = Math.max(state.limits.minRequestTimeoutMs, 6 * neighbour.latencyMs)
      const isSilent = now - neighbour.receivedAt > timeoutMs
      const patienceMs = isSilent ? timeoutMs : 4 * timeoutMs
      let isOverdue = false
      for (const [run, at] of neighbour.outstanding) {
        if (now - at <= patienceMs) continue
        isOverdue = true
        state.send(neighbour.id, { type: 'cancel', ranges: [run * state.runChunks, state.runLength(run)] })
        this.#forget(neighbour, run)
      }
      if (!isOverdue || !isSilent) continue
      neighbour.snub(now, timeoutMs)
      if (neighbour.strikes < state.limits.maxStrikes) continue
      const reason = `it announced chunks and left ${neighbour.strikes} requests for them unanswered`
      this.#host.misbehaved(neighbour.id, reason, now + state.limits.silentBanMs)
    }
  }

  #forget(neighbour: Neighbour, run: number): void {
    neighbour.outstanding.delete(run)
    const left = neighbour.outstandingBytes - this.#state.runBytes(run)
    neighbour.outstandingBytes = neighbour.outstanding.size === 0 ? 0 : Math.max(0, left)
    if (this.#asked.get(run)?.from === neighbour.id) this.#asked.delete(run)
  }

  /** Visits the first `most` runs that are not here, in order. */
  #eachMissing(most: number, visit: (run: number) => void): void {
    const { have, content, runChunks } = this.#state
    const known = content.knownChunks
    let chunk = have.nextClear(this.#firstMissing * runChunks)
    this.#firstMissing = Math.floor(chunk / runChunks)
    for (let count = 0; count < most && chunk < known; count++) {
      const run = Math.floor(chunk / runChunks)
      if (content.isComplete || (run + 1) * runChunks <= known) visit(run)
      if ((run + 1) * runChunks >= known) break
      chunk = have.nextClear((run + 1) * runChunks)
    }
  }
}
