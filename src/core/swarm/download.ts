/**
 * What a peer asks its neighbours for: the runs that no subscription brings, or that one brings too late.
 *
 * Rarest first among the runs that a neighbour has announced, ties by chance, each from the neighbour with the most room in
 * its window. A window grows while answers are quick. A request that stays unanswered is a strike; a neighbour with too many
 * is dropped. When everything that is missing has been asked for, the rest is asked for twice.
 */
import type { Ranges } from './frames.ts'
import type { Neighbour } from './neighbour.ts'
import type { SwarmPeer } from './peer.ts'

interface Asked {
  from: string
  at: number
  /** Asked of a second one. */
  isDouble: boolean
  /** It should have come by plan. */
  readonly isLate: boolean
}

const MAX_LATE_MS = 5000
/** Late runs asked for at a time: enough to go on with, too few to do harm where everybody is late. */
const MAX_LATE_ASKED = 8
/** How much longer a run is waited for after one was asked for in vain, at the most. */
const MAX_PATIENCE = 16
const ORIGIN_HANDICAP_MS = 1e6
/** A stripe is behind when it is this many runs behind the one that is first. */
const LAG_RUNS = 32
const MIN_SNUBBED_WINDOW_BYTES = 64 * 1024

export class Downloads {
  pickedAt: number = -Infinity
  requestedRuns = 0
  pulledRuns = 0
  readonly #peer: SwarmPeer
  /** Runs that were asked for. */
  readonly #asked: Map<number, Asked> = new Map()
  /** Runs whose parent said that it won't send them. */
  readonly #withheld: Set<number> = new Set()
  /** All runs below this are here. */
  #firstMissing = 0
  /** How long a run takes to come by plan after others are known to have it, smoothed, ms, and its mean deviation. */
  #lagMs = 100
  #lagDeviationMs = 75
  #stripeArrivedAt: number[] = []
  #lateAsked = 0
  /** Grows whenever a late run came by plan after all, shrinks when asking helped. */
  #patience = 1
  /** The highest run that has come by plan. */
  #front = -1

  constructor(peer: SwarmPeer) {
    this.#peer = peer
  }

  reset(): void {
    this.#asked.clear()
    this.#lateAsked = 0
    this.#withheld.clear()
    this.#firstMissing = 0
    this.#front = -1
    for (const neighbour of this.#peer.neighbours.values()) {
      neighbour.outstanding.clear()
      neighbour.outstandingBytes = 0
    }
  }

  planned(now: number): void {
    this.#stripeArrivedAt = Array.from({ length: this.#peer.stripes }, () => now)
  }

