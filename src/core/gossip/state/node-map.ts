/**
 * What one node says about itself, as far as it is known here: keys with values and versions, and the tombstones of removed keys
 * (docs/specs/05-state.md §3).
 *
 * Everything up to `version` is known, always: a delta that leaves out versions is not taken. So one number tells what is missing, and
 * any node that knows more can give it. Where that does not hold any more, as this map is older than the collected tombstones or the node
 * has started anew, the map is walked through again from 0; what was known before (`#former`) stays visible until the walk is over, so
 * that keys that are still there do not vanish for a while.
 */
import { copyBytes, equalBytes, utf8Encode } from '../../lib/bytes.ts'
import { entryBytes, sectionHeadBytes } from './state-codec.ts'
import type { RangeHash, DeltaSection, NodeDigest, StateEntry } from './state-messages.ts'

/** What a key costs beyond its own bytes and the value's. */
export const ENTRY_OVERHEAD_BYTES = 32

interface Held {
  readonly key: string
  readonly version: number
  /** Undefined: a tombstone. */
  value: Uint8Array | undefined
  /** Infinity: never. */
  expiresAt: number
  readonly changedAt: number
}

export interface Change {
  readonly key: string
  readonly value: Uint8Array | undefined
  readonly version: number
}

/** What became of a delta: `gap` says that something between it and what is known is missing; `stale` that it brings nothing. */
export type ApplyResult = 'applied' | 'gap' | 'stale' | 'too-large'

export class NodeMap {
  readonly node: string
  readonly position: number
  hash: RangeHash = { high: 0, low: 0 }
  generation: number
  version = 0
  collectedTo = 0
  /** Whether nothing that was there at `version` is missing. */
  isWhole = false
  /** What is kept, former keys with it. */
  bytes = 0
  /** Of what is kept, former keys not with it. */
  tombstones = 0
  tombstoneBytes = 0
  /** Not later than the first expiry; Infinity when nothing expires. */
  expiryAt: number = Infinity
  readonly #held: Map<string, Held> = new Map()
  #former: Map<string, Held> = new Map()
  #formerBytes = 0
  #formerGeneration = 0
  /** Entries by version; some are no longer held. */
  #log: Held[] = []

  constructor(node: string, position: number, generation: number) {
    this.node = node
    this.position = position
    this.generation = generation
  }

  get digest(): NodeDigest {
    const { node, generation, version, collectedTo } = this
    return { node, generation, version, collectedTo }
  }

