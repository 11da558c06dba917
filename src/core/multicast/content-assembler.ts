/**
 * What a receiver makes of the blocks of a session: whole chunks and whole pieces of the manifest (docs/specs/08-multicast-content.md §3). It
 * verifies nothing: whether a chunk's bytes are right, the manifest tells to whoever takes them from here.
 *
 * Blocks come in any order, since one that is being repaired is overtaken by others. So a chunk may come before its entry of the manifest:
 * it is kept until the manifest has grown; and a piece of the manifest before those that the sender put in front of it: pieces are handed out in
 * the sender's order as long as nothing was given up. Chunks that nobody wants are passed over, so that duplicates cost nothing.
 */
import { copyBytes } from '../lib/bytes.ts'
import { isWireError, type WireError } from '../wire/wire-error.ts'
import { decodeBlock, type BlockSegment, type ManifestPiece } from './content-block.ts'
import { PartCollector } from './part-collector.ts'

/** What the assembler asks about the content. */
export interface AssembledContent {
  /** Entries known, from chunk 0 on. */
  readonly knownChunks: number
  /** Length of a known chunk. */
  chunkBytes(chunk: number): number
  /** Whether the chunk is still missing here; asked for unknown ones, too. */
  isMissing(chunk: number): boolean
}

export interface AssemblerLimits {
  /** Bytes of chunks of which a part is here. Beyond: the one that has had no part for longest is dropped. */
  readonly maxPartialBytes: number
  /** Bytes of chunks whose entry is not known yet. Beyond: what comes is dropped. */
  readonly maxEarlyBytes: number
  /** Bytes of pieces of the manifest, begun or waiting for one before them. Beyond: those that wait are handed out; the oldest begun is dropped. */
  readonly maxManifestBytes: number
}

export const DEFAULT_ASSEMBLER_LIMITS: AssemblerLimits = {
  maxPartialBytes: 64 * 1024 * 1024,
  maxEarlyBytes: 32 * 1024 * 1024,
  maxManifestBytes: 4 * 1024 * 1024,
}

export type AssemblerOutput =
  /** Consecutive chunks, all known and missing, one after the other in `bytes`: a view of a block where it can be. */
  | { readonly type: 'chunks'; readonly firstChunk: number; readonly lengths: readonly number[]; readonly bytes: Uint8Array }
  | { readonly type: 'manifest'; readonly piece: ManifestPiece }

export interface AssemblerStatus {
  readonly partialBytes: number
  readonly earlyBytes: number
  /** Chunks that were begun and dropped, for lack of room mostly. */
  readonly droppedPartial: number
  /** Chunks that came before their entries and found no room. */
  readonly droppedEarly: number
  /** Chunks, or parts of such, that had another length than the manifest says. */
  readonly contradicted: number
  /** Pieces of the manifest that were begun and dropped. */
  readonly droppedPieces: number
}

type Chunks = AssemblerOutput & { type: 'chunks' }

/** What an early run costs beyond its bytes. */
const RUN_BYTES = 256

export class ContentAssembler {
  readonly #content: AssembledContent
  readonly #limits: AssemblerLimits
  readonly #chunks: PartCollector
  readonly #pieces: PartCollector
  #early: Chunks[] = []
  #earlyBytes = 0
  /** Whole pieces by their number that wait for one before them. */
  readonly #waiting = new Map<number, ManifestPiece>()
  #waitingBytes = 0
  /** The number of the piece to be handed out next. */
  #nextPiece = 0
  #droppedEarly = 0
  #contradicted = 0

  constructor(content: AssembledContent, limits: Partial<AssemblerLimits> = {}) {
    this.#content = content
    this.#limits = { ...DEFAULT_ASSEMBLER_LIMITS, ...limits }
    this.#chunks = new PartCollector(this.#limits.maxPartialBytes)
    this.#pieces = new PartCollector(this.#limits.maxManifestBytes)
  }

  status(): AssemblerStatus {
    return {
      partialBytes: this.#chunks.heldBytes,
      earlyBytes: this.#earlyBytes,
      droppedPartial: this.#chunks.dropped,
      droppedEarly: this.#droppedEarly,
      contradicted: this.#contradicted,
      droppedPieces: this.#pieces.dropped,
    }
  }

  /** Takes an opened block. Once the outputs are used as well, no view of it is kept. */
  addBlock(payload: Uint8Array): AssemblerOutput[] | WireError {
    const segments = decodeBlock(payload)
    if (isWireError(segments)) return segments
    const outputs: AssemblerOutput[] = []
    for (const segment of segments) {
      if (segment.type === 'manifest') this.#addPiecePart(segment, outputs)
      else if (segment.type === 'chunks') this.#addChunks(segment, outputs)
      else this.#addChunkPart(segment, outputs)
    }
    return outputs
  }

