/**
 * What a store and its contents are to those who use them; store.ts makes one.
 */
import type { Manifest } from '../../core/content/manifest.ts'
import type { HashFunction, VerifySignature } from '../../core/content/primitives.ts'
import type { Bitfield } from '../../core/lib/bitfield.ts'
import type { ContentInfo } from '../data-plane/data-plane.ts'
import type { OutputMethod, OutputOptions } from './output.ts'

/** How a store is opened. */
export interface StoreOptions {
  /** The data directory; made when it isn't there. */
  directory: string
  hash: HashFunction
  verify: VerifySignature
  /** Bytes that all contents together may take; no limit unless given. */
  quotaBytes?: number
  /** How long a partial content is kept that nobody uses; 7 days unless given. */
  partialMaxAgeMs?: number
  /** Milliseconds since 1970; for tests. */
  now?: () => number
  /** Must not throw: it is called in the middle of things. */
  onEvent?: (event: StoreEvent) => void
}

/** Something that happened in a store by itself; for the log and the metrics. */
export type StoreEvent =
  | { type: 'evicted'; id: string; name: string; bytes: number } // to make room
  | { type: 'discarded'; id: string; reason: string } // found without anything to go by
  | { type: 'recovered'; id: string; goodChunks: number; droppedChunks: number } // found partial, and verified
  | { type: 'damaged'; id: string; badChunks: number } // chunks of a content that was complete are bad or unknown
  | { type: 'journal-cut'; lostBytes: number } // the end of the journal was no good record
  | { type: 'lock-lost' } // another agent took the directory: nothing is written any more
  | { type: 'failed'; doing: string; error: unknown } // in the background; what it was about stays as it is

/** All contents of a node. Every method rejects with a PolycastError. */
export interface Store {
  readonly directory: string
  /** What is there; partial contents that were found at the start and not looked at yet show 0 bytes. */
  contents(): ContentInfo[]
  /** By content id, swarm id, or a prefix of at least 8 digits of one; throws `content-ambiguous`. A partial one may still be recovering. */
  find(idOrPrefix: string): StoredContent | undefined
  /** The content of that manifest: new, or the one that is there (perhaps under another swarm id), recovered. */
  create(manifest: Manifest, info: { name: string }): Promise<StoredContent>
  /** Removes a content; one that is pinned or in use only with `force`. */
  remove(id: string, options?: { force?: boolean }): Promise<void>
  pin(id: string): Promise<void>
  unpin(id: string): Promise<void>
  /** Removes partial contents that were not used for long, and what crashes left. */
  gc(): Promise<{ removed: number; bytes: number }>
  /** Reads all that is there of a content; bad chunks are dropped from `have`, so that they are fetched again. */
  verify(id: string): Promise<{ chunks: number; bad: number[] }>
  /** Bytes that count against the quota. */
  usedBytes(): number
  /** Resolves once everything found at the start is verified and indexed. */
  settled(): Promise<void>
  /** Writes what is known, so that the next start has nothing to verify, and unlocks the directory. */
  close(): Promise<void>
}

/** A content in a store; held (`hold`) by whoever uses it for longer than a call, for the manifest of one that nobody holds is read again when it is asked for. */
export interface StoredContent {
  /** The swarm id in hex: what the content was created with. */
  readonly id: string
  readonly manifest: Manifest
  /** Chunks that are verified and written; as long as the manifest knows chunks. Not to be changed. */
  readonly have: Bitfield
  /** Whether the manifest is complete and all chunks are there; `finish` makes it last. */
  readonly isComplete: boolean
  /** The plain file with the content's bytes; never to be written to. */
  readonly path: string
  info(): ContentInfo
  /** Resolves once `have` holds all that was found on the disk; at once for a content made in this run. */
  recovered(): Promise<void>
  /** Saves what the manifest learned; rejects with `quota-exceeded` or `no-space`. */
  manifestGrew(): Promise<void>
  /** Writes verified bytes of consecutive chunks; `parts` must stay unchanged until it resolves, with the chunks in `have`. */
  write(firstChunk: number, count: number, parts: readonly Uint8Array[]): Promise<void>
  /** The bytes of consecutive chunks, into `into` if it is given (of exactly that length); rejects with `content-incomplete`. */
  read(firstChunk: number, count: number, into?: Uint8Array): Promise<Uint8Array>
  /** Any bytes of the content whose chunks are there. */
  readBytes(offset: number, length: number): Promise<Uint8Array>
  /** Takes chunks from `fromChunk` on that are missing from other contents on this disk, and from this one. */
  reuse(fromChunk: number): Promise<{ chunks: number; bytes: number }>
  /** Makes a complete content durable; until then a restart finds it partial. */
  finish(): Promise<void>
  /** Writes a complete content to a path outside of the store: aside, then renamed. */
  output(dest: string, options?: OutputOptions): Promise<{ method: OutputMethod }>
  /**
   * Whether the file of a complete content is as it was finished; one that another program wrote to (through a hard link, say) is
   * verified, and false means that bad chunks were dropped and have to be fetched again.
   */
  checkUnchanged(): Promise<boolean>
  /** Marks the content as used now, for the eviction of what was not used for longest. */
  touch(): void
  /** Keeps the content from being evicted until the returned function is called; `user` is named to who wants to remove it. */
  hold(user?: string): () => void
}
