/**
 * How fast a session may send: a rate, moved by what the receivers report. docs/specs/07-multicast.md §11.
 *
 * The machine of `RateControl` with the modes `fair`, `scavenger` and `fixed`; `ReceiverPath` tells a receiver's losses apart, and
 * `SlowReceivers` those whom nobody waits for.
 *
 * The start doubles the rate per round of reports until a queue or a loss speaks against it. From then on `fair` grows as a TCP flow
 * does, by packets per round trip, and `scavenger` by what its target for the queue leaves.
 * - A receiver whose own socket dropped packets holds the rate at what it read; that is no congestion.
 * - A queue longer than the mode's limit is yielded to before anything is lost. `fair` notices when yielding shortens nothing: a flow that
 *   fills each queue is beside it, and yielding to that one would end at nothing. It then goes by losses alone for a while.
 * - Loss beyond chance cuts the rate once, and the next reports judge the cut: loss that has not fallen with the rate does not come from
 *   the rate. The rate is given back, and that loss is the receiver's floor from then on. So random loss costs one trial, and not the
 *   rate (TFMCC, RFC 4654, would be left with 8 of 1,000 Mbit/s at 2 % and 10 ms).
 *
 * Departs from TFMCC and NORM-CC: no equation of loss and round trip; the limiting receiver is whoever's report cuts.
 */
import { DEFAULT_RATE_OPTIONS, type RateOptions } from './rate-options.ts'
import { ReceiverPath } from './receiver-path.ts'
import { SendMeter } from './send-meter.ts'
import type { RateControl, ReceiverReport } from './session-types.ts'
import { SlowReceivers } from './slow-receivers.ts'

/** A cut that the next reports of the same receiver judge. */
interface Trial {
  readonly path: ReceiverPath
  readonly kind: 'loss' | 'queue'
  /** Loss beyond the floor, or the queue in ms, that made the cut. */
  readonly before: number
  readonly floor: number
  readonly wasStarting: boolean
  /** Only what was sent from here on counts. */
  readonly from: number
  /** No sooner. */
  readonly judgedAt: number
  packets: number
  lost: number
  reports: number
}

/** What happened to a session's rate, for diagnostics. */
export interface RateStatus {
  readonly isStarting: boolean
  /** Loss is all that counts, since somebody else fills the queue. */
  readonly isCompetitive: boolean
  readonly receivers: number
  readonly cuts: number
  readonly yields: number
  readonly overrunCuts: number
  /** Cuts that were taken back, since the loss did not come from the rate. */
  readonly trialsUndone: number
  readonly silences: number
  /** Reports of receivers beyond `mostReceivers`. */
  readonly reportsUnread: number
}

/** A receiver's reports are thought to be this far apart until there are two, ms. */
const FIRST_INTERVAL_MS = 50
/** A cut is judged when so many packets would have been lost, or after so many reports. */
const JUDGED_LOST = 8
const JUDGED_REPORTS = 3
/** Loss fell if this share of it, or less, is left. */
const FALLEN_LOSS = 0.5
/** A queue below this share of the limit is nobody else's: who fills queues never lets them drain. */
const DRAINED_SHARE = 0.25
/** A receiver that could not read is asked for more after this time, ms. */
const OVERRUN_HOLD_MS = 1000
/** A sender that sends less than this of its rate is not held by it: it does not grow. */
const USED_SHARE = 0.75
/** Reports that a doubling waits for, of as many receivers. */
const MOST_QUORUM = 3
/** So near to the rate at which the last trouble was, it grows by this share of what it does otherwise (as CUBIC does). */
const NEAR_SHARE = 0.08
const NEAR_GROWTH = 0.25
/** Cuts with a queue that loss does not fall by, until it is held for random. */
const MOST_FUTILE_CUTS = 3
/** `scavenger` keeps this much at the least when it yields. */
const LEAST_YIELD = 0.5
/** An answer is expected to more than this: a sender that has nothing to send says so now and then. */
const SILENT_BYTES = 65_536
/** Time that one step of growth covers at the most, ms. */
const MOST_STEP_MS = 100
const PROACTIVE_EVERY_MS = 50

