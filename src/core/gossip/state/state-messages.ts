/**
 * The messages of node state, as values; `state-codec.ts` has them as bytes (docs/specs/05-state.md §4).
 */

/** How far one knows a node. */
export interface NodeDigest {
  readonly node: string
  readonly generation: number
  /** Everything up to here is known. */
  readonly version: number
  /** Removed keys up to here are no longer remembered. */
  readonly collectedTo: number
}

export interface StateEntry {
  readonly key: string
  readonly version: number
  /** Undefined: removed. */
  readonly value: Uint8Array | undefined
  /** How long it is valid still. */
  readonly ttlMs: number | undefined
}

/** All that a node's map has at versions above `from`, up to `to`, in the order of versions. */
export interface DeltaSection {
  readonly node: string
  readonly generation: number
  readonly from: number
  readonly to: number
  readonly collectedTo: number
  /** Whether the sender knows nothing beyond, and misses nothing before. */
  readonly isLast: boolean
  readonly entries: readonly StateEntry[]
}

/** The hashes of the sixteen parts of a range; undefined for a part without nodes. */
export interface RangeHashes {
  /** How many hexadecimal digits of the position name the range: 0 to 2. */
  readonly depth: number
  readonly prefix: number
  readonly children: readonly (RangeHash | undefined)[]
}

export interface RangeHash {
  readonly high: number
  readonly low: number
}

/** The nodes whose positions lie from `first` to `last`, both included. */
export interface DigestInterval {
  readonly first: number
  readonly last: number
  readonly digests: readonly NodeDigest[]
}

export type StateMessage =
  /** The hash of everything; who has the same does not answer. */
  | { readonly type: 'root'; readonly hash: RangeHash }
  /** Ranges that differ, in parts. */
  | { readonly type: 'ranges'; readonly ranges: readonly RangeHashes[] }
  /** What is known of all nodes of some intervals; an answer names only those of which the answering node knows more. */
  | { readonly type: 'digests'; readonly isAnswer: boolean; readonly intervals: readonly DigestInterval[] }
  /** Asks for what is beyond. */
  | { readonly type: 'want'; readonly sequence: number; readonly digests: readonly NodeDigest[] }
  /** The answer to `want`: a piece. */
  | { readonly type: 'delta'; readonly sequence: number; readonly sections: readonly DeltaSection[] }
  /** News, passed on at once: changes, or only that there are some. */
  | { readonly type: 'news'; readonly digests: readonly NodeDigest[]; readonly sections: readonly DeltaSection[] }

export type StateMessageType = StateMessage['type']
