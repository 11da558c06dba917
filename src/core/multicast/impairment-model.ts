/**
 * A bad network, as a pure decision: for each datagram, when its copies arrive, if at all. The agent's sockets use it in tests
 * (`agent/multicast/sockets/impairment.ts`), since not every kernel has netem, and the simulator may use it for its links.
 *
 * In this order, as on a real path: a rate limit with a queue that overflows; loss, independent and in bursts (two-state model of Gilbert
 * and Elliott: a good state without loss, a bad one with it); duplication; delay with jitter. Jitter reorders, as nothing holds a datagram
 * back until the one before it has come.
 */
import type { Random } from '../lib/random.ts'

/** What is wrong with the path. All is optional: nothing given is a perfect one. */
export interface ImpairmentOptions {
  /** Share of datagrams that are lost, each by itself, 0 to 1. */
  readonly lossShare?: number
  /** Datagrams that are lost in a row, on average; 0 is none. */
  readonly burstPackets?: number
  /** Share of datagrams that bursts take, 0 to 1. */
  readonly burstLossShare?: number
  /** Share of datagrams that arrive twice, 0 to 1. */
  readonly duplicateShare?: number
  /** Each datagram arrives so much later, ms. */
  readonly delayMs?: number
  /** And up to so much later still, evenly, ms. */
  readonly jitterMs?: number
  /** Bytes per second that get through; 0 is no limit. */
  readonly rateBytesPerSec?: number
  /** Bytes that wait for that rate; what comes beyond is lost. */
  readonly queueBytes?: number
}

const DEFAULT_QUEUE_BYTES = 256 * 1024

/** One direction of one path. */
export class ImpairmentModel {
  readonly #options: Required<ImpairmentOptions>
  readonly #random: Random
  #isInBurst = false
  /** When the rate limit has passed on all that it took. */
  #busyUntil = 0
  /** Datagrams that were lost, and those that the queue had no room for, since the start. */
  readonly counters: { lost: number; overflowed: number; duplicated: number } = { lost: 0, overflowed: 0, duplicated: 0 }

  constructor(options: ImpairmentOptions, random: Random) {
    this.#options = {
      lossShare: 0,
      burstPackets: 0,
      burstLossShare: 0,
      duplicateShare: 0,
      delayMs: 0,
      jitterMs: 0,
      rateBytesPerSec: 0,
      queueBytes: DEFAULT_QUEUE_BYTES,
      ...options,
    }
    this.#random = random
  }

  /** When the copies of a datagram of so many bytes that is sent now arrive: none where it is lost, two where it is duplicated. */
  arrivals(bytes: number, now: number): readonly number[] {
    const { rateBytesPerSec, queueBytes, lossShare, duplicateShare } = this.#options
    let leavesAt = now
    if (rateBytesPerSec > 0) {
      const waitingBytes = (Math.max(0, this.#busyUntil - now) * rateBytesPerSec) / 1000
      if (waitingBytes + bytes > queueBytes) {
        this.counters.overflowed++
        return []
      }
      leavesAt = Math.max(now, this.#busyUntil) + (bytes * 1000) / rateBytesPerSec
      this.#busyUntil = leavesAt
    }
    // Both are drawn, so that the one does not shift the other's numbers.
    const isInBurst = this.#step()
    if (this.#random.float() < lossShare || isInBurst) {
      this.counters.lost++
      return []
    }
    if (duplicateShare > 0 && this.#random.float() < duplicateShare) {
      this.counters.duplicated++
      return [leavesAt + this.#delay(), leavesAt + this.#delay()]
    }
    return [leavesAt + this.#delay()]
  }

  /** One step between the states; whether this datagram falls into a burst. */
  #step(): boolean {
    const { burstPackets, burstLossShare } = this.#options
    if (burstPackets <= 0 || burstLossShare <= 0) return false
    const leaving = 1 / Math.max(1, burstPackets)
    // In the long run the share of time in the bad state is entering / (entering + leaving).
    const entering = (leaving * burstLossShare) / Math.max(1e-9, 1 - burstLossShare)
    this.#isInBurst = this.#isInBurst ? this.#random.float() >= leaving : this.#random.float() < entering
    return this.#isInBurst
  }

  #delay(): number {
    const { delayMs, jitterMs } = this.#options
    return jitterMs > 0 ? delayMs + this.#random.float() * jitterMs : delayMs
  }
}

const KEYS: Readonly<Record<string, keyof ImpairmentOptions>> = {
  loss: 'lossShare',
  burst: 'burstPackets',
  'burst-loss': 'burstLossShare',
  duplicate: 'duplicateShare',
  delay: 'delayMs',
  jitter: 'jitterMs',
  rate: 'rateBytesPerSec',
  queue: 'queueBytes',
}

/**
 * `loss=0.02,burst=50,burst-loss=0.01,duplicate=0.01,delay=5,jitter=3,rate=1e6,queue=65536,seed=7` as options and seed: shares from 0 to 1, ms
 * and bytes. Undefined for what cannot be read.
 */
export function parseImpairment(text: string): { readonly options: ImpairmentOptions; readonly seed: string } | undefined {
  const options: Partial<Record<keyof ImpairmentOptions, number>> = {}
  let seed = '1'
  for (const part of text.split(',')) {
    const [key = '', value = ''] = part.split('=')
    if (key === 'seed') {
      seed = value
      continue
    }
    const name = KEYS[key.trim()]
    const number = Number(value)
    if (name === undefined || value === '' || !(number >= 0) || (name.endsWith('Share') && number > 1)) return undefined
    options[name] = number
  }
  return { options, seed }
}