  /** The manifest has grown, by whatever way: gives the chunks that waited for it. */
  manifestGrew(): AssemblerOutput[] {
    const outputs: AssemblerOutput[] = []
    const early = this.#early
    this.#early = []
    this.#earlyBytes = 0
    for (const run of early) this.#addChunks(run, outputs)
    return outputs
  }

  /** A block was given up, or this receiver came late: pieces that wait for others are handed out without these. */
  releasePieces(): AssemblerOutput[] {
    const outputs: AssemblerOutput[] = []
    this.#release(outputs)
    return outputs
  }

  #addChunks(run: BlockSegment & { type: 'chunks' }, outputs: AssemblerOutput[]): void {
    const { knownChunks } = this.#content
    let from = 0
    let start = 0
    let position = 0
    // Cuts the run where a chunk is not wanted, and where the manifest ends.
    const cut = (end: number, endPosition: number): void => {
      if (end > from) {
        const lengths = run.lengths.slice(from, end)
        const part: Chunks = { type: 'chunks', firstChunk: run.firstChunk + from, lengths, bytes: run.bytes.subarray(start, endPosition) }
        if (part.firstChunk < knownChunks) outputs.push(part)
        else this.#keepEarly(part)
      }
    }
    for (const [i, length] of run.lengths.entries()) {
      const chunk = run.firstChunk + i
      const isWanted = this.#isWanted(chunk, length)
      if (!isWanted || chunk === knownChunks) {
        cut(i, position)
        from = isWanted ? i : i + 1
        start = isWanted ? position : position + length
      }
      position += length
    }
    cut(run.lengths.length, position)
  }

  #keepEarly(run: Chunks): void {
    const cost = run.bytes.length + RUN_BYTES + 8 * run.lengths.length
    if (this.#earlyBytes + cost > this.#limits.maxEarlyBytes) {
      this.#droppedEarly += run.lengths.length
      return
    }
    this.#earlyBytes += cost
    this.#early.push({ ...run, bytes: copyBytes(run.bytes) })
  }

  #addChunkPart(segment: BlockSegment & { type: 'chunk-part' }, outputs: AssemblerOutput[]): void {
    const { chunk, chunkBytes, offset, part } = segment
    const name = String(chunk)
    if (!this.#isWanted(chunk, chunkBytes)) {
      this.#chunks.drop(name)
      return
    }
    const bytes = this.#chunks.add(name, chunkBytes, offset, part)
    if (bytes !== undefined) this.#addChunks({ type: 'chunks', firstChunk: chunk, lengths: [chunkBytes], bytes }, outputs)
  }

  #isWanted(chunk: number, bytes: number): boolean {
    if (!this.#content.isMissing(chunk)) return false
    if (chunk >= this.#content.knownChunks || this.#content.chunkBytes(chunk) === bytes) return true
    this.#contradicted++
    return false
  }

  #addPiecePart(segment: BlockSegment & { type: 'manifest' }, outputs: AssemblerOutput[]): void {
    const { kind, index, piece, pieceBytes, offset, part } = segment
    const isWhole = part.length === pieceBytes
    const bytes = isWhole ? part : this.#pieces.add(`${piece}/${kind}/${index}`, pieceBytes, offset, part)
    if (bytes === undefined) return
    if (piece > this.#nextPiece) {
      if (this.#waiting.has(piece)) return
      this.#waiting.set(piece, { kind, index, bytes: isWhole ? copyBytes(bytes) : bytes })
      this.#waitingBytes += bytes.length + RUN_BYTES
      if (this.#waitingBytes > this.#limits.maxManifestBytes) this.#release(outputs)
      return
    }
    outputs.push({ type: 'manifest', piece: { kind, index, bytes } })
    if (piece === this.#nextPiece) this.#nextPiece++
    for (let next = this.#waiting.get(this.#nextPiece); next !== undefined; next = this.#waiting.get(this.#nextPiece)) {
      this.#handOut(this.#nextPiece, next, outputs)
    }
  }

  #release(outputs: AssemblerOutput[]): void {
    for (const [number, piece] of [...this.#waiting].toSorted(([a], [b]) => a - b)) this.#handOut(number, piece, outputs)
  }

  #handOut(number: number, piece: ManifestPiece, outputs: AssemblerOutput[]): void {
    this.#waiting.delete(number)
    this.#waitingBytes -= piece.bytes.length + RUN_BYTES
    this.#nextPiece = number + 1
    outputs.push({ type: 'manifest', piece })
  }
}