export class SessionRate implements RateControl {
  readonly #options: RateOptions
  readonly #paths: Map<number, ReceiverPath> = new Map()
  readonly #sent: SendMeter
  readonly #slow: SlowReceivers
  #rate: number
  #proactive = 0
  #proactiveAt = -Infinity
  #isStarting: boolean
  #trial: Trial | undefined
  /** Reports about what was sent before are not about this rate. */
  #changedAt: number
  #grownAt: number
  /** Receivers that were heard since the last doubling. */
  readonly #heard: Set<number> = new Set()
  #futileYields = 0
  #futileCuts = 0
  #rateBeforeCuts = 0
  /** The rate at which a queue or a loss spoke against it last. */
  #troubleRate = 0
  #rateBeforeYields = 0
  #isCompetitive = false
  #overrunUntil = -Infinity
  #troubleAt = -Infinity
  #worstRoundTripMs = 0
  #silenceAt: number = Infinity
  /** Sent until the last report. */
  #answeredBytes = 0
  #isSilent = false
  #counts = { cuts: 0, yields: 0, overrunCuts: 0, trialsUndone: 0, silences: 0, reportsUnread: 0 }

  constructor(options: Partial<RateOptions>, now: number) {
    this.#options = { ...DEFAULT_RATE_OPTIONS, ...options }
    const { initialBytesPerSec, mostBytesPerSec, mode } = this.#options
    this.#rate = Math.min(initialBytesPerSec, mostBytesPerSec)
    this.#isStarting = mode !== 'fixed'
    this.#changedAt = now
    this.#grownAt = now
    this.#sent = new SendMeter(now)
    this.#slow = new SlowReceivers(this.#options)
  }

  get rateBytesPerSec(): number {
    return this.#rate
  }

  get isStarting(): boolean {
    return this.#isStarting
  }

  get proactiveShare(): number {
    return this.#proactive
  }

  isSlow(receiver: number): boolean {
    return this.#paths.get(receiver)?.slowSince !== undefined
  }

  takeSlow(): number[] {
    const slow = this.#slow.take()
    for (const receiver of slow) this.#forget(receiver)
    return slow
  }

