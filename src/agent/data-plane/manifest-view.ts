/**
 * A stored content as the swarm's machines see it: its manifest, by the id that this swarm goes by.
 *
 * A swarm by growing id hands out header, signed segments and the seal; a swarm by content id hands out root and pages. Both
 * may be about the same stored content at the same time.
 */
import { decodeSegment, isWireError, type Manifest, type WireError } from '../../core/content/index.ts'
import { CHUNKS_PER_PAGE } from '../../core/content/limits.ts'
import { equalBytes } from '../../core/lib/bytes.ts'
import type { ContentView, ManifestParts } from '../../core/swarm/content-view.ts'
import type { ManifestPart } from '../../core/swarm/frames.ts'
import { runChunksFor } from '../../core/swarm/geometry.ts'

export class ManifestView implements ContentView {
  readonly manifest: Manifest
  readonly #isByContentId: boolean
  /** The agent is told when the manifest grew by what another node sent. */
  readonly #grew: () => void

  constructor(manifest: Manifest, swarmId: Uint8Array, grew: () => void) {
    this.manifest = manifest
    this.#grew = grew
    const contentId = manifest.contentId()
    this.#isByContentId = contentId !== undefined && equalBytes(contentId, swarmId)
  }

  get knownChunks(): number {
    return this.manifest.knownChunks
  }

  get isComplete(): boolean {
    return this.manifest.isComplete
  }

  get runChunks(): number {
    return runChunksFor(this.manifest.root()?.totalBytes ?? this.manifest.header?.expectedBytes, this.manifest.averageBytes)
  }

  rangeBytes(first: number, count: number): number {
    const last = first + count - 1
    return this.manifest.chunkOffset(last) + this.manifest.chunkBytes(last) - this.manifest.chunkOffset(first)
  }

  verify(first: number, count: number, payload: Uint8Array): number {
    if (payload.length !== this.rangeBytes(first, count)) return first
    let offset = 0
    for (let chunk = first; chunk < first + count; chunk++) {
      const bytes = this.manifest.chunkBytes(chunk)
      if (!this.manifest.verifyChunk(chunk, payload.subarray(offset, offset + bytes))) return chunk
      offset += bytes
    }
    return -1
  }

  acceptManifest(part: ManifestPart): WireError | undefined {
    const before = this.manifest.knownChunks
    const wasGrowing = this.manifest.isGrowing
    const result = this.#accept(part)
    if (this.manifest.knownChunks !== before || this.manifest.isGrowing !== wasGrowing) this.#grew()
    return isWireError(result) ? result : undefined
  }

  #accept(part: ManifestPart): WireError | number | undefined {
    switch (part.kind) {
      case 'segment':
        return this.manifest.addSegment(part.bytes)
      case 'page':
        return this.manifest.addPage(part.index, part.bytes)
      case 'seal':
        return this.manifest.seal(part.bytes)
      case 'header':
      case 'root':
        // Known before the swarm was joined: the ticket carries it, or a call brought it.
        return undefined
    }
  }

  manifestParts(fromChunk: number, hasHead: boolean, hasSeal: boolean): ManifestParts {
    const parts: ManifestPart[] = []
    const seal = this.#isByContentId ? undefined : this.manifest.sealBytes()
    const isSealNew = seal !== undefined && !hasSeal
    if (isSealNew) parts.push({ kind: 'seal', index: 0, bytes: seal })
    let next = fromChunk
    if (fromChunk < this.manifest.knownChunks) {
      const segment = this.#isByContentId ? undefined : this.manifest.segmentsFrom(fromChunk, 1)[0]
      const decoded = segment === undefined ? undefined : decodeSegment(segment)
      if (segment !== undefined && decoded !== undefined && !isWireError(decoded)) {
        parts.push({ kind: 'segment', index: 0, bytes: segment })
        next = decoded.firstChunk + decoded.lengths.length
      } else {
        const index = Math.floor(fromChunk / CHUNKS_PER_PAGE)
        const page = this.manifest.page(index)
        if (page !== undefined) {
          parts.push({ kind: 'page', index, bytes: page })
          next = Math.min((index + 1) * CHUNKS_PER_PAGE, this.manifest.knownChunks)
        }
      }
    }
    return { parts, next, hasHead, hasSeal: hasSeal || isSealNew }
  }
}
