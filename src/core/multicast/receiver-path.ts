/**
 * What the sender knows of one receiver's path: its loss, told apart by where it comes from, its queue, and what it can take.
 *
 * Loss has a floor: the share that was there whatever the rate was, which is random and no reason to go slower. A report whose loss is
 * more than chance makes of the floor is an excess. How far chance goes is reckoned from the number of bursts, not of packets, since
 * losses come together.
 */
import type { RateOptions } from './rate-options.ts'
import type { ReceiverReport } from './session-types.ts'

/** What a report says of the path. */
export type PathVerdict = 'clean' | 'excess' | 'overrun' | 'cut'

/** Who heard nothing of this much hears nothing. */
const UNHEARD_BYTES = 131_072
/** Bursts below which loss without a queue says nothing yet, unless it is as much as this share. */
const FEW_BURSTS = 4
const MUCH_LOSS = 0.1
/** Packets below which a report tells nothing of the path's own loss. */
const FEW_PACKETS = 50
/** Loss in a report that is chance without a queue. */
const LEAST_EXCESS = 0.005
/** How quickly the floor and the loss on the whole follow a report of `FULL_PACKETS` and more. */
const FLOOR_DOWN = 0.25
const FLOOR_UP = 0.03
const FOLLOW = 0.25
const FULL_PACKETS = 200
/** What the session counts as wire per byte of payload, where a receiver tells payload alone. */
const WIRE_PER_PAYLOAD = 1.04

export class ReceiverPath {
  readonly receiver: number
  lastReportAt: number
  /** From one report to the next, ms. */
  intervalMs: number
  /** When what the last report tells of began. */
  reportFrom: number
  /** Of the last report: loss that its own socket has no part in, and loss on the whole. */
  netLoss = 0
  totalLoss = 0
  /** All loss, over the last reports: what parity must make good. */
  meanLoss = 0
  /** Loss that was there whatever the rate was. */
  floor = 0
  queueMs = 0
  /** Whether the losses of the last report came in few bursts, and without a queue. */
  isInBursts = false
  rttMs: number | undefined = undefined
  reports = 0
  /** Since when each report had an excess or an overrun. */
  troubledSince: number | undefined = undefined
  /** Since when each report told of a queue beyond the mode's limit. */
  queuedSince: number | undefined = undefined
  /** Since when it is held for slow. */
  slowSince: number | undefined = undefined
  #capacity = Infinity
  #capacityBefore = 0
  #proven = 0
  #provenAt = -Infinity
  #overrunCredit = 0
  #sentBytes: number
  #hasFloor = false

  constructor(receiver: number, now: number, intervalMs: number, sentBytes: number) {
    this.receiver = receiver
    this.lastReportAt = now
    this.reportFrom = now - intervalMs
    this.intervalMs = intervalMs
    this.#sentBytes = sentBytes
  }

  /**
   * Takes a report in.
   * @param sentBytes all that went out so far
   * @param deviations how many standard deviations are still chance
   */
  take(report: ReceiverReport, now: number, sentBytes: number, deviations: number, options: RateOptions): PathVerdict {
    this.reports++
    if (this.reports > 1) {
      this.reportFrom = this.lastReportAt
      this.intervalMs += 0.3 * (now - this.lastReportAt - this.intervalMs)
    }
    const unheardBytes = sentBytes - this.#sentBytes
    const sentBytesPerSec = (unheardBytes * 1000) / Math.max(1, now - this.reportFrom)
    this.#sentBytes = sentBytes
    this.lastReportAt = now
    this.queueMs = Math.max(0, report.queueMs)
    this.rttMs = report.rttMs ?? this.rttMs
    const packets = report.receivedPackets + report.lostPackets
    if (packets === 0) return this.#takeNothing(unheardBytes, now)
    // The socket's counter of drops is read apart from the gaps: drops count for gaps that show a report later as well.
    const credit = report.overrunPackets + this.#overrunCredit
    const overrun = Math.min(report.lostPackets, credit)
    this.#overrunCredit = Math.min(credit - overrun, report.overrunPackets)
    this.netLoss = (report.lostPackets - overrun) / packets
    this.totalLoss = report.lostPackets / packets
    this.meanLoss = this.reports === 1 ? this.totalLoss : this.meanLoss + weightOf(packets, FOLLOW) * (this.totalLoss - this.meanLoss)
    const verdict = this.#verdict(report, packets, overrun / packets, deviations, options)
    // What a queue still takes in has not arrived: the lesser of the two.
    const seen = report.receivedBytesPerSec > 0 ? WIRE_PER_PAYLOAD * report.receivedBytesPerSec : Infinity
    const arrived = Math.min(sentBytesPerSec * (1 - this.totalLoss), seen)
    if (verdict === 'clean') {
      this.troubledSince = undefined
      if (arrived >= this.#proven || now - this.#provenAt > options.provenMs) {
        this.#proven = arrived
        this.#provenAt = now
      }
    } else {
      this.#capacityBefore = this.troubledSince === undefined ? 0 : this.#capacity
      this.troubledSince ??= now
      this.#capacity = arrived
    }
    return verdict
  }

  /** A report of nothing: the path is cut if there was something to hear, and says nothing else. */
  #takeNothing(unheardBytes: number, now: number): PathVerdict {
    if (unheardBytes < UNHEARD_BYTES || this.reports === 1) return 'clean'
    this.totalLoss = 1
    this.netLoss = 1
    this.troubledSince ??= now
    this.#capacity = 0
    this.#capacityBefore = 0
    return 'cut'
  }

  /** What it can take as far as was seen, bytes/s: what arrived while it lost (in one of two reports, as rates change in between), or the most that did of late. */
  get potential(): number {
    return this.troubledSince === undefined ? this.#proven : Math.max(this.#capacity, this.#capacityBefore)
  }

  #verdict(report: ReceiverReport, packets: number, overrunShare: number, deviations: number, options: RateOptions): PathVerdict {
    if (overrunShare > options.overrunTolerance) return 'overrun'
    const isQueued = this.queueMs >= options.lossQueueMs
    // Before anything is known, what the first and slowest packets lose without a queue is the path's own loss.
    if (!this.#hasFloor && packets >= FEW_PACKETS) {
      this.#hasFloor = true
      if (!isQueued) this.floor = this.netLoss
    }
    const burst = Math.max(1, report.lostPackets / Math.max(1, report.lossBursts))
    const expected = this.floor * packets
    // Where there is a queue, a single packet counts, as it does for TCP: else TCP would yield alone.
    const [least, margin] = isQueued ? [0, 0.5] : [1, LEAST_EXCESS * packets]
    const chance = expected + deviations * Math.sqrt(2 * burst * Math.max(expected, least)) + margin
    this.isInBursts = !isQueued && report.lossBursts < FEW_BURSTS
    if (this.netLoss * packets > chance && !(this.isInBursts && this.netLoss < MUCH_LOSS)) return 'excess'
    this.floor += weightOf(packets, this.netLoss < this.floor ? FLOOR_DOWN : FLOOR_UP) * (this.netLoss - this.floor)
    return 'clean'
  }
}

function weightOf(packets: number, full: number): number {
  return full * Math.min(1, packets / FULL_PACKETS)
}
