/**
 * A side file of one content: records that are appended as something becomes known, or replaced whole. What the records
 * mean is for manifest-file.ts and have-file.ts.
 *
 * One operation at a time; appends that wait for it go out as one write. The file is opened for each write and closed
 * again: there are at most a few a second, and thousands of contents may have been begun. Writes go behind the last good
 * record, so that what an interrupted or failed one left is overwritten.
 */
import * as fs from 'node:fs'
import { fromErrno } from '../errors.ts'
import { closeFile, errnoName, openFile, replaceFile, syncFile, writeFully } from './files.ts'
import { decodeRecords, encodeRecord } from './records.ts'

const READ_WRITE_CREATE = fs.constants.O_RDWR | fs.constants.O_CREAT

/** The bodies of a side file's good records; none when the file isn't there. Cuts off what comes after them. Throws errno errors. */
export function readSideFile(path: string): { bodies: Uint8Array[]; validBytes: number } {
  let file: Buffer
  try {
    file = fs.readFileSync(path)
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return { bodies: [], validBytes: 0 }
    throw error
  }
  const records = decodeRecords(file)
  // Cut, so that a new record of the same length as a bad one cannot bring back what was behind it.
  if (records.validBytes < file.length) fs.truncateSync(path, records.validBytes)
  return records
}

/** The writing side; after `shut` nothing is written any more. */
export class SideFile {
  readonly #path: string
  #bytes: number
  #tail: Promise<void> = Promise.resolve()
  #waiting: { bodies: Uint8Array[]; promise: Promise<void> } | undefined
  #isShut = false

  /** `validBytes` is where the good records end: 0 for a new file. */
  constructor(path: string, validBytes: number) {
    this.#path = path
    this.#bytes = validBytes
  }

  /** Adds records in order; resolves when they are written (not synced), rejects with a PolycastError. */
  append(bodies: readonly Uint8Array[]): Promise<void> {
    if (bodies.length === 0) return this.#tail
    if (this.#waiting !== undefined) {
      this.#waiting.bodies.push(...bodies)
      return this.#waiting.promise
    }
    const batch = [...bodies]
    const promise = this.#enqueue(async () => {
      this.#waiting = undefined
      const fd = await openFile(this.#path, READ_WRITE_CREATE)
      try {
        const bytes = Buffer.concat(batch.map((body) => encodeRecord(body)))
        await writeFully(fd, [bytes], this.#bytes)
        this.#bytes += bytes.length
      } finally {
        await closeFile(fd)
      }
    })
    this.#waiting = { bodies: batch, promise }
    return promise
  }

  /** Replaces all records, durably. */
  replace(bodies: readonly Uint8Array[]): Promise<void> {
    this.#waiting = undefined
    return this.#enqueue(async () => {
      const bytes = Buffer.concat(bodies.map((body) => encodeRecord(body)))
      await replaceFile(this.#path, bytes)
      this.#bytes = bytes.length
    })
  }

  /** Forces what was appended to the disk. */
  sync(): Promise<void> {
    return this.#enqueue(async () => {
      const fd = await openFile(this.#path, READ_WRITE_CREATE)
      try {
        await syncFile(fd)
      } finally {
        await closeFile(fd)
      }
    })
  }

  /** Waits for what runs; what is asked for later does nothing, for the file may belong to another content by then. */
  async shut(): Promise<void> {
    this.#isShut = true
    await this.#tail
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#tail.then(async () => {
      if (this.#isShut) return
      try {
        await work()
      } catch (error) {
        throw fromErrno(error, { doing: 'data-dir', path: this.#path })
      }
    })
    this.#tail = done.catch(() => undefined) // the one who asked gets the error; the next in the row starts afresh
    return done
  }
}
