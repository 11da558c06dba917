/**
 * What a peer says of itself: to neighbours, which chunks are here; to the tracker, how far it is and who is too slow.
 *
 * Neighbours are told in batches. In one batch nearly all of them are told the same, what came since the last one, so it is put
 * together once. What a neighbour has already is not left out: ranges without gaps are shorter than ranges without what is known.
 */
import { MAX_STRIPES } from './frames.ts'
import type { Neighbour } from './neighbour.ts'
import type { PeerState } from './peer-state.ts'
import { mergeRanges, splitRanges, type Ranges } from './ranges.ts'

/** A neighbour counts as asking for this long after its last request, ms. */
const ASKING_MS = 1000
/** A child that has this many more fresh runs waiting than the child with the fewest, for this long, is slower than its stripe. */
const SLOW_CHILD_RUNS = 6
const SLOW_CHILD_MS = 150
/** Over how long a peer looks whether it sends as much as its children should get, ms. */
const LOAD_PERIOD_MS = 500
/** The share of what came for children and was not sent on in a period, from which on the peer has too many of them. */
const OVERLOAD_SHARE = 0.5
/**
 * Where runs are few, neighbours and tracker are told more rarely, but after this time, ms. What hundreds of peers tell the tracker passes the
 * links of one node, the origin: from 300 peers every two seconds it was half of what 200 kbit/s carry.
 */
const MAX_HAVE_PAUSE_MS = 10_000
const MAX_ANNOUNCE_PAUSE_MS = 15_000
/** Two announcements to the tracker are at least this long apart, ms. */
const ANNOUNCE_PAUSE_MS = 50
const MAX_REPORTED = 32

export class Announcements {
  readonly #state: PeerState
  /** Ranges that came to be here since the last batch for all, in order. */
  #log: number[] = []
  /** How many numbers the log has had before. */
  #base = 0
  #lastAskedAt = -Infinity
  readonly #startedAt: number
  #announcedAt: number = -Infinity
  #lastKey = ''
  #lostPeers: string[] = []
  #loadCheckedAt: number
  #isOverloaded = false
  /** Children reported as slow, and when. */
  readonly #reportedAt: Map<string, number> = new Map()

  constructor(state: PeerState, now: number) {
    this.#state = state
    this.#startedAt = now
    this.#loadCheckedAt = now
    state.timers.set('have', now + state.limits.fastHaveIntervalMs)
    if (!state.options.isOrigin) state.timers.set('announce', now + state.limits.earlyAnnounceIntervalMs)
  }

  // ---- to neighbours ----

