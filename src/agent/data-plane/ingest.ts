/**
 * From a source into the store: the stream is cut into chunks, each is hashed, written, and offered to the swarm at once, long
 * before the source has ended.
 *
 * A source that announces little is read whole first: its content is known by its content id from the start, and a receiver
 * that has it already needs nothing. All others begin as growing contents, whose pages this node signs with a key made for them.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { averageChunkBytes, buildSealed, Chunker, ManifestAuthor, type Manifest } from '../../core/content/index.ts'
import { blake3, Blake3Hasher } from '@napi-rs/blake-hash'
import { fail } from '../errors.ts'
import type { StoredContent, Store } from '../store/contract.ts'
import type { Session } from './session.ts'
import { SlabQueue } from './slab-queue.ts'
import type { Payload } from './slabs.ts'

/** What is read, with what is known of it beforehand. */
export interface IngestStream {
  readonly totalBytes: number | undefined
  readonly treeBytes: number
  readonly name: string
  readonly mediaType: string
  readonly chunks: AsyncIterable<Uint8Array>
  /** `sha256:…` or `blake3:…` that the whole has to have. */
  readonly digest?: string | undefined
}

export interface Ingested {
  readonly stored: StoredContent
  /** Base64 of the growing header or the root. */
  readonly header: string
  /** Settles with the content once all of it is in the store and sealed. */
  readonly sealed: Promise<{ contentId: string; totalBytes: number }>
}

/** At most this much is read whole before anybody hears of it. */
const WHOLE_BYTES = 1024 * 1024
/** A part of the source at least this long says that there will be more at once. */
const BULK_BYTES = 256 * 1024
/** A quick source is handed on in batches of this many bytes, or of what came in this time. */
const BATCH_BYTES = 2 * 1024 * 1024
const BATCH_MS = 5
/** Bytes written but not yet on the disk, above which the source waits. */
const MAX_WRITING_BYTES = 4 * 1024 * 1024

/**
 * Reads a stream into the store.
 *
 * @param begin makes the session of the content; called once, before the first chunk of a growing content, after the last one
 *   of a small one
 */
export async function ingest(stream: IngestStream, store: Store, begin: (stored: StoredContent) => Session): Promise<Ingested> {
  const { totalBytes } = stream
  if (totalBytes !== undefined && totalBytes <= WHOLE_BYTES) return ingestWhole(stream, store, begin)
  return ingestGrowing(stream, store, begin)
}

async function ingestWhole(stream: IngestStream, store: Store, begin: (stored: StoredContent) => Session): Promise<Ingested> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of stream.chunks) {
    parts.push(Uint8Array.from(part))
    length += part.length
  }
  const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  const digest = digester(stream)
  digest.update(bytes)
  digest.check()
  const averageBytes = averageChunkBytes(length)
  const entries = cut(bytes, averageBytes)
  const { mediaType, treeBytes } = stream
  const manifest: Manifest = buildSealed(entries, { averageBytes, mediaType, treeBytes, hash: blake3 })
  const stored = await store.create(manifest, { name: stream.name })
  const release = stored.hold('a publication')
  try {
    if (!stored.isComplete) {
      await stored.manifestGrew()
      if (length > 0) await stored.write(0, entries.lengths.length, [bytes])
      await stored.finish()
    }
    begin(stored)
  } finally {
    release()
  }
  const contentId = Buffer.from(manifest.contentId()!).toString('hex')
  return {
    stored,
    header: Buffer.from(manifest.rootBytes()!).toString('base64'),
    sealed: Promise.resolve({ contentId, totalBytes: length }),
  }
}

async function ingestGrowing(stream: IngestStream, store: Store, begin: (stored: StoredContent) => Session): Promise<Ingested> {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const averageBytes = averageChunkBytes(stream.totalBytes)
  const author = new ManifestAuthor({
    averageBytes,
    mediaType: stream.mediaType,
    treeBytes: stream.treeBytes,
    expectedBytes: stream.totalBytes,
    signer: {
      publicKey: publicKey.export({ format: 'der', type: 'spki' }).subarray(-32),
      sign: (message) => sign(null, message, privateKey),
    },
    nonce: randomBytes(16),
    hash: blake3,
  })
  const stored = await store.create(author.manifest, { name: stream.name })
  const session = begin(stored)
  const stopUsing = session.use()
  const sealed = new Growing(stream, author, stored, session).run().finally(stopUsing)
  // Whoever waits is told; a publication that nobody waits for has failed for its session all the same.
  sealed.catch(() => undefined)
  return { stored, header: Buffer.from(author.headerBytes).toString('base64'), sealed }
}

/** A growing content while its source is read. */
class Growing {
  readonly #stream: IngestStream
  readonly #author: ManifestAuthor
  readonly #stored: StoredContent
  readonly #session: Session
  readonly #chunker: Chunker
  readonly #digest: Digester
  /** What was read and not handed on yet. */
  readonly #rest = new SlabQueue()
  #takenAt = 0
  /** Lengths of the chunks at the beginning of `rest`. */
  #lengths: number[] = []
  #chunks = 0
  #writingBytes = 0
  #wake: (() => void) | undefined
  #error: unknown

  constructor(stream: IngestStream, author: ManifestAuthor, stored: StoredContent, session: Session) {
    this.#stream = stream
    this.#author = author
    this.#stored = stored
    this.#session = session
    this.#chunker = new Chunker(author.manifest.averageBytes)
    this.#digest = digester(stream)
  }

