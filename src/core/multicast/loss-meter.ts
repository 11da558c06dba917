/**
 * What the sequence numbers of data packets tell: how many came, how many did not and in how many runs, and how late a packet can be that was
 * overtaken. A gap counts as lost at once and is taken back when the packet comes after all.
 */
import { unwrapU32 } from './data-packet.ts'

/** Sequences that are remembered, to tell late packets from doubled ones; a power of two. */
const MEMORY = 2048

/** A jump further than that is no loss: the receiver slept, or somebody made it up. */
const MAX_JUMP = 1 << 20

/** What is left of the greatest lateness after a report. */
const LATE_FADE = 0.9

export class LossMeter {
  receivedPackets = 0
  lostPackets = 0
  lossBursts = 0
  /** How late overtaken packets were lately, ms: rises at once, fades with each report. */
  lateMs = 0
  #next = -1
  #startedAt = 0
  /** Bit of a sequence modulo `MEMORY`: it came. */
  readonly #came: Uint32Array = new Uint32Array(MEMORY / 32)
  /** When the newest gap was seen, and the sequence that came after it. */
  #gapAt = 0

  /** One after the highest sequence that came; −1 before the first. */
  get next(): number {
    return this.#next
  }

  /** A data packet came; its sequence in full. */
  add(wrapped: number, now: number): number {
    this.receivedPackets++
    if (this.#next < 0) {
      this.#next = wrapped + 1
      this.#startedAt = wrapped
      this.#mark(wrapped)
      return wrapped
    }
    const sequence = unwrapU32(wrapped, this.#next)
    const ahead = sequence - this.#next
    if (ahead >= 0) this.#advance(sequence, ahead, now)
    else this.#addLate(sequence, -ahead, now)
    return sequence
  }

  /** The sender says that it has sent everything before `sequence`. */
  reach(wrapped: number, now: number): void {
    if (this.#next < 0) {
      // What went before that, nobody here can have lost: but what is asked for is asked for after it.
      this.#next = wrapped
      this.#startedAt = wrapped
      return
    }
    const ahead = unwrapU32(wrapped, this.#next) - this.#next
    if (ahead <= 0 || ahead > MAX_JUMP) return
    this.#forget(this.#next, ahead)
    this.#next += ahead
    this.#countGap(ahead, now)
  }

  /** Counts since the call before, for a report. */
  take(): { readonly received: number; readonly lost: number; readonly bursts: number } {
    const lost = Math.max(0, this.lostPackets)
    const counts = { received: this.receivedPackets, lost, bursts: Math.max(0, Math.min(lost, this.lossBursts)) }
    this.receivedPackets = 0
    this.lostPackets -= lost
    this.lossBursts = 0
    this.lateMs *= LATE_FADE
    return counts
  }

  #advance(sequence: number, ahead: number, now: number): void {
    if (ahead > 0) {
      this.#forget(this.#next, ahead)
      if (ahead <= MAX_JUMP) this.#countGap(ahead, now)
    }
    this.#next = sequence + 1
    this.#mark(sequence)
  }

  #countGap(packets: number, now: number): void {
    this.lostPackets += packets
    this.lossBursts++
    this.#gapAt = now
  }

  #addLate(sequence: number, behind: number, now: number): void {
    if (behind > MEMORY || sequence < this.#startedAt || this.#has(sequence)) return
    this.#mark(sequence)
    this.lostPackets--
    this.lossBursts--
    this.lateMs = Math.max(this.lateMs, now - this.#gapAt)
  }

  #forget(from: number, count: number): void {
    if (count >= MEMORY) return void this.#came.fill(0)
    for (let i = from; i < from + count; i++) this.#came[(i >>> 5) % this.#came.length]! &= ~(1 << (i & 31))
  }

  #mark(sequence: number): void {
    this.#came[(sequence >>> 5) % this.#came.length]! |= 1 << (sequence & 31)
  }

  #has(sequence: number): boolean {
    return (this.#came[(sequence >>> 5) % this.#came.length]! & (1 << (sequence & 31))) !== 0
  }
}
