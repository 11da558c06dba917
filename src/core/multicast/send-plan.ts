/**
 * What a session is to send, in what order: the union of what its receivers lack, what most of them lack first, and among equals from the
 * first chunk on, so that disks and progress go forward (docs/specs/08-multicast-content.md §4). Not how it is sent: chunks that were handed
 * out count as held by all that were there then, since the session repairs what gets lost; who gives up gets the rest by other ways.
 *
 * Kept per chunk: how many lack it that it was not handed out for, and the number of the last receiver that it was handed out for. So a
 * receiver that leaves is taken off again without a list of what it lacks. Chunks never handed out come first; those that only late receivers
 * lack come after them, and only if there are enough of those, as few are better served by their neighbours.
 *
 * Joining and leaving cost a step per chunk, and the first chunk handed out after that one more. Handing out goes through the chunks once for each
 * count of receivers that occurs, with a cursor for each that goes forward until something changes behind it.
 */
import { MAX_CHUNKS } from '../content/limits.ts'
import { assert } from '../lib/assert.ts'
import { Bitfield } from '../lib/bitfield.ts'
import { isWireError, wireError, type WireError } from '../wire/wire-error.ts'
import { decodeNeeds, type HeldRanges } from './needs.ts'

export interface SendPlanOptions {
  /** Receivers that must lack a chunk for it to be sent a first time. */
  readonly minReceivers: number
  /** Receivers that came after a chunk had been sent, and lack it, for it to be sent again; fewer get it by other ways. */
  readonly minLateReceivers: number
  /** Receivers at a time; more are refused. Each costs what it said, 1100 bytes at the most. */
  readonly maxReceivers: number
}

export const DEFAULT_SEND_PLAN_OPTIONS: SendPlanOptions = { minReceivers: 1, minLateReceivers: 2, maxReceivers: 16_384 }

/** Consecutive chunks to be sent. */
export interface PlannedRun {
  readonly firstChunk: number
  readonly count: number
}

export interface SendPlanStatus {
  readonly receivers: number
  /** Receivers that were refused because there were too many. */
  readonly refused: number
  /** Chunks that will be handed out, as things are. */
  readonly pending: number
  /** Chunks handed out so far, those that were so again counted again. */
  readonly handedOut: number
}

interface Receiver {
  /** What it said, as it said it: decoded again when it leaves, for lists take many times the room. */
  readonly needs: Uint8Array
  /** Chunks that were known when it came: what it claimed beyond them was passed over. */
  readonly knownChunks: number
  /** Counts receivers in the order they came, from 1. */
  readonly number: number
}

/** Pending chunks that equally many lack. */
interface Level {
  count: number
  /** None of them is before this one. */
  from: number
}

export class SendPlan {
  readonly #options: SendPlanOptions
  readonly #receivers = new Map<string, Receiver>()
  /** Per chunk: receivers that lack it and that it was not handed out for. */
  #lacking = new Uint32Array(0)
  /** Per chunk: the number of the last receiver when it was handed out; 0 for never. */
  #handedAt = new Uint32Array(0)
  readonly #available = new Bitfield(0)
  /** By how many lack them: chunks never handed out, and those that are to be again. */
  readonly #first = new Map<number, Level>()
  readonly #again = new Map<number, Level>()
  /** Receivers came or went: the levels are to be counted anew before they are used. */
  #isStale = false
  #lastNumber = 0
  #refused = 0
  #pending = 0
  #handedOut = 0

