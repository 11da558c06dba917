/**
 * One content on this disk: its manifest, its bytes, and which chunks of them are there. Not which contents there are, nor
 * what the journal says: that is the store's, which is told through `ContentHost`.
 *
 * A complete content that nobody uses keeps a few fields in memory; its manifest is read again when it is asked for. A
 * partial one that was found at the start is read when it is asked for, or by the store in the background; unless the store
 * was closed in order, each chunk that its side file claims is verified before it is in `have`.
 */
import * as fs from 'node:fs'
import { dirname, join } from 'node:path'
import type { Manifest } from '../../core/content/manifest.ts'
import { assert } from '../../core/lib/assert.ts'
import type { Bitfield } from '../../core/lib/bitfield.ts'
import { toHex } from '../../core/lib/bytes.ts'
import type { ContentInfo } from '../data-plane/data-plane.ts'
import { fail, fromErrno, type PolycastError, isPolycastError } from '../errors.ts'
import { ContentFiles } from './content-files.ts'
import type { ContentHost } from './content-host.ts'
import type { StoredContent } from './contract.ts'
import { DataFile } from './data-file.ts'
import { closeFile, openFile, syncDirectory } from './files.ts'
import { removeUnfinished } from './garbage.ts'
import type { ContentRecord, FileStamp } from './journal.ts'
import type { ContentLabel } from './manifest-file.ts'
import type { OutputOptions, OutputMethod } from './output.ts'
import { checkChunks } from './verification.ts'
import { WriteQueue } from './write-queue.ts'

/** A content in the store's table. */
export class Content implements StoredContent {
  readonly id: string
  readonly directory: string
  readonly path: string
  readonly data: DataFile
  name: string
  mediaType = ''
  contentId: string | undefined
  totalBytes: number | undefined
  chunkCount = 0
  createdAt: number
  usedAt: number
  isPinned = false
  /** Set while the content is complete and durable. */
  stamp: FileStamp | undefined
  /** Set once it has left the store's table. */
  isRemoved = false
  /** Bytes that the store's quota counts for it. */
  reservedBytes = 0
  /** How many of its chunks the chunk index knew when it was last added. */
  indexedChunks = 0
  readonly #host: ContentHost
  readonly #writes: WriteQueue
  readonly #holders: Set<{ user: string }> = new Set()
  /** Undefined while nobody needs it. */
  #files: ContentFiles | undefined
  /** The data file's stamp when the store was closed in order. */
  #cleanStamp: FileStamp | undefined
  #recovering: Promise<void> | undefined
  #finishing: Promise<void> | undefined

  private constructor(directory: string, id: string, label: ContentLabel, host: ContentHost) {
    this.id = id
    this.directory = directory
    this.path = join(directory, 'data')
    this.data = new DataFile(this.path, host.files)
    this.name = label.name
    this.createdAt = label.createdAt
    this.usedAt = label.createdAt
    this.#host = host
    this.#writes = new WriteQueue((buffers, position) => this.data.write(buffers, position))
  }

  /** A content that was not there before; `open` makes its files. */
  static begin(directory: string, manifest: Manifest, label: ContentLabel, host: ContentHost): Content {
    const content = new Content(directory, toHex(manifest.swarmId), label, host)
    content.#files = ContentFiles.begin(directory, manifest, (error) => host.unsaved(content, error))
    content.#recovering = Promise.resolve()
    content.#takeFields(manifest)
    return content
  }

  /** A content as the journal has it; `cleanStamp` when its side file can be trusted without a look at the data. */
  static found(directory: string, record: ContentRecord, cleanStamp: FileStamp | undefined, host: ContentHost): Content {
    const content = new Content(directory, record.id, record, host)
    content.mediaType = record.mediaType
    content.contentId = record.contentId
    content.totalBytes = record.totalBytes
    content.chunkCount = record.chunkCount
    content.usedAt = record.usedAt
    content.isPinned = record.isPinned
    content.stamp = record.complete
    content.#cleanStamp = cleanStamp
    return content
  }

  /** A content that the journal doesn't know; what it is comes from its own files. */
  static adopted(directory: string, id: string, host: ContentHost): Content {
    const content = new Content(directory, id, { name: '', createdAt: host.now() }, host)
    content.load()
    return content
  }

  get manifest(): Manifest {
    return this.load().manifest
  }

  get have(): Bitfield {
    return this.load().have
  }

  get isComplete(): boolean {
    return this.stamp !== undefined || this.load().isComplete
  }

