/**
 * Takes chunks that a new content lacks from what lies on this disk already: other contents, most often an older version of
 * the same file, and other places of the content itself. Node has no call that shares the blocks of a range of a file, so
 * the chunks are read, verified and written; each is checked against the manifest that wants it, whatever the index said.
 */
import { equalBytes } from '../../core/lib/bytes.ts'
import type { ChunkIndex, Place } from './chunk-index.ts'
import type { Content } from './stored-content.ts'
import { runLength } from './verification.ts'

/** Bytes that may be on their way into the data file before the next run is read. */
const MAX_UNWRITTEN_BYTES = 8 * 1024 * 1024

/** Fills what it can of `content` from `fromChunk` on; resolves with what was taken, once it is written. */
export async function reuseChunks(
  content: Content,
  fromChunk: number,
  index: ChunkIndex<Content>,
  shouldStop: () => boolean,
): Promise<{ chunks: number; bytes: number }> {
  const { manifest } = content
  const intake = new Intake(content)
  let chunk = content.have.nextClear(fromChunk)
  while (chunk < manifest.knownChunks && !intake.hasFailed && !shouldStop()) {
    const source = placeOf(content, chunk, index)
    if (source === undefined) {
      chunk = content.have.nextClear(chunk + 1)
      continue
    }
    const count = neighbours(content, chunk, source)
    for (const run of await readVerified(content, chunk, count, source)) await intake.write(run)
    chunk = content.have.nextClear(chunk + count)
  }
  return intake.end()
}

/** Consecutive chunks, verified. */
interface Run {
  readonly first: number
  readonly parts: Uint8Array[]
}

/** Writes runs while the next ones are read, a bounded number of bytes ahead. */
class Intake {
  readonly #content: Content
  readonly #writes: Set<Promise<void>> = new Set()
  #unwrittenBytes = 0
  #chunks = 0
  #bytes = 0
  #failure: { error: unknown } | undefined

  constructor(content: Content) {
    this.#content = content
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined
  }

  /** Starts writing a run; waits only when too much is on its way. */
  async write(run: Run): Promise<void> {
    const write: Promise<void> = this.#writeRun(run).finally(() => this.#writes.delete(write))
    this.#writes.add(write)
    while (this.#unwrittenBytes > MAX_UNWRITTEN_BYTES) await Promise.race(this.#writes)
  }

  /** Waits for all that was started; rejects with the first failure. */
  async end(): Promise<{ chunks: number; bytes: number }> {
    await Promise.all(this.#writes)
    if (this.#failure !== undefined) throw this.#failure.error
    return { chunks: this.#chunks, bytes: this.#bytes }
  }

  async #writeRun({ first, parts }: Run): Promise<void> {
    const bytes = parts.reduce((sum, part) => sum + part.length, 0)
    this.#unwrittenBytes += bytes
    try {
      await this.#content.write(first, parts.length, parts)
      this.#chunks += parts.length
      this.#bytes += bytes
    } catch (error) {
      this.#failure ??= { error }
    } finally {
      this.#unwrittenBytes -= bytes
    }
  }
}

/** A place that holds the chunk, by its own content's manifest. */
function placeOf(content: Content, chunk: number, index: ChunkIndex<Content>): Place<Content> | undefined {
  const hash = content.manifest.chunkHash(chunk)
  for (const place of index.find(hash)) if (isSame(place, hash)) return place
  return undefined
}

function isSame({ owner, chunk }: Place<Content>, hash: Uint8Array): boolean {
  return !owner.isRemoved && owner.have.has(chunk) && equalBytes(owner.manifest.chunkHash(chunk), hash)
}

/** How many chunks from `chunk` on are wanted and lie in a row at the place: they are read together. */
function neighbours(content: Content, chunk: number, { owner, chunk: start }: Place<Content>): number {
  const { manifest, have } = content
  const most = runLength(manifest, chunk, manifest.knownChunks - chunk)
  let count = 1
  while (count < most && !have.has(chunk + count) && isSame({ owner, chunk: start + count }, manifest.chunkHash(chunk + count))) count++
  return count
}

/** The chunks that the place really has, as runs without a gap; none when it cannot be read. */
async function readVerified(content: Content, chunk: number, count: number, source: Place<Content>): Promise<Run[]> {
  const { manifest } = content
  const runs: Run[] = []
  let bytes: Uint8Array
  try {
    bytes = await source.owner.read(source.chunk, count)
  } catch {
    return runs // evicted or damaged meanwhile: the network has these chunks
  }
  const start = manifest.chunkOffset(chunk)
  for (let i = chunk; i < chunk + count; i++) {
    const at = manifest.chunkOffset(i) - start
    const part = bytes.subarray(at, at + manifest.chunkBytes(i))
    if (!manifest.verifyChunk(i, part)) continue
    const last = runs.at(-1)
    if (last !== undefined && last.first + last.parts.length === i) last.parts.push(part)
    else runs.push({ first: i, parts: [part] })
  }
  return runs
}
