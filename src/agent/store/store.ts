/**
 * The contents that a node holds, in one data directory: made, found, evicted, kept through crashes. Not the network, nor
 * who wants what: the data plane asks. Used by one thread of one process, which holds the directory's lock.
 *
 *   DIR/lock, DIR/reserve          lock.ts
 *   DIR/journal                    journal.ts: what is complete, pinned, used when
 *   DIR/contents/ID/data           the bytes: a plain file, with holes while it is partial
 *   DIR/contents/ID/manifest       manifest-file.ts
 *   DIR/contents/ID/have           have-file.ts
 *   DIR/contents/.trash-ID-XXXX    on its way out
 *
 * ID is the swarm id in hex. A directory belongs to the store when its name has that form; others are left alone.
 *
 * What a restart finds is never taken on trust. A manifest proves itself by hash and signature. A content counts as complete
 * when the journal says so, which it does only after data and manifest were synced, and when its data file has the length and
 * the time of change that the journal names. Everything else is partial: `have` claims chunks, and each is verified by hash,
 * unless the store was closed in order and the file's stamp is that of the closing. What a lost journal leaves is found
 * again in this way; what has no readable manifest is removed.
 */
import * as fs from 'node:fs'
import { join, resolve } from 'node:path'
import type { Manifest } from '../../core/content/manifest.ts'
import { toHex } from '../../core/lib/bytes.ts'
import type { ContentInfo } from '../data-plane/data-plane.ts'
import { fail, fromErrno, isPolycastError } from '../errors.ts'
import { Asides } from './asides.ts'
import { ContentIndex } from './content-index.ts'
import { ContentTable } from './content-table.ts'
import type { Store, StoredContent, StoreEvent, StoreOptions } from './contract.ts'
import { OpenFiles } from './data-file.ts'
import { randomName } from './files.ts'
import { findContents, type FoundContents } from './find-contents.ts'
import { collectOrphans, diskBytes, removeUnfinished } from './garbage.ts'
import { Journal, readJournal, type ContentRecord, type FileStamp, type JournalRecord, type JournalState } from './journal.ts'
import { lockDirectory, type DirectoryLock } from './lock.ts'
import type { ManifestChecks } from './manifest-file.ts'
import { writeOutput, type OutputMethod, type OutputOptions } from './output.ts'
import { Room } from './room.ts'
import type { ContentHost } from './content-host.ts'
import { Content } from './stored-content.ts'

export type { Store, StoredContent, StoreEvent, StoreOptions } from './contract.ts'

const DEFAULT_PARTIAL_MAX_AGE_MS = 7 * 24 * 3600 * 1000
const MAX_LOADED_CONTENTS = 32
const USE_RECORD_MS = 10 * 60 * 1000

