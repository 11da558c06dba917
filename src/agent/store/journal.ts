/**
 * The journal of a store: which contents are complete, pinned, when they were used, and what was being written outside.
 * Not the bytes and not the manifests, which lie in each content's own directory and prove themselves by their hashes: a
 * store whose journal is lost finds its contents again, verifies them, and has forgotten the pins.
 *
 *   file    record*            (records.ts)
 *   record  JSON, one of `JournalRecord`; the first is `store`; `content` replaces all that was said of that content before
 *
 * At the start the journal is replayed and written anew, aside and renamed; the same happens when it has grown to a
 * multiple of what it says. Appends that wait for each other go out as one write and, if one of them wants it, one fsync.
 * Writes go to an explicit position: one that failed in the middle (disk full) is overwritten by the next.
 */
import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { fail, fromErrno } from '../errors.ts'
import { closeFile, errnoName, openFile, randomName, syncDirectory, syncFile, writeFully } from './files.ts'
import { decodeRecords, encodeRecord } from './records.ts'

/** Identifies the bytes of a data file without reading them: whoever writes to it, changes one of both. */
export interface FileStamp {
  readonly bytes: number
  /** Nanoseconds since 1970, decimal: too large for a number. */
  readonly mtimeNs: string
}

/** All that the journal says of one content. */
export interface ContentRecord {
  /** The swarm id in hex, also the name of the content's directory. */
  readonly id: string
  readonly contentId?: string | undefined
  readonly name: string
  readonly mediaType: string
  readonly totalBytes?: number | undefined
  readonly chunkCount: number
  /** Milliseconds since 1970, as is `usedAt`. */
  readonly createdAt: number
  readonly usedAt: number
  readonly isPinned: boolean
  /** There when all chunks were verified, written and synced; then the data file's stamp. */
  readonly complete?: FileStamp | undefined
}

/** One record of the journal. */
export type JournalRecord =
  | { readonly t: 'store'; readonly version: number } // the format; always the first
  | ({ readonly t: 'content' } & ContentRecord) // a content as it is from now on
  | { readonly t: 'removed'; readonly id: string } // the content is gone
  | { readonly t: 'aside'; readonly path: string } // a file or tree aside of an output's destination, to be cleared away
  | { readonly t: 'aside-done'; readonly path: string } // it was renamed or removed
  | { readonly t: 'clean'; readonly partial: Readonly<Record<string, FileStamp>> } // closed in order; stamps of partial contents

/** What a journal said when it was replayed. */
export interface JournalState {
  readonly contents: Map<string, ContentRecord>
  readonly asides: Set<string>
  /** The stamps of partial contents, when the store was closed in order; undefined after a crash. */
  readonly clean: ReadonlyMap<string, FileStamp> | undefined
  /** Bytes of good records, and bytes after them that were none. */
  readonly validBytes: number
  readonly lostBytes: number
}

/** The version of everything below the data directory. */
export const STORE_VERSION = 1

const REWRITE_BYTES = 4 * 1024 * 1024
const REWRITE_FACTOR = 4

/** Replays the journal at `path`; one that isn't there is empty. Throws `data-dir-unusable` for one of a later version. */
export function readJournal(path: string): JournalState {
  const contents = new Map<string, ContentRecord>()
  const asides = new Set<string>()
  let clean: ReadonlyMap<string, FileStamp> | undefined
  const file = readIfThere(path)
  const { bodies, validBytes } = decodeRecords(file)
  for (const body of bodies) {
    const record = parseRecord(body)
    if (record === undefined) continue
    clean = undefined
    switch (record.t) {
      case 'store':
        if (record.version > STORE_VERSION) {
          throw fail('data-dir-unusable', {
            path: dirname(path),
            reason: `it was written by a later version of Polycast (format ${record.version})`,
          })
        }
        break
      case 'content':
        contents.set(record.id, record)
        break
      case 'removed':
        contents.delete(record.id)
        break
      case 'aside':
        asides.add(record.path)
        break
      case 'aside-done':
        asides.delete(record.path)
        break
      case 'clean':
        clean = new Map(Object.entries(record.partial))
        break
    }
  }
  return { contents, asides, clean: validBytes === file.length ? clean : undefined, validBytes, lostBytes: file.length - validBytes }
}

interface Append {
  readonly bytes: Uint8Array
  readonly isDurable: boolean
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

/** The journal of an open store. */
export class Journal {
  readonly #path: string
  readonly #snapshot: () => JournalRecord[]
  #fd = -1
  #bytes = 0
  #rewriteAtBytes = 0
  #mustRewrite = false
  #queue: Append[] = []
  #pumping: Promise<void> | undefined

  /** `snapshot` gives records that say all that is true now; they replace everything that was appended. */
  constructor(path: string, snapshot: () => JournalRecord[]) {
    this.#path = path
    this.#snapshot = snapshot
  }

  /**
   * Writes the journal anew from the snapshot and opens it. On a full disk the old one is gone on with, cut to its
   * `validBytes`: a node must come up on a full disk, or nobody could free space through it.
   */
  async start(validBytes: number): Promise<void> {
    try {
      await this.#rewrite()
    } catch (error) {
      const named = fromErrno(error, { doing: 'data-dir', path: this.#path })
      if (named.code !== 'no-space' || validBytes === 0) throw named
      this.#fd = await openFile(this.#path, 'r+')
      fs.ftruncateSync(this.#fd, validBytes)
      this.#bytes = validBytes
      this.#rewriteAtBytes = 2 * validBytes
    }
  }

  /** Adds a record; with `isDurable` it has reached the disk when the promise resolves. Rejects with a PolycastError. */
  append(record: JournalRecord, isDurable: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ bytes: encodeRecord(Buffer.from(JSON.stringify(record))), isDurable, resolve, reject })
      this.#pumping ??= this.#pump()
    })
  }