  async run(): Promise<{ contentId: string; totalBytes: number }> {
    try {
      for await (const part of this.#stream.chunks) {
        this.#digest.update(part)
        this.#lengths.push(...this.#chunker.push(part))
        this.#rest.push(part)
        this.#take(this.#due(part.length))
        while (this.#writingBytes > MAX_WRITING_BYTES) await this.#written()
        if (this.#error !== undefined) throw this.#error
        if (this.#session.isEnded) throw fail('cancelled', { reason: 'the content is not needed any more' })
      }
      this.#lengths.push(...this.#chunker.finish())
      this.#take(this.#lengths.length)
      this.#digest.check()
      while (this.#writingBytes > 0) await this.#written()
      if (this.#error !== undefined) throw this.#error
      const { contentId } = this.#author.finish()
      await this.#stored.manifestGrew()
      this.#session.manifestGrew()
      await this.#session.completed()
      return { contentId: Buffer.from(contentId).toString('hex'), totalBytes: this.#author.manifest.knownBytes }
    } catch (error) {
      this.#session.failWith(error)
      throw error
    } finally {
      this.#rest.clear()
    }
  }

  #written(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve))
  }

  /**
   * How many of the chunks read are to be handed on now. A source that trickles: all, at once. One that is quick: whole runs,
   * and some MiB together, for each batch costs a signature here and a check at every receiver.
   */
  #due(partBytes: number): number {
    const count = this.#lengths.length
    if (partBytes < BULK_BYTES) return count
    const now = performance.now()
    if (this.#chunks > 0 && this.#rest.bytes < BATCH_BYTES && now - this.#takenAt < BATCH_MS) return 0
    return count - ((this.#chunks + count) % this.#session.peer.runChunks)
  }

  /** Signs the next `count` chunks of what was read, and hands them to store and swarm. */
  #take(count: number): void {
    if (count <= 0) return
    this.#takenAt = performance.now()
    const lengths = this.#lengths.splice(0, count)
    const first = this.#chunks
    const runs = this.#cutRuns(first, lengths)
    while (this.#author.flush() !== undefined) this.#chunks = this.#author.manifest.knownChunks
    this.#stored.manifestGrew().catch((error: unknown) => this.#failed(error))
    this.#session.manifestGrew()
    for (const { chunk, chunks, payload } of runs) this.#hand(chunk, chunks, payload)
  }

  /** Takes the chunks' bytes from what was read, run by run, and appends their entries. */
  #cutRuns(first: number, lengths: readonly number[]): { chunk: number; chunks: number; payload: Payload }[] {
    const { runChunks } = this.#session.peer
    const runs: { chunk: number; chunks: number; payload: Payload }[] = []
    for (let at = 0; at < lengths.length;) {
      const end = Math.min(at + runChunks - ((first + at) % runChunks), lengths.length)
      let runBytes = 0
      for (let i = at; i < end; i++) runBytes += lengths[i]!
      const payload = this.#rest.shift(runBytes)
      let offset = 0
      for (let i = at; i < end; i++) {
        this.#author.append(lengths[i]!, blake3(payload.bytes.subarray(offset, offset + lengths[i]!)))
        offset += lengths[i]!
      }
      runs.push({ chunk: first + at, chunks: end - at, payload })
      at = end
    }
    return runs
  }

  #hand(chunk: number, chunks: number, payload: Payload): void {
    const { length } = payload.bytes
    this.#writingBytes += length
    this.#session.ingested(chunk, chunks, payload).then(
      () => this.#wrote(length),
      (error: unknown) => {
        this.#failed(error)
        this.#wrote(length)
      },
    )
  }

  #wrote(bytes: number): void {
    this.#writingBytes -= bytes
    this.#wake?.()
    this.#wake = undefined
  }

  #failed(error: unknown): void {
    this.#error ??= error
  }
}

function cut(bytes: Uint8Array, averageBytes: number): { lengths: number[]; hashes: Uint8Array } {
  const chunker = new Chunker(averageBytes)
  const lengths = [...chunker.push(bytes), ...chunker.finish()]
  let offset = 0
  const hashes = lengths.map((length) => {
    const hash = blake3(bytes.subarray(offset, offset + length))
    offset += length
    return hash
  })
  return { lengths, hashes: Buffer.concat(hashes) }
}

interface Digester {
  update(bytes: Uint8Array): void
  /** Throws `digest-mismatch`. */
  check(): void
}

function digester(stream: IngestStream): Digester {
  const [algorithm, expected] = (stream.digest ?? '').split(':')
  if (algorithm === undefined || expected === undefined) return { update: () => undefined, check: () => undefined }
  const blake = algorithm === 'blake3' ? new Blake3Hasher() : undefined
  const other = blake === undefined ? createHash(algorithm) : undefined
  return {
    update: (bytes) => {
      blake?.update(bytes)
      other?.update(bytes)
    },
    check: () => {
      const actual = blake?.digest('hex') ?? other?.digest('hex') ?? ''
      if (actual === expected.toLowerCase()) return
      throw fail('digest-mismatch', { name: stream.name, actual: `${algorithm}:${actual}`, expected: `${algorithm}:${expected}` })
    },
  }
}
