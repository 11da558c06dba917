/**
 * The file in which is noted who was there and how far the clocks were, line by line as Serf's agents do, so that a node that was killed finds
 * the cluster again without any address to join. Lines are appended as things happen; when the file has grown beyond what it says, it is
 * written anew. A line that was cut off by a crash is left out when it is read.
 */
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Below this the file is never written anew, bytes. */
const MIN_COMPACT_BYTES = 128 * 1024
/** How much longer than what it says it may be. */
const COMPACT_FACTOR = 2
/** The longest file that is read, bytes: beyond, it is no snapshot. */
const MAX_FILE_BYTES = 64 * 1024 * 1024

export class SnapshotFile {
  readonly #path: string
  readonly #onError: (error: Error) => void
  #descriptor: number | undefined
  #bytes = 0
  #compactBytes = MIN_COMPACT_BYTES

  constructor(path: string, onError: (error: Error) => void) {
    this.#path = path
    this.#onError = onError
  }

  /** The lines that are there; none where there is no file, or it cannot be read. */
  read(): string[] {
    try {
      const text = readFileSync(this.#path, 'utf8')
      if (text.length > MAX_FILE_BYTES) throw new Error(`it has ${text.length} bytes`)
      return text.split('\n').slice(0, -1)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#onError(error as Error)
      return []
    }
  }

  /** Appends a line; `all` gives what the whole file is to say when it is written anew. */
  append(line: string, all: () => readonly string[]): void {
    try {
      if (this.#descriptor === undefined || this.#bytes > this.#compactBytes) return this.rewrite(all())
      this.#bytes += writeSync(this.#descriptor, `${line}\n`)
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  /** Writes the file anew, aside, and puts it in place at once. */
  rewrite(lines: readonly string[]): void {
    const aside = `${this.#path}.new`
    try {
      this.close()
      mkdirSync(dirname(this.#path), { recursive: true })
      const text = lines.map((line) => `${line}\n`).join('')
      writeFileSync(aside, text, { flush: true })
      renameSync(aside, this.#path)
      this.#descriptor = openSync(this.#path, 'a')
      this.#bytes = Buffer.byteLength(text)
      this.#compactBytes = Math.max(MIN_COMPACT_BYTES, COMPACT_FACTOR * this.#bytes)
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  close(): void {
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }

  /** Gossip goes on without its snapshot; the next line tries anew. */
  #failed(error: Error): void {
    this.#onError(error)
    if (this.#descriptor !== undefined) closeSync(this.#descriptor)
    this.#descriptor = undefined
  }
}

/** The number of this start: one more than the last that the file knows. A file that is gone or broken is made good for by the clock. */
export function nextGeneration(path: string, wallClockMs: number): number {
  let last = 0
  try {
    last = Number(readFileSync(path, 'utf8'))
  } catch {
    // The first start; or a disk that lost it, for which the clock stands in.
  }
  const generation = Math.max(Number.isSafeInteger(last) && last > 0 ? last + 1 : 0, Math.floor(wallClockMs))
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(`${path}.new`, String(generation), { flush: true })
  renameSync(`${path}.new`, path)
  return generation
}
