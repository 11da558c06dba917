/**
 * What was asked of whom and has not come, and what is done with those who leave requests unanswered.
 *
 * Who is silent when it is asked is struck: nothing that matters is asked of it for a while. Instead it is tried with one run that
 * others bring as well, so that a transfer's end does not hide its silence. Slow is not silent: whoever sends anything is forgiven,
 * and nobody is dropped before it had the time in which the slowest peer worth having would have sent a run.
 *
 * Who takes back what it announced, when it is asked for it, is left alone for a while too, each time twice as long as before.
 *
 * Not here: what to ask for, and of whom (`download.ts`).
 */
import type { Neighbour } from './neighbour.ts'
import type { PeerState } from './peer-state.ts'

interface Asked {
  readonly from: string
  readonly at: number
  /** Asked of a second one. */
  isDouble: boolean
}

/** A peer that sends less than this is of no use to anyone, bytes per ms. */
const USEFUL_RATE = 32
/** How long nothing is asked of a neighbour that took back what it was asked for, the first time, ms. */
const TAKEN_BACK_PAUSE_MS = 100

/** Drops a neighbour until a time, ms. */
export type Drop = (id: string, reason: string, untilMs: number) => void

export class Requests {
  /** Runs asked for so far. */
  count = 0
  readonly #state: PeerState
  readonly #drop: Drop
  readonly #tell: (neighbour: Neighbour) => void
  /** Runs that were asked for. */
  readonly #asked: Map<number, Asked> = new Map()

  /** @param tell says to a neighbour what is here and it was not told yet */
  constructor(state: PeerState, drop: Drop, tell: (neighbour: Neighbour) => void) {
    this.#state = state
    this.#drop = drop
    this.#tell = tell
  }

  /** Runs under way. */
  get size(): number {
    return this.#asked.size
  }

  has(run: number): boolean {
    return this.#asked.has(run)
  }

  runs(): Iterable<number> {
    return this.#asked.keys()
  }

  /** Runs are about to be cut in another way: takes back all requests. */
  reset(): void {
    this.#asked.clear()
    for (const neighbour of this.#state.neighbours.values()) {
      if (neighbour.outstanding.size === 0) continue
      this.#state.send(neighbour.id, { type: 'cancel', ranges: this.#state.rangesOf([...neighbour.outstanding.keys()]) })
      neighbour.outstanding.clear()
      neighbour.outstandingBytes = 0
      neighbour.triedWith = -1
    }
  }

  /** A run is asked of a neighbour; the message is the caller's. */
  add(neighbour: Neighbour, run: number, now: number): void {
    const before = this.#asked.get(run)
    this.#asked.set(run, before === undefined ? { from: neighbour.id, at: now, isDouble: false } : { ...before, isDouble: true })
    neighbour.outstanding.set(run, now)
    neighbour.outstandingBytes += this.#state.runBytes(run)
    this.count++
  }

