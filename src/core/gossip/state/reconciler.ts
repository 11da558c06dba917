/**
 * Finds out where two nodes know different things, by hashes of ever smaller ranges (docs/specs/05-state.md §5.1). The exchange of
 * versions is Scuttlebutt's (van Renesse, Dumitriu, Gough, Thomas, LADIS 2008), of which it differs in that versions are told only
 * of ranges whose hashes differ, so that a round costs the same however many nodes there are.
 */
import { POSITIONS, rangeBounds, TREE_DEPTH } from './digest-tree.ts'
import { digestBytes } from './state-codec.ts'
import type { DigestInterval, NodeDigest, RangeHash, RangeHashes, StateMessage } from './state-messages.ts'
import type { StateStore } from './state-store.ts'
import type { StateSettings } from './state-types.ts'

/** In a range with so few nodes versions are told rather than hashes of parts, which would take as much. */
const FEW_NODES = 8
/** What a range with sixteen parts takes. */
const RANGE_BYTES = 133
const INTERVAL_BYTES = 12
/** Nodes of which an answer says that more is known; what is beyond is found by later rounds. */
const MOST_TOLD = 4096
const HEAD_BYTES = 2

export class Reconciler {
  readonly #store: StateStore
  readonly #settings: StateSettings

  constructor(store: StateStore, settings: StateSettings) {
    this.#store = store
    this.#settings = settings
  }

  root(): StateMessage {
    return { type: 'root', hash: this.#store.tree.root }
  }

  /** The answer to the hash of everything; nothing when it is the same here. */
  answerRoot(hash: RangeHash): StateMessage[] {
    const { tree } = this.#store
    if (isSame(hash, tree.root)) return []
    if (tree.count(0, 0) <= FEW_NODES) return this.#digests([{ first: 0, last: POSITIONS - 1 }])
    return [{ type: 'ranges', ranges: [tree.parts(0, 0)] }]
  }

  /** The answer to hashes of parts: smaller parts of those that differ, and versions where there are few nodes. */
  answerRanges(ranges: readonly RangeHashes[]): StateMessage[] {
    const { tree } = this.#store
    const parts: RangeHashes[] = []
    const intervals: Bounds[] = []
    for (const { depth, prefix, children } of ranges) {
      children.forEach((hash, digit) => {
        const child = prefix * 16 + digit
        const count = tree.count(depth + 1, child)
        if (isSame(hash ?? NOTHING, tree.hash(depth + 1, child)) && (hash === undefined) === (count === 0)) return
        if (depth + 1 < TREE_DEPTH && count > FEW_NODES) parts.push(tree.parts(depth + 1, child))
        else addBounds(intervals, rangeBounds(depth + 1, child))
      })
    }
    const { maxMessageBytes, maxBurstMessages } = this.#settings
    const perMessage = Math.max(1, Math.floor((maxMessageBytes - HEAD_BYTES) / RANGE_BYTES))
    const messages: StateMessage[] = []
    for (let at = 0; at < parts.length && messages.length < maxBurstMessages; at += perMessage) {
      messages.push({ type: 'ranges', ranges: parts.slice(at, at + perMessage) })
    }
    return [...messages, ...this.#digests(intervals)].slice(0, maxBurstMessages)
  }

  /** Of which nodes the other one knows more, and the answer: of which nodes this one does. */
  compare(intervals: readonly DigestInterval[], isAnswer: boolean, now: number): { behind: NodeDigest[]; answer: StateMessage[] } {
    const behind: NodeDigest[] = []
    const ahead: NodeDigest[] = []
    for (const { digests } of intervals) for (const digest of digests) if (this.#store.isBehind(digest, now)) behind.push(digest)
    if (isAnswer) return { behind, answer: [] }
    for (const { first, last, digests } of intervals) {
      const told = new Map(digests.map((digest) => [digest.node, digest]))
      for (const map of this.#store.tree.between(first, last)) {
        if (ahead.length >= MOST_TOLD) break
        const digest = told.get(map.node)
        if (digest === undefined || (this.#store.isAhead(map, digest) && map.canTell(digest))) ahead.push(map.digest)
      }
    }
    return { behind, answer: this.#answer(ahead) }
  }

  #answer(ahead: readonly NodeDigest[]): StateMessage[] {
    const { maxMessageBytes, maxBurstMessages } = this.#settings
    const messages: StateMessage[] = []
    let digests: NodeDigest[] = []
    let room = maxMessageBytes - HEAD_BYTES - INTERVAL_BYTES
    const end = (): void => {
      messages.push({ type: 'digests', isAnswer: true, intervals: [{ first: 0, last: POSITIONS - 1, digests }] })
      digests = []
      room = maxMessageBytes - HEAD_BYTES - INTERVAL_BYTES
    }
    for (const digest of ahead) {
      const bytes = digestBytes(digest)
      if (bytes > room && digests.length > 0) end()
      if (messages.length === maxBurstMessages) return messages
      digests.push(digest)
      room -= bytes
    }
    if (digests.length > 0) end()
    return messages
  }

  /** What is known of all nodes of some ranges. What does not fit is found by later rounds, as what was told is then the same. */
  #digests(bounds: readonly Bounds[]): StateMessage[] {
    const { maxMessageBytes, maxBurstMessages } = this.#settings
    const messages: StateMessage[] = []
    let intervals: DigestInterval[] = []
    let room = maxMessageBytes - HEAD_BYTES
    const end = (): void => {
      messages.push({ type: 'digests', isAnswer: false, intervals })
      intervals = []
      room = maxMessageBytes - HEAD_BYTES
    }
    for (const { first, last } of bounds) {
      let from = first
      let digests: NodeDigest[] = []
      if (room < INTERVAL_BYTES && intervals.length > 0) end()
      room -= INTERVAL_BYTES
      for (const map of this.#store.tree.between(first, last)) {
        const bytes = digestBytes(map.digest)
        // An interval ends between two positions, so that who is not named in it is not known.
        if (bytes > room && map.position > from) {
          intervals.push({ first: from, last: map.position - 1, digests })
          end()
          if (messages.length === maxBurstMessages) return messages
          room -= INTERVAL_BYTES
          from = map.position
          digests = []
        }
        digests.push(map.digest)
        room -= bytes
      }
      intervals.push({ first: from, last, digests })
      if (messages.length === maxBurstMessages) return messages
    }
    if (intervals.length > 0) end()
    return messages.slice(0, maxBurstMessages)
  }
}

interface Bounds {
  readonly first: number
  readonly last: number
}

const NOTHING: RangeHash = { high: 0, low: 0 }

function isSame(a: RangeHash, b: RangeHash): boolean {
  return a.high === b.high && a.low === b.low
}

/** Adds a range, as one with the last where they touch. */
function addBounds(intervals: Bounds[], bounds: Bounds): void {
  const last = intervals.at(-1)
  if (last !== undefined && last.last + 1 === bounds.first) intervals[intervals.length - 1] = { first: last.first, last: bounds.last }
  else intervals.push(bounds)
}
