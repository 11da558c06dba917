/**
 * A content of chunks that have a length and no bytes: what the swarm's machines see of one, without what it would cost.
 *
 * It is known whole from the beginning, or grows at its origin and is sealed at its end. Bytes that are wrong are told by the
 * buffer that they lie in.
 */
import type { ContentView, ManifestParts } from '../core/swarm/content-view.ts'
import type { ManifestPart } from '../core/swarm/frames.ts'
import { runChunksFor } from '../core/swarm/geometry.ts'

export interface ContentOptions {
  readonly contentBytes: number
  readonly chunkBytes: number
  /** What a source brings to the origin per second; none: the origin has all of it when it starts. */
  readonly sourceBytesPerSec?: number
}

const ENTRIES_PER_PART = 1024
const ENTRY_BYTES = 34
const SEAL_BYTES = 160
/** The bytes of every part: only their number says something. */
const ENTRIES = new Uint8Array(ENTRIES_PER_PART * ENTRY_BYTES)

/** The payload of chunks that are as the manifest says. */
export const RIGHT_BYTES: Uint8Array = new Uint8Array(0)
const WRONG = new ArrayBuffer(0)
/** The payload of chunks that fail their hash. */
export const WRONG_BYTES: Uint8Array = new Uint8Array(WRONG)

/** Whether a payload, or a part of one, fails its hash. */
export function isWrong(payload: Uint8Array): boolean {
  return payload.buffer === WRONG
}

export class BytesOnlyContent implements ContentView {
  readonly runChunks: number
  /** Chunks of the whole content. */
  readonly chunks: number
  knownChunks: number
  readonly #totalBytes: number
  readonly #chunkBytes: number
  readonly #isGrowing: boolean
  #isSealed: boolean

  /** @param isOrigin it is the origin's, which knows at once all there is at the beginning */
  constructor(options: ContentOptions, isOrigin: boolean) {
    this.#totalBytes = options.contentBytes
    this.#chunkBytes = options.chunkBytes
    this.chunks = Math.ceil(options.contentBytes / options.chunkBytes)
    this.#isGrowing = options.sourceBytesPerSec !== undefined
    this.#isSealed = !this.#isGrowing
    this.knownChunks = isOrigin && !this.#isGrowing ? this.chunks : 0
    this.runChunks = runChunksFor(options.contentBytes, options.chunkBytes)
  }

  get isComplete(): boolean {
    return this.#isSealed && this.knownChunks === this.chunks
  }

  rangeBytes(first: number, count: number): number {
    return Math.min((first + count) * this.#chunkBytes, this.#totalBytes) - first * this.#chunkBytes
  }

  verify(first: number, _count: number, payload: Uint8Array): number {
    return isWrong(payload) ? first : -1
  }

  acceptManifest(part: ManifestPart): undefined {
    if (part.kind === 'seal') this.#isSealed = true
    else if (part.index <= this.knownChunks) this.knownChunks = Math.max(this.knownChunks, part.index + part.bytes.length / ENTRY_BYTES)
    return undefined
  }

  manifestParts(fromChunk: number, _hasHead: boolean, hasSeal: boolean): ManifestParts {
    const parts: ManifestPart[] = []
    const next = Math.max(fromChunk, Math.min(this.knownChunks, fromChunk + ENTRIES_PER_PART))
    const bytes = ENTRIES.subarray(0, (next - fromChunk) * ENTRY_BYTES)
    if (next > fromChunk) parts.push({ kind: this.#isGrowing ? 'segment' : 'page', index: fromChunk, bytes })
    const sendsSeal = this.#isGrowing && !hasSeal && this.isComplete && next === this.chunks
    if (sendsSeal) parts.push({ kind: 'seal', index: 0, bytes: ENTRIES.subarray(0, SEAL_BYTES) })
    return { parts, next, hasHead: true, hasSeal: hasSeal || sendsSeal }
  }

  /** At the origin: the source has brought this many more chunks; the last ones seal the content. */
  grow(count: number): void {
    this.knownChunks += count
    if (this.knownChunks === this.chunks) this.#isSealed = true
  }
}
