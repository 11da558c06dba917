/**
 * What is in memory of one content that is in use: its manifest, which of its chunks are there, and the writing sides of
 * both side files. Read when it is needed, forgotten when a complete content is not used (stored-content.ts).
 */
import { join } from 'node:path'
import type { Manifest } from '../../core/content/manifest.ts'
import { Bitfield } from '../../core/lib/bitfield.ts'
import { HaveFile, readHave } from './have-file.ts'
import { ManifestFile, readManifest, type ContentLabel, type ManifestChecks } from './manifest-file.ts'

/** How far the side file of written chunks is believed: not at all, as it is, or beyond it (all that the manifest knows). */
export type Trust = 'verify' | 'claims' | 'all'

/** Manifest and written chunks of one content. */
export class ContentFiles {
  readonly manifest: Manifest
  readonly manifestFile: ManifestFile
  readonly haveFile: HaveFile
  /** What the side file says and nobody has verified yet; undefined when there is nothing to verify. */
  claims: Bitfield | undefined
  readonly #have: Bitfield
  #haveBytes = 0

  private constructor(manifest: Manifest, manifestFile: ManifestFile, have: Bitfield, haveFile: HaveFile) {
    this.manifest = manifest
    this.manifestFile = manifestFile
    this.haveFile = haveFile
    this.#have = have
    for (const [first, count] of have.ranges()) this.#haveBytes += manifest.chunkOffset(first + count) - manifest.chunkOffset(first)
  }

  /** For a content whose files are still to be made. */
  static begin(directory: string, manifest: Manifest, onUnsaved: (error: unknown) => void): ContentFiles {
    const manifestFile = new ManifestFile(join(directory, 'manifest'), manifest, 0)
    return new ContentFiles(manifest, manifestFile, new Bitfield(manifest.knownChunks), new HaveFile(join(directory, 'have'), 0, onUnsaved))
  }

  /** From the files in `directory`; undefined when nothing of the manifest is good. Throws errno errors. */
  static read(
    directory: string,
    id: string,
    trust: Trust,
    checks: ManifestChecks,
    onUnsaved: (error: unknown) => void,
  ): { files: ContentFiles; label: ContentLabel | undefined } | undefined {
    const found = readManifest(join(directory, 'manifest'), id, checks)
    if (found === undefined) return undefined
    const { manifest, label } = found
    const claimed = readHave(join(directory, 'have'), manifest.knownChunks)
    const have =
      trust === 'all' ? Bitfield.full(manifest.knownChunks) : trust === 'claims' ? claimed.claims : new Bitfield(manifest.knownChunks)
    const manifestFile = new ManifestFile(join(directory, 'manifest'), manifest, found.validBytes)
    const files = new ContentFiles(manifest, manifestFile, have, new HaveFile(join(directory, 'have'), claimed.validBytes, onUnsaved))
    if (trust === 'verify') files.claims = claimed.claims
    return { files, label }
  }

  /** Chunks that are verified and written; as long as the manifest knows chunks. */
  get have(): Bitfield {
    if (this.#have.length < this.manifest.knownChunks) this.#have.grow(this.manifest.knownChunks)
    return this.#have
  }

  /** Bytes of the chunks in `have`. */
  get haveBytes(): number {
    return this.#haveBytes
  }

  /** Whether the manifest is complete and every chunk is there. */
  get isComplete(): boolean {
    return this.manifest.isComplete && this.have.isFull()
  }

  /** Adds chunks to `have`. */
  add(firstChunk: number, count: number): void {
    const { have } = this
    for (let chunk = firstChunk; chunk < firstChunk + count; chunk++)
      if (have.set(chunk)) this.#haveBytes += this.manifest.chunkBytes(chunk)
  }

  /** Takes a chunk out of `have`. */
  drop(chunk: number): void {
    if (this.have.clear(chunk)) this.#haveBytes -= this.manifest.chunkBytes(chunk)
  }

  /** Takes from another manifest of the same content what this one doesn't know. */
  absorb(other: Manifest): void {
    const { manifest } = this
    if (manifest.isComplete || manifest === other) return
    for (const segment of other.segmentsFrom(manifest.knownChunks)) manifest.addSegment(segment)
    const seal = other.sealBytes()
    if (seal !== undefined) manifest.seal(seal)
    const pages = manifest.root()?.pageHashes.length ?? 0
    for (let index = 0; index < pages; index++) {
      const page = other.page(index)
      if (page !== undefined) manifest.addPage(index, page)
    }
  }
}