  gained(firstChunk: number, count: number, now: number): void {
    const { timers, limits } = this.#state
    this.#log.push(firstChunk, count)
    if (now - this.#lastAskedAt < ASKING_MS) timers.setSooner('fastHave', now + limits.fastHaveIntervalMs)
  }

  /** A neighbour asked for something: it is told quickly from now on. */
  wasAsked(neighbour: Neighbour, now: number): void {
    neighbour.askedAt = now
    this.#lastAskedAt = now
  }

  /** Everything that is here, to a neighbour that has just come. */
  tellAll(neighbour: Neighbour): void {
    neighbour.logPosition = this.#base + this.#log.length
    const ranges: number[] = []
    for (const range of this.#state.have.ranges()) ranges.push(range[0], range[1])
    this.#sendHave(neighbour, ranges)
  }

  /** What has come since it was told last. */
  tell(neighbour: Neighbour): void {
    if (neighbour.logPosition < this.#base + this.#log.length) this.#sendHave(neighbour, this.#since(neighbour.logPosition))
    neighbour.logPosition = this.#base + this.#log.length
  }

  /** The batch for all; quickly at first, for a small content is over before the slow pace has begun. */
  tellEveryone(now: number): void {
    const { timers, limits, pace } = this.#state
    const youngMs = Math.max(limits.fastHaveIntervalMs, (now - this.#startedAt) / 4)
    timers.set('have', now + Math.min(limits.haveIntervalMs * pace.slowness, MAX_HAVE_PAUSE_MS, youngMs))
    if (this.#log.length === 0) return
    this.#tellThose(() => true)
    this.#base += this.#log.length
    this.#log = []
  }

  /** The batch for those that are asking. */
  tellAsking(now: number): void {
    this.#tellThose((neighbour) => now - neighbour.askedAt < ASKING_MS)
  }

  #tellThose(isDue: (neighbour: Neighbour) => boolean): void {
    const end = this.#base + this.#log.length
    let position = -1
    let ranges: Ranges = []
    for (const neighbour of this.#state.neighbours.values()) {
      if (neighbour.logPosition >= end || !isDue(neighbour)) continue
      if (neighbour.logPosition !== position) {
        position = neighbour.logPosition
        ranges = this.#since(position)
      }
      neighbour.logPosition = end
      // Who has everything needs to know nothing.
      if (!this.#isFull(neighbour)) this.#sendHave(neighbour, ranges)
    }
  }

  #isFull(neighbour: Neighbour): boolean {
    const { content } = this.#state
    return content.isComplete && neighbour.announced.count === content.knownChunks
  }

  #since(position: number): Ranges {
    const from = Math.max(0, position - this.#base)
    return mergeRanges(from === 0 ? this.#log : this.#log.slice(from))
  }

  #sendHave(neighbour: Neighbour, ranges: Ranges): void {
    for (const part of splitRanges(ranges)) this.#state.send(neighbour.id, { type: 'have', ranges: part })
  }

  // ---- to the tracker ----

  /** The tracker is another one or knows nothing: it is told all, at once. */
  startAgain(now: number): void {
    this.#lastKey = ''
    this.announceSoon(now)
  }

  announceSoon(now: number): void {
    this.#state.timers.setSooner('announce', Math.max(now, this.#announcedAt + ANNOUNCE_PAUSE_MS))
  }

  reportLost(id: string, now: number): void {
    if (this.#state.options.isOrigin || this.#lostPeers.length >= MAX_REPORTED) return
    this.#lostPeers.push(id)
    this.announceSoon(now)
  }

  /** A run waits for a child beside others: when they pile up, the tracker should hear of it at once. */
  checkChild(child: Neighbour, now: number): void {
    if (child.freshCount() < SLOW_CHILD_RUNS || now - child.freshSince < SLOW_CHILD_MS * this.#state.pace.slowness) return
    if (now - (this.#reportedAt.get(child.id) ?? -Infinity) < LOAD_PERIOD_MS * this.#state.pace.slowness) return
    this.#reportedAt.set(child.id, now)
    this.announceSoon(now)
  }

  announce(haveBytes: number, lateStripes: readonly number[], now: number): void {
    const { options, limits, timers, isDone, pace } = this.#state
    const isEarly = now - this.#startedAt < limits.earlyMs
    const pauseMs = Math.min((isEarly ? limits.earlyAnnounceIntervalMs : limits.announceIntervalMs) * pace.slowness, MAX_ANNOUNCE_PAUSE_MS)
    if (!options.isOrigin) timers.set('announce', now + pauseMs)
    const slowPeers = this.#slowPeers(now)
    const lostPeers = this.#lostPeers
    const key = `${haveBytes} ${isDone} ${lateStripes.join()} ${slowPeers.join()}`
    if (key === this.#lastKey && lostPeers.length === 0) return
    this.#lostPeers = []
    this.#lastKey = key
    this.#announcedAt = now
    this.#state.emit({
      type: 'announce',
      message: {
        type: 'announce',
        address: options.address,
        zone: options.zone,
        haveBytes,
        isComplete: isDone,
        lateStripes: lateStripes.slice(0, MAX_STRIPES),
        slowPeers: slowPeers.slice(0, MAX_REPORTED),
        lostPeers,
      },
    })
  }

  /**
   * Children that take less than others do of what comes for them; this peer itself, when it does not send what comes. Runs that
   * pile up at all children alike came in a burst, or are too much for this peer: for that it looks at a longer time.
   */
  #slowPeers(now: number): string[] {
    let least = Infinity
    let waiting = 0
    let pushed = 0
    const children: Neighbour[] = []
    for (const neighbour of this.#state.neighbours.values()) {
      if (neighbour.subscription === undefined || neighbour.subscription.mask === 0) continue
      // Who wants nothing sent of what waits is not slow.
      if (neighbour.hasFresh() && neighbour.fresh[neighbour.freshHead]! >= neighbour.clearTo) continue
      children.push(neighbour)
      least = Math.min(least, neighbour.freshCount())
      waiting += neighbour.freshCount()
      pushed += neighbour.freshPushed
    }
    if (now - this.#loadCheckedAt > LOAD_PERIOD_MS * this.#state.pace.slowness) {
      const before = children.reduce((sum, child) => sum + child.freshWaitingBefore, 0)
      this.#isOverloaded = children.length > 1 && least >= SLOW_CHILD_RUNS && waiting - before > OVERLOAD_SHARE * pushed
      this.#loadCheckedAt = now
      for (const child of children) {
        child.freshWaitingBefore = child.freshCount()
        child.freshPushed = 0
      }
    }
    const base = children.length > 1 ? least : 0
    const slow = children.filter(
      (child) => child.freshCount() >= base + SLOW_CHILD_RUNS && now - child.freshSince >= SLOW_CHILD_MS * this.#state.pace.slowness,
    )
    const ids = slow.map((child) => child.id)
    return this.#isOverloaded && !this.#state.options.isOrigin ? [...ids, this.#state.options.id] : ids
  }
}
