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
  /** Runs that were asked for. */
  readonly #asked: Map<number, Asked> = new Map()

  constructor(state: PeerState, drop: Drop) {
    this.#state = state
    this.#drop = drop
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

  /** A run is here: whoever else was asked for it need not send it, but who is being tried should. Whether it had been asked for. */
  arrived(neighbour: Neighbour, run: number, now: number): boolean {
    const state = this.#state
    if (neighbour.triedWith === run) this.#forget(neighbour, run)
    if (!this.#asked.delete(run)) return false
    for (const other of state.neighbours.values()) {
      const askedAt = other.outstanding.get(run)
      if (askedAt === undefined || other.triedWith === run) continue
      if (isUnproven(other) && other.triedWith < 0 && now - askedAt >= this.#timeoutMs(other) / 2) {
        // It has still to send this one, so that its silence shows however soon others bring everything.
        other.triedWith = run
        continue
      }
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
      // Who has never sent anything is tried at once, others when they are due to be asked again.
      const isDue = isUnproven(neighbour) || neighbour.snubbedUntil <= now
      if (neighbour.strikes > 0 && neighbour.outstanding.size === 0 && isDue) this.#try(neighbour, now)
    }
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
    if (neighbour.strikes < most || !overdue.includes(triedWith)) return false
    const reason = `it announced chunks and left ${neighbour.strikes} requests for them unanswered`
    this.#drop(neighbour.id, reason, now + state.limits.silentBanMs)
    return true
  }

  /** Asks a neighbour for a run on which nothing depends: others may be asked for it too, and its parent still brings it. */
  #try(neighbour: Neighbour, now: number): void {
    const state = this.#state
    let chosen = state.isDone ? Math.floor(neighbour.announced.nextSet(0) / state.runChunks) : undefined
    state.eachMissing(state.limits.pickWindowRuns, (run) => {
      if (chosen === undefined && state.hasAnnounced(neighbour, run)) chosen = run
    })
    if (chosen === undefined || !state.hasAnnounced(neighbour, chosen)) return
    neighbour.triedWith = chosen
    neighbour.outstanding.set(chosen, now)
    neighbour.outstandingBytes += state.runBytes(chosen)
    this.count++
    state.send(neighbour.id, { type: 'request', ranges: state.rangesOf([chosen]) })
  }

  #timeoutMs(neighbour: Neighbour): number {
    return Math.max(this.#state.limits.minRequestTimeoutMs, 6 * neighbour.latencyMs)
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
