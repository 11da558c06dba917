/**
 * The data file of one content: a plain file with the content's bytes, holes where chunks are missing. Opened when it is
 * first used; of the files that nobody uses at the moment, the pool closes those that were used longest ago.
 */
import { closeFile, openFile, readFully, syncFile, writeFully } from './files.ts'

const MAX_IDLE_FILES = 64

/** Keeps the number of open files in bounds that does not grow with the number of contents. */
export class OpenFiles {
  readonly #idle: Set<DataFile> = new Set()

  /** @internal */
  markUsed(file: DataFile): void {
    this.#idle.delete(file)
  }

  /** @internal */
  markIdle(file: DataFile): void {
    this.#idle.add(file)
    if (this.#idle.size <= MAX_IDLE_FILES) return
    const [oldest] = this.#idle
    if (oldest !== undefined) oldest.closeIdle()
  }
}

/** Reads and writes one file by position; every method rejects with Node's errno errors. */
export class DataFile {
  readonly #path: string
  readonly #pool: OpenFiles
  #fd = -1
  #users = 0
  #opening: Promise<number> | undefined
  #closing: Promise<void> = Promise.resolve()
  #isShut = false
  #onUnused: (() => void) | undefined

  constructor(path: string, pool: OpenFiles) {
    this.#path = path
    this.#pool = pool
  }

  /** Fills `buffer` from `position` on; resolves with the bytes read, fewer only at the end of the file. */
  async read(buffer: Uint8Array, position: number): Promise<number> {
    const fd = this.#fd >= 0 ? this.#use() : await this.#open()
    try {
      return await readFully(fd, buffer, position)
    } finally {
      this.#release()
    }
  }

  /** Writes `buffers` one after the other from `position` on. */
  async write(buffers: readonly Uint8Array[], position: number): Promise<void> {
    const fd = this.#fd >= 0 ? this.#use() : await this.#open()
    try {
      await writeFully(fd, buffers, position)
    } finally {
      this.#release()
    }
  }

  /** Forces what was written to the disk. */
  async sync(): Promise<void> {
    const fd = await this.#open()
    try {
      await syncFile(fd)
    } finally {
      this.#release()
    }
  }

  /** Waits until nobody uses the file, closes it, and never opens it again: another one may have its name by then. */
  async shut(): Promise<void> {
    this.#isShut = true
    if (this.#users > 0) await new Promise<void>((resolve) => (this.#onUnused = resolve))
    this.closeIdle()
    await this.#closing
  }

  /** Closes a file that nobody uses. */
  closeIdle(): void {
    this.#pool.markUsed(this)
    if (this.#fd < 0 || this.#users > 0) return
    // An error of close(2) tells nothing that matters: what counts as stored was synced, which reports its own errors.
    this.#closing = closeFile(this.#fd).catch(() => undefined)
    this.#fd = -1
  }

  #use(): number {
    if (this.#isShut) throw shutError()
    if (this.#users++ === 0) this.#pool.markUsed(this)
    return this.#fd
  }

  async #open(): Promise<number> {
    if (this.#isShut) throw shutError()
    this.#users++
    this.#pool.markUsed(this)
    try {
      if (this.#fd < 0) {
        this.#opening ??= openFile(this.#path, 'r+')
        this.#fd = await this.#opening
      }
      return this.#fd
    } catch (error) {
      this.#release()
      throw error
    } finally {
      this.#opening = undefined
    }
  }

  #release(): void {
    if (--this.#users > 0) return
    this.#onUnused?.()
    if (this.#fd >= 0) this.#pool.markIdle(this)
  }
}

/** Who reaches this asked for a content that was removed at that moment. */
function shutError(): Error {
  return Object.assign(new Error('the file was removed'), { code: 'ENOENT' })
}
