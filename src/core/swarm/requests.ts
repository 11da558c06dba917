/**
 * What was asked of whom and has not come, and what is done with those who leave requests unanswered.
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

  /** The runs are others than before. */
  reset(): void {
    this.#asked.clear()
    for (const neighbour of this.#state.neighbours.values()) {
      neighbour.outstanding.clear()
      neighbour.outstandingBytes = 0
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

  /** A run is here: whoever else was asked for it need not send it. */
  arrived(neighbour: Neighbour, run: number): boolean {
    const state = this.#state
    if (!this.#asked.delete(run)) return false
    for (const other of state.neighbours.values()) {
      if (!other.outstanding.has(run)) continue
      this.#forget(other, run)
      if (other !== neighbour) state.send(other.id, { type: 'cancel', ranges: state.rangesOf([run]) })
    }
    return true
  }

  /** A neighbour said that it does not have what it was asked for. */
  refused(neighbour: Neighbour, run: number): void {
    if (neighbour.outstanding.has(run)) this.#forget(neighbour, run)
  }

  neighbourGone(neighbour: Neighbour): void {
    for (const run of neighbour.outstanding.keys()) {
      if (this.#asked.get(run)?.from === neighbour.id) this.#asked.delete(run)
    }
    neighbour.outstanding.clear()
    neighbour.outstandingBytes = 0
  }

  /** Runs that have waited so long that a second neighbour should be asked. */
  *slow(now: number): Generator<number> {
    for (const [run, asked] of this.#asked) {
      const first = this.#state.neighbours.get(asked.from)
      if (!asked.isDouble && now - asked.at >= Math.max(150, 2 * (first?.latencyMs ?? 0))) yield run
    }
  }

  /** Slow is not silent: only who has sent nothing at all for as long gets a strike. */
  checkTimeouts(now: number): void {
    const state = this.#state
    for (const neighbour of state.neighbours.values()) {
      if (neighbour.outstanding.size === 0) continue
      const timeoutMs = Math.max(state.limits.minRequestTimeoutMs, 6 * neighbour.latencyMs)
      const isSilent = now - neighbour.receivedAt > timeoutMs
      const patienceMs = isSilent ? timeoutMs : 4 * timeoutMs
      const overdue = [...neighbour.outstanding].filter(([, at]) => now - at > patienceMs).map(([run]) => run)
      if (overdue.length === 0) continue
      for (const run of overdue) this.#forget(neighbour, run)
      state.send(neighbour.id, { type: 'cancel', ranges: state.rangesOf(overdue) })
      if (!isSilent) continue
      neighbour.snub(now, timeoutMs)
      if (neighbour.strikes < state.limits.maxStrikes) continue
      const reason = `it announced chunks and left ${neighbour.strikes} requests for them unanswered`
      this.#drop(neighbour.id, reason, now + state.limits.silentBanMs)
    }
  }

  #forget(neighbour: Neighbour, run: number): void {
    neighbour.outstanding.delete(run)
    const left = neighbour.outstandingBytes - this.#state.runBytes(run)
    neighbour.outstandingBytes = neighbour.outstanding.size === 0 ? 0 : Math.max(0, left)
    if (this.#asked.get(run)?.from === neighbour.id) this.#asked.delete(run)
  }
}
