/**
 * What the state machine is told, what it says, and its limits (docs/specs/05-state.md).
 */
import type { Random } from '../../lib/random.ts'
import type { StateMessageType } from './state-messages.ts'

export type StateInput =
  /** What another node sent; copied where it is kept. */
  | { readonly type: 'message'; readonly from: string; readonly bytes: Uint8Array }
  /** A node that speaks this protocol can be reached. */
  | { readonly type: 'member-up'; readonly node: string }
  /** A node can't be reached now; what it said is kept. */
  | { readonly type: 'member-down'; readonly node: string }
  /** A node is gone for good: what it said is dropped, and not taken again for a while from those who forget later. */
  | { readonly type: 'member-forgotten'; readonly node: string }
  /** This node says something about itself; `check` says beforehand whether it may. */
  | { readonly type: 'set'; readonly key: string; readonly value: Uint8Array; readonly ttlMs: number | undefined }
  /** This node takes back what it said. */
  | { readonly type: 'remove'; readonly key: string }

export type StateOutput =
  /** May get lost, come late, twice or in another order. */
  | { readonly type: 'send'; readonly to: string; readonly bytes: Uint8Array }
  /**
   * A key has another value, undefined when it was removed; this node's own changes too. Where a key goes without a removal by its owner
   * (it expired, its node was forgotten, a walk did not find it again), the version is one that was seen before.
   */
  | {
      readonly type: 'changed'
      readonly node: string
      readonly key: string
      readonly value: Uint8Array | undefined
      readonly version: number
      readonly generation: number
    }
  /** A message that no honest node sends. */
  | { readonly type: 'refused'; readonly from: string; readonly reason: string }

/** Times and limits; docs/specs/05-state.md §6 says what each of them weighs. */
export interface StateSettings {
  /** How often the hash of everything is compared with that of one other node. */
  readonly roundIntervalMs: number
  /** How long after a push the next one may follow. */
  readonly pushIntervalMs: number
  /** How many nodes each push goes to. */
  readonly fanout: number
  /** How large a message gets; a single larger value goes alone in a larger one. */
  readonly maxMessageBytes: number
  /** How many messages answer one message, or make up one push, at most. */
  readonly maxBurstMessages: number
  /** How long an answer is awaited at most before it is asked for again. */
  readonly answerTimeoutMs: number
  /** How often it is asked for again before that node is left alone until a later round. */
  readonly maxRetries: number
  /** How many nodes are asked for state at the same time. */
  readonly maxExchanges: number
  /** For how many nodes whose state is to be fetched from one node at a time. */
  readonly maxQueuedFetches: number
  /** For how many nodes news is passed on at the same time. */
  readonly maxRumors: number
  /** How long a removed key is remembered. */
  readonly graceMs: number
  /** How long after its expiry a key is dropped that its owner has not removed. */
  readonly expirySlackMs: number
  /** How long the state of a forgotten node is not taken. */
  readonly quarantineMs: number
  readonly maxQuarantined: number
  /** Of how many nodes state is held. */
  readonly maxNodes: number
  /** Keys and values of one node, with 32 bytes for each key. */
  readonly maxNodeBytes: number
  /** Keys and values of all nodes, with 32 bytes for each key. */
  readonly maxTotalBytes: number
  /** How far a generation may be ahead of this node's clock. */
  readonly maxGenerationAheadMs: number
}

export const DEFAULT_STATE_SETTINGS: StateSettings = {
  roundIntervalMs: 2500,
  pushIntervalMs: 100,
  fanout: 3,
  maxMessageBytes: 1200,
  maxBurstMessages: 8,
  answerTimeoutMs: 1000,
  maxRetries: 3,
  maxExchanges: 16,
  maxQueuedFetches: 4096,
  maxRumors: 1024,
  graceMs: 2 * 3_600_000,
  expirySlackMs: 10_000,
  quarantineMs: 3_600_000,
  maxQuarantined: 4096,
  maxNodes: 20_000,
  maxNodeBytes: 1 << 20,
  maxTotalBytes: 64 << 20,
  maxGenerationAheadMs: 366 * 24 * 3_600_000,
}

export interface StateOptions {
  readonly node: string
  /** Grows at each start of this node: milliseconds since 1970 at the start, where the nodes are told their clocks. */
  readonly generation: number
  readonly random: Random
  /** Milliseconds since 1970 at the start; without it, no generation is too far ahead. */
  readonly wallClockMs?: number
  readonly settings?: Partial<StateSettings>
}

/** What a node says under one key. */
export interface StateValue {
  readonly key: string
  readonly value: Uint8Array
  readonly version: number
}

export interface SentCount {
  messages: number
  bytes: number
}

export interface StateStats {
  readonly nodes: number
  readonly keys: number
  readonly tombstones: number
  /** Of all nodes, as `maxTotalBytes` counts. */
  readonly bytesHeld: number
  readonly sent: Readonly<Record<StateMessageType, Readonly<SentCount>>>
  readonly refusedMessages: number
  /** What was not taken as `maxNodes` or `maxTotalBytes` was reached. */
  readonly overflowedNodes: number
  readonly overflowedDeltas: number
  readonly droppedRumors: number
  readonly droppedFetches: number
  readonly droppedQuarantines: number
  readonly unansweredFetches: number
  /** How often others held news of this node that it did not make. */
  readonly refutations: number
}
