/**
 * The author's side of a manifest: turns the lengths and hashes of chunks, as they are cut, into signed segments, and at the
 * end into root and seal (docs/specs/01-manifest.md §4); or, for a content that is known whole, into root and pages. Does
 * neither cut nor hash the content.
 */
import { assert } from '../lib/assert.ts'
import { concatBytes } from '../lib/bytes.ts'
import { isWireError, type WireError } from '../wire/wire-error.ts'
import { encodeGrowingHeader, encodeSeal, encodeSegment, signSeal, signSegment } from './growing.ts'
import { CHUNKS_PER_PAGE } from './limits.ts'
import { Manifest } from './manifest.ts'
import { HASH_BYTES, type HashFunction, type Signer } from './primitives.ts'
import { encodePage, encodeRoot, pageCount, type Page } from './root.ts'

/** What an author knows before the first chunk. */
export interface ManifestAuthorOptions {
  averageBytes: number
  mediaType: string
  /** Length of the encoded tree that the content begins with; 0 for a file. */
  treeBytes: number
  /** What the source announced, if it did. */
  expectedBytes: number | undefined
  signer: Signer
  /** 16 random bytes. */
  nonce: Uint8Array
  hash: HashFunction
}

/** Makes the manifest of a content while it is being read. */
export class ManifestAuthor {
  readonly headerBytes: Uint8Array
  /** What is signed so far. It accepts segments and a seal from this author alone, never those that a peer sends. */
  readonly manifest: Manifest
  readonly #options: ManifestAuthorOptions
  #lengths: number[] = []
  #hashes: Uint8Array[] = []
  #isAdding = false
  #isFinished = false

  constructor(options: ManifestAuthorOptions) {
    const { signer, nonce, averageBytes, mediaType, treeBytes, expectedBytes, hash } = options
    this.#options = options
    this.headerBytes = encodeGrowingHeader({ publicKey: signer.publicKey, nonce, averageBytes, mediaType, treeBytes, expectedBytes })
    this.manifest = accepted(Manifest.growing(this.headerBytes, hash, () => this.#isAdding))
  }

  /** How many entries were appended and are not signed yet. */
  get pendingChunks(): number {
    return this.#lengths.length
  }

  /** Adds the next chunk's entry; it becomes known with the next `flush`. */
  append(length: number, hash: Uint8Array): void {
    assert(!this.#isFinished, 'a content that has not ended')
    assert(hash.length === HASH_BYTES, 'a hash of 32 bytes')
    this.#lengths.push(length)
    this.#hashes.push(hash)
  }

  /** Signs up to 1024 appended entries and returns their encoded segment; undefined when none are left. */
  flush(): Uint8Array | undefined {
    if (this.#lengths.length === 0) return undefined
    const lengths = this.#lengths.splice(0, CHUNKS_PER_PAGE)
    const hashes = concatBytes(this.#hashes.splice(0, CHUNKS_PER_PAGE))
    const entries = { firstChunk: this.manifest.knownChunks, lengths, hashes }
    const segment = encodeSegment(signSegment(this.#options.signer, this.manifest.swarmId, entries))
    this.#add(() => this.manifest.addSegment(segment))
    return segment
  }

  /** Signs what is left (see `manifest.segmentsFrom`) and ends the content. */
  finish(): { sealBytes: Uint8Array; rootBytes: Uint8Array; contentId: Uint8Array } {
    while (this.#lengths.length > 0) this.flush()
    this.#isFinished = true
    const { manifest } = this
    const { averageBytes, mediaType, treeBytes, hash, signer } = this.#options
    const chunkCount = manifest.knownChunks
    const pageHashes = Array.from({ length: pageCount(chunkCount) }, (_, index) => {
      const first = index * CHUNKS_PER_PAGE
      return hash(encodePage(manifest.entries(first, Math.min(CHUNKS_PER_PAGE, chunkCount - first))))
    })
    const rootBytes = encodeRoot({ totalBytes: manifest.knownBytes, chunkCount, averageBytes, mediaType, treeBytes, pageHashes })
    const sealBytes = encodeSeal(signSeal(signer, manifest.swarmId, rootBytes))
    this.#add(() => manifest.seal(sealBytes))
    return { sealBytes, rootBytes, contentId: manifest.contentId() as Uint8Array }
  }

  #add<T>(add: () => T | WireError): void {
    this.#isAdding = true
    const result = add()
    this.#isAdding = false
    accepted(result)
  }
}

/**
 * The complete manifest of a content that is known whole at once, without growing header: `lengths[i]` and 32 bytes at
 * 32 i of `hashes` for each chunk.
 */
export function buildSealed(
  entries: { readonly lengths: readonly number[]; readonly hashes: Uint8Array },
  options: { averageBytes: number; mediaType: string; treeBytes: number; hash: HashFunction },
): Manifest {
  const { lengths, hashes } = entries
  const { averageBytes, mediaType, treeBytes, hash } = options
  assert(hashes.length === lengths.length * HASH_BYTES, 'one hash for each length')
  const pages = Array.from({ length: pageCount(lengths.length) }, (_, index) => encodePage(pageOf(lengths, hashes, index)))
  const totalBytes = lengths.reduce((sum, length) => sum + length, 0)
  const root = { totalBytes, chunkCount: lengths.length, averageBytes, mediaType, treeBytes, pageHashes: pages.map((page) => hash(page)) }
  const manifest = accepted(Manifest.sealed(encodeRoot(root), hash))
  pages.forEach((page, index) => accepted(manifest.addPage(index, page)))
  return manifest
}

function pageOf(lengths: readonly number[], hashes: Uint8Array, index: number): Page {
  const firstChunk = index * CHUNKS_PER_PAGE
  const end = Math.min(lengths.length, firstChunk + CHUNKS_PER_PAGE)
  return { firstChunk, lengths: lengths.slice(firstChunk, end), hashes: hashes.subarray(firstChunk * HASH_BYTES, end * HASH_BYTES) }
}

/** What an author makes himself is right, or it is a bug. */
function accepted<T>(result: T | WireError): T {
  assert(!isWireError(result), `a manifest of our own: ${isWireError(result) ? result.message : ''}`)
  return result
}