  status(): RateStatus {
    return { isStarting: this.#isStarting, isCompetitive: this.#isCompetitive, receivers: this.#paths.size, ...this.#counts }
  }

  sent(bytes: number, now: number): void {
    this.#sent.add(bytes, now)
    if (this.#silenceAt === Infinity && this.#sent.bytes - this.#answeredBytes >= SILENT_BYTES)
      this.#silenceAt = now + this.#options.silenceMs
  }

  nextDeadline(): number {
    return this.#silenceAt
  }

  handleTimeout(now: number): void {
    if (now < this.#silenceAt) return
    this.#counts.silences++
    this.#isSilent = true
    this.#silenceAt = now + this.#options.silenceMs
    this.#set(Math.max(this.#options.silentBytesPerSec, this.#rate / 2), now)
    this.#trial = undefined
  }

  report(report: ReceiverReport, now: number): void {
    this.#silenceAt = Infinity
    this.#answeredBytes = this.#sent.bytes
    if (this.#isSilent) this.#heardAgain(now)
    const path = this.#pathOf(report.receiver, now)
    if (path === undefined) {
      this.#counts.reportsUnread++
      return
    }
    const deviations = 3 + Math.sqrt(Math.log(1 + this.#paths.size))
    const verdict = path.take(report, now, this.#sent.bytes, deviations, this.#options)
    if (now - this.#proactiveAt >= PROACTIVE_EVERY_MS) this.#followLoss(now)
    const roundTripMs = Math.max(path.rttMs ?? 0, path.queueMs)
    const weight = roundTripMs > this.#worstRoundTripMs ? 1 : 0.1
    this.#worstRoundTripMs += weight * (roundTripMs - this.#worstRoundTripMs)
    if (this.#slow.isSlow(path, this.#paths, now) || this.#options.mode === 'fixed') return
    if (this.#isJudging(path, report, now)) return
    if (verdict === 'clean') return this.#clean(path, report, now)
    // Nothing comes through to it at any rate: it is no reason to go slower.
    if (verdict === 'cut') return
    this.#troubleAt = now
    if (!this.#isWhole(path)) return
    if (this.#isStarting && this.#slow.isMinority(path, this.#paths, now)) return
    if (verdict === 'overrun') return this.#overrun(path, now)
    this.#excess(path, now)
  }

  // ---- what a report says ----

  #clean(path: ReceiverPath, report: ReceiverReport, now: number): void {
    const { mode, fairQueueMs, scavengerQueueMs } = this.#options
    const limitMs = mode === 'fair' ? fairQueueMs : scavengerQueueMs
    const isWhole = this.#isWhole(path)
    if (path.queueMs <= limitMs) path.queuedSince = undefined
    else path.queuedSince ??= now
    if (isWhole && path.queueMs < fairQueueMs / 2) this.#futileYields = 0
    if (isWhole && path.queueMs < DRAINED_SHARE * fairQueueMs) this.#isCompetitive = false
    if (path.queueMs > limitMs && !this.#isCompetitive) {
      if (!isWhole) return
      if (this.#isStarting) return this.#slow.isQueueItsOwn(path, this.#paths, limitMs, now) ? undefined : this.#endStart(report, now)
      return mode === 'fair' ? this.#yield(path, now) : this.#scavengerYield(path, now)
    }
    // In the start a report needs not be about this rate alone, as long as it is about it too: in large groups they are far between.
    if (this.#isStarting && now >= this.#overrunUntil) return this.#startRound(path, now)
    if (!isWhole || now < this.#overrunUntil) {
      this.#grownAt = now
      return
    }
    const stepSec = Math.min(now - this.#grownAt, MOST_STEP_MS) / 1000
    this.#grownAt = now
    if (this.#trial === undefined && this.#isUsed(now)) this.#grow(stepSec * this.#growth(path, now), now)
  }

  /** Bytes per second that the rate grows by in a second. */
  #growth(path: ReceiverPath, now: number): number {
    const { mode, tcpGrowth, tcpPacketBytes, leastRoundTripMs, scavengerBytesPerSec2, scavengerDoublingMs, scavengerQueueMs } =
      this.#options
    if (mode === 'fair') {
      const roundTripSec = Math.max(leastRoundTripMs, this.#worstRoundTripMs) / 1000
      const isNear = Math.abs(this.#rate - this.#troubleRate) < NEAR_SHARE * this.#troubleRate
      return ((isNear ? NEAR_GROWTH : 1) * tcpGrowth * tcpPacketBytes) / (roundTripSec * roundTripSec)
    }
    const doublings = Math.floor((now - Math.max(this.#changedAt, this.#troubleAt)) / scavengerDoublingMs)
    return scavengerBytesPerSec2 * 2 ** doublings * (1 - path.queueMs / scavengerQueueMs)
  }

  /** Doubles the rate once enough receivers have told of the doubling before. */
  #startRound(path: ReceiverPath, now: number): void {
    if (now - this.#changedAt < this.#options.leastRoundMs + (path.rttMs ?? 0)) return
    this.#heard.add(path.receiver)
    if (this.#heard.size < Math.min(MOST_QUORUM, Math.ceil(this.#paths.size / 2)) || !this.#isUsed(now)) return
    if (this.#rate >= this.#options.mostBytesPerSec) {
      this.#isStarting = false
      return
    }
    this.#set(Math.min(2 * this.#rate, this.#options.mostBytesPerSec), now)
  }

  /** The start ends at a queue: at what came out of it. */
  #endStart(report: ReceiverReport, now: number): void {
    this.#isStarting = false
    this.#counts.yields++
    const { mode, startExitShare, scavengerCongestionFactor } = this.#options
    const share = mode === 'fair' ? startExitShare : scavengerCongestionFactor
    this.#troubleRate = this.#rate
    this.#set(share * Math.max(this.#rate / 2, Math.min(report.receivedBytesPerSec, this.#rate)), now)
  }

  #yield(path: ReceiverPath, now: number): void {
    if (this.#futileYields === 0) this.#rateBeforeYields = this.#rate
    this.#futileYields++
    if (this.#futileYields > this.#options.mostFutileYields) {
      this.#futileYields = 0
      this.#isCompetitive = true
      return this.#set(Math.max(this.#rate, this.#rateBeforeYields), now)
    }
    this.#counts.yields++
    const { yieldFactor } = this.#options
    // So long the queue takes to be a quarter shorter than it was, if it is this session's own.
    this.#try(path, 'queue', path.queueMs, now, (0.75 * path.queueMs) / (1 - yieldFactor))
    this.#set(yieldFactor * this.#rate, now)
  }

  #scavengerYield(path: ReceiverPath, now: number): void {
    const { scavengerQueueMs } = this.#options
    this.#counts.yields++
    this.#set(this.#rate * Math.max(LEAST_YIELD, 1 - (0.5 * (path.queueMs - scavengerQueueMs)) / scavengerQueueMs), now)
  }

  #overrun(path: ReceiverPath, now: number): void {
    this.#isStarting = false
    this.#counts.overrunCuts++
    this.#overrunUntil = now + OVERRUN_HOLD_MS
    this.#set(Math.min(this.#rate, path.potential), now)
  }

  #excess(path: ReceiverPath, now: number): void {
    const { mode, startTolerance, startExitShare, lossQueueMs, congestionFactor, scavengerCongestionFactor, trialFactor } = this.#options
    const isQueued = path.queueMs >= lossQueueMs
    if (this.#isStarting && !isQueued && path.netLoss <= startTolerance) {
      path.floor = path.netLoss
      return this.#startRound(path, now)
    }
    this.#counts.cuts++
    if (this.#futileCuts === 0) this.#rateBeforeCuts = this.#rate
    this.#try(path, 'loss', path.netLoss - path.floor, now, 0)
    const arrived = path.potential / (1 - Math.min(path.floor, 0.9))
    const congested = mode === 'fair' ? congestionFactor : scavengerCongestionFactor
    const factor = isQueued ? congested : trialFactor
    const share = mode === 'fair' ? startExitShare : congested
    // An interruption says nothing of how much would have come through.
    const most = path.isInBursts && !this.#isStarting ? Infinity : share * arrived
    this.#set(Math.min(this.#isStarting ? this.#rate : factor * this.#rate, most), now)
    this.#isStarting = false
  }

  // ---- trials ----

  #try(path: ReceiverPath, kind: Trial['kind'], before: number, now: number, notBeforeMs: number): void {
    this.#troubleRate = this.#rate
    const from = now + Math.max(path.rttMs ?? 0, path.queueMs)
    this.#trial = {
      path,
      kind,
      before,
      floor: path.floor,
      wasStarting: this.#isStarting,
      from,
      judgedAt: now + notBeforeMs,
      packets: 0,
      lost: 0,
      reports: 0,
    }
  }

  /** Whether a report is part of a trial that is not over. */
  #isJudging(path: ReceiverPath, { receivedPackets, lostPackets, overrunPackets }: ReceiverReport, now: number): boolean {
    const trial = this.#trial
    if (trial === undefined) return false
    if (trial.path !== path) {
      if (this.#paths.get(trial.path.receiver) === trial.path && now - trial.path.lastReportAt < 4 * trial.path.intervalMs) return false
      this.#trial = undefined
      return false
    }
    if (path.reportFrom < trial.from - 0.2 * path.intervalMs) return true
    trial.packets += receivedPackets + lostPackets
    trial.lost += Math.max(0, lostPackets - overrunPackets)
    trial.reports++
    if (now < trial.judgedAt) return true
    if (trial.kind === 'loss') return this.#judgeLoss(trial, now)
    // Whether yielding shortened the queue is told by the next yield, if there is one before it has drained.
    this.#trial = undefined
    return false
  }

  #judgeLoss(trial: Trial, now: number): boolean {
    const { path, before, floor, packets, lost, reports } = trial
    if (reports < JUDGED_REPORTS && (floor + before) * packets < JUDGED_LOST) return true
    this.#trial = undefined
    const loss = lost / Math.max(1, packets)
    if (loss - floor <= FALLEN_LOSS * before) {
      this.#futileCuts = 0
      return false
    }
    // A queue that is still there: the cut may have been too small, and is made again.
    this.#futileCuts++
    if (path.queueMs >= this.#options.lossQueueMs && this.#futileCuts < MOST_FUTILE_CUTS) return false
    this.#futileCuts = 0
    path.floor = loss
    path.troubledSince = undefined
    this.#counts.trialsUndone++
    this.#isStarting = trial.wasStarting
    this.#set(Math.max(this.#rate, this.#rateBeforeCuts), now)
    return true
  }

  // ---- what all of that is made of ----

  #isWhole(path: ReceiverPath): boolean {
    return path.reportFrom >= this.#changedAt - 0.2 * path.intervalMs
  }

  #isUsed(now: number): boolean {
    return this.#sent.bytesPerSec(now) >= USED_SHARE * this.#rate
  }

  #grow(bytesPerSec: number, now: number): void {
    this.#rate = Math.min(this.#options.mostBytesPerSec, this.#rate + Math.max(0, bytesPerSec))
    this.#grownAt = now
  }

  #set(bytesPerSec: number, now: number): void {
    const { leastBytesPerSec, mostBytesPerSec } = this.#options
    const least = this.#isSilent ? 0 : leastBytesPerSec
    this.#rate = Math.min(mostBytesPerSec, Math.max(least, bytesPerSec))
    this.#changedAt = now
    this.#grownAt = now
    this.#heard.clear()
  }

  #heardAgain(now: number): void {
    const { mode, initialBytesPerSec } = this.#options
    this.#isSilent = false
    this.#isStarting = mode !== 'fixed'
    this.#set(mode === 'fixed' ? initialBytesPerSec : Math.max(this.#rate, Math.min(initialBytesPerSec, this.#rate * 2)), now)
  }

  #pathOf(receiver: number, now: number): ReceiverPath | undefined {
    const known = this.#paths.get(receiver)
    if (known !== undefined) return known
    if (this.#paths.size >= this.#options.mostReceivers) return undefined
    const path = new ReceiverPath(receiver, now, FIRST_INTERVAL_MS, this.#sent.bytes)
    this.#paths.set(receiver, path)
    return path
  }

  #forget(receiver: number): void {
    this.#paths.delete(receiver)
    this.#heard.delete(receiver)
  }

  /** Parity for the loss of a receiver in the middle, and an end to paths that nobody reports on. */
  #followLoss(now: number): void {
    this.#proactiveAt = now
    const { staleMs, proactiveQuantile, leastProactive, mostProactive } = this.#options
    const losses: number[] = []
    for (const path of this.#paths.values()) {
      if (now - path.lastReportAt > Math.max(staleMs, 6 * path.intervalMs)) this.#forget(path.receiver)
      else losses.push(path.meanLoss)
    }
    losses.sort((a, b) => a - b)
    const loss = losses[Math.min(losses.length - 1, Math.floor(proactiveQuantile * losses.length))] ?? 0
    this.#proactive = loss < leastProactive ? 0 : Math.min(mostProactive, loss / (1 - Math.min(loss, 0.9)))
  }
}