  /** A run is here, from a neighbour or by another way: whoever else was asked for it need not send it. Whether it had been asked for. */
  arrived(neighbour: Neighbour | undefined, run: number, now: number): boolean {
    const state = this.#state
    if (neighbour?.triedWith === run) this.#forget(neighbour, run)
    if (!this.#asked.delete(run)) return false
    for (const other of state.neighbours.values()) {
      const askedAt = other.outstanding.get(run)
      if (askedAt === undefined) continue
      if (now - askedAt > this.#timeoutMs(other) / 2) other.isWaitedFor = true
      this.#forget(other, run)
      if (other !== neighbour) state.send(other.id, { type: 'cancel', ranges: state.rangesOf([run]) })
    }
    return true
  }

  /** A neighbour said that it does not have what it was asked for. */
  refused(neighbour: Neighbour, run: number, now: number): void {
    if (!neighbour.outstanding.has(run)) return
    this.#forget(neighbour, run)
    // What was asked for before it was left alone is part of the same matter.
    if (neighbour.snubbedUntil > now) return
    neighbour.tookBack(now, TAKEN_BACK_PAUSE_MS)
    const { maxTakenBack, silentBanMs } = this.#state.limits
    if (neighbour.takenBack < maxTakenBack) return
    const reason = `it took back what it had announced when it was asked for it, ${neighbour.takenBack} times in a row`
    this.#drop(neighbour.id, reason, now + silentBanMs)
  }

  neighbourGone(neighbour: Neighbour): void {
    for (const run of neighbour.outstanding.keys()) {
      if (this.#asked.get(run)?.from === neighbour.id) this.#asked.delete(run)
    }
    neighbour.outstanding.clear()
    neighbour.outstandingBytes = 0
    neighbour.triedWith = -1
  }

  /** Runs that have waited so long that a second neighbour should be asked. */
  *slow(now: number): Generator<number> {
    for (const [run, asked] of this.#asked) {
      const first = this.#state.neighbours.get(asked.from)
      if (!asked.isDouble && now - asked.at >= Math.max(150, 2 * (first?.latencyMs ?? 0))) yield run
    }
  }

  /** Strikes who has sent nothing at all for too long, and tries or drops it. */
  checkTimeouts(now: number): void {
    for (const neighbour of this.#state.neighbours.values()) {
      if (neighbour.outstanding.size > 0 && this.#isGivenUp(neighbour, now)) continue
      if (neighbour.outstanding.size === 0 && this.#isDoubtful(neighbour, now)) this.#try(neighbour, now)
    }
  }

  /** Whether it is to be tried: who has never sent anything at once after a strike, others when they are due to be asked again. */
  #isDoubtful(neighbour: Neighbour, now: number): boolean {
    if (neighbour.strikes > 0) return isUnproven(neighbour) || neighbour.snubbedUntil <= now
    if (!isUnproven(neighbour) || neighbour.snubbedUntil > now) return false
    // What was asked for came from others. Or it says that it has everything, and as a parent, which is not asked, it sends nothing.
    const hasAll = neighbour.announced.count > 0 && neighbour.announced.count >= this.#state.content.knownChunks
    if (neighbour.owesSince > now && hasAll && this.#owes(neighbour)) neighbour.owesSince = now
    return neighbour.isWaitedFor || now - neighbour.owesSince > this.#timeoutMs(neighbour) / 2
  }

  /** Whether something is missing that the neighbour is to send unasked, and may. */
  #owes(neighbour: Neighbour): boolean {
    const state = this.#state
    let owes = false
    state.eachMissing(state.limits.pickWindowRuns, (run) => {
      const isCleared = run * state.runChunks + state.runLength(run) <= state.clearedTo
      if (isCleared && state.parentOf(state.stripeOf(run)) === neighbour) owes = true
    })
    return owes
  }

  /** Takes back what has waited for too long; whether the neighbour was dropped for it. */
  #isGivenUp(neighbour: Neighbour, now: number): boolean {
    const state = this.#state
    const timeoutMs = this.#timeoutMs(neighbour)
    const isSilent = now - neighbour.receivedAt > timeoutMs
    const patienceMs = isSilent ? timeoutMs : 4 * timeoutMs
    const { triedWith } = neighbour
    const overdue: number[] = []
    for (const [run, at] of neighbour.outstanding) {
      if (now - at > (run === triedWith ? Math.max(patienceMs, state.runBytes(run) / USEFUL_RATE) : patienceMs)) overdue.push(run)
    }
    if (overdue.length === 0) return false
    for (const run of overdue) this.#forget(neighbour, run)
    state.send(neighbour.id, { type: 'cancel', ranges: state.rangesOf(overdue) })
    if (!isSilent) return false
    neighbour.snub(now, timeoutMs)
    const most = isUnproven(neighbour) ? state.limits.maxStrikesUnproven : state.limits.maxStrikes
    // An origin that hands out leaves what was asked of it again for later.
    if (neighbour.isOrigin || neighbour.strikes < most || !overdue.includes(triedWith)) return false
    const reason = `it announced chunks and left ${neighbour.strikes} requests for them unanswered`
    this.#drop(neighbour.id, reason, now + state.limits.silentBanMs)
    return true
  }

  /** Asks a neighbour for a run on which nothing depends, and which nobody else makes superfluous: one that is here, if there is any. */
  #try(neighbour: Neighbour, now: number): void {
    const state = this.#state
    const chosen = this.#heldByBoth(neighbour) ?? this.#missing(neighbour)
    if (chosen === undefined) return
    // Told later that it is here, the neighbour would rightly leave it out.
    this.#tell(neighbour)
    neighbour.triedWith = chosen
    neighbour.outstanding.set(chosen, now)
    neighbour.outstandingBytes += state.runBytes(chosen)
    this.count++
    state.send(neighbour.id, { type: 'request', ranges: state.rangesOf([chosen]) })
  }

  #heldByBoth(neighbour: Neighbour): number | undefined {
    const { content, limits, runChunks } = this.#state
    const runs = Math.min(limits.pickWindowRuns, Math.ceil(content.knownChunks / runChunks))
    for (let run = 0; run < runs; run++) if (this.#state.hasRun(run) && this.#state.hasAnnounced(neighbour, run)) return run
    return undefined
  }

  #missing(neighbour: Neighbour): number | undefined {
    let chosen: number | undefined
    this.#state.eachMissing(this.#state.limits.pickWindowRuns, (run) => {
      if (chosen === undefined && this.#state.hasAnnounced(neighbour, run)) chosen = run
    })
    return chosen
  }

  #timeoutMs(neighbour: Neighbour): number {
    return Math.max(this.#state.limits.minRequestTimeoutMs * this.#state.pace.slowness, 6 * neighbour.latencyMs)
  }

  #forget(neighbour: Neighbour, run: number): void {
    neighbour.outstanding.delete(run)
    if (neighbour.triedWith === run) neighbour.triedWith = -1
    const left = neighbour.outstandingBytes - this.#state.runBytes(run)
    neighbour.outstandingBytes = neighbour.outstanding.size === 0 ? 0 : Math.max(0, left)
    if (this.#asked.get(run)?.from === neighbour.id) this.#asked.delete(run)
  }
}

/** It has never sent anything. The origin owes nothing: it leaves what it can to others, and may be asked by many at once. */
function isUnproven(neighbour: Neighbour): boolean {
  return neighbour.receivedAt === -Infinity && !neighbour.isOrigin
}
