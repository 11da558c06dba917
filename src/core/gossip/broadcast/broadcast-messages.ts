/**
 * The messages of the broadcast trees as values; as bytes they are in `broadcast-codec.ts`. docs/specs/06-broadcast.md §2.
 */

/** Names one event: the number of a life of its origin (four 16-bit units, as a text of four), and a count from 1 on. */
export interface EventId {
  readonly origin: string
  readonly sequence: number
}

/** Why a neighbour is wanted: to have enough, to have one at all, or as the next of the ring. */
export type Wish = 'more' | 'lonely' | 'ring'

/** Which events of an origin somebody has: all up to `upTo`, and ranges [first, count] above. */
export interface OriginDigest {
  readonly origin: string
  readonly upTo: number
  readonly ahead: readonly (readonly [first: number, count: number])[]
}

export interface Gossip extends EventId {
  readonly type: 'gossip'
  readonly hops: number
  /** Sent again or on request: says nothing about the tree. */
  readonly isRepair: boolean
  /** Whether its origin has sent it by multicast as well, or this is that copy. */
  readonly isMulticast: boolean
  /** How long the receiver may gather receipts for the sender, ms; undefined when nobody wants a report. */
  readonly reportMs: number | undefined
  readonly originNode: string
  readonly payload: Uint8Array
}

export interface Pulse {
  readonly type: 'pulse'
  readonly root: string
  readonly sequence: number
  readonly hops: number
  /** Whether the receiver is the sender's parent. */
  readonly isParent: boolean
}

export interface Digest {
  readonly type: 'digest'
  /** Whether the sender has just come, and wants nothing of what was before. */
  readonly isNew: boolean
  readonly origins: readonly OriginDigest[]
}

export interface Summary {
  readonly type: 'summary'
  readonly hash: number
  readonly isNew: boolean
  readonly isReply: boolean
}

export interface Ihave {
  readonly type: 'ihave'
  /** Whether the sender waits to hear that the receiver has them, too. */
  readonly isAgain: boolean
  /** Whether the receiver should have had them by multicast by now. */
  readonly isOverdue: boolean
  readonly ids: readonly EventId[]
}

export interface Graft {
  readonly type: 'graft'
  /** Whether the link becomes part of the tree. */
  readonly isLink: boolean
  readonly ids: readonly EventId[]
}

/** Receipts: the hashes of the names of who has an event. */
export interface Receipts extends EventId {
  readonly type: 'receipts'
  /** Counts the receipts from one sender for this event. */
  readonly part: number
  /** Whether no more are expected from there. */
  readonly isLast: boolean
  /** Ascending. */
  readonly hashes: readonly number[]
}

export type BroadcastMessage =
  | { readonly type: 'neighbour'; readonly wish: Wish }
  | { readonly type: 'accept' }
  | { readonly type: 'refuse' }
  | { readonly type: 'disconnect' }
  | Pulse
  | Gossip
  | Ihave
  | Graft
  | { readonly type: 'prune' }
  | Summary
  | Digest
  | Receipts
  | ({ readonly type: 'receipts-ack'; readonly part: number } & EventId)
  /** The origin asks a member of which it got no receipt. */
  | ({ readonly type: 'ask' } & EventId)

export type BroadcastMessageType = BroadcastMessage['type']
