/**
 * Which events and queries were there before. docs/specs/04-gossip.md §7.3.
 *
 * A ring of slots by Lamport time, `length` of them: what is older than that below the clock may or may not have been there, and does not
 * count. Of the same time, events are told apart by name and payload, queries by their number. All ways by which something comes (gossip,
 * a push/pull, another way of spreading) end here, so that it counts once.
 */
import type { LamportClock } from './lamport.ts'
import { isLamportTime } from './lamport.ts'

interface Slot<Item> {
  readonly time: number
  readonly items: Item[]
}

/** What became of something that came: it counts, it was there before, or it is too old, or too much, to tell. */
export type Admission = 'new' | 'seen' | 'stale'

export interface SeenRingOptions<Item> {
  readonly length: number
  /** Items of one time; further ones do not count. */
  readonly maxAtOnce: number
  /** In sum over the ring. */
  readonly maxBytes: number
  readonly bytesOf: (item: Item) => number
  readonly isSame: (a: Item, b: Item) => boolean
}

export class SeenRing<Item> {
  readonly #clock: LamportClock
  readonly #options: SeenRingOptions<Item>
  readonly #slots: (Slot<Item> | undefined)[]
  #bytes = 0
  #minTime = 0
  staleCount = 0

  constructor(clock: LamportClock, options: SeenRingOptions<Item>) {
    this.#clock = clock
    this.#options = options
    this.#slots = Array.from({ length: options.length })
  }

  /** What is before this time does not count from now on. */
  raiseMinTime(time: number): void {
    if (isLamportTime(time)) this.#minTime = Math.max(this.#minTime, time)
  }

  admit(time: number, item: Item): Admission {
    const { length, maxAtOnce, isSame, bytesOf } = this.#options
    if (!isLamportTime(time)) return this.#refuse()
    this.#clock.witness(time)
    const last = this.#clock.time
    if (time < this.#minTime || (last > length && time < last - length)) return this.#refuse()
    const index = time % length
    let slot = this.#slots[index]
    if (slot !== undefined && slot.time > time) return this.#refuse()
    if (slot === undefined || slot.time !== time) {
      if (slot !== undefined) this.#clear(index)
      slot = { time, items: [] }
      this.#slots[index] = slot
    }
    if (slot.items.some((other) => isSame(other, item))) return 'seen'
    if (slot.items.length >= maxAtOnce) return this.#refuse()
    slot.items.push(item)
    this.#bytes += bytesOf(item)
    while (this.#bytes > this.#options.maxBytes && this.#forgetOldest(time));
    return 'new'
  }

  /** The ring as it is told to others. */
  slots(): readonly (Readonly<Slot<Item>> | undefined)[] {
    return this.#slots
  }

  #refuse(): Admission {
    this.staleCount++
    return 'stale'
  }

  #clear(index: number): void {
    for (const item of this.#slots[index]?.items ?? []) this.#bytes -= this.#options.bytesOf(item)
    this.#slots[index] = undefined
  }

  /** Whether there was one before `time`. */
  #forgetOldest(time: number): boolean {
    let oldest: Slot<Item> | undefined
    for (const slot of this.#slots) if (slot !== undefined && (oldest === undefined || slot.time < oldest.time)) oldest = slot
    if (oldest === undefined || oldest.time >= time) return false
    this.#clear(oldest.time % this.#options.length)
    this.raiseMinTime(oldest.time + 1)
    return true
  }
}
