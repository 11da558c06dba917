/**
 * The order in which an origin hands out its chunks: each once, and the stripes abreast.
 *
 * A stripe that ends before the others leaves the rest of its bytes to trees that are planned for a share of them; therefore
 * nothing is sent unasked that is far ahead of what was handed out in all. One stripe that stays behind for good (its first peer is
 * slow) does not hold the others. What was handed out before a peer subscribed it is told, and left to others.
 */
import { Bitfield } from '../lib/bitfield.ts'
import type { Neighbour } from './neighbour.ts'
import type { PeerState } from './peer-state.ts'
import { splitRanges } from './ranges.ts'
import type { ChunkRange } from './upload.ts'

/** Runs that it may be ahead in one stripe of what it has handed out in all. */
const LEAD_RUNS = 48
/** How long it holds back the stripes that are ahead for the sake of one that isn't, and then doesn't, ms. */
const HOLD_MS = 150
const FREE_MS = 2000
/**
 * As long as there is more to hand out, one range of so many may be one that was handed out before and is asked for again: what the
 * origin sends twice, everyone waits for, since its link is the one that all chunks pass.
 */
const NEW_PER_ASKED = 32
/** When nobody has taken anything new for this long, what is asked for is sent, ms. */
const UNTAKEN_MS = 250

export class HandOut {
  readonly #state: PeerState
  /** Chunks that were handed out. */
  readonly #released: Bitfield
  #releasedBelow = 0
  /** Since when a stripe has been as far ahead as it may be, ms. */
  #leadSince: number = Infinity
  /** Until when no stripe is held back, ms. */
  #freeUntil = 0
  /** Ranges sent for the first time, and again, and when the last was sent for the first time, ms. */
  #newRanges = 0
  #repeatedRanges = 0
  #newAt = -Infinity

  constructor(state: PeerState) {
    this.#state = state
    this.#released = new Bitfield(state.content.knownChunks)
  }

  grow(chunks: number): void {
    if (chunks > this.#released.length) this.#released.grow(chunks)
  }

  /** From which chunk on nothing is sent unasked. */
  holdFrom(now: number): number {
    // Also asked when nothing may be sent: a stripe that nobody takes yet holds the others no longer than one that is slow.
    if (now - this.#leadSince > HOLD_MS) {
      this.#freeUntil = now + FREE_MS
      this.#leadSince = Infinity
    }
    if (now < this.#freeUntil) return Infinity
    const { runChunks } = this.#state
    return (Math.floor(this.#releasedBelow / runChunks) + LEAD_RUNS) * runChunks
  }

  /** Whether a neighbour may be sent what it asked for. */
  maySendAsked(neighbour: Neighbour, now: number): boolean {
    const first = neighbour.asked[0]
    if (first === undefined || !this.#released.has(first) || this.#releasedBelow >= this.#state.content.knownChunks) return true
    return this.#repeatedRanges * NEW_PER_ASKED <= this.#newRanges || now - this.#newAt > UNTAKEN_MS
  }

  /** A range is being sent. */
  released(range: ChunkRange, now: number): void {
    if (this.#released.hasRange(range.firstChunk, range.count)) this.#repeatedRanges++
    else {
      this.#newRanges++
      this.#newAt = now
    }
    this.#released.setRange(range.firstChunk, range.count)
    this.#noteLead(range.firstChunk, now)
    if (!this.#released.has(this.#releasedBelow)) return
    this.#releasedBelow = this.#released.nextClear(this.#releasedBelow)
    for (const neighbour of this.#state.neighbours.values()) if (neighbour.subscription !== undefined) this.#state.offer(neighbour)
  }

  #noteLead(firstChunk: number, now: number): void {
    const lead = (firstChunk - this.#releasedBelow) / this.#state.runChunks
    if (lead < LEAD_RUNS / 2) this.#leadSince = Infinity
    else if (lead >= LEAD_RUNS * 0.75 && this.#leadSince === Infinity) this.#leadSince = now
  }

  /** A peer has these chunks already: from its own disk, or from others. They need not be handed out any more. */
  elsewhere(firstChunk: number, count: number): void {
    this.#released.setRange(firstChunk, Math.min(count, this.#released.length - firstChunk))
    if (this.#releasedBelow >= this.#released.length || !this.#released.has(this.#releasedBelow)) return
    this.#releasedBelow = this.#released.nextClear(this.#releasedBelow)
    for (const neighbour of this.#state.neighbours.values()) if (neighbour.subscription !== undefined) this.#state.offer(neighbour)
  }

  /** Leaves to others what was handed out before this neighbour came, as far as they are still there to pass it on. */
  withholdFrom(neighbour: Neighbour): void {
    const others = [...this.#state.neighbours.values()].filter((other) => other !== neighbour)
    const ranges: number[] = []
    const { served } = neighbour
    for (let chunk = this.#released.nextSet(0); chunk < this.#released.length; chunk = this.#released.nextSet(chunk + 1)) {
      if (served.has(chunk) || !others.some((other) => other.served.has(chunk))) continue
      served.set(chunk)
      const last = ranges.length - 2
      if (last >= 0 && ranges[last]! + ranges[last + 1]! === chunk) ranges[last + 1]!++
      else ranges.push(chunk, 1)
    }
    for (const part of splitRanges(ranges)) this.#state.send(neighbour.id, { type: 'withheld', ranges: part })
  }
}
