/**
 * The manifest that a node knows of one content, in whatever part. It grows by signed segments while its author still
 * reads the content, and by pages once the root is known; never by anything unverified. Not the content itself, nor who
 * has which chunk.
 *
 * Entries are known from chunk 0 on without a gap: what would leave one is ignored and asked for later. Signed entries that
 * are known before the seal are held against the root's page hashes as soon as a page is full; if they differ the author
 * signed both, no peer is to blame, and `fault` says that this content cannot be completed
 * (docs/specs/01-manifest.md §3, §4, §5).
 */
import { assert } from '../lib/assert.ts'
import { copyBytes, equalBytes } from '../lib/bytes.ts'
import { isWireError, wireError, type WireError } from '../wire/wire-error.ts'
import { MAX_CHUNK_FACTOR } from './chunk-size.ts'
import { EntryTable } from './entry-table.ts'
import type { Entries } from './format.ts'
import {
  decodeGrowingHeader,
  decodeSeal,
  decodeSegment,
  encodeSegment,
  sealMessage,
  segmentMessage,
  type GrowingHeader,
} from './growing.ts'
import { CHUNKS_PER_PAGE, MAX_CHUNKS, MAX_PAGE_BYTES, MAX_TOTAL_BYTES } from './limits.ts'
import type { HashFunction, VerifySignature } from './primitives.ts'
import { decodePage, decodeRoot, encodePage, type Root } from './root.ts'
import { SegmentLog } from './segment-log.ts'

/** What is known of one content's chunks, all of it verified. */
export class Manifest {
  /** The growing id, else the content id: what the manifest was created with; it never changes. */
  readonly swarmId: Uint8Array
  /** The growing header; undefined when the manifest was created from a root. */
  readonly header: GrowingHeader | undefined
  readonly headerBytes: Uint8Array | undefined
  readonly #hash: HashFunction
  readonly #verify: VerifySignature | undefined
  readonly #entries: EntryTable = new EntryTable()
  readonly #segments: SegmentLog = new SegmentLog()
  #root: Root | undefined
  #rootBytes: Uint8Array | undefined
  #contentId: Uint8Array | undefined
  #sealBytes: Uint8Array | undefined
  #fault: string | undefined

  private constructor(hash: HashFunction, id: Uint8Array, header?: GrowingHeader, headerBytes?: Uint8Array, verify?: VerifySignature) {
    this.#hash = hash
    this.#verify = verify
    this.swarmId = copyBytes(id)
    this.header = header
    this.headerBytes = headerBytes
  }

  /** The manifest of a content with an end, from its encoded root; all pages are still to come. */
  static sealed(rootBytes: Uint8Array, hash: HashFunction): Manifest | WireError {
    const root = decodeRoot(rootBytes)
    if (isWireError(root)) return root
    const manifest = new Manifest(hash, hash(rootBytes))
    manifest.#setRoot(root, rootBytes)
    return manifest
  }

  /** The manifest of a content that still grows, from its encoded header; all segments are still to come. */
  static growing(headerBytes: Uint8Array, hash: HashFunction, verify: VerifySignature): Manifest | WireError {
    const header = decodeGrowingHeader(headerBytes)
    if (isWireError(header)) return header
    return new Manifest(hash, hash(headerBytes), header, copyBytes(headerBytes), verify)
  }

  /** Whether the content has no end yet. */
  get isGrowing(): boolean {
    return this.#root === undefined
  }

  /** The hash of the root; undefined while growing. */
  contentId(): Uint8Array | undefined {
    return this.#contentId
  }

  /** What the content is; undefined while growing. */
  root(): Root | undefined {
    return this.#root
  }

  /** The encoded root; undefined while growing. */
  rootBytes(): Uint8Array | undefined {
    return this.#rootBytes
  }

  /** The encoded seal; undefined while growing and when created from a root. */
  sealBytes(): Uint8Array | undefined {
    return this.#sealBytes
  }

