/**
 * A link with a queue, for tests of the rate: a session's packets and a CUBIC flow share it, in steps of half a millisecond.
 *
 * What is modelled: a queue of so many bytes, first in first out, that drops of both what doesn't fit any more; CUBIC's window (RFC 9438, with its
 * friendly region and fast convergence) over a path without delay of its own but the queue; receivers with random loss, or with a socket
 * that reads no more than so much.
 * What is not: packets one by one.
 */
import { Random } from '../../lib/random.ts'
import type { RateControl, ReceiverReport } from '../session-types.ts'

export const PACKET_BYTES = 1462
const STEP_MS = 0.5
/** Delay of the path without a queue, both ways, ms. */
const PATH_MS = 0.2

/** CUBIC's window in packets. */
class CubicFlow {
  windowPackets = 40
  inFlightBytes = 0
  arrivedBytes = 0
  #isStarting = true
  #mostWindow = 40
  #epochAt = 0
  #friendly = 40
  #recoversAt = -Infinity
  #lossesAt: number[] = []

  wants(): number {
    return Math.max(0, this.windowPackets * PACKET_BYTES - this.inFlightBytes)
  }

  acknowledged(bytes: number, roundTripMs: number, now: number): void {
    this.inFlightBytes -= bytes
    this.arrivedBytes += bytes
    const packets = bytes / PACKET_BYTES
    if (this.#isStarting) {
      this.windowPackets += packets
      return
    }
    const sec = (now - this.#epochAt + roundTripMs) / 1000
    const wait = Math.cbrt((this.#mostWindow * 0.3) / 0.4)
    const target = 0.4 * (sec - wait) ** 3 + this.#mostWindow
    this.#friendly += (0.53 * packets) / this.windowPackets
    if (target > this.windowPackets) this.windowPackets += Math.min(0.5, (target - this.windowPackets) / this.windowPackets) * packets
    this.windowPackets = Math.max(this.windowPackets, this.#friendly)
  }

  lost(bytes: number, seenAt: number): void {
    this.inFlightBytes -= bytes
    this.#lossesAt.push(seenAt)
  }

  step(now: number, roundTripMs: number): void {
    while (this.#lossesAt.length > 0 && this.#lossesAt[0]! <= now) {
      this.#lossesAt.shift()
      if (now < this.#recoversAt) continue
      this.#isStarting = false
      this.#mostWindow = this.windowPackets < this.#mostWindow ? this.windowPackets * 0.85 : this.windowPackets
      this.windowPackets = Math.max(2, this.windowPackets * 0.7)
      this.#friendly = this.windowPackets
      this.#epochAt = now
      this.#recoversAt = now + roundTripMs
    }
  }
}

export interface LinkOptions {
  readonly bytesPerSec: number
  readonly bufferBytes: number
  readonly hasTcp?: boolean
}

export interface ReceiverOptions {
  /** Index of its link. */
  readonly link?: number
  readonly loss?: (now: number) => number
  /** What its process reads, bytes/s, from a socket that holds `socketBytes`. */
  readonly readsBytesPerSec?: number
  readonly socketBytes?: number
  /** What its clock is off by at the most, ms: a busy host. */
  readonly jitterMs?: number
  readonly isSilent?: (now: number) => boolean
}

class Link {
  readonly options: LinkOptions
  readonly tcp: CubicFlow | undefined
  #queue: { session: number; tcp: number }[] = []
  #queuedBytes = 0
  /** What came out in the last step, and what was dropped, of the session's bytes. */
  out = 0
  dropped = 0
  delayMs = 0

  constructor(options: LinkOptions) {
    this.options = options
    this.tcp = options.hasTcp === true ? new CubicFlow() : undefined
  }

  step(session: number, now: number): void {
    const { bytesPerSec, bufferBytes } = this.options
    const perStep = (bytesPerSec * STEP_MS) / 1000
    const tcp = this.tcp?.wants() ?? 0
    const room = bufferBytes + perStep - this.#queuedBytes
    const taken = session + tcp === 0 ? 1 : Math.min(1, room / (session + tcp))
    this.dropped = session * (1 - taken)
    if (session + tcp > 0) this.#queue.push({ session: session * taken, tcp: tcp * taken })
    this.#queuedBytes += (session + tcp) * taken
    this.delayMs = (this.#queuedBytes / bytesPerSec) * 1000
    const roundTripMs = this.delayMs + PATH_MS
    if (this.tcp !== undefined) {
      this.tcp.inFlightBytes += tcp
      if (taken < 1 && tcp > 0) this.tcp.lost(tcp * (1 - taken), now + roundTripMs)
      this.tcp.step(now, roundTripMs)
    }
    this.#serve(perStep, roundTripMs, now)
  }

  #serve(most: number, roundTripMs: number, now: number): void {
    let left = most
    let tcp = 0
    this.out = 0
    while (left > 0 && this.#queue.length > 0) {
      const first = this.#queue[0]!
      const bytes = first.session + first.tcp
      const share = Math.min(1, left / bytes)
      this.out += first.session * share
      tcp += first.tcp * share
      left -= bytes * share
      this.#queuedBytes -= bytes * share
      if (share === 1) this.#queue.shift()
      else {
        this.#queue[0] = { session: first.session * (1 - share), tcp: first.tcp * (1 - share) }
        break
      }
    }
    if (tcp > 0) this.tcp?.acknowledged(tcp, roundTripMs, now)
  }
}

class Receiver {
  readonly options: ReceiverOptions
  readonly index: number
  readonly #random: Random
  #leastDelayMs = Infinity
  #arrived = 0
  #arrivedAll = 0
  #lost = 0
  #bursts = 0
  #overrun = 0
  #socket = 0
  #queueMs = Infinity

  constructor(options: ReceiverOptions, index: number, random: Random) {
    this.options = options
    this.index = index
    this.#random = random
  }

  get arrivedBytes(): number {
    return this.#arrivedAll * PACKET_BYTES
  }

  step(link: Link, now: number): void {
    const { loss, readsBytesPerSec = Infinity, socketBytes = 208 * 1024, jitterMs = 0 } = this.options
    const packets = link.out / PACKET_BYTES
    const share = loss?.(now) ?? 0
    const randomly = share === 0 ? 0 : this.#binomial(packets, share)
    this.#lost += randomly + link.dropped / PACKET_BYTES
    this.#bursts += randomly * (1 - share) + Math.min(2, link.dropped / PACKET_BYTES)
    this.#socket += (packets - randomly) * PACKET_BYTES
    this.#read(Math.min(this.#socket, (readsBytesPerSec * STEP_MS) / 1000), socketBytes)
    const delayMs = link.delayMs + jitterMs * this.#random.float()
    this.#leastDelayMs = Math.min(this.#leastDelayMs, delayMs)
    this.#queueMs = Math.min(this.#queueMs, delayMs - this.#leastDelayMs)
  }

  #read(bytes: number, socketBytes: number): void {
    this.#socket -= bytes
    this.#arrived += bytes / PACKET_BYTES
    this.#arrivedAll += bytes / PACKET_BYTES
    const over = Math.max(0, this.#socket - socketBytes) / PACKET_BYTES
    this.#socket = Math.min(this.#socket, socketBytes)
    this.#overrun += over
    this.#lost += over
    this.#bursts += Math.min(2, over)
  }

  report(intervalMs: number, roundTripMs: number): ReceiverReport {
    const report: ReceiverReport = {
      receiver: this.index,
      receivedPackets: Math.round(this.#arrived),
      lostPackets: Math.round(this.#lost),
      lossBursts: Math.ceil(this.#bursts),
      overrunPackets: Math.round(this.#overrun),
      queueMs: this.#queueMs,
      receivedBytesPerSec: (this.#arrived * 1400 * 1000) / intervalMs,
      rttMs: roundTripMs,
    }
    this.#arrived = this.#lost = this.#bursts = this.#overrun = 0
    this.#queueMs = Infinity
    return report
  }

  #binomial(packets: number, share: number): number {
    let lost = 0
    const whole = Math.floor(packets) + (this.#random.float() < packets % 1 ? 1 : 0)
    for (let packet = 0; packet < whole; packet++) if (this.#random.float() < share) lost++
    return Math.min(packets, lost)
  }
}

export interface BottleneckOptions {
  readonly links: readonly LinkOptions[]
  readonly receivers: readonly ReceiverOptions[]
  readonly reportEveryMs?: number
  /** What the sender's process can send, bytes/s. */
  readonly sendsBytesPerSec?: number
}

/** One session over links, each with its receivers, and what came of it. */
export class BottleneckWorld {
  now = 0
  readonly slow: number[] = []
  sentBytes = 0
  readonly rate: RateControl
  readonly #options: BottleneckOptions
  readonly #links: readonly Link[]
  readonly #receivers: readonly Receiver[]

  constructor(rate: RateControl, options: BottleneckOptions, seed = 'bottleneck') {
    this.rate = rate
    this.#options = options
    this.#links = options.links.map((link) => new Link(link))
    const random = new Random(seed)
    this.#receivers = options.receivers.map((receiver, index) => new Receiver(receiver, index, random.fork(String(index))))
  }

  /** Runs the flows alone, before the session. */
  warmUp(forMs: number): void {
    for (const until = this.now + forMs; this.now < until; this.now += STEP_MS) for (const link of this.#links) link.step(0, this.now)
  }

  /** @returns bytes that arrived at each receiver, and of the flow on each link, in this time. */
  run(forMs: number, onStep?: (now: number) => void): { session: number[]; tcp: number[] } {
    const before = { session: this.#receivers.map((one) => one.arrivedBytes), tcp: this.#links.map((one) => one.tcp?.arrivedBytes ?? 0) }
    for (const until = this.now + forMs; this.now < until; this.now += STEP_MS) {
      this.#step()
      onStep?.(this.now)
    }
    return {
      session: this.#receivers.map((one, index) => one.arrivedBytes - before.session[index]!),
      tcp: this.#links.map((one, index) => (one.tcp?.arrivedBytes ?? 0) - before.tcp[index]!),
    }
  }

  #step(): void {
    const { reportEveryMs = 50, sendsBytesPerSec = Infinity } = this.#options
    const { now, rate } = this
    if (now >= rate.nextDeadline()) rate.handleTimeout(now)
    const bytes = (Math.min(rate.rateBytesPerSec, sendsBytesPerSec) * STEP_MS) / 1000
    rate.sent(bytes, now)
    this.sentBytes += bytes
    for (const link of this.#links) link.step(bytes, now)
    for (const receiver of this.#receivers) {
      const link = this.#links[receiver.options.link ?? 0]!
      receiver.step(link, now)
      const isDue =
        Math.round(now / STEP_MS) % Math.round(reportEveryMs / STEP_MS) === (receiver.index * 7) % Math.round(reportEveryMs / STEP_MS)
      if (!isDue || this.slow.includes(receiver.index)) continue
      const report = receiver.report(reportEveryMs, link.delayMs + PATH_MS)
      if (receiver.options.isSilent?.(now) !== true) rate.report(report, now)
    }
    this.slow.push(...rate.takeSlow())
  }
}
