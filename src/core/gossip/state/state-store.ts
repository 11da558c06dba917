/**
 * The maps of all nodes, within limits, and the tree of hashes over them (docs/specs/05-state.md §3).
 *
 * What a node says about itself is the only truth: what others say about this node is never taken, but refuted when it goes beyond what
 * this node has said itself (after a start with the same generation, or when somebody made it up).
 */
import { utf8Decode, utf8Encode } from '../../lib/bytes.ts'
import { assert } from '../../lib/assert.ts'
import { DigestTree, hashDigest, positionOf } from './digest-tree.ts'
import { costBytes, NodeMap, type ApplyResult, type Change } from './node-map.ts'
import { MAX_KEY_BYTES, MAX_NODE_NAME_BYTES, MAX_STATE_MESSAGE_BYTES, MAX_TTL_MS, MAX_VALUE_BYTES, MAX_VERSION } from './state-codec.ts'
import type { DeltaSection, NodeDigest } from './state-messages.ts'
import type { StateOptions, StateOutput, StateSettings } from './state-types.ts'

/** As `ApplyResult`; or why this node does not want it (`unwanted`), has no room, or thinks that no honest node says it. */
export type TakeResult = ApplyResult | 'unwanted' | 'no-room' | { readonly refused: string }

export class StateStore {
  readonly tree: DigestTree<NodeMap> = new DigestTree()
  readonly own: NodeMap
  bytesHeld = 0
  overflowedNodes = 0
  overflowedDeltas = 0
  droppedQuarantines = 0
  refutations = 0
  readonly #maps: Map<string, NodeMap> = new Map()
  /** Nodes that were forgotten: which generation is not taken until when. */
  readonly #quarantine: Map<string, { readonly generation: number; readonly until: number }> = new Map()
  readonly #settings: StateSettings
  readonly #emit: (output: StateOutput) => void
  /** Clock minus `now`; undefined without a clock. */
  readonly #clockOffsetMs: number | undefined
  /** No expiry is earlier; may be too early. */
  #expiryAt = Infinity
  #collectAt = Infinity
  #refutedAt = -Infinity

  constructor(options: StateOptions, settings: StateSettings, emit: (output: StateOutput) => void, now: number) {
    const { maxMessageBytes, fanout, maxBurstMessages } = settings
    assert(maxMessageBytes >= 64 && maxMessageBytes <= MAX_STATE_MESSAGE_BYTES, `messages of 64 to ${MAX_STATE_MESSAGE_BYTES} bytes`)
    assert(fanout >= 1 && maxBurstMessages >= 1, 'at least one node to tell, and one message for it')
    assert(isName(options.node, MAX_NODE_NAME_BYTES), 'a node with a name that fits')
    this.#settings = settings
    this.#emit = emit
    this.#clockOffsetMs = options.wallClockMs === undefined ? undefined : options.wallClockMs - now
    this.own = this.#add(options.node, options.generation)
    this.own.isWhole = true
  }

  get(node: string): NodeMap | undefined {
    return this.#maps.get(node)
  }

