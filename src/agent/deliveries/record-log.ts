/**
 * An append-only file of JSON records, as the catalog keeps it.
 *
 * It knows nothing of what the records mean. Grammar, the same idea as the store's journal:
 *
 *     log    = record*
 *     record = u32 length of body (big endian) | u32 CRC-32 of body | body (JSON, UTF-8)
 *
 * Replay stops at the first record that is cut short or whose checksum is wrong and truncates the file there: what a crash
 * left half-written was never acknowledged. Appends that come while a write runs go out together in the next one, and so
 * do syncs. A write that fails (disk full) is taken back by truncation, so that the next one doesn't follow a torn record.
 */
import { open, rename } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { fromErrno } from '../errors.ts'

const HEADER_BYTES = 8
/** A record longer than this is a bug when written and damage when read. */
const MAX_RECORD_BYTES = 16 * 1024 * 1024

interface Waiter {
  resolve: () => void
  reject: (error: unknown) => void
}

/** The log of one file, opened by `RecordLog.open`. */
export class RecordLog {
  readonly #path: string
  #file: FileHandle
  #bytes: number
  #queue: Buffer[] = []
  #writeWaiters: Waiter[] = []
  #syncWaiters: Waiter[] = []
  #running: Promise<void> | undefined
  #broken: unknown
  #isClosed = false

  private constructor(path: string, file: FileHandle, bytes: number) {
    this.#path = path
    this.#file = file
    this.#bytes = bytes
  }

  /** Opens or creates the log, hands over each record in order, and cuts off a torn tail. Errors: data-dir-unusable, no-space. */
  static async open(path: string, onRecord: (record: unknown) => void): Promise<RecordLog> {
    try {
      const file = await open(path, 'a+', 0o600)
      const content = await file.readFile()
      const goodBytes = replay(content, onRecord)
      if (goodBytes < content.length) {
        await file.truncate(goodBytes)
        await file.sync()
      }
      return new RecordLog(path, file, goodBytes)
    } catch (error) {
      throw fromErrno(error, { doing: 'data-dir', path })
    }
  }

  /** Length of the file, what is queued not counted. */
  get bytes(): number {
    return this.#bytes
  }

  /** Resolves once the record is with the operating system: it then survives the end of the process, but not yet of the machine. */
  append(record: unknown): Promise<void> {
    const frame = encodeRecord(record)
    return new Promise((resolve, reject) => {
      if (this.#refuses(reject)) return
      this.#queue.push(frame)
      this.#writeWaiters.push({ resolve, reject })
      this.#run()
    })
  }

  /** Resolves once everything appended so far is on the disk. */
  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      if (this.#refuses(reject)) return
      this.#syncWaiters.push({ resolve, reject })
      this.#run()
    })
  }

  /** Replaces all records: written aside, synced, renamed. Not to be called while appends are under way. */
  async rewrite(records: Iterable<unknown>): Promise<void> {
    const aside = `${this.#path}.new`
    try {
      const file = await open(aside, 'w', 0o600)
      let bytes = 0
      try {
        for (const record of records) {
          const frame = encodeRecord(record)
          await file.appendFile(frame)
          bytes += frame.length
        }
        await file.sync()
      } finally {
        await file.close()
      }
      await rename(aside, this.#path)
      await syncDirectory(dirname(this.#path))
      const reopened = await open(this.#path, 'a+', 0o600)
      await this.#file.close()
      this.#file = reopened
      this.#bytes = bytes
    } catch (error) {
      throw fromErrno(error, { doing: 'data-dir', path: this.#path })
    }
  }

  /** Writes and syncs what is queued, then closes the file. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    while (this.#running !== undefined) await this.#running
    if (this.#broken === undefined) await this.#file.sync()
    await this.#file.close()
  }

  #refuses(reject: (error: unknown) => void): boolean {
    if (this.#broken !== undefined) {
      reject(this.#broken)
      return true
    }
    if (this.#isClosed) {
      reject(new Error(`the log ${this.#path} is closed`))
      return true
    }
    return false
  }

  #run(): void {
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined
      // What came between the end of the work and now.
      if (this.#queue.length > 0 || this.#syncWaiters.length > 0) this.#run()
    })
  }

  async #work(): Promise<void> {
    while (this.#queue.length > 0 || this.#syncWaiters.length > 0) {
      const frames = this.#queue.splice(0)
      const written = this.#writeWaiters.splice(0)
      const synced = this.#syncWaiters.splice(0)
      try {
        if (frames.length > 0) await this.#write(Buffer.concat(frames))
        for (const waiter of written) waiter.resolve()
        written.length = 0
        if (synced.length > 0) await this.#file.datasync()
        for (const waiter of synced) waiter.resolve()
      } catch (error) {
        const named = fromErrno(error, { doing: 'data-dir', path: this.#path })
        for (const waiter of [...written, ...synced]) waiter.reject(named)
      }
    }
  }

  async #write(bytes: Buffer): Promise<void> {
    try {
      await this.#file.appendFile(bytes)
      this.#bytes += bytes.length
    } catch (error) {
      try {
        await this.#file.truncate(this.#bytes)
      } catch (truncateError) {
        // The tail may be torn and can't be mended: anything written after it would be lost at the next replay.
        this.#broken = fromErrno(truncateError, { doing: 'data-dir', path: this.#path })
      }
      throw error
    }
  }
}

function encodeRecord(record: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(record), 'utf8')
  if (body.length > MAX_RECORD_BYTES) throw new RangeError(`a record of ${body.length} bytes is too long for a log`)
  const frame = Buffer.allocUnsafe(HEADER_BYTES + body.length)
  frame.writeUInt32BE(body.length, 0)
  frame.writeUInt32BE(crc32(body), 4)
  body.copy(frame, HEADER_BYTES)
  return frame
}

/** Number of leading bytes that are whole, sound records. */
function replay(content: Buffer, onRecord: (record: unknown) => void): number {
  let offset = 0
  while (offset + HEADER_BYTES <= content.length) {
    const bodyBytes = content.readUInt32BE(offset)
    const end = offset + HEADER_BYTES + bodyBytes
    if (bodyBytes > MAX_RECORD_BYTES || end > content.length) break
    const body = content.subarray(offset + HEADER_BYTES, end)
    if (crc32(body) !== content.readUInt32BE(offset + 4)) break
    onRecord(JSON.parse(body.toString('utf8')))
    offset = end
  }
  return offset
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
