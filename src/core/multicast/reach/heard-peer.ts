/**
 * One node as it is heard on one link: which sizes of datagrams arrive, how many are lost, and what it says that it hears of this node.
 * Decides when silence means something; docs/specs/10-reach.md §4.
 */
import { BROADCAST_SIZE, DIRECT_SIZE, type Beacon, type PeerReport } from './beacon.ts'
import type { ReachPath } from './reach-types.ts'
import { SequenceWindow } from './sequence-window.ts'

/** Sizes to the group that a node may have; more is not honest. */
const MAX_SIZES = 8
/** An arriving datagram is missed by chance as often as this before its size counts as one that does not arrive. */
const CHANCE = Math.log(0.001)
const MIN_MISSES = 3
const MAX_MISSES = 10
/** What a node said holds for so many of its rounds, and for so long at the least. */
const REPORT_ROUNDS = 3.5
const MIN_REPORT_MS = 3000

/** Silence of a start of a node after which an earlier one is believed. */
const OLD_RUN_MS = 30_000

interface HeardSize {
  readonly window: SequenceWindow
  bytes: number
  at: number
}

export class HeardPeer {
  readonly node: number
  /** Its last beacon, by whichever path. */
  beacon: Beacon
  from: string
  heardAt: number
  /** When multicast of it came last; −Infinity for never. */
  multicastAt: number = -Infinity
  /** What it hears of this node; undefined before it said so. */
  report: PeerReport | undefined
  /** What it hears of others, by node. */
  readonly others: Map<number, PeerReport> = new Map()
  /** What was told of it last, to see whether that is still so. */
  told: string = ''
  /** What the table said of it last. */
  shown: string = ''
  readonly #sizes: Map<number, HeardSize> = new Map()

  constructor(beacon: Beacon, from: string, now: number) {
    this.node = beacon.node
    this.beacon = beacon
    this.from = from
    this.heardAt = now
  }

  /** Takes a beacon in; false where it is a repeated one, of an earlier start of its node, or came by a way that its size does not go. */
  accept(beacon: Beacon, path: ReachPath, from: string, datagramBytes: number, silenceMs: number, now: number): boolean {
    const { size } = beacon
    const belongsTo = size === BROADCAST_SIZE ? 'broadcast' : size === DIRECT_SIZE ? 'direct' : 'group'
    if (belongsTo !== path || (path === 'group' && size >= MAX_SIZES) || this.#isBefore(beacon, now)) return false
    if (beacon.run !== this.beacon.run) {
      this.#sizes.clear()
      this.report = undefined
      this.others.clear()
    }
    let heard = this.#sizes.get(size)
    if (heard === undefined) this.#sizes.set(size, (heard = { window: new SequenceWindow(), bytes: datagramBytes, at: now }))
    if (now - heard.at > this.patienceMs(size === 0, silenceMs)) heard.window.forgiveGap()
    if (!heard.window.accept(beacon.sequence)) return false
    heard.bytes = datagramBytes
    heard.at = now
    this.beacon = beacon
    this.from = from
    this.heardAt = now
    if (path === 'group') this.multicastAt = now
    return true
  }

  /** Whether it is of an earlier start. A node whose clock was set back, so that its new start looks like an earlier one, is let in once the other is silent. */
  #isBefore(beacon: Beacon, now: number): boolean {
    return beacon.run < this.beacon.run && now - this.heardAt < OLD_RUN_MS
  }

  /** Payload of the largest datagram to the group that arrives; 0 for none. */
  heardBytes(now: number, silenceMs: number): number {
    let largest = 0
    for (const [size, heard] of this.#sizes) {
      if (size >= MAX_SIZES || heard.bytes <= largest) continue
      if (now - heard.at <= this.patienceMs(size === 0, silenceMs)) largest = heard.bytes
    }
    return largest
  }

  hearsBroadcast(now: number, silenceMs: number): boolean {
    const heard = this.#sizes.get(BROADCAST_SIZE)
    return heard !== undefined && now - heard.at <= this.patienceMs(false, silenceMs)
  }

  /** Share of its datagrams to the group that do not arrive, of the smallest ones, which are the most. */
  get lossShare(): number {
    return this.#sizes.get(0)?.window.lossShare ?? 0
  }

  /** How long a size may be silent: as many intervals as loss by chance explains. */
  patienceMs(isSmall: boolean, silenceMs: number): number {
    const loss = this.lossShare
    const misses = loss <= 0 ? MIN_MISSES : Math.min(MAX_MISSES, Math.max(MIN_MISSES, Math.ceil(CHANCE / Math.log(loss))))
    const intervalMs = isSmall ? this.beacon.smallIntervalMs : this.beacon.largeIntervalMs
    return Math.max(silenceMs, (misses + 0.5) * intervalMs)
  }

  /** Whether it was heard, by whichever path, as lately as its interval lets expect. */
  isFresh(now: number): boolean {
    return now - this.heardAt <= Math.max(MIN_REPORT_MS, REPORT_ROUNDS * this.beacon.largeIntervalMs)
  }

  /** The time in which nothing could be heard of anybody does not count. */
  forgiveSilence(ms: number, now: number): void {
    for (const heard of this.#sizes.values()) heard.at = Math.min(now, heard.at + ms)
    this.multicastAt = Math.min(now, this.multicastAt + ms)
  }

  /** What did not come until now was not lost by chance. */
  forgiveGaps(): void {
    for (const [size, { window }] of this.#sizes) if (size < MAX_SIZES) window.forgiveGap()
  }

  /** What this node says of it. */
  reportOf(now: number, silenceMs: number, isDeaf: boolean): PeerReport {
    return {
      node: this.node,
      multicastBytes: isDeaf ? 0 : this.heardBytes(now, silenceMs),
      isBroadcastHeard: this.hearsBroadcast(now, silenceMs),
      lossShare: this.lossShare,
    }
  }
}