  all(): NodeMap[] {
    return [...this.#maps.values()]
  }

  // ---- this node's own ----

  /** Why this node may not say that; undefined when it may. */
  check(key: string, value: Uint8Array): string | undefined {
    const { maxNodeBytes } = this.#settings
    if (!isName(key, MAX_KEY_BYTES)) return `a key has 1 to ${MAX_KEY_BYTES} bytes of UTF-8`
    if (value.length > MAX_VALUE_BYTES) return `a value has at most ${MAX_VALUE_BYTES} bytes, not ${value.length}`
    const before = this.own.get(key)
    const replacedBytes = before?.value === undefined ? 0 : costBytes(key, before.value)
    const bytes = this.own.valueBytes - replacedBytes + costBytes(key, value)
    return bytes > maxNodeBytes ? `all that a node says takes at most ${maxNodeBytes} bytes, not ${bytes}` : undefined
  }

  /** Says or takes back something. */
  put(key: string, value: Uint8Array | undefined, ttlMs: number | undefined, now: number): void {
    const { own } = this
    const bytes = own.bytes
    const change = own.put(key, value, ttlMs, now)
    this.#update(own, bytes)
    this.#changed(own, [change])
    if (value === undefined) this.#collectAt = Math.min(this.#collectAt, now + this.#settings.graceMs + this.#batchMs())
    this.#makeRoom()
  }

  /** When the tombstones of this node are to be looked at. */
  get collectAt(): number {
    return this.#collectAt
  }

  /** Collects what is old enough; whether there was something. */
  collect(now: number): boolean {
    if (now < this.#collectAt) return false
    const upTo = this.own.lastTombstoneBefore(now - this.#settings.graceMs)
    if (upTo > 0) this.#change(() => this.own.collect(upTo))
    const oldest = this.own.oldestTombstone()
    this.#collectAt = oldest === undefined ? Infinity : oldest.changedAt + this.#settings.graceMs + this.#batchMs()
    return upTo > 0
  }

  // ---- what others say ----

  /** Whether this node lacks something that another knows. */
  isBehind(told: NodeDigest, now: number): boolean {
    const { node, generation, version } = told
    if (node === this.own.node || this.isQuarantined(node, generation, now) || this.#isTooFarAhead(generation, now)) return false
    const map = this.#maps.get(node)
    if (map === undefined) return this.#maps.size < this.#settings.maxNodes
    return generation > map.generation || (generation === map.generation && version > map.version)
  }

  /** Whether this node knows more than another. */
  isAhead(map: NodeMap, told: NodeDigest): boolean {
    return map.generation > told.generation || (map.generation === told.generation && map.version > told.version)
  }

  isQuarantined(node: string, generation: number, now: number): boolean {
    const quarantine = this.#quarantine.get(node)
    return quarantine !== undefined && now < quarantine.until && generation <= quarantine.generation
  }

  /** Why what is told of a node can't be true; this node's own name is held against what it has said. */
  doubt(told: { readonly node: string; readonly generation: number; readonly version: number }, now: number): string | undefined {
    if (this.#isTooFarAhead(told.generation, now)) return `the generation ${told.generation} of ${told.node} is too far ahead of the clock`
    const { own } = this
    if (told.node !== own.node) return undefined
    if (told.generation > own.generation) return `the generation ${told.generation} of this node itself is ahead of its own`
    if (told.generation < own.generation || told.version <= own.version) return undefined
    if (told.version >= MAX_VERSION / 2) return `the version ${told.version} of this node itself, which nobody reaches`
    if (now - this.#refutedAt < this.#settings.roundIntervalMs) return undefined
    this.#refutedAt = now
    this.refutations++
    this.#change(() => own.refute(told.version))
    return undefined
  }

  take(section: DeltaSection, now: number): TakeResult {
    const { node, generation } = section
    const doubt = this.doubt({ node, generation, version: section.to }, now)
    if (doubt !== undefined) return { refused: doubt }
    if (node === this.own.node || this.isQuarantined(node, generation, now)) return 'unwanted'
    const { maxNodes, maxNodeBytes, maxTotalBytes } = this.#settings
    let map = this.#maps.get(node)
    if (map === undefined) {
      if (section.from > 0) return 'gap'
      if (this.#maps.size >= maxNodes) {
        this.overflowedNodes++
        return 'no-room'
      }
    }
    const growthBytes = map === undefined ? sectionCostBytes(section) : map.growth(section)
    // What takes no more room is always taken: a removal, or a smaller value.
    if (growthBytes > 0 && growthBytes < Infinity && this.bytesHeld + growthBytes > maxTotalBytes) {
      this.overflowedDeltas++
      return 'no-room'
    }
    map ??= this.#add(node, generation)
    const changes: Change[] = []
    const bytes = map.bytes
    // Twice: until it knows the later versions, a map may hold an old large value beside what has taken its place.
    const result = map.apply(section, 2 * maxNodeBytes, changes, now)
    this.#update(map, bytes)
    this.#changed(map, changes)
    return result === 'too-large' ? { refused: `more of ${node} than a node may say` } : result
  }

  forget(node: string, now: number): void {
    const map = this.#maps.get(node)
    if (map === undefined || map === this.own) return
    const changes = [...map.values()].map(({ key }) => ({ key, value: undefined, version: map.version }))
    this.tree.remove(map)
    this.#maps.delete(node)
    this.bytesHeld -= map.bytes
    this.#changed(map, changes)
    const { quarantineMs, maxQuarantined } = this.#settings
    this.#quarantine.delete(node)
    this.#quarantine.set(node, { generation: map.generation, until: now + quarantineMs })
    if (this.#quarantine.size <= maxQuarantined) return
    const [oldest] = this.#quarantine.keys()
    this.#quarantine.delete(oldest as string)
    this.droppedQuarantines++
  }

  /** A node that is there again may say what it likes. */
  welcome(node: string): void {
    this.#quarantine.delete(node)
  }

  // ---- expiry ----

  get expiryAt(): number {
    return this.#expiryAt
  }

  /** Removes what has expired. */
  expire(now: number): void {
    if (now < this.#expiryAt) return
    const { expirySlackMs } = this.#settings
    let next = Infinity
    for (const map of this.#maps.values()) {
      const slackMs = map === this.own ? 0 : expirySlackMs
      if (map.expiryAt + slackMs <= now) {
        for (const key of map.expired(slackMs, now)) {
          if (map === this.own) this.put(key, undefined, undefined, now)
          else this.#dropValue(map, key)
        }
      }
      next = Math.min(next, map.expiryAt + slackMs)
    }
    this.#expiryAt = next
  }

  // ---- the parts ----

  #add(node: string, generation: number): NodeMap {
    const map = new NodeMap(node, positionOf(node), generation)
    map.hash = hashDigest(node, generation, 0)
    this.#maps.set(node, map)
    this.tree.add(map)
    return map
  }

  #change(change: () => void): void {
    const bytes = this.own.bytes
    change()
    this.#update(this.own, bytes)
  }

  /** After a change: counts, the tree, the next expiry. */
  #update(map: NodeMap, bytesBefore: number): void {
    this.bytesHeld += map.bytes - bytesBefore
    this.#expiryAt = Math.min(this.#expiryAt, map.expiryAt + (map === this.own ? 0 : this.#settings.expirySlackMs))
    this.tree.update(map, hashDigest(map.node, map.generation, map.version))
  }

  /** Tombstones go before their time where values need the room: others then walk through the map again, and nothing comes back. */
  #makeRoom(): void {
    const { own } = this
    while (own.bytes > this.#settings.maxNodeBytes) this.#change(() => own.collect(own.halfOfTombstones()))
  }

  #dropValue(map: NodeMap, key: string): void {
    const bytes = map.bytes
    const change = map.dropValue(key)
    this.bytesHeld += map.bytes - bytes
    if (change !== undefined) this.#changed(map, [change])
  }

  #changed({ node, generation }: NodeMap, changes: readonly Change[]): void {
    for (const { key, value, version } of changes) this.#emit({ type: 'changed', node, key, value, version, generation })
  }

  #isTooFarAhead(generation: number, now: number): boolean {
    return this.#clockOffsetMs !== undefined && generation > this.#clockOffsetMs + now + this.#settings.maxGenerationAheadMs
  }

  /** Tombstones are collected several at a time, as each time is a change that all have to learn. */
  #batchMs(): number {
    return Math.min(60_000, this.#settings.graceMs / 4)
  }
}

function sectionCostBytes({ entries }: DeltaSection): number {
  return entries.reduce((bytes, { key, value }) => bytes + costBytes(key, value), 0)
}

/** Whether a text is a name that others take: not empty, not too long, and the same after UTF-8. */
function isName(text: string, maxBytes: number): boolean {
  return text !== '' && utf8Encode(text).length <= maxBytes && utf8Decode(utf8Encode(text)) === text
}

/** Whether that may be said with such a time to live. */
export function isTtl(ttlMs: number | undefined): boolean {
  return ttlMs === undefined || (Number.isInteger(ttlMs) && ttlMs > 0 && ttlMs <= MAX_TTL_MS)
}