  /** The chunker's average, known from the start. */
  get averageBytes(): number {
    return (this.#root ?? (this.header as GrowingHeader)).averageBytes
  }

  /** Leading bytes of the content that are an encoded tree, known from the start; 0 for a file. */
  get treeBytes(): number {
    return (this.#root ?? (this.header as GrowingHeader)).treeBytes
  }

  /** Printable ASCII, known from the start; empty when the author did not know it. */
  get mediaType(): string {
    return (this.#root ?? (this.header as GrowingHeader)).mediaType
  }

  /** How many entries are known, from chunk 0 on without a gap. */
  get knownChunks(): number {
    return this.#entries.count
  }

  /** Length of the known chunks together. */
  get knownBytes(): number {
    return this.#entries.bytes
  }

  /** Memory that the entries take, in bytes: 40 for each, up to 60 while growing. */
  get memoryBytes(): number {
    return this.#entries.memoryBytes
  }

  /** Whether the root and every entry are known. */
  get isComplete(): boolean {
    return this.#root !== undefined && this.#entries.count === this.#root.chunkCount
  }

  /** How the author contradicted what he had signed before; once set the content cannot be completed by anybody. */
  get fault(): string | undefined {
    return this.#fault
  }

  /** Length of a known chunk. */
  chunkBytes(chunk: number): number {
    return this.#entries.length(chunk)
  }

  /** Where a known chunk begins in the content; for `knownChunks`, where the known bytes end. */
  chunkOffset(chunk: number): number {
    return this.#entries.offset(chunk)
  }

  /** Hash of a known chunk: a view of 32 bytes, not to be changed. */
  chunkHash(chunk: number): Uint8Array {
    return this.#entries.hash(chunk)
  }

  /** The known chunk that holds the content's byte at `offset`, which is below `knownBytes`. */
  chunkAt(offset: number): number {
    return this.#entries.at(offset)
  }

  /** `count` known entries from `first` on; the hashes are a view, not to be changed. */
  entries(first: number, count: number): { firstChunk: number; lengths: number[]; hashes: Uint8Array } {
    return this.#entries.slice(first, count)
  }

  /** Whether `bytes` are that known chunk, by length and hash. */
  verifyChunk(chunk: number, bytes: Uint8Array): boolean {
    return bytes.length === this.#entries.length(chunk) && this.#entries.hasHash(chunk, this.#hash(bytes))
  }

  /** Takes an encoded segment; returns how many entries it added, 0 when they were known. A gap before it is `ignore`. */
  addSegment(segmentBytes: Uint8Array): WireError | number {
    if (this.header === undefined || this.#verify === undefined) return wireError('ignore', 'this content has no segments')
    const segment = decodeSegment(segmentBytes)
    if (isWireError(segment)) return segment
    const known = this.knownChunks
    if (segment.firstChunk > known) return wireError('ignore', 'the entries before this segment are not known yet')
    if (segment.firstChunk + segment.lengths.length <= known) return 0
    if (!this.#verify(this.header.publicKey, segmentMessage(this.swarmId, segmentBytes), segment.signature)) {
      return wireError('penalise', "the signature of a manifest segment is not the author's")
    }
    const added = this.#append(segment)
    if (!isWireError(added)) this.#segments.push(segment.firstChunk, segment.lengths.length, segment.signature)
    return added
  }

  /** Takes the encoded page of that index; returns how many entries it added, 0 when they were known. A gap before it is `ignore`. */
  addPage(pageIndex: number, pageBytes: Uint8Array): WireError | number {
    const root = this.#root
    if (root === undefined) return wireError('ignore', 'this content has no pages before it is sealed')
    const pageHash = root.pageHashes[pageIndex]
    if (pageHash === undefined) return wireError('disconnect', 'this manifest has no page of that index')
    const first = pageIndex * CHUNKS_PER_PAGE
    const end = Math.min(root.chunkCount, first + CHUNKS_PER_PAGE)
    if (end <= this.knownChunks) return 0
    if (first > this.knownChunks) return wireError('ignore', 'the pages before this one are not known yet')
    if (pageBytes.length > MAX_PAGE_BYTES) return wireError('disconnect', 'a manifest page is longer than the limit')
    if (!equalBytes(this.#hash(pageBytes), pageHash))
      return wireError('penalise', 'a manifest page does not have the hash that the root names')
    const page = decodePage(pageBytes)
    if (isWireError(page)) return this.#contradict(`the root names a page that is none: ${page.message}`)
    if (page.firstChunk !== first || page.lengths.length !== end - first) return this.#contradict('the root names a page of other chunks')
    return this.#append(page)
  }

  /** Takes the encoded seal, which ends the growing; undefined when it is accepted or was known. */
  seal(sealBytes: Uint8Array): WireError | undefined {
    if (this.header === undefined || this.#verify === undefined) return wireError('ignore', 'this content was sealed from the start')
    if (this.#sealBytes !== undefined && equalBytes(this.#sealBytes, sealBytes)) return undefined
    const seal = decodeSeal(sealBytes)
    if (isWireError(seal)) return seal
    if (!this.#verify(this.header.publicKey, sealMessage(this.swarmId, seal.root), seal.signature)) {
      return wireError('penalise', "the signature of a seal is not the author's")
    }
    if (this.#rootBytes !== undefined) {
      return equalBytes(this.#rootBytes, seal.root) ? undefined : this.#contradict('it is sealed twice, as two different contents')
    }
    const root = decodeRoot(seal.root)
    if (isWireError(root)) return this.#contradict(`it is sealed with a root that is none: ${root.message}`)
    const problem = this.#sealProblem(root, this.header)
    if (problem !== undefined) return this.#contradict(problem)
    this.#setRoot(root, seal.root)
    this.#sealBytes = copyBytes(sealBytes)
    return undefined
  }

  /** The encoded page of that index, made anew; undefined unless all its entries are known. */
  page(pageIndex: number): Uint8Array | undefined {
    const first = pageIndex * CHUNKS_PER_PAGE
    const end = Math.min(first + CHUNKS_PER_PAGE, this.#root?.chunkCount ?? Infinity)
    if (pageIndex < 0 || end <= first || end > this.knownChunks) return undefined
    return encodePage(this.#entries.slice(first, end - first))
  }

  /**
   * The encoded segments, at most `most`, from the one that holds `chunk` on, without a gap: what somebody who knows the
   * entries before it can add. Empty when that entry is not known, or known from a page.
   */
  segmentsFrom(chunk: number, most: number = Infinity): Uint8Array[] {
    const segments: Uint8Array[] = []
    for (const { firstChunk, count, signature } of this.#segments.from(chunk)) {
      if (segments.length >= most) break
      segments.push(encodeSegment({ ...this.#entries.slice(firstChunk, count), signature }))
    }
    return segments
  }

  /** Appends verified entries, unless they contradict what was verified before. */
  #append(entries: Entries): WireError | number {
    const known = this.knownChunks
    const longest = this.averageBytes * MAX_CHUNK_FACTOR
    if (entries.lengths.some((length) => length > longest)) return this.#contradict('a chunk is longer than 4 times the average')
    if (!this.#entries.agrees(entries)) return this.#contradict('entries are signed twice, and differ')
    const added = this.#entries.append(entries, this.#root?.chunkCount ?? MAX_CHUNKS)
    const problem = this.#root === undefined ? this.#sizeProblem() : this.#rootProblem(this.#root, known)
    if (problem === undefined) return added
    this.#entries.truncate(known)
    return this.#contradict(problem)
  }

  #sizeProblem(): string | undefined {
    return this.knownBytes > MAX_TOTAL_BYTES ? 'it is longer than the limit' : undefined
  }

  #sealProblem(root: Root, header: GrowingHeader): string | undefined {
    if (root.averageBytes !== header.averageBytes || root.mediaType !== header.mediaType || root.treeBytes !== header.treeBytes) {
      return 'the root and the header differ'
    }
    return this.#rootProblem(root, 0)
  }

  /** Why the entries that are known, those before `from` checked already, cannot be those of `root`. */
  #rootProblem(root: Root, from: number): string | undefined {
    if (this.knownChunks > root.chunkCount) return 'there are entries beyond the end'
    if (this.knownChunks === root.chunkCount ? this.knownBytes !== root.totalBytes : this.knownBytes >= root.totalBytes) {
      return 'the chunks are not as long together as the root says'
    }
    for (let page = Math.floor(from / CHUNKS_PER_PAGE); page < root.pageHashes.length; page++) {
      const first = page * CHUNKS_PER_PAGE
      const end = Math.min(first + CHUNKS_PER_PAGE, root.chunkCount)
      if (end > this.knownChunks) break
      const encoded = encodePage(this.#entries.slice(first, end - first))
      if (!equalBytes(this.#hash(encoded), root.pageHashes[page] as Uint8Array))
        return 'the signed entries are not those that the root names'
    }
    return undefined
  }

  #setRoot(root: Root, rootBytes: Uint8Array): void {
    this.#root = root
    this.#rootBytes = copyBytes(rootBytes)
    this.#contentId = copyBytes(this.#hash(this.#rootBytes))
    assert(this.knownChunks <= root.chunkCount, 'no entry beyond the end')
  }

  #contradict(problem: string): WireError {
    this.#fault ??= problem
    return wireError('ignore', `the author of this content contradicts himself: ${problem}`)
  }
}
