/**
 * The side file `have`: which chunks of a partial content are written. It is a claim, made after the write returned, and
 * checked by hash when the store wasn't closed in order.
 *
 *   record  (first varint · count varint)*      ranges of chunks, in addition to all records before
 *
 * Ranges are gathered for at most `BATCH_MS` or `BATCH_BYTES` of chunks, and longer where that was little: so much is fetched again after a kill -9.
 */
import { Bitfield } from '../../core/lib/bitfield.ts'
import { Reader } from '../../core/wire/reader.ts'
import { Writer } from '../../core/wire/writer.ts'
import { readSideFile, SideFile } from './side-file.ts'

const BATCH_MS = 100
const BATCH_BYTES = 8 * 1024 * 1024
/** After a batch of less than this, the next one is gathered for longer, ms. */
const SMALL_BATCH_BYTES = 128 * 1024
const SMALL_BATCH_MS = 1000

/** Which chunks a `have` file claims, below `chunkCount`. Throws errno errors. */
export function readHave(path: string, chunkCount: number): { claims: Bitfield; validBytes: number } {
  const { bodies, validBytes } = readSideFile(path)
  const claims = new Bitfield(chunkCount)
  for (const body of bodies) {
    const reader = new Reader(body)
    while (reader.remaining > 0) {
      const first = reader.varint()
      const count = Math.min(reader.varint(), chunkCount - first)
      if (!reader.failed && count > 0) claims.setRange(first, count)
    }
  }
  return { claims, validBytes }
}

/** The writing side of a `have` file. */
export class HaveFile {
  readonly #file: SideFile
  readonly #onFailed: (error: unknown) => void
  #ranges: [first: number, count: number][] = []
  #rangesBytes = 0
  #batchMs = BATCH_MS
  #timer: NodeJS.Timeout | undefined

  /** `onFailed` is told when a batch could not be written: its ranges are kept for the next one. */
  constructor(path: string, validBytes: number, onFailed: (error: unknown) => void) {
    this.#file = new SideFile(path, validBytes)
    this.#onFailed = onFailed
  }

  /** Notes that chunks, `bytes` long together, are in the data file. */
  note(first: number, count: number, bytes: number): void {
    const last = this.#ranges.at(-1)
    if (last !== undefined && last[0] + last[1] === first) last[1] += count
    else this.#ranges.push([first, count])
    this.#rangesBytes += bytes
    if (this.#rangesBytes >= BATCH_BYTES) this.#flushInBackground()
    else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => this.#flushInBackground(), this.#batchMs)
      this.#timer.unref()
    }
  }

  /** Writes what was noted. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const ranges = this.#ranges
    this.#batchMs = this.#rangesBytes < SMALL_BATCH_BYTES ? SMALL_BATCH_MS : BATCH_MS
    this.#ranges = []
    this.#rangesBytes = 0
    if (ranges.length === 0) return this.#file.append([])
    try {
      await this.#file.append([encodeRanges(ranges)])
    } catch (error) {
      this.#ranges = [...ranges, ...this.#ranges] // to be tried with the next batch, not at once
      throw error
    }
  }

  /** Makes `have` all that the file claims, durably. */
  async replace(have: Bitfield): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#ranges = []
    this.#rangesBytes = 0
    const ranges = have.ranges()
    await this.#file.replace(ranges.length === 0 ? [] : [encodeRanges(ranges)])
  }

  /** Forces what was flushed to the disk. */
  sync(): Promise<void> {
    return this.#file.sync()
  }

  /** Forgets what was noted and writes no more. */
  async shut(): Promise<void> {
    clearTimeout(this.#timer)
    this.#ranges = []
    await this.#file.shut()
  }

  #flushInBackground(): void {
    this.flush().catch(this.#onFailed)
  }
}

function encodeRanges(ranges: [number, number][]): Uint8Array {
  ranges.sort((a, b) => a[0] - b[0])
  const writer = new Writer(8 * ranges.length)
  let [first, count] = ranges[0] as [number, number]
  for (const [nextFirst, nextCount] of ranges) {
    if (nextFirst <= first + count) {
      count = Math.max(count, nextFirst + nextCount - first)
      continue
    }
    writer.varint(first)
    writer.varint(count)
    first = nextFirst
    count = nextCount
  }
  writer.varint(first)
  writer.varint(count)
  return writer.finish()
}
