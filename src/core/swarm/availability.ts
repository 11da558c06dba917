/**
 * How many neighbours have announced each run, and since when: what rarest-first and lateness are decided by.
 *
 * Counts only whole runs, and not the origin's: it has everything, and what only it has is not there to be relayed yet.
 */
import type { Bitfield } from '../lib/bitfield.ts'

export class Availability {
  readonly runChunks: number
  #holders: Uint16Array
  #seenAt: Float64Array
  /** Runs that were ever known to be somewhere else. */
  seenRuns = 0

  constructor(runChunks: number) {
    this.runChunks = runChunks
    this.#holders = new Uint16Array(0)
    this.#seenAt = new Float64Array(0)
  }

  grow(chunks: number): void {
    const runs = Math.ceil(chunks / this.runChunks)
    if (runs <= this.#holders.length) return
    const capacity = Math.max(runs, this.#holders.length * 2)
    const holders = new Uint16Array(capacity)
    holders.set(this.#holders)
    this.#holders = holders
    const seenAt = new Float64Array(capacity)
    seenAt.set(this.#seenAt)
    this.#seenAt = seenAt
  }

  /** Neighbours that have announced the whole run. */
  holders(run: number): number {
    return this.#holders[run] ?? 0
  }

  /** When the run was first known to be somewhere, ms; 0 while it is not. */
  seenAt(run: number): number {
    return this.#seenAt[run] ?? 0
  }

  /** The run is said to be with a peer that is not a neighbour yet. */
  markSeen(run: number, now: number): void {
    if (run < this.#seenAt.length) this.#see(run, now)
  }

  /**
   * Sets a range in what a neighbour has announced, and counts the runs that this makes whole; `chunks` is where the last run ends,
   * Infinity while that isn't known.
   */
  announce(announced: Bitfield, first: number, count: number, chunks: number, now: number): void {
    const size = this.runChunks
    const end = first + count
    const isNew = announced.nextSet(first) >= end
    // In order and without gaps is how announcements mostly come: then all runs inside of the range are new as wholes.
    const wholeFrom = isNew ? Math.ceil(first / size) : Infinity
    const wholeTo = isNew ? (end === chunks ? Math.ceil(end / size) : Math.floor(end / size)) : 0
    const lastRun = Math.floor((end - 1) / size)
    for (let run = Math.floor(first / size); run <= lastRun; run++) {
      if (run >= wholeFrom && run < wholeTo) {
        this.addRun(run, now)
        continue
      }
      const from = run * size
      const length = Math.min(size, chunks - from)
      if (announced.hasRange(from, length)) continue
      const begin = Math.max(from, first)
      announced.setRange(begin, Math.min(from + length, end) - begin)
      if (announced.hasRange(from, length)) this.addRun(run, now)
    }
    if (isNew) announced.setRange(first, count)
  }

  /** Counts every whole run of a neighbour's record, as when runs are cut anew. */
  add(announced: Bitfield, chunks: number, now: number): void {
    this.#eachWhole(announced, chunks, (run) => this.addRun(run, now))
  }

  remove(announced: Bitfield, chunks: number): void {
    this.#eachWhole(announced, chunks, (run) => this.removeRun(run))
  }

  removeRun(run: number): void {
    const holders = this.#holders[run] ?? 0
    if (holders > 0) this.#holders[run] = holders - 1
  }

  /** A neighbour has the whole of a run. */
  addRun(run: number, now: number): void {
    this.#holders[run] = (this.#holders[run] ?? 0) + 1
    this.#see(run, now)
  }

  #see(run: number, now: number): void {
    if (this.#seenAt[run] !== 0) return
    this.#seenAt[run] = now
    this.seenRuns++
  }

  #eachWhole(announced: Bitfield, chunks: number, visit: (run: number) => void): void {
    const size = this.runChunks
    for (let from = announced.nextSet(0); from < chunks; from = announced.nextSet(from)) {
      const run = Math.floor(from / size)
      const begin = run * size
      if (announced.hasRange(begin, Math.min(size, chunks - begin))) visit(run)
      from = begin + size
      if (from >= announced.length) break
    }
  }
}
