/**
 * Who holds the others: a receiver that could only be served at less than a share of what the median of all can take, for some time.
 *
 * What one can take is what it was seen to take (`ReceiverPath.potential`). When the sender's own link is full, all of them fall together, and
 * nobody is slow.
 */
import type { RateOptions } from './rate-options.ts'
import type { ReceiverPath } from './receiver-path.ts'

/** Loss from which a receiver is compared with the others though it is random. */
const MUCH_LOSS = 0.3
/** Loss beyond its own that a receiver has which cannot take what is sent; below, nothing is known of what it could take. */
const SOME_LOSS = 0.1

export class SlowReceivers {
  readonly #options: RateOptions
  #slow: number[] = []

  constructor(options: RateOptions) {
    this.#options = options
  }

  take(): number[] {
    const slow = this.#slow
    this.#slow = []
    return slow
  }

  /** Whether a receiver's trouble is its own; after the time that it has, it is given out. */
  isSlow(path: ReceiverPath, paths: ReadonlyMap<number, ReceiverPath>, now: number): boolean {
    if (this.#isUnproven(path) || !this.#isBelow(path, paths, now)) {
      path.slowSince = undefined
      return false
    }
    path.slowSince ??= now
    if (now - path.slowSince >= this.#options.slowHoldMs && !this.#slow.includes(path.receiver)) this.#slow.push(path.receiver)
    return true
  }

  /** Whether what a receiver lost says nothing of what it can take. */
  #isUnproven(path: ReceiverPath): boolean {
    return path.troubledSince === undefined ? path.meanLoss < MUCH_LOSS : path.totalLoss - path.floor < SOME_LOSS
  }

  /**
   * Whether at most half of the receivers are in trouble, and this one not for long: the start goes on then, since what the others can
   * take is not known yet, and with it who is slow.
   */
  isMinority(path: ReceiverPath, paths: ReadonlyMap<number, ReceiverPath>, now: number): boolean {
    if (path.troubledSince === undefined || now - path.troubledSince >= 2 * this.#options.slowHoldMs) return false
    let troubled = 0
    let others = 0
    for (const other of paths.values()) {
      if (other.troubledSince === undefined) others++
      else troubled++
    }
    return troubled <= others
  }

  /**
   * Whether a queue is on the way to a few alone, at most half of the receivers, and not for long: the start goes on then. A port that is slow and
   * has a large buffer would otherwise end the start for all before it loses anything, and nobody could tell that it is slow.
   */
  isQueueItsOwn(path: ReceiverPath, paths: ReadonlyMap<number, ReceiverPath>, limitMs: number, now: number): boolean {
    if (path.queuedSince !== undefined && now - path.queuedSince >= 2 * this.#options.slowHoldMs) return false
    let queued = 0
    for (const other of paths.values()) if (other.queueMs > limitMs / 2) queued++
    return 2 * queued <= paths.size
  }

  #isBelow(path: ReceiverPath, paths: ReadonlyMap<number, ReceiverPath>, now: number): boolean {
    const { slowShare, staleMs } = this.#options
    const fresh = [...paths.values()].filter((other) => now - other.lastReportAt <= staleMs)
    if (fresh.length < 2) return false
    const typical = slowShare * upperMedian(fresh.map(({ meanLoss }) => 1 - meanLoss))
    if (path.troubledSince === undefined) return 1 - path.meanLoss < typical
    // By what comes through of what is sent to all now; or, when all go slower for its sake, by what the others could take before.
    return 1 - path.totalLoss < typical || path.potential < slowShare * upperMedian(fresh.map(({ potential }) => potential))
  }
}

/** Of two the higher. */
function upperMedian(values: number[]): number {
  values.sort((a, b) => a - b)
  return values[Math.floor(values.length / 2)]!
}
