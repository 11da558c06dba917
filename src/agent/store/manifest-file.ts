/**
 * The side file `manifest`: what a node knows of one content's manifest, in the encodings of core/content, so that it is
 * held against hashes and signatures again when it is read. Besides that the content's name, which nothing else proves.
 *
 *   record  kind u8 · body
 *   kind    1 root · 2 growing header · 3 segment · 4 page · 5 seal · 6 JSON {"name", "createdAt"}
 *
 * The first record is 1 or 2 and hashes to the name of the content's directory. Once a content that was created growing is
 * complete, its segments give way to the pages: fewer signatures to check.
 */
import { Manifest } from '../../core/content/manifest.ts'
import { decodeSegment } from '../../core/content/growing.ts'
import { CHUNKS_PER_PAGE } from '../../core/content/limits.ts'
import type { HashFunction, VerifySignature } from '../../core/content/primitives.ts'
import { decodePage } from '../../core/content/root.ts'
import { assert } from '../../core/lib/assert.ts'
import { toHex } from '../../core/lib/bytes.ts'
import { isWireError } from '../../core/wire/wire-error.ts'
import { readSideFile, SideFile } from './side-file.ts'

const ROOT = 1
const HEADER = 2
const SEGMENT = 3
const PAGE = 4
const SEAL = 5
const INFO = 6

/** What a manifest cannot prove of a content. */
export interface ContentLabel {
  readonly name: string
  /** Milliseconds since 1970. */
  readonly createdAt: number
}

/** The functions that manifests are checked with. */
export interface ManifestChecks {
  readonly hash: HashFunction
  readonly verify: VerifySignature
}

/** Reads the manifest of content `id`, as far as it is good; undefined when nothing of it is. Throws errno errors. */
export function readManifest(
  path: string,
  id: string,
  checks: ManifestChecks,
): { manifest: Manifest; label: ContentLabel | undefined; validBytes: number } | undefined {
  const { bodies, validBytes } = readSideFile(path)
  const [first, ...rest] = bodies
  const manifest = first === undefined ? undefined : begin(first, checks)
  if (manifest === undefined || toHex(manifest.swarmId) !== id) return undefined
  let label: ContentLabel | undefined
  for (const body of rest) {
    if (body[0] === INFO) label = parseLabel(body.subarray(1))
    else add(manifest, body)
  }
  return { manifest, label, validBytes }
}

/** The writing side of a `manifest` file: saves what its manifest learns. */
export class ManifestFile {
  readonly #file: SideFile
  readonly #manifest: Manifest
  #savedChunks = 0
  #isSealSaved = false

  /** `validBytes` is 0 for a file to be made; else the file holds all that the manifest knows now. */
  constructor(path: string, manifest: Manifest, validBytes: number) {
    this.#file = new SideFile(path, validBytes)
    this.#manifest = manifest
    if (validBytes === 0) return
    this.#savedChunks = manifest.knownChunks
    this.#isSealSaved = manifest.sealBytes() !== undefined
  }

  /** Makes the file, with all that is known. */
  async create(label: ContentLabel): Promise<void> {
    await this.#file.append([this.#beginning(), encodeLabel(label), ...this.#news()])
  }

  /** Appends what the manifest learned since the last time; on failure it is appended the next time. */
  async save(): Promise<void> {
    const savedChunks = this.#savedChunks
    const isSealSaved = this.#isSealSaved
    try {
      await this.#file.append(this.#news())
    } catch (error) {
      this.#savedChunks = Math.min(this.#savedChunks, savedChunks)
      this.#isSealSaved &&= isSealSaved
      throw error
    }
  }

  /** Brings a complete manifest durably into its shortest form. */
  async finish(label: ContentLabel): Promise<void> {
    const manifest = this.#manifest
    assert(manifest.isComplete, 'a manifest that is complete')
    if (manifest.header === undefined) {
      await this.save()
      return this.#file.sync()
    }
    const pages: Uint8Array[] = []
    for (let first = 0; first < manifest.knownChunks; first += CHUNKS_PER_PAGE)
      pages.push(tagged(PAGE, manifest.page(first / CHUNKS_PER_PAGE) as Uint8Array))
    await this.#file.replace([this.#beginning(), encodeLabel(label), tagged(SEAL, manifest.sealBytes() as Uint8Array), ...pages])
  }

  /** Forces what was saved to the disk. */
  sync(): Promise<void> {
    return this.#file.sync()
  }

  /** Writes no more. */
  shut(): Promise<void> {
    return this.#file.shut()
  }

  #beginning(): Uint8Array {
    const { headerBytes } = this.#manifest
    return headerBytes === undefined ? tagged(ROOT, this.#manifest.rootBytes() as Uint8Array) : tagged(HEADER, headerBytes)
  }

  /** Records of what isn't saved: segments, then the seal, then pages, which only a sealed manifest takes. */
  #news(): Uint8Array[] {
    const manifest = this.#manifest
    const records: Uint8Array[] = []
    if (this.#savedChunks < manifest.knownChunks) {
      for (const segmentBytes of manifest.segmentsFrom(this.#savedChunks)) {
        const segment = decodeSegment(segmentBytes)
        assert(!isWireError(segment), 'a segment that the manifest took')
        this.#savedChunks = segment.firstChunk + segment.lengths.length
        records.push(tagged(SEGMENT, segmentBytes))
      }
    }
    const seal = manifest.sealBytes()
    if (!this.#isSealSaved && seal !== undefined) {
      records.push(tagged(SEAL, seal))
      this.#isSealSaved = true
    }
    while (this.#savedChunks < manifest.knownChunks) {
      const index = Math.floor(this.#savedChunks / CHUNKS_PER_PAGE)
      records.push(tagged(PAGE, manifest.page(index) as Uint8Array))
      this.#savedChunks = Math.min((index + 1) * CHUNKS_PER_PAGE, manifest.knownChunks)
    }
    return records
  }
}

function begin(body: Uint8Array, checks: ManifestChecks): Manifest | undefined {
  const bytes = body.subarray(1)
  const manifest =
    body[0] === ROOT
      ? Manifest.sealed(bytes, checks.hash)
      : body[0] === HEADER
        ? Manifest.growing(bytes, checks.hash, checks.verify)
        : undefined
  return manifest === undefined || isWireError(manifest) ? undefined : manifest
}

/** Gives a record to the manifest, which refuses what doesn't fit: then that much is not known. */
function add(manifest: Manifest, body: Uint8Array): void {
  const bytes = body.subarray(1)
  switch (body[0]) {
    case SEGMENT:
      manifest.addSegment(bytes)
      break
    case SEAL:
      manifest.seal(bytes)
      break
    case PAGE: {
      const page = decodePage(bytes)
      if (!isWireError(page)) manifest.addPage(page.firstChunk / CHUNKS_PER_PAGE, bytes)
      break
    }
    default: // of a later version
  }
}

function tagged(kind: number, bytes: Uint8Array): Uint8Array {
  const body = new Uint8Array(1 + bytes.length)
  body[0] = kind
  body.set(bytes, 1)
  return body
}

function encodeLabel(label: ContentLabel): Uint8Array {
  return tagged(INFO, Buffer.from(JSON.stringify({ name: label.name, createdAt: label.createdAt })))
}

function parseLabel(bytes: Uint8Array): ContentLabel | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'))
    if (typeof value !== 'object' || value === null || !('name' in value) || !('createdAt' in value)) return undefined
    return typeof value.name === 'string' && typeof value.createdAt === 'number'
      ? { name: value.name, createdAt: value.createdAt }
      : undefined
  } catch {
    return undefined // a name is not worth losing a content for
  }
}
