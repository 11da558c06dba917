/** What the fake data plane of the tests keeps: contents as whole buffers, in pieces of a fixed length, under ids that are no manifest's. */
import { createHash } from 'node:crypto'

/** Pieces in which fake transfers go, and which they reuse. */
export const PIECE_BYTES = 1024

/** A source that a test controls. */
export interface FakeSource {
  bytes: Buffer
  /** How often it was fetched. */
  fetches: number
  /** Headers that it was last asked with. */
  headers: Record<string, string> | undefined
  /** Holds back the end of the fetch until it resolves; a rejection is the source's failure. */
  gate?: Promise<void>
}

/** What a fake store holds of one content. */
export interface Content {
  id: string
  aliases: string[]
  name: string
  bytes: Buffer
  have: Set<number>
  isSealed: boolean
  pinned: boolean
}

/** What outlives a crash of its node. */
export interface FakeDisk {
  readonly directory: string
  readonly contents: Map<string, Content>
}

/** The id of sealed bytes. */
export function idOf(bytes: Buffer): string {
  return createHash('sha256').update('content').update(bytes).digest('hex')
}

/** How many pieces bytes have. */
export function pieceCount(bytes: Buffer): number {
  return Math.ceil(bytes.length / PIECE_BYTES)
}

/** One piece of bytes. */
export function pieceAt(bytes: Buffer, index: number): Buffer {
  return bytes.subarray(index * PIECE_BYTES, (index + 1) * PIECE_BYTES)
}
