/**
 * What the swarm's machines need of a content: how many chunks are known, how long they are, and whether bytes are right.
 *
 * The agent's view is a manifest with its store; the simulator's is a list of lengths without any bytes.
 */
import type { WireError } from '../wire/wire-error.ts'
import type { ManifestPart } from './frames.ts'

export interface ContentView {
  /** Entries known, from the first one on. */
  readonly knownChunks: number
  /** No entry will be added any more. */
  readonly isComplete: boolean
  /** Chunks in a run, as far as this node can tell by itself. */
  readonly runChunks: number
  /** Bytes of `count` chunks from `first` on; all of them known. */
  rangeBytes(first: number, count: number): number
  /** The first chunk of the range whose bytes are not what the manifest says, or -1. */
  verify(first: number, count: number, payload: Uint8Array): number
  /** Takes a part of the manifest from another node. */
  acceptManifest(part: ManifestPart): WireError | undefined
  /**
   * What to send next to a node that knows `fromChunk` entries: at most one segment or page, before it header or root unless
   * `hasHead`, after it the seal, if there is one, unless `hasSeal`. No parts: nothing to send now.
   */
  manifestParts(fromChunk: number, hasHead: boolean, hasSeal: boolean): ManifestParts
}

export interface ManifestParts {
  readonly parts: readonly ManifestPart[]
  /** How many entries the other node knows after these parts. */
  readonly next: number
  readonly hasHead: boolean
  readonly hasSeal: boolean
}