  get isHeld(): boolean {
    return this.#holders.size > 0
  }

  get isLoaded(): boolean {
    return this.#files !== undefined
  }

  /** Who holds it, for a message. */
  get users(): string {
    return [...new Set([...this.#holders].map((holder) => holder.user))].join(', ')
  }

  /** Bytes of chunks that are there; 0 for a partial content that was not looked at yet. */
  get haveBytes(): number {
    return this.stamp === undefined ? (this.#files?.haveBytes ?? 0) : (this.totalBytes ?? 0)
  }

  info(): ContentInfo {
    return {
      id: this.contentId ?? this.id,
      state: this.stamp !== undefined || (this.isLoaded && this.isComplete) ? 'complete' : 'partial',
      name: this.name,
      mediaType: this.mediaType,
      totalBytes: this.totalBytes,
      haveBytes: this.haveBytes,
      chunkCount: this.chunkCount,
      pinned: this.isPinned,
      createdAt: this.createdAt,
      usedAt: this.usedAt,
      path: this.path,
    }
  }

  /** Bytes of disk that it needs, as far as is known by now. */
  wantedBytes(): number {
    if (this.stamp !== undefined) return this.totalBytes ?? 0
    return Math.max(this.totalBytes ?? 0, this.#files?.manifest.knownBytes ?? 0)
  }

  /** What the journal is to say of it. */
  toRecord(): ContentRecord {
    const { id, contentId, name, mediaType, totalBytes, chunkCount, createdAt, usedAt, isPinned } = this
    return { id, contentId, name, mediaType, totalBytes, chunkCount, createdAt, usedAt, isPinned, complete: this.stamp }
  }

  /** Makes the content's files in its directory, which is empty. */
  async open(): Promise<void> {
    const { manifest, manifestFile } = this.load()
    try {
      const fd = await openFile(this.path, 'wx')
      await closeFile(fd)
      const totalBytes = manifest.root()?.totalBytes ?? 0
      if (totalBytes > 0) await fs.promises.truncate(this.path, totalBytes) // holes: no disk used, and the size is right
      await manifestFile.create(this)
    } catch (error) {
      throw fromErrno(error, { doing: 'data-dir', path: this.path })
    }
  }

  /** Reads manifest and side file unless they are in memory; throws `content-damaged` when there is nothing to go by. */
  load(): ContentFiles {
    this.#files ??= this.#read()
    return this.#files
  }

  /** Forgets what can be read again: for a complete content that nobody holds. */
  unload(): void {
    if (this.stamp !== undefined && !this.isHeld && this.#finishing === undefined) this.#files = undefined
  }

  recovered(): Promise<void> {
    this.#recovering ??= this.#recover().catch((error: unknown) => {
      this.#recovering = undefined
      throw error
    })
    return this.#recovering
  }

  async manifestGrew(): Promise<void> {
    this.#checkUsable()
    if (this.stamp !== undefined) return
    const { manifest, manifestFile } = this.load()
    this.#takeFields(manifest)
    await this.#host.reserve(this)
    await manifestFile.save()
  }

  async write(firstChunk: number, count: number, parts: readonly Uint8Array[]): Promise<void> {
    this.#checkUsable()
    const files = this.load()
    const { manifest, have } = files
    assert(count > 0 && firstChunk + count <= manifest.knownChunks, 'chunks that the manifest knows')
    if (have.hasRange(firstChunk, count)) return
    const position = manifest.chunkOffset(firstChunk)
    const bytes = manifest.chunkOffset(firstChunk + count) - position
    let given = 0
    for (const part of parts) given += part.length
    assert(given === bytes, 'parts as long together as their chunks')
    if (position + bytes > this.reservedBytes) await this.#host.reserve(this)
    try {
      await this.#writes.write(position, bytes, parts)
    } catch (error) {
      this.#checkUsable()
      throw fromErrno(error, { doing: 'data-dir', path: this.path })
    }
    files.add(firstChunk, count)
    files.haveFile.note(firstChunk, count, bytes)
  }

  async read(firstChunk: number, count: number, into?: Uint8Array): Promise<Uint8Array> {
    if (!this.have.hasRange(firstChunk, count)) throw this.#incomplete()
    const { manifest } = this.load()
    const position = manifest.chunkOffset(firstChunk)
    const bytes = manifest.chunkOffset(firstChunk + count) - position
    return this.#readAt(position, bytes, into)
  }

  async readBytes(offset: number, length: number): Promise<Uint8Array> {
    const { manifest } = this.load()
    assert(offset >= 0 && length >= 0, 'a range of bytes')
    if (length === 0) return new Uint8Array(0)
    if (offset + length > manifest.knownBytes) throw this.#incomplete()
    const first = manifest.chunkAt(offset)
    if (!this.have.hasRange(first, manifest.chunkAt(offset + length - 1) - first + 1)) throw this.#incomplete()
    return this.#readAt(offset, length)
  }

  reuse(fromChunk: number): Promise<{ chunks: number; bytes: number }> {
    return this.#host.reuse(this, fromChunk)
  }

  finish(): Promise<void> {
    this.#finishing ??= this.#finish().finally(() => (this.#finishing = undefined))
    return this.#finishing
  }

  async output(dest: string, options: OutputOptions = {}): Promise<{ method: OutputMethod }> {
    this.#checkUsable()
    if (!this.isComplete) throw this.#incomplete()
    const release = this.hold('an output')
    try {
      await this.#writes.idle()
      await this.#checkStamp()
      return await this.#host.output(this, dest, options)
    } finally {
      release()
    }
  }

  async checkUnchanged(): Promise<boolean> {
    try {
      await this.#checkStamp()
      return true
    } catch (error) {
      if (isPolycastError(error, 'content-damaged')) return false
      throw error
    }
  }

  touch(): void {
    this.usedAt = Math.max(this.usedAt, this.#host.now())
    this.#host.touched(this)
  }

  hold(user = 'a transfer'): () => void {
    const holder = { user }
    this.#holders.add(holder)
    return () => {
      if (this.#holders.delete(holder) && this.#holders.size === 0) this.#host.released(this)
    }
  }

  /** Reads all chunks that are there and drops those that are bad; returns how many were read, and the bad ones. */
  async verify(): Promise<{ chunks: number; bad: number[] }> {
    this.#checkUsable()
    await this.recovered()
    const files = this.load()
    const { manifest, have } = files
    const bad: number[] = []
    const chunks = have.count
    const onChecked = (chunk: number, isGood: boolean): void => {
      if (!isGood) bad.push(chunk)
    }
    await this.#writes.idle()
    await checkChunks(manifest, this.data, have.ranges(), onChecked, () => this.isRemoved || this.#host.isClosing())
    this.#checkUsable()
    for (const chunk of bad) files.drop(chunk)
    if (bad.length === 0) return { chunks, bad }
    // The journal first: after a crash in between, a content that is partial has all its claims verified.
    this.stamp = undefined
    this.#host.damaged(this, bad.length)
    await this.#host.record(this, true)
    await files.haveFile.replace(have)
    return { chunks, bad }
  }

  /** Writes and syncs all that is known of a partial content; returns the stamp under which it can be trusted, if it can. */
  async settle(): Promise<FileStamp | undefined> {
    if (this.#files === undefined || this.stamp !== undefined) return this.#cleanStamp
    const { manifestFile, haveFile, claims } = this.#files
    await this.#writes.idle()
    await Promise.all([manifestFile.save().then(() => manifestFile.sync()), haveFile.flush().then(() => haveFile.sync()), this.data.sync()])
    return claims === undefined ? readStamp(this.path) : undefined
  }

  /** Ends all work on its files: nothing below its directory is touched afterwards. */
  async detach(): Promise<void> {
    this.isRemoved = true
    await this.#writes.idle()
    await this.#files?.haveFile.shut()
    await this.#files?.manifestFile.shut()
    await this.data.shut()
  }

  async #finish(): Promise<void> {
    this.#checkUsable()
    if (this.stamp !== undefined) return
    if (!this.isComplete) throw this.#incomplete()
    const { manifest, manifestFile, haveFile } = this.load()
    this.#takeFields(manifest)
    await this.#writes.idle()
    let stamp: FileStamp
    try {
      stamp = await readStamp(this.path)
      if (stamp.bytes > (this.totalBytes ?? 0)) await fs.promises.truncate(this.path, this.totalBytes) // not by us
      await Promise.all([
        this.data.sync(),
        manifestFile.finish(this),
        haveFile.flush(),
        syncDirectory(this.directory),
        syncDirectory(dirname(this.directory)),
      ])
      stamp = await readStamp(this.path)
    } catch (error) {
      this.#checkUsable()
      throw fromErrno(error, { doing: 'data-dir', path: this.path })
    }
    this.#checkUsable()
    if (stamp.bytes !== this.totalBytes) throw this.#damage(`its data file has ${stamp.bytes} bytes instead of ${this.totalBytes}`)
    this.stamp = stamp
    try {
      await this.#host.record(this, true)
    } catch (error) {
      this.stamp = undefined
      throw error
    }
    this.#host.completed(this)
  }

  async #recover(): Promise<void> {
    const files = this.load()
    await removeUnfinished(this.directory, ['manifest', 'have'])
    const { claims } = files
    if (claims !== undefined) {
      let good = 0
      const onChecked = (chunk: number, isGood: boolean): void => {
        if (!isGood) return
        good++
        files.add(chunk, 1)
      }
      const isDone = await checkChunks(
        files.manifest,
        this.data,
        claims.ranges(),
        onChecked,
        () => this.isRemoved || this.#host.isClosing(),
      )
      if (!isDone) return
      if (good < claims.count) await files.haveFile.replace(files.have)
      files.claims = undefined
      this.#host.recovered(this, good, claims.count - good)
    }
    if (this.stamp === undefined && this.isComplete) await this.finish()
  }

  /** Manifest and side file as they are on the disk. */
  #read(): ContentFiles {
    const wasComplete = this.stamp !== undefined
    const trust = wasComplete ? 'all' : this.#cleanStamp === undefined ? 'verify' : 'claims'
    let found: ReturnType<typeof ContentFiles.read>
    try {
      found = ContentFiles.read(this.directory, this.id, trust, this.#host.checks, (error) => this.#host.unsaved(this, error))
    } catch (error) {
      throw fromErrno(error, { doing: 'data-dir', path: this.directory })
    }
    if (found === undefined) throw this.#damage('its manifest cannot be read')
    const { files, label } = found
    if (this.name === '' && label !== undefined) this.name = label.name
    if (!wasComplete) {
      this.#takeFields(files.manifest)
    } else if (files.manifest.isComplete) {
      this.#host.loaded(this)
    } else {
      this.stamp = undefined
      this.#host.damaged(this, this.chunkCount - files.manifest.knownChunks)
    }
    return files
  }

  /** What the table and the journal say of the content, from what the manifest knows. */
  #takeFields(manifest: Manifest): void {
    const root = manifest.root()
    this.mediaType = manifest.mediaType
    this.totalBytes = root?.totalBytes ?? manifest.header?.expectedBytes
    this.chunkCount = root?.chunkCount ?? manifest.knownChunks
    const id = manifest.contentId()
    if (id === undefined || this.contentId !== undefined) return
    this.contentId = toHex(id)
    this.#host.sealed(this)
  }

  async #readAt(position: number, bytes: number, into?: Uint8Array): Promise<Uint8Array> {
    assert(into === undefined || into.length === bytes, 'a buffer as long as what is read')
    const buffer = into ?? Buffer.allocUnsafe(bytes)
    let read: number
    try {
      read = await this.data.read(buffer, position)
    } catch (error) {
      this.#checkUsable()
      throw fromErrno(error, { doing: 'data-dir', path: this.path })
    }
    if (read < bytes) throw this.#damage(`its data file ends at byte ${position + read}`)
    return buffer
  }

  /** A data file that somebody else wrote to is verified before anything is made from it. */
  async #checkStamp(): Promise<void> {
    const expected = this.stamp
    if (expected === undefined) return
    const found = await readStamp(this.path).catch((error: unknown) => {
      throw fromErrno(error, { doing: 'data-dir', path: this.path })
    })
    if (found.bytes === expected.bytes && found.mtimeNs === expected.mtimeNs) return
    const { bad } = await this.verify()
    if (bad.length > 0) throw this.#damage(`another program wrote to it; ${bad.length} of its chunks are bad`)
    this.stamp = undefined
    await this.finish()
  }

  #checkUsable(): void {
    this.#host.checkUsable()
    if (this.isRemoved) throw fail('content-not-found', { id: this.contentId ?? this.id, where: 'here' })
  }

  #incomplete(): PolycastError {
    return fail('content-incomplete', {
      id: this.contentId ?? this.id,
      have: this.haveBytes,
      total: this.totalBytes ?? 'an unknown number of',
    })
  }

  #damage(reason: string): PolycastError {
    return fail('content-damaged', { id: this.contentId ?? this.id, reason })
  }
}

/** The stamp of a file; rejects with errno errors. */
export async function readStamp(path: string): Promise<FileStamp> {
  const stat = await fs.promises.stat(path, { bigint: true })
  return { bytes: Number(stat.size), mtimeNs: String(stat.mtimeNs) }
}