  /** Waits for what was appended and closes the file. */
  async close(): Promise<void> {
    await this.#pumping
    if (this.#fd >= 0) await closeFile(this.#fd)
    this.#fd = -1
  }

  async #pump(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, 512)
      try {
        await this.#write(batch)
        for (const append of batch) append.resolve()
      } catch (error) {
        const named = fromErrno(error, { doing: 'data-dir', path: this.#path })
        for (const append of batch) append.reject(named)
      }
    }
    this.#pumping = undefined
  }

  async #write(batch: readonly Append[]): Promise<void> {
    if (this.#mustRewrite) {
      await this.#rewrite()
    } else if (this.#bytes > this.#rewriteAtBytes) {
      this.#rewriteAtBytes *= 2 // where there is no space for a second journal, this one goes on and tries later
      await this.#rewrite().catch(throwUnlessFull)
    }
    await writeFully(
      this.#fd,
      batch.map((append) => append.bytes),
      this.#bytes,
    )
    for (const append of batch) this.#bytes += append.bytes.length
    if (!batch.some((append) => append.isDurable)) return
    try {
      await syncFile(this.#fd)
    } catch (error) {
      // After a failed fsync nobody knows what of the file is on the disk, and a second fsync may say that all is well.
      this.#mustRewrite = true
      throw error
    }
  }

  async #rewrite(): Promise<void> {
    const records: JournalRecord[] = [{ t: 'store', version: STORE_VERSION }, ...this.#snapshot()]
    const bytes = Buffer.concat(records.map((record) => encodeRecord(Buffer.from(JSON.stringify(record)))))
    const aside = `${this.#path}.new-${randomName()}`
    let fd = -1
    try {
      fd = await openFile(aside, 'wx+')
      await writeFully(fd, [bytes], 0)
      await syncFile(fd)
      await fs.promises.rename(aside, this.#path)
    } catch (error) {
      if (fd >= 0) await closeFile(fd)
      await fs.promises.rm(aside, { force: true })
      throw error
    }
    if (this.#fd >= 0) await closeFile(this.#fd)
    this.#fd = fd
    this.#bytes = bytes.length
    this.#rewriteAtBytes = Math.max(REWRITE_BYTES, REWRITE_FACTOR * bytes.length)
    this.#mustRewrite = true
    await syncDirectory(dirname(this.#path))
    this.#mustRewrite = false
  }
}

function throwUnlessFull(error: unknown): void {
  if (errnoName(error) !== 'ENOSPC' && errnoName(error) !== 'EDQUOT') throw error
}

function readIfThere(path: string): Buffer {
  try {
    return fs.readFileSync(path)
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return Buffer.alloc(0)
    throw fromErrno(error, { doing: 'data-dir', path })
  }
}

/** The record of a body, or undefined for one that this version doesn't know: it is passed over. */
function parseRecord(body: Uint8Array): JournalRecord | undefined {
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.length).toString('utf8'))
  } catch {
    return undefined // a good checksum around something else: not written by a store
  }
  if (!isRecord(value)) return undefined
  switch (value['t']) {
    case 'store':
      return typeof value['version'] === 'number' ? { t: 'store', version: value['version'] } : undefined
    case 'content': {
      const content = parseContent(value)
      return content === undefined ? undefined : { t: 'content', ...content }
    }
    case 'removed':
      return typeof value['id'] === 'string' ? { t: 'removed', id: value['id'] } : undefined
    case 'aside':
    case 'aside-done':
      return typeof value['path'] === 'string' ? { t: value['t'], path: value['path'] } : undefined
    case 'clean': {
      if (!isRecord(value['partial'])) return undefined
      const partial: Record<string, FileStamp> = {}
      for (const [id, stamp] of Object.entries(value['partial'])) {
        const parsed = parseStamp(stamp)
        if (parsed !== undefined) partial[id] = parsed
      }
      return { t: 'clean', partial }
    }
    default:
      return undefined
  }
}

function parseContent(value: Record<string, unknown>): ContentRecord | undefined {
  const { id, contentId, name, mediaType, totalBytes, chunkCount, createdAt, usedAt, isPinned } = value
  if (typeof id !== 'string' || typeof name !== 'string' || typeof mediaType !== 'string' || !isCount(chunkCount)) return undefined
  if (!isCount(createdAt) || !isCount(usedAt) || typeof isPinned !== 'boolean') return undefined
  return {
    id,
    contentId: typeof contentId === 'string' ? contentId : undefined,
    name,
    mediaType,
    totalBytes: isCount(totalBytes) ? totalBytes : undefined,
    chunkCount,
    createdAt,
    usedAt,
    isPinned,
    complete: parseStamp(value['complete']),
  }
}

function parseStamp(value: unknown): FileStamp | undefined {
  if (!isRecord(value) || !isCount(value['bytes']) || typeof value['mtimeNs'] !== 'string') return undefined
  return { bytes: value['bytes'], mtimeNs: value['mtimeNs'] }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
