/**
 * What a content asks of the store that it belongs to; store.ts is one.
 */
import type { OpenFiles } from './data-file.ts'
import type { ManifestChecks } from './manifest-file.ts'
import type { OutputMethod, OutputOptions } from './output.ts'
import type { Content } from './stored-content.ts'

/** The store as its contents see it. */
export interface ContentHost {
  readonly checks: ManifestChecks
  readonly files: OpenFiles
  now(): number
  /** Throws when the store is closed or was taken over. */
  checkUsable(): void
  /** Whether work in the background has to end. */
  isClosing(): boolean
  /** Makes room for what the content will need; rejects with `quota-exceeded`. */
  reserve(content: Content): Promise<void>
  /** Writes the content's record to the journal. */
  record(content: Content, isDurable: boolean): Promise<void>
  /** The content has become known by another id. */
  sealed(content: Content): void
  /** A complete content's manifest was read. */
  loaded(content: Content): void
  /** The content was used. */
  touched(content: Content): void
  /** The content became complete and durable. */
  completed(content: Content): void
  /** Nobody holds the content any more. */
  released(content: Content): void
  /** Chunks of the content are bad on the disk. */
  damaged(content: Content, badChunks: number): void
  /** What was found on the disk has been checked. */
  recovered(content: Content, goodChunks: number, droppedChunks: number): void
  /** The side file of written chunks could not be written. */
  unsaved(content: Content, error: unknown): void
  reuse(content: Content, fromChunk: number): Promise<{ chunks: number; bytes: number }>
  output(content: Content, dest: string, options: OutputOptions): Promise<{ method: OutputMethod }>
}