  constructor(options: Partial<SendPlanOptions> = {}) {
    this.#options = { ...DEFAULT_SEND_PLAN_OPTIONS, ...options }
    assert(this.#options.minReceivers >= 1 && this.#options.minLateReceivers >= 1, 'nothing is sent that nobody lacks')
  }

  /** Chunks that the plan knows of, available or not. */
  get knownChunks(): number {
    return this.#available.length
  }

  status(): SendPlanStatus {
    this.#countLevels()
    return { receivers: this.#receivers.size, refused: this.#refused, pending: this.#pending, handedOut: this.#handedOut }
  }

  /** The content is known to have that many chunks; all receivers lack the new ones. Never fewer than before. */
  grow(knownChunks: number): void {
    const before = this.knownChunks
    assert(knownChunks >= before && knownChunks <= MAX_CHUNKS, 'a content that grows, within limits')
    if (knownChunks > this.#lacking.length) {
      const room = Math.max(knownChunks, 2 * this.#lacking.length)
      this.#lacking = enlarged(this.#lacking, room)
      this.#handedAt = enlarged(this.#handedAt, room)
    }
    this.#available.grow(knownChunks)
    this.#lacking.fill(this.#receivers.size, before, knownChunks)
  }

  /** These chunks, all known, are on this node's disk and may be handed out. */
  setAvailable(firstChunk: number, count: number): void {
    for (let chunk = firstChunk; chunk < firstChunk + count; chunk++) {
      if (this.#available.set(chunk)) this.#enter(chunk)
    }
  }

  /** These chunks are no longer on this node's disk. */
  setUnavailable(firstChunk: number, count: number): void {
    for (let chunk = firstChunk; chunk < firstChunk + count; chunk++) {
      this.#remove(chunk)
      this.#available.clear(chunk)
    }
  }

  /**
   * A receiver joins and says what it holds (`encodeNeeds`); one that is there already has come again and lacks what it says now.
   *
   * @returns what is wrong with what it says, or that there are too many
   */
  join(name: string, needs: Uint8Array): WireError | undefined {
    const held = decodeNeeds(needs)
    if (isWireError(held)) return held
    this.leave(name)
    if (this.#receivers.size >= this.#options.maxReceivers) {
      this.#refused++
      return wireError('ignore', `${this.#options.maxReceivers} receivers are there already`)
    }
    const receiver = { needs: needs.slice(), knownChunks: this.knownChunks, number: ++this.#lastNumber }
    this.#receivers.set(name, receiver)
    this.#eachNotHeld(held, receiver.knownChunks, (chunk) => {
      this.#lacking[chunk] = (this.#lacking[chunk] as number) + 1
    })
    this.#isStale = true
    return undefined
  }

  /** A receiver is gone: what it alone lacked is not sent any more. */
  leave(name: string): void {
    const receiver = this.#receivers.get(name)
    if (receiver === undefined) return
    this.#receivers.delete(name)
    const lessIfLacking = (chunk: number): void => {
      if ((this.#handedAt[chunk] as number) < receiver.number) this.#lacking[chunk] = (this.#lacking[chunk] as number) - 1
    }
    this.#eachNotHeld(decodeNeeds(receiver.needs) as HeldRanges, receiver.knownChunks, lessIfLacking)
    for (let chunk = receiver.knownChunks; chunk < this.knownChunks; chunk++) lessIfLacking(chunk)
    this.#isStale = true
  }

  /** Hands out the next chunks, `maxChunks` of them at the most; undefined if there is nothing to send now. */
  next(maxChunks: number): PlannedRun | undefined {
    assert(maxChunks >= 1, 'a chunk at least')
    this.#countLevels()
    const [levels, lacking] = this.#first.size > 0 ? [this.#first, greatest(this.#first)] : [this.#again, greatest(this.#again)]
    const level = levels.get(lacking)
    if (level === undefined) return undefined
    const isInLevel = (chunk: number): boolean =>
      chunk < this.knownChunks &&
      this.#lacking[chunk] === lacking &&
      this.#available.has(chunk) &&
      (this.#handedAt[chunk] === 0) === (levels === this.#first)
    let firstChunk = level.from
    while (!isInLevel(firstChunk)) {
      firstChunk++
      assert(firstChunk < this.knownChunks, 'a level has the chunks that it counts')
    }
    level.from = firstChunk
    let end = firstChunk
    while (end - firstChunk < maxChunks && isInLevel(end)) {
      this.#remove(end)
      this.#lacking[end] = 0
      this.#handedAt[end] = this.#lastNumber
      end++
    }
    this.#handedOut += end - firstChunk
    return { firstChunk, count: end - firstChunk }
  }

  /** Counts all levels anew, if receivers came or went. */
  #countLevels(): void {
    if (!this.#isStale) return
    this.#isStale = false
    this.#first.clear()
    this.#again.clear()
    this.#pending = 0
    for (let chunk = this.#available.nextSet(0); chunk < this.knownChunks; chunk = this.#available.nextSet(chunk + 1)) this.#enter(chunk)
  }

  #levelsOf(chunk: number): Map<number, Level> | undefined {
    if (!this.#available.has(chunk)) return undefined
    const isFirst = this.#handedAt[chunk] === 0
    const least = isFirst ? this.#options.minReceivers : this.#options.minLateReceivers
    if ((this.#lacking[chunk] as number) < least) return undefined
    return isFirst ? this.#first : this.#again
  }

  /** Counts the chunk as pending, if it is. */
  #enter(chunk: number): void {
    const levels = this.#isStale ? undefined : this.#levelsOf(chunk)
    if (levels === undefined) return
    const lacking = this.#lacking[chunk] as number
    const level = levels.get(lacking)
    if (level === undefined) levels.set(lacking, { count: 1, from: chunk })
    else {
      level.count++
      level.from = Math.min(level.from, chunk)
    }
    this.#pending++
  }

  /** Counts the chunk as pending no longer, if it was. */
  #remove(chunk: number): void {
    const levels = this.#isStale ? undefined : this.#levelsOf(chunk)
    if (levels === undefined) return
    const lacking = this.#lacking[chunk] as number
    const level = levels.get(lacking)
    assert(level !== undefined, 'a pending chunk has its level')
    if (--level.count === 0) levels.delete(lacking)
    this.#pending--
  }

  #eachNotHeld(held: HeldRanges, knownChunks: number, visit: (chunk: number) => void): void {
    let chunk = 0
    for (let i = 0; i < held.length && chunk < knownChunks; i += 2) {
      const first = Math.min(held[i] as number, knownChunks)
      for (; chunk < first; chunk++) visit(chunk)
      chunk = first + (held[i + 1] as number)
    }
    for (; chunk < knownChunks; chunk++) visit(chunk)
  }
}

function greatest(levels: ReadonlyMap<number, Level>): number {
  let most = 0
  for (const lacking of levels.keys()) most = Math.max(most, lacking)
  return most
}

function enlarged(words: Uint32Array<ArrayBuffer>, length: number): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(length)
  larger.set(words)
  return larger
}
