/**
 * Which events were here, by origin: all up to a number, and some above it. It says what is new, what a neighbour has that is missing
 * here, and, in one hash, whether two nodes have seen the same.
 *
 * The hash is the exclusive-or of one hash per origin, kept up to date with each event, so that it costs the same however many there are.
 * A gap that nobody could fill in time, or that lies too far back, is given up: it counts as seen from then on.
 */
import { MAX_DIGEST_ORIGINS, MAX_DIGEST_RANGES } from './broadcast-codec.ts'
import type { EventId, OriginDigest } from './broadcast-messages.ts'
import type { BroadcastState } from './broadcast-state.ts'

interface Origin {
  readonly key: string
  upTo: number
  readonly ahead: Set<number>
  /** Exclusive-or of the hashes of what is in `ahead`. */
  aheadHash: number
  hash: number
  usedAt: number
  /** Since when the first number after `upTo` has been missing while later ones are here. */
  gapSince: number
}

export class SeenEvents {
  readonly #state: BroadcastState
  /** In the order of their last use. */
  readonly #origins: Map<string, Origin> = new Map()
  #hash = 0
  /** Until a neighbour has said what there was before, whatever comes first of an origin is taken for its first. */
  #isNew = true
  #evictedAt = -Infinity

  constructor(state: BroadcastState) {
    this.#state = state
  }

  get isNew(): boolean {
    return this.#isNew
  }

  /** 0 as long as there is nothing. */
  get hash(): number {
    return this.#hash >>> 0
  }

  get originCount(): number {
    return this.#origins.size
  }

  /** From now on, what comes before the first event of a new origin is missed. */
  settle(): void {
    this.#isNew = false
  }

  has({ origin, sequence }: EventId): boolean {
    const known = this.#origins.get(origin)
    return known !== undefined && (sequence <= known.upTo || known.ahead.has(sequence))
  }

  /** Notes an event; false when it was here before. */
  add({ origin, sequence }: EventId, now: number): boolean {
    const { maxAhead } = this.#state.settings
    // An origin that is not known may also be one that had to be forgotten: its past must not come again.
    const hasPast = this.#isNew || now - this.#evictedAt <= 2 * this.#state.settings.cacheMs
    const known = this.#use(origin, hasPast ? sequence - 1 : Math.max(0, sequence - 1 - maxAhead), now)
    if (sequence <= known.upTo || known.ahead.has(sequence)) return false
    if (known.ahead.size === 0) known.gapSince = now
    known.ahead.add(sequence)
    known.aheadHash ^= sequenceHash(sequence)
    this.#advance(known, now)
    if (sequence - known.upTo > maxAhead) this.#skipTo(known, sequence - maxAhead, now)
    this.#rehash(known)
    return true
  }

  /** Takes what a neighbour has as the state from which this newcomer starts. */
  adopt(origins: readonly OriginDigest[], now: number): void {
    for (const { origin, upTo, ahead } of origins) {
      const last = ahead.at(-1)
      const highest = last === undefined ? upTo : last[0] + last[1] - 1
      const known = this.#use(origin, highest, now)
      if (highest > known.upTo) this.#skipTo(known, highest, now, false)
      this.#rehash(known)
    }
    this.settle()
  }

  /** What a neighbour has and this node not, at most `most` ids. */
  missing(origins: readonly OriginDigest[], most: number): EventId[] {
    const ids: EventId[] = []
    for (const { origin, upTo, ahead } of origins) {
      const from = Math.max(this.#origins.get(origin)?.upTo ?? 0, upTo - this.#state.settings.maxAhead) + 1
      this.#collect(origin, from, upTo, ids, most)
      for (const [first, count] of ahead) this.#collect(origin, Math.max(first, from), first + count - 1, ids, most)
      if (ids.length >= most) break
    }
    return ids
  }

  /** Those used last come first. */
  digest(): OriginDigest[] {
    const origins: OriginDigest[] = []
    for (const known of [...this.#origins.values()].slice(-MAX_DIGEST_ORIGINS).reverse()) {
      origins.push({ origin: known.key, upTo: known.upTo, ahead: rangesOf(known.ahead) })
    }
    return origins
  }

  /** Forgets origins that were silent for twice the time that payloads are kept, and gives up gaps that were looked for long enough. */
  expire(now: number): void {
    const { cacheMs, gapTimeoutMs } = this.#state.settings
    for (const known of this.#origins.values()) {
      if (now - known.usedAt > 2 * cacheMs) this.#forget(known)
      else if (known.ahead.size > 0 && now - known.gapSince > gapTimeoutMs) {
        this.#skipTo(known, Math.min(...known.ahead), now)
        this.#rehash(known)
      }
    }
  }

  #collect(origin: string, from: number, to: number, ids: EventId[], most: number): void {
    // A range that ends far above is a lie or older than what is remembered: only its last numbers can still be had.
    for (let sequence = Math.max(from, to - this.#state.settings.maxAhead); sequence <= to && ids.length < most; sequence++) {
      if (!this.has({ origin, sequence })) ids.push({ origin, sequence })
    }
  }

  #use(key: string, upTo: number, now: number): Origin {
    let known = this.#origins.get(key)
    if (known === undefined) {
      if (this.#origins.size >= this.#state.settings.maxOrigins) {
        for (const oldest of this.#origins.values()) {
          this.#forget(oldest)
          break
        }
        this.#state.dropped.evictedOrigins++
        this.#evictedAt = now
      }
      known = { key, upTo, ahead: new Set(), aheadHash: 0, hash: 0, usedAt: now, gapSince: now }
      this.#origins.set(key, known)
    } else {
      this.#origins.delete(key)
      this.#origins.set(key, known)
      known.usedAt = now
    }
    return known
  }

  #forget(known: Origin): void {
    this.#origins.delete(known.key)
    this.#hash ^= known.hash
  }

  #advance(known: Origin, now: number): void {
    while (known.ahead.delete(known.upTo + 1)) {
      known.upTo++
      known.aheadHash ^= sequenceHash(known.upTo)
      known.gapSince = now
    }
  }

  /** Counts all up to `upTo` as seen. */
  #skipTo(known: Origin, upTo: number, now: number, isLoss: boolean = true): void {
    let held = 0
    for (const sequence of known.ahead) {
      if (sequence > upTo) continue
      known.ahead.delete(sequence)
      known.aheadHash ^= sequenceHash(sequence)
      held++
    }
    if (isLoss) this.#state.dropped.gaps += upTo - known.upTo - held
    known.upTo = upTo
    known.gapSince = now
    this.#advance(known, now)
  }

  #rehash(known: Origin): void {
    let hash = sequenceHash(known.upTo) ^ known.aheadHash
    for (let i = 0; i < 4; i++) hash = Math.imul(hash ^ known.key.charCodeAt(i), 0x01000193) ^ (hash >>> 15)
    this.#hash ^= known.hash ^ hash
    known.hash = hash
  }
}

function sequenceHash(sequence: number): number {
  let hash = Math.imul(sequence >>> 0, 0x85ebca6b) ^ Math.floor(sequence / 0x100000000)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return hash ^ (hash >>> 16)
}

function rangesOf(numbers: ReadonlySet<number>): [number, number][] {
  const ranges: [number, number][] = []
  for (const number of [...numbers].sort((a, b) => a - b)) {
    const last = ranges.at(-1)
    if (last !== undefined && last[0] + last[1] === number) last[1]++
    else if (ranges.length < MAX_DIGEST_RANGES) ranges.push([number, 1])
    else break
  }
  return ranges
}