  /** Keys that have a value. */
  get keys(): number {
    let keys = this.#held.size - this.tombstones
    for (const { value, key } of this.#former.values()) if (value !== undefined && !this.#held.has(key)) keys++
    return keys
  }

  /** What the keys that have a value take. */
  get valueBytes(): number {
    return this.bytes - this.tombstoneBytes
  }

  get(key: string): Held | undefined {
    return this.#held.get(key) ?? this.#former.get(key)
  }

  /** Whether a key's time ends. */
  hasExpiry(key: string): boolean {
    return (this.get(key)?.expiresAt ?? Infinity) < Infinity
  }

  *values(): Generator<Held & { readonly value: Uint8Array }> {
    for (const held of this.#held.values()) if (hasValue(held)) yield held
    for (const held of this.#former.values()) if (hasValue(held) && !this.#held.has(held.key)) yield held
  }

  // ---- by the owner ----

  /** A change by the owner; the value is copied. */
  put(key: string, value: Uint8Array | undefined, ttlMs: number | undefined, now: number): Change {
    this.version++
    this.#hold({
      key,
      version: this.version,
      value: value === undefined ? undefined : copyBytes(value),
      expiresAt: ttlMs === undefined ? Infinity : now + ttlMs,
      changedAt: now,
    })
    return { key, value: this.#held.get(key)?.value, version: this.version }
  }

  /** The oldest tombstone. */
  oldestTombstone(): Held | undefined {
    if (this.tombstones === 0) return undefined
    return this.#log.find((held) => held.value === undefined && this.#held.get(held.key) === held)
  }

  /** The version of the newest tombstone that is not younger; 0 when there is none. */
  lastTombstoneBefore(time: number): number {
    let version = 0
    for (const held of this.#held.values()) {
      if (held.value === undefined && held.changedAt <= time && held.version > version) version = held.version
    }
    return version
  }

  /** Up to which version tombstones are to be collected so that half of what they take is free. */
  halfOfTombstones(): number {
    let bytes = this.tombstoneBytes / 2
    for (const held of this.#log) {
      if (held.value !== undefined || this.#held.get(held.key) !== held) continue
      bytes -= bytesOf(held)
      if (bytes <= 0) return held.version
    }
    return this.version
  }

  /** By the owner: forgets all tombstones up to a version. That is a change, as others have to know. */
  collect(upTo: number): void {
    this.version++
    this.#raiseFloor(upTo)
  }

  /** By the owner: makes all others, who hold something it has not said, walk through its map again. */
  refute(version: number): void {
    this.version = version + 2
    this.#raiseFloor(version + 1)
  }

  // ---- by others ----

  /** What one who knows as much as the digest is to be told, in about `roomBytes`; undefined when that is nothing or this map can't say. */
  section(known: NodeDigest, roomBytes: number, isFirst: boolean, now: number): DeltaSection | undefined {
    const from = this.#startFor(known)
    if (from === undefined) return undefined
    let room = roomBytes - sectionHeadBytes(this.node)
    if (room < 0 && !isFirst) return undefined
    const entries: StateEntry[] = []
    let to = from
    let isCut = false
    for (let at = this.#after(from); at < this.#log.length; at++) {
      const held = this.#log[at] as Held
      if (this.#held.get(held.key) !== held) continue
      room -= entryBytes(held)
      if (room < 0 && (entries.length > 0 || !isFirst)) {
        isCut = true
        break
      }
      entries.push({ key: held.key, version: held.version, value: held.value, ttlMs: remainingMs(held, now) })
      to = held.version
    }
    if (!isCut) to = this.version
    else if (entries.length === 0) return undefined
    const { node, generation, collectedTo } = this
    return { node, generation, from, to, collectedTo, isLast: !isCut && this.isWhole, entries }
  }

  /** Whether one who knows as much as the digest can be told something. */
  canTell(known: NodeDigest): boolean {
    return this.#startFor(known) !== undefined
  }

  /** How much more a map takes with a delta, at most; Infinity for one that names a key twice, which none does. */
  growth({ generation, collectedTo, entries }: DeltaSection): number {
    const isWalk = generation !== this.generation || (this.version < collectedTo && this.collectedTo < collectedTo)
    let bytes = 0
    const keys = new Set<string>()
    for (const { key, value, version } of entries) {
      if (keys.has(key)) return Infinity
      keys.add(key)
      if (version <= this.version && !isWalk) continue
      const held = isWalk ? undefined : this.#held.get(key)
      bytes += costBytes(key, value) - (held === undefined ? 0 : bytesOf(held))
    }
    return bytes
  }

  /** Takes a delta and notes what has changed for those who look at the map. */
  apply(section: DeltaSection, maxBytes: number, changes: Change[], now: number): ApplyResult {
    const { generation } = this
    if (section.generation < generation) return 'stale'
    if (section.generation > generation) {
      if (section.from > 0) return 'gap'
      this.#walkAnew(section.generation, section.collectedTo)
    } else if (this.version === 0) {
      if (section.from > 0) return 'gap'
    } else if (this.version < section.collectedTo && this.collectedTo < section.collectedTo) {
      if (section.from > 0) return 'gap'
      this.#walkAnew(section.generation, section.collectedTo)
    } else if (section.collectedTo < this.collectedTo && this.version < this.collectedTo) {
      // The sender may hold keys whose tombstones are collected.
      return 'stale'
    } else if (section.from > this.version) {
      return 'gap'
    }
    // Former keys do not count: they go.
    if (this.bytes - this.#formerBytes + this.growth(section) > maxBytes) return 'too-large'
    const before = this.version
    for (const entry of section.entries) if (entry.version > before) this.#take(entry, changes, now)
    const isNews = section.to > before || section.generation > generation || (section.isLast && !this.isWhole && section.to === before)
    if (section.to >= this.version) {
      this.version = section.to
      if (section.isLast) this.#endWalk(changes)
    }
    if (section.collectedTo > this.collectedTo) this.#raiseFloor(section.collectedTo)
    return isNews ? 'applied' : 'stale'
  }

  /** The keys whose time is over; sets the next expiry. */
  expired(slackMs: number, now: number): string[] {
    const keys: string[] = []
    this.expiryAt = Infinity
    for (const { key, expiresAt } of this.values()) {
      if (expiresAt + slackMs <= now) keys.push(key)
      else this.expiryAt = Math.min(this.expiryAt, expiresAt)
    }
    return keys
  }

  /** By others than the owner: drops the value of an expired key; its version stays, as it is the owner's. */
  dropValue(key: string): Change | undefined {
    const held = this.get(key)
    if (held?.value === undefined) return undefined
    this.bytes -= held.value.length
    if (this.#held.has(key)) this.#countTombstone(key, 1)
    else this.#formerBytes -= held.value.length
    held.value = undefined
    return { key, value: undefined, version: held.version }
  }

  // ---- the parts ----

  /** From which version on to tell; undefined when there is nothing to tell or nothing that can be told safely. */
  #startFor(known: NodeDigest): number | undefined {
    if (known.generation > this.generation) return undefined
    if (known.generation < this.generation) return 0
    const isBehindFloor = known.version > 0 && known.version < this.collectedTo && known.collectedTo < this.collectedTo
    // While this map is itself on its way up to the floor, it would make others drop what it can't give.
    if (isBehindFloor) return this.version < this.collectedTo ? undefined : 0
    if (this.collectedTo < known.collectedTo && known.version < known.collectedTo) return undefined
    return known.version < this.version ? known.version : undefined
  }

  /** What was known is former from now on, and the map starts at 0. */
  #walkAnew(generation: number, collectedTo: number): void {
    for (const held of this.#held.values()) {
      this.#dropFormer(held.key)
      this.#former.set(held.key, held)
      this.#formerBytes += bytesOf(held)
    }
    this.#formerGeneration = this.generation
    this.#held.clear()
    this.#log = []
    this.tombstones = 0
    this.tombstoneBytes = 0
    this.generation = generation
    this.version = 0
    this.collectedTo = collectedTo
    this.isWhole = false
  }

  /** What is former and was not told again is gone. */
  #endWalk(changes: Change[]): void {
    this.isWhole = true
    if (this.#former.size === 0) return
    for (const former of [...this.#former.values()]) {
      this.#dropFormer(former.key)
      if (former.value !== undefined) changes.push({ key: former.key, value: undefined, version: this.version })
    }
  }

  #dropFormer(key: string): void {
    const former = this.#former.get(key)
    if (former === undefined) return
    this.#former.delete(key)
    this.bytes -= bytesOf(former)
    this.#formerBytes -= bytesOf(former)
  }

  #take({ key, version, value, ttlMs }: StateEntry, changes: Change[], now: number): void {
    const before = this.get(key)
    const expiresAt = ttlMs === undefined ? Infinity : now + ttlMs
    this.#hold({ key, version, value: value === undefined ? undefined : copyBytes(value), expiresAt, changedAt: now })
    const former = this.#former.get(key)
    this.#dropFormer(key)
    if (value === undefined && before?.value === undefined) return
    // A walk tells again what was known: that is no change.
    const isAsBefore = before === former && before?.version === version && this.#formerGeneration === this.generation
    if (isAsBefore && before.value !== undefined && value !== undefined && equalBytes(before.value, value)) return
    changes.push({ key, value: this.#held.get(key)?.value, version })
  }

  #hold(held: Held): void {
    this.#drop(held.key)
    this.#held.set(held.key, held)
    this.bytes += bytesOf(held)
    if (held.value === undefined) this.#countTombstone(held.key, 1)
    this.expiryAt = Math.min(this.expiryAt, held.expiresAt)
    this.#log.push(held)
    if (this.#log.length > 2 * this.#held.size + 16) this.#log = this.#log.filter((other) => this.#held.get(other.key) === other)
  }

  #drop(key: string): void {
    const held = this.#held.get(key)
    if (held === undefined) return
    this.#held.delete(key)
    this.bytes -= bytesOf(held)
    if (held.value === undefined) this.#countTombstone(key, -1)
  }

  #countTombstone(key: string, count: 1 | -1): void {
    this.tombstones += count
    this.tombstoneBytes += count * costBytes(key, undefined)
  }

  #raiseFloor(collectedTo: number): void {
    this.collectedTo = collectedTo
    if (this.tombstones === 0) return
    for (const held of [...this.#held.values()]) if (held.value === undefined && held.version <= collectedTo) this.#drop(held.key)
  }

  /** Where in the log the first entry beyond a version is. */
  #after(version: number): number {
    let low = 0
    let high = this.#log.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#log[middle] as Held).version <= version) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** What a key with this value, or its tombstone, is counted as. */
export function costBytes(key: string, value: Uint8Array | undefined): number {
  return ENTRY_OVERHEAD_BYTES + keyBytes(key) + (value?.length ?? 0)
}

function bytesOf({ key, value }: Held): number {
  return costBytes(key, value)
}

function keyBytes(key: string): number {
  return utf8Encode(key).length
}

function hasValue(held: Held): held is Held & { readonly value: Uint8Array } {
  return held.value !== undefined
}

function remainingMs({ expiresAt }: Held, now: number): number | undefined {
  return expiresAt === Infinity ? undefined : Math.max(0, Math.ceil(expiresAt - now))
}
