/**
 * Puts things together whose parts come in any order, some of them twice: chunks and pieces of a manifest that went over several blocks.
 *
 * Bounded by the bytes of all things begun, each counted whole from its first part on, and by the gaps of each. Where there is no room
 * for a new one, the one that has had no part for longest is dropped: a block that would complete it has probably been given up.
 */
import { assert } from '../lib/assert.ts'

/** What one thing costs beyond its bytes: the entry, its arrays. */
const ENTRY_BYTES = 256
/** Stretches that were received of one thing, with gaps between them. Parts come almost in order, a block or so each. */
const MAX_SPANS = 64

interface Unfinished {
  readonly bytes: Uint8Array
  /** Ends of what is here: first, end, first, end, …, ascending and not touching. */
  spans: number[]
}

export class PartCollector {
  readonly #maxBytes: number
  /** In the order of their last parts. */
  readonly #things = new Map<string, Unfinished>()
  #heldBytes = 0
  #dropped = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Memory of what is begun, bytes. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Things that were dropped unfinished for lack of room, or had too many gaps. */
  get dropped(): number {
    return this.#dropped
  }

  /**
   * Copies a part to its place; the whole thing once nothing is missing, which is then forgotten. A thing that was begun with another
   * length begins anew.
   */
  add(name: string, totalBytes: number, offset: number, part: Uint8Array): Uint8Array | undefined {
    assert(offset + part.length <= totalBytes, 'a part inside of its thing')
    const thing = this.#thing(name, totalBytes)
    if (thing === undefined) return undefined
    thing.bytes.set(part, offset)
    thing.spans = withSpan(thing.spans, offset, offset + part.length)
    if (thing.spans[0] === 0 && thing.spans[1] === totalBytes) {
      this.drop(name)
      return thing.bytes
    }
    if (thing.spans.length > 2 * MAX_SPANS) {
      this.drop(name)
      this.#dropped++
    }
    return undefined
  }

  /** Forgets a thing, if it was begun. */
  drop(name: string): void {
    const thing = this.#things.get(name)
    if (thing === undefined) return
    this.#things.delete(name)
    this.#heldBytes -= thing.bytes.length + ENTRY_BYTES
  }

  /** The thing, as the newest, with room made for it; undefined if there can be none. */
  #thing(name: string, totalBytes: number): Unfinished | undefined {
    const found = this.#things.get(name)
    if (found?.bytes.length === totalBytes) {
      this.#things.delete(name)
      this.#things.set(name, found)
      return found
    }
    this.drop(name)
    const cost = totalBytes + ENTRY_BYTES
    if (cost > this.#maxBytes) {
      this.#dropped++
      return undefined
    }
    for (const [oldest] of this.#things) {
      if (this.#heldBytes + cost <= this.#maxBytes) break
      this.drop(oldest)
      this.#dropped++
    }
    const thing = { bytes: new Uint8Array(totalBytes), spans: [] }
    this.#things.set(name, thing)
    this.#heldBytes += cost
    return thing
  }
}

/** Spans with one more, joined with those it touches. */
function withSpan(spans: readonly number[], first: number, end: number): number[] {
  const joined: number[] = []
  let [from, to] = [first, end]
  let isPlaced = false
  for (let i = 0; i < spans.length; i += 2) {
    const spanFirst = spans[i] as number
    const spanEnd = spans[i + 1] as number
    if (spanEnd < from) joined.push(spanFirst, spanEnd)
    else if (spanFirst > to) {
      if (!isPlaced) joined.push(from, to)
      isPlaced = true
      joined.push(spanFirst, spanEnd)
    } else {
      from = Math.min(from, spanFirst)
      to = Math.max(to, spanEnd)
    }
  }
  if (!isPlaced) joined.push(from, to)
  return joined
}