/** Locks the data directory and opens the store in it; rejects with `data-dir-locked` or `data-dir-unusable`. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const directory = resolve(options.directory)
  const contentsDirectory = join(directory, 'contents')
  let lock: DirectoryLock | undefined
  try {
    await fs.promises.mkdir(directory, { recursive: true, mode: 0o755 })
    const opened: { store?: StoreOnDisk } = {}
    lock = await lockDirectory(directory, () => opened.store?.lockLost())
    await fs.promises.mkdir(contentsDirectory, { recursive: true, mode: 0o700 })
    const store = new StoreOnDisk(options, directory, lock, readJournal(join(directory, 'journal')))
    opened.store = store
    await store.open()
    return store
  } catch (error) {
    lock?.release()
    throw fromErrno(error, { doing: 'data-dir', path: directory })
  }
}

class StoreOnDisk implements Store, ContentHost {
  readonly directory: string
  readonly checks: ManifestChecks
  readonly files: OpenFiles = new OpenFiles()
  readonly now: () => number
  readonly #contentsDirectory: string
  readonly #partialMaxAgeMs: number
  readonly #report: (event: StoreEvent) => void
  readonly #lock: DirectoryLock
  readonly #journal: Journal
  readonly #asides: Asides
  readonly #index: ContentIndex = new ContentIndex()
  readonly #found: JournalState
  readonly #table: ContentTable = new ContentTable()
  readonly #room: Room
  /** Contents that could not be looked at: left as they are, and remembered as the journal had them. */
  readonly #unreadable: Map<string, ContentRecord | undefined> = new Map()
  readonly #creating: Map<string, Promise<StoredContent>> = new Map()
  readonly #removing: Map<string, Promise<void>> = new Map()
  /** Complete contents whose manifest is in memory, the one used last at the end. */
  readonly #loaded: Set<Content> = new Set()
  readonly #usesRecordedAt: WeakMap<Content, number> = new WeakMap()
  #isClosed = false
  #isLockLost = false
  #background: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(options: StoreOptions, directory: string, lock: DirectoryLock, found: JournalState) {
    this.directory = directory
    this.checks = { hash: options.hash, verify: options.verify }
    this.now = options.now ?? Date.now
    this.#contentsDirectory = join(directory, 'contents')
    this.#partialMaxAgeMs = options.partialMaxAgeMs ?? DEFAULT_PARTIAL_MAX_AGE_MS
    this.#report = options.onEvent ?? ((): void => undefined)
    this.#lock = lock
    this.#found = found
    this.#journal = new Journal(join(directory, 'journal'), () => this.#snapshot())
    this.#room = new Room({
      directory: this.#contentsDirectory,
      quotaBytes: options.quotaBytes ?? Infinity,
      contents: () => this.#table.values(),
      expiredBefore: () => this.#expiredBefore(),
      evict: (content) => this.#evict(content),
    })
    this.#asides = new Asides(found.asides, (record) => this.#journal.append(record, false))
  }

  async open(): Promise<void> {
    const { lostBytes, validBytes } = this.#found
    if (lostBytes > 0) this.#report({ type: 'journal-cut', lostBytes })
    const found = await findContents(this.#contentsDirectory, this.#found, this)
    for (const content of found.contents) {
      this.#room.recount(content)
      this.#usesRecordedAt.set(content, content.usedAt)
      this.#table.add(content)
    }
    for (const { id, reason } of found.discarded) this.#report({ type: 'discarded', id, reason })
    for (const { id, error } of found.failures) {
      this.#unreadable.set(id, this.#found.contents.get(id))
      this.#report({ type: 'failed', doing: `look at ${id}`, error })
    }
    await removeUnfinished(this.directory, ['journal'])
    await this.#journal.start(validBytes)
    this.#background = this.#settle(found)
  }

  contents(): ContentInfo[] {
    return [...this.#table.values()].map((content) => content.info())
  }

  find(idOrPrefix: string): StoredContent | undefined {
    return this.#find(idOrPrefix)
  }

  async create(manifest: Manifest, info: { name: string }): Promise<StoredContent> {
    this.checkUsable()
    const id = toHex(manifest.swarmId)
    const contentId = manifest.contentId()
    const existing = this.#find(id) ?? (contentId === undefined ? undefined : this.#find(toHex(contentId)))
    if (existing !== undefined) {
      await existing.recovered()
      if (existing.isRemoved) return this.create(manifest, info)
      existing.load().absorb(manifest)
      await existing.manifestGrew()
      existing.touch()
      return existing
    }
    const creating = this.#creating.get(id) ?? this.#create(id, manifest, info.name).finally(() => this.#creating.delete(id))
    this.#creating.set(id, creating)
    return creating
  }

  async remove(id: string, options: { force?: boolean } = {}): Promise<void> {
    this.checkUsable()
    const content = this.#get(id)
    if (options.force !== true) {
      if (content.isPinned) throw fail('content-pinned', { id })
      if (content.isHeld) throw fail('content-in-use', { id, user: content.users })
    }
    await this.#remove(content)
  }

  pin(id: string): Promise<void> {
    return this.#setPinned(id, true)
  }

  unpin(id: string): Promise<void> {
    return this.#setPinned(id, false)
  }

  async gc(): Promise<{ removed: number; bytes: number }> {
    this.checkUsable()
    let removed = 0
    let bytes = 0
    for (const content of [...this.#table.values()]) {
      if (content.stamp !== undefined || content.isPinned || content.isHeld || content.usedAt >= this.#expiredBefore()) continue
      bytes += await diskBytes(content.directory)
      await this.#remove(content)
      removed++
    }
    const isKnown = (id: string): boolean => [this.#table, this.#unreadable, this.#creating, this.#removing].some((known) => known.has(id))
    const orphans = await collectOrphans(this.#contentsDirectory, isKnown).catch((error: unknown) => {
      throw fromErrno(error, { doing: 'data-dir', path: this.#contentsDirectory })
    })
    await this.#asides.clear()
    return { removed: removed + orphans.removed, bytes: bytes + orphans.bytes }
  }

  async verify(id: string): Promise<{ chunks: number; bad: number[] }> {
    this.checkUsable()
    const content = this.#get(id)
    const release = content.hold('a verification')
    try {
      return await content.verify()
    } finally {
      release()
    }
  }

  usedBytes(): number {
    return this.#room.usedBytes
  }

  async settled(): Promise<void> {
    await this.#background
    await this.#index.built
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  lockLost(): void {
    this.#isLockLost = true
    this.#report({ type: 'lock-lost' })
    // Not even what is queued may be written: the files are another agent's now.
    for (const content of this.#table.values()) this.#inBackground(`leave ${content.id}`, content.detach())
  }

  // What contents ask (ContentHost).

  checkUsable(): void {
    if (this.#isClosed) throw fail('shutting-down', {})
    if (this.#isLockLost)
      throw fail('data-dir-unusable', { path: this.directory, reason: 'another agent took it over while this one was stopped' })
  }

  isClosing(): boolean {
    return this.#isClosed
  }

  reserve(content: Content): Promise<void> {
    return this.#room.reserve(content)
  }

  record(content: Content, isDurable: boolean): Promise<void> {
    if (content.isRemoved) return Promise.resolve()
    return this.#journal.append({ t: 'content', ...content.toRecord() }, isDurable)
  }

  sealed(content: Content): void {
    if (content.isRemoved || !this.#table.has(content.id)) return // not in the table yet: it comes with its content id
    this.#table.addAlias(content)
    this.#inBackground('record the content id', this.record(content, false))
  }

  loaded(content: Content): void {
    if (content.isRemoved) return
    this.#loaded.delete(content)
    this.#loaded.add(content)
    for (const oldest of this.#loaded) {
      if (this.#loaded.size <= MAX_LOADED_CONTENTS || oldest === content) return
      if (oldest.isHeld) continue
      this.#loaded.delete(oldest)
      oldest.unload()
    }
  }

  touched(content: Content): void {
    if (content.usedAt - (this.#usesRecordedAt.get(content) ?? 0) < USE_RECORD_MS || this.#isClosed) return
    this.#usesRecordedAt.set(content, content.usedAt)
    this.#inBackground('record a use', this.record(content, false))
  }

  completed(content: Content): void {
    this.loaded(content)
    this.#index.update(content)
    for (const twin of this.#table.twins(content)) this.released(twin)
  }

  /** What was published twice from a source came as two growing contents: one is enough once both are whole. */
  released(content: Content): void {
    if (this.#isClosed || content.isHeld || content.isRemoved || content.stamp === undefined) return
    const [twin] = this.#table.twins(content)
    if (twin === undefined) return
    this.#inBackground(`keep one of ${content.id} and ${twin.id}`, this.#merge(content, twin))
  }

  damaged(content: Content, badChunks: number): void {
    this.#report({ type: 'damaged', id: content.contentId ?? content.id, badChunks })
  }

  recovered(content: Content, goodChunks: number, droppedChunks: number): void {
    this.#report({ type: 'recovered', id: content.id, goodChunks, droppedChunks })
  }

  unsaved(content: Content, error: unknown): void {
    this.#report({ type: 'failed', doing: `save which chunks of ${content.id} are written`, error })
  }

  async reuse(content: Content, fromChunk: number): Promise<{ chunks: number; bytes: number }> {
    this.checkUsable()
    const release = content.hold('a transfer')
    try {
      const partial = [...this.#table.values()].filter((other) => other.stamp === undefined && other.isLoaded)
      return await this.#index.reuse(content, fromChunk, partial, () => this.#isClosed || content.isRemoved)
    } finally {
      release()
    }
  }

  output(content: Content, dest: string, options: OutputOptions): Promise<{ method: OutputMethod }> {
    const source = {
      id: content.contentId ?? content.id,
      path: content.path,
      totalBytes: content.totalBytes ?? 0,
      treeBytes: content.manifest.treeBytes,
      readBytes: (offset: number, length: number) => content.readBytes(offset, length),
    }
    return this.#asides.during((log) => writeOutput(source, dest, options, log, (parent, name) => this.#isOwn(parent, name)))
  }

  // The table.

  #find(idOrPrefix: string): Content | undefined {
    const content = this.#table.find(idOrPrefix)
    return content === undefined ? undefined : this.#readable(content)
  }

  #get(id: string): Content {
    const content = this.#find(id)
    if (content === undefined) throw fail('content-not-found', { id, where: 'here' })
    return content
  }

  /** The content, its manifest read; undefined when there is nothing to read any more: then it is removed. */
  #readable(content: Content): Content | undefined {
    try {
      content.load()
      if (content.stamp !== undefined) this.loaded(content)
      return content
    } catch (error) {
      if (!isPolycastError(error, 'content-damaged')) throw error
      this.#discard(content, error.message)
      return undefined
    }
  }

  #discard(content: Content, reason: string): void {
    this.#report({ type: 'discarded', id: content.id, reason })
    this.#inBackground(`remove ${content.id}`, this.#remove(content))
  }

  async #create(id: string, manifest: Manifest, name: string): Promise<StoredContent> {
    await this.#removing.get(id)
    const content = Content.begin(join(this.#contentsDirectory, id), manifest, { name, createdAt: this.now() }, this)
    try {
      await this.#room.reserve(content)
      await this.#room.checkDisk(content)
      this.checkUsable()
      await this.#makeDirectory(content.directory)
      await content.open()
      this.#table.add(content) // before the journal, which may be written anew from the table
      await this.record(content, false)
    } catch (error) {
      content.isRemoved = true
      this.#table.remove(content)
      this.#room.release(content)
      await fs.promises.rm(content.directory, { recursive: true, force: true })
      throw fromErrno(error, { doing: 'data-dir', path: content.directory })
    }
    return content
  }

  async #makeDirectory(path: string): Promise<void> {
    // One that is there is nothing that the store knows: it could not be read at the start.
    if (fs.existsSync(path)) await this.#trash(path)
    await fs.promises.mkdir(path, { mode: 0o700 })
  }

  async #setPinned(id: string, isPinned: boolean): Promise<void> {
    this.checkUsable()
    const content = this.#get(id)
    const wasPinned = content.isPinned
    content.isPinned = isPinned
    try {
      await this.record(content, true)
    } catch (error) {
      content.isPinned = wasPinned
      throw error
    }
  }

  /** Removes a content whose twin stays, in its place. */
  async #merge(content: Content, twin: Content): Promise<void> {
    if (content.isPinned && !twin.isPinned) await this.#setPinned(twin.id, true)
    if (!content.isHeld) await this.#remove(content)
  }

  /** Takes a content out of the table at once and off the disk in time. */
  #remove(content: Content): Promise<void> {
    if (content.isRemoved) return this.#removing.get(content.id) ?? Promise.resolve()
    content.isRemoved = true
    this.#table.remove(content)
    this.#loaded.delete(content)
    this.#index.remove(content)
    this.#room.release(content)
    const removed = this.#removeFiles(content).finally(() => this.#removing.delete(content.id))
    this.#removing.set(content.id, removed)
    return removed
  }

  async #removeFiles(content: Content): Promise<void> {
    await content.detach()
    // Off its name first: a directory that nobody knows would be taken for a content whose record was lost.
    await this.#trash(content.directory, () => this.#journal.append({ t: 'removed', id: content.id }, false))
  }

  /** Renames a directory of ours out of the way, so that its name is free at once, and removes it. */
  async #trash(path: string, whenGone: () => Promise<void> = () => Promise.resolve()): Promise<void> {
    const trash = join(this.#contentsDirectory, `.trash-${randomName()}`)
    try {
      await fs.promises.rename(path, trash)
      await whenGone()
      await fs.promises.rm(trash, { recursive: true, force: true })
    } catch (error) {
      throw fromErrno(error, { doing: 'data-dir', path })
    }
  }

  #evict(content: Content): Promise<void> {
    this.#report({ type: 'evicted', id: content.contentId ?? content.id, name: content.name, bytes: content.reservedBytes })
    return this.#remove(content)
  }

  #expiredBefore(): number {
    return this.now() - this.#partialMaxAgeMs
  }

  /** Whether a path is one of the store's own, which no output may replace. */
  #isOwn(parent: string, name: string): boolean {
    const directory = fs.realpathSync(this.directory)
    if (parent === directory) return /^(contents$|reserve$|lock($|\.)|journal($|\.))/.test(name)
    return `${parent}/`.startsWith(`${directory}/contents/`)
  }

  // In the background.

  /** After the start: what was found is verified, then indexed, and what crashes left is removed. */
  async #settle(found: FoundContents): Promise<void> {
    const work = async (): Promise<void> => {
      for (const path of found.leftovers)
        await this.#attempt(`remove ${path}`, () => fs.promises.rm(path, { recursive: true, force: true }))
      await this.#attempt('clear away what outputs left', () => this.#asides.clear())
      for (const content of found.contents) {
        if (this.#isClosed) return
        if (content.stamp !== undefined || content.isRemoved || !this.#isReadable(content)) continue
        await this.#attempt(`recover ${content.id}`, () => content.recovered())
        this.#room.recount(content)
      }
      await this.#attempt('keep to the quota', () => this.#room.shrink())
    }
    this.#index.build(
      found.contents,
      (content) => this.#isReadable(content),
      () => this.#isClosed,
    )
    await this.#attempt('look through what was found', work)
  }

  /** Whether a content's manifest can be read; what goes wrong is reported, for nobody asked for it. */
  #isReadable(content: Content): boolean {
    try {
      return this.#readable(content) !== undefined
    } catch (error) {
      this.#report({ type: 'failed', doing: `read the manifest of ${content.id}`, error })
      return false
    }
  }

  async #attempt(doing: string, work: () => Promise<unknown> | void): Promise<void> {
    try {
      await work()
    } catch (error) {
      if (!this.#isClosed) this.#report({ type: 'failed', doing, error })
    }
  }

  #inBackground(doing: string, work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#report({ type: 'failed', doing, error }))
  }

  #snapshot(): JournalRecord[] {
    const records = this.#asides.records()
    for (const record of this.#unreadable.values()) if (record !== undefined) records.push({ t: 'content', ...record })
    for (const content of this.#table.values()) records.push({ t: 'content', ...content.toRecord() })
    return records
  }

  async #close(): Promise<void> {
    this.#isClosed = true
    await this.settled()
    await Promise.allSettled([...this.#creating.values(), ...this.#removing.values()])
    const partial: Record<string, FileStamp> = {}
    for (const content of this.#table.values()) {
      await this.#attempt(`save ${content.id}`, async () => {
        if (this.#isLockLost) return
        if (content.usedAt !== this.#usesRecordedAt.get(content)) await this.record(content, false)
        const stamp = await content.settle()
        if (stamp !== undefined) partial[content.id] = stamp
      })
      await content.detach()
    }
    try {
      if (!this.#isLockLost) await this.#journal.append({ t: 'clean', partial }, true)
    } finally {
      await this.#journal.close()
      this.#lock.release()
    }
  }
}