  withheld(from: string, ranges: Ranges, now: number): void {
    const { runChunks, availability } = this.#peer
    for (let i = 0; i < ranges.length; i += 2) {
      const last = Math.floor((ranges[i]! + ranges[i + 1]! - 1) / runChunks)
      for (let run = Math.floor(ranges[i]! / runChunks); run <= last; run++) {
        if (this.#peer.parents[this.#peer.stripeOf(run)] !== from) continue
        this.#withheld.add(run)
        availability.markSeen(run, now)
      }
    }
  }

  /** A neighbour said that it does not have what it was asked for. */
  refused(neighbour: Neighbour, run: number): void {
    if (neighbour.outstanding.has(run)) this.#forget(neighbour, run)
  }

  neighbourGone(neighbour: Neighbour): void {
    for (const run of neighbour.outstanding.keys()) {
      if (this.#asked.get(run)?.from === neighbour.id) this.#drop(run)
    }
    neighbour.outstanding.clear()
    neighbour.outstandingBytes = 0
  }

  /** Chunks came from a neighbour, new or not. */
  arrived(neighbour: Neighbour, firstChunk: number, bytes: number, now: number): void {
    const peer = this.#peer
    const run = Math.floor(firstChunk / peer.runChunks)
    const askedAt = neighbour.outstanding.get(run)
    if (!this.#isHere(run)) return
    this.#withheld.delete(run)
    const asked = this.#asked.get(run)
    if (askedAt !== undefined) {
      neighbour.answered(now - askedAt, bytes)
      this.pulledRuns++
      if (asked?.isLate === true) this.#patience = Math.max(1, this.#patience * 0.95)
    } else {
      this.#cameByPlan(run, now)
      if (asked?.isLate === true) this.inVain()
    }
    if (asked !== undefined) {
      this.#drop(run)
      for (const other of peer.neighbours.values()) {
        if (!other.outstanding.has(run)) continue
        this.#forget(other, run)
        if (other !== neighbour) peer.send(other.id, { type: 'cancel', ranges: [run * peer.runChunks, peer.runChunks] })
      }
      if (!peer.isDone) peer.pickSoon(now)
    }
  }

  /** Something came twice: it should have been waited for. */
  inVain(): void {
    this.#patience = Math.min(MAX_PATIENCE, this.#patience * 1.25)
  }

  tick(now: number): void {
    this.#checkTimeouts(now)
    this.pick(now)
  }

  /** Stripes with a parent that has let several runs come late. */
  lateStripes(now: number): number[] {
    const late: number[] = []
    const lateMs = this.#lateMs()
    for (let stripe = 0; stripe < this.#peer.parents.length; stripe++) {
      if (this.#peer.parents[stripe] === undefined) late.push(stripe)
    }
    const counts = new Array<number>(this.#peer.stripes).fill(0)
    const { availability } = this.#peer
    this.#eachMissing(512, (run) => {
      if (availability.holders(run) > 0 && this.#isLate(run, lateMs, now)) counts[this.#peer.stripeOf(run)]!++
    })
    counts.forEach((count, stripe) => {
      if (count >= 3 && !late.includes(stripe)) late.push(stripe)
    })
    return late
  }

  /** Asks for what should be asked for now. */
  pick(now: number): void {
    const peer = this.#peer
    this.pickedAt = now
    if (peer.isDone || peer.options.isOrigin || peer.neighbours.size === 0) return
    const candidates = this.#candidates(now)
    if (candidates.length === 0) return this.#pickDoubles(now)
    const orders: Map<Neighbour, number[]> = new Map()
    for (const run of candidates) {
      const neighbour = this.#bestHolder(run, now)
      if (neighbour === undefined) {
        if (peer.availability.holders(run) === 0) peer.reachOrigin(now)
        continue
      }
      this.#ask(neighbour, run, now)
      const order = orders.get(neighbour)
      if (order === undefined) orders.set(neighbour, [run])
      else order.push(run)
    }
    for (const [neighbour, runs] of orders) this.#send(neighbour, runs)
  }

  // ---- picking ----

  /** Runs to ask for, in the order to ask. */
  #candidates(now: number): number[] {
    const { availability, limits, random, parents } = this.#peer
    const lateMs = this.#lateMs()
    const isPlanned = parents.length > 0
    let late = MAX_LATE_ASKED - this.#lateAsked
    const runs: number[] = []
    const keys: Map<number, number> = new Map()
    this.#eachMissing(limits.pickWindowRuns, (run) => {
      if (this.#asked.has(run)) return
      const holders = availability.holders(run)
      const seenAt = availability.seenAt(run)
      const isCovered = isPlanned && this.#isCovered(run)
      if (isCovered && (late <= 0 || !this.#isLate(run, lateMs, now))) return
      if (holders === 0 && !this.#mayAskOrigin(run, isCovered, seenAt, now)) return
      if (isCovered) late--
      runs.push(run)
      keys.set(run, Math.min(holders, 1000) + random.float())
    })
    return runs.length < 2 ? runs : runs.sort((a, b) => keys.get(a)! - keys.get(b)!)
  }

  /**
   * Others have had the run for long, and its stripe is behind the other stripes, or still. A peer whose own link is the limit is
   * late in all stripes alike: asking elsewhere would bring it nothing but the same bytes twice.
   */
  #isLate(run: number, lateMs: number, now: number): boolean {
    const seenAt = this.#peer.availability.seenAt(run)
    if (seenAt === 0 || now - seenAt <= lateMs) return false
    return this.#front >= run + LAG_RUNS || now - (this.#stripeArrivedAt[this.#peer.stripeOf(run)] ?? 0) > lateMs
  }

  #isCovered(run: number): boolean {
    const parent = this.#peer.parents[this.#peer.stripeOf(run)]
    return parent !== undefined && !this.#withheld.has(run) && this.#peer.neighbours.has(parent)
  }

  /** The origin is asked only for what nobody else turns out to have. */
  #mayAskOrigin(run: number, isCovered: boolean, seenAt: number, now: number): boolean {
    if (isCovered) return false
    const peer = this.#peer
    if (peer.parents.length === 0) return true
    return seenAt === 0 ? now - this.#lastPlanChange(run) > peer.limits.originGraceMs : now - seenAt > peer.limits.originGraceMs
  }

  #lastPlanChange(run: number): number {
    return this.#stripeArrivedAt[this.#peer.stripeOf(run)] ?? 0
  }

  /** The neighbour that would bring the run soonest, among those that announced it and have room. */
  #bestHolder(run: number, now: number): Neighbour | undefined {
    const peer = this.#peer
    const from = run * peer.runChunks
    const bytes = this.#runBytes(run)
    const { availability, limits } = peer
    const isOriginAllowed = availability.holders(run) === 0 || now - availability.seenAt(run) > limits.originHelpMs
    let best: Neighbour | undefined
    let bestMs = Infinity
    for (const neighbour of peer.neighbours.values()) {
      if (neighbour.snubbedUntil > now || neighbour.outstanding.has(run)) continue
      if (neighbour.isOrigin && !isOriginAllowed) continue
      if (neighbour.outstanding.size > 0 && neighbour.outstandingBytes + bytes > neighbour.windowBytes) continue
      if (!neighbour.announced.hasRange(from, Math.min(peer.runChunks, peer.content.knownChunks - from))) continue
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
    const ranges: number[] = []
    const { runChunks } = this.#peer
    const runs = [...this.#asked.keys()].filter((run) => (mask >>> this.#peer.stripeOf(run)) & 1)
    for (const run of runs.sort((a, b) => a - b)) ranges.push(run * runChunks, runChunks)
    if (ranges.length > 0) this.#peer.send(parent.id, { type: 'cancel', ranges })
  }

  /** The end of a content: what has waited longest is asked of a second neighbour. */
  #pickDoubles(now: number): void {
    const peer = this.#peer
    if (this.#asked.size === 0 || !peer.content.isComplete) return
    const missing = Math.ceil((peer.content.knownChunks - peer.have.count) / peer.runChunks)
    if (missing > this.#asked.size + 4) return
    for (const [run, asked] of this.#asked) {
      const first = peer.neighbours.get(asked.from)
      if (asked.isDouble || now - asked.at < Math.max(150, 2 * (first?.latencyMs ?? 0))) continue
      const second = this.#bestHolder(run, now)
      if (second === undefined || second.isOrigin) continue
      this.#drop(run)
      this.#ask(second, run, now)
      this.#asked.set(run, { ...this.#asked.get(run)!, from: asked.from, at: asked.at, isDouble: true })
      this.#send(second, [run])
    }
  }

  #ask(neighbour: Neighbour, run: number, now: number): void {
    const isLate = this.#peer.parents.length > 0 && this.#isCovered(run)
    if (isLate) this.#lateAsked++
    this.#asked.set(run, { from: neighbour.id, at: now, isDouble: false, isLate })
    neighbour.outstanding.set(run, now)
    neighbour.outstandingBytes += this.#runBytes(run)
    this.requestedRuns++
  }

  #send(neighbour: Neighbour, runs: number[]): void {
    const peer = this.#peer
    runs.sort((a, b) => a - b)
    const ranges: number[] = []
    const covered: Map<string, number[]> = new Map()
    for (const run of runs) {
      const from = run * peer.runChunks
      const end = Math.min(from + peer.runChunks, peer.content.knownChunks)
      for (let chunk = from; chunk < end; chunk++) {
        if (peer.have.has(chunk)) continue
        const last = ranges.length - 2
        if (last >= 0 && ranges[last]! + ranges[last + 1]! === chunk) ranges[last + 1]!++
        else ranges.push(chunk, 1)
      }
      const parent = peer.parents[peer.stripeOf(run)]
      if (parent === undefined || parent === neighbour.id || this.#withheld.has(run) || !peer.neighbours.has(parent)) continue
      const list = covered.get(parent)
      if (list === undefined) covered.set(parent, [from, end - from])
      else list.push(from, end - from)
    }
    if (ranges.length > 0) peer.send(neighbour.id, { type: 'request', ranges })
    for (const [parent, list] of covered) peer.send(parent, { type: 'cancel', ranges: list })
  }

  // ---- book-keeping ----

  #checkTimeouts(now: number): void {
    const peer = this.#peer
    for (const neighbour of peer.neighbours.values()) {
      if (neighbour.outstanding.size === 0) continue
      const timeoutMs = Math.max(peer.limits.minRequestTimeoutMs, 6 * neighbour.latencyMs)
      let isOverdue = false
      for (const [run, at] of neighbour.outstanding) {
        if (now - at < timeoutMs) continue
        isOverdue = true
        peer.send(neighbour.id, { type: 'cancel', ranges: [run * peer.runChunks, peer.runChunks] })
        this.#forget(neighbour, run)
      }
      if (!isOverdue) continue
      neighbour.snubbedUntil = now + timeoutMs
      neighbour.windowBytes = MIN_SNUBBED_WINDOW_BYTES
      // Slow is not silent: only who has sent nothing at all since the last time gets a strike.
      const isSilent = neighbour.receivedBytes === neighbour.receivedAtStrike
      neighbour.receivedAtStrike = neighbour.receivedBytes
      neighbour.strikes = isSilent ? neighbour.strikes + 1 : 0
      if (neighbour.strikes >= peer.limits.maxStrikes) {
        const reason = `it announced chunks and left ${neighbour.strikes} requests for them unanswered`
        peer.misbehaved(neighbour.id, reason, now + peer.limits.silentBanMs)
      }
    }
  }

  #forget(neighbour: Neighbour, run: number): void {
    neighbour.outstanding.delete(run)
    neighbour.outstandingBytes = neighbour.outstanding.size === 0 ? 0 : Math.max(0, neighbour.outstandingBytes - this.#runBytes(run))
    if (this.#asked.get(run)?.from === neighbour.id) this.#drop(run)
  }

  #drop(run: number): void {
    if (this.#asked.get(run)?.isLate === true) this.#lateAsked--
    this.#asked.delete(run)
  }

  #cameByPlan(run: number, now: number): void {
    this.#stripeArrivedAt[this.#peer.stripeOf(run)] = now
    if (run > this.#front) this.#front = run
    const seenAt = this.#peer.availability.seenAt(run)
    if (seenAt === 0) return
    const lag = now - seenAt
    this.#lagDeviationMs += (Math.abs(lag - this.#lagMs) - this.#lagDeviationMs) / 8
    this.#lagMs += (lag - this.#lagMs) / 8
  }

  /** After how long a run counts as late: as TCP's retransmission time-out is reckoned (RFC 6298 §2). */
  #lateMs(): number {
    return Math.min(MAX_LATE_MS, Math.max(this.#peer.limits.minLateMs, this.#lagMs + 4 * this.#lagDeviationMs) * this.#patience)
  }

  #isHere(run: number): boolean {
    const peer = this.#peer
    const from = run * peer.runChunks
    return peer.have.hasRange(from, Math.min(peer.runChunks, peer.content.knownChunks - from))
  }

  #runBytes(run: number): number {
    const peer = this.#peer
    const from = run * peer.runChunks
    return peer.content.rangeBytes(from, Math.min(peer.runChunks, peer.content.knownChunks - from))
  }

  /** Visits the first `most` runs that are not here, in order. */
  #eachMissing(most: number, visit: (run: number) => void): void {
    const { have, content, runChunks } = this.#peer
    const known = content.knownChunks
    let chunk = have.nextClear(this.#firstMissing * runChunks)
    this.#firstMissing = Math.floor(chunk / runChunks)
    for (let count = 0; count < most && chunk < known; count++) {
      const run = Math.floor(chunk / runChunks)
      const isWhole = content.isComplete || (run + 1) * runChunks <= known
      if (isWhole) visit(run)
      if ((run + 1) * runChunks >= known) break
      chunk = have.nextClear((run + 1) * runChunks)
    }
  }
}
