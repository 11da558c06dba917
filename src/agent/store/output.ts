/**
 * Writes a complete content to a path outside of the store. Under the final name there is, at every moment, what was there
 * before or the whole new thing: it is made aside as `.NAME.polycast-XXXXXXXX` in the same directory, synced, renamed, and
 * the directory synced. Directories: output-tree.ts.
 *
 * A file is made by sharing its blocks (reflink) where the file system can; else by a hard link if the caller allows it, for
 * a program that edits a linked file in place edits the store; else by a copy that stays in the kernel.
 *
 * The parent directory is opened once and everything happens relative to it (through /proc/self/fd), after a look at where it
 * really is: a symbolic link in the path leads nowhere outside of `roots`, neither before nor during the output. The last
 * name itself is never followed: a symbolic link there is replaced.
 */
import * as fs from 'node:fs'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { fail, fromErrno } from '../errors.ts'
import { closeFile, errnoName, openFile, randomName, syncDirectory, syncFile } from './files.ts'
import { removeTree, writeTree } from './output-tree.ts'

/** How a content is to be written out. */
export interface OutputOptions {
  /** Permission bits of the file, or of the top directory; 0o644 and 0o755 unless given. */
  mode?: number
  /** Replaces what is there: a file by a file; anything by a directory, whole. */
  overwrite?: boolean
  /** Lets the output share its inode with the store's file where blocks cannot be shared. */
  allowHardLink?: boolean
  /** Directories below one of which the destination must really lie; anywhere when not given. */
  roots?: readonly string[]
}

/** How the bytes came to the destination; a directory's always by copy. */
export type OutputMethod = 'reflink' | 'link' | 'copy'

/** The complete content to write. */
export interface OutputSource {
  readonly id: string
  /** The file with its bytes. */
  readonly path: string
  readonly totalBytes: number
  /** Length of the encoded tree that it begins with; 0 for a file. */
  readonly treeBytes: number
  readBytes(offset: number, length: number): Promise<Uint8Array>
}

/** Whether a name in a directory (its real path) is one that outputs must not touch. */
export type IsReserved = (realParent: string, name: string) => boolean

/** Remembers what lies aside of a destination, so that the next start removes what a crash left. */
export interface AsideLog {
  begin(path: string): Promise<void>
  end(path: string): Promise<void>
}

/** The names that are made aside; `old-` for a directory that is being replaced. */
export const ASIDE_NAME: RegExp = /^\..*\.polycast-(old-)?[0-9a-f]{8}$/

const O_PATH = 0o10000000
const MAX_ASIDE_STEM_BYTES = 200

/** Writes `source` to `dest`, an absolute path or one relative to the working directory. Rejects with a PolycastError. */
export async function writeOutput(
  source: OutputSource,
  dest: string,
  options: OutputOptions,
  asides: AsideLog,
  isReserved: IsReserved,
): Promise<{ method: OutputMethod }> {
  const path = resolve(dest)
  const name = basename(path)
  if (name === '') throw fail('dest-exists-as-directory', { path })
  try {
    const parent = await openParent(path)
    try {
      await checkRoots(path, parent.real, options.roots)
      if (isReserved(parent.real, name)) throw fail('dest-not-writable', { path, reason: 'it belongs to the store of this agent' })
      return await new Output(source, path, parent.path, name, options, asides).run()
    } finally {
      await parent.close()
    }
  } catch (error) {
    throw fromErrno(error, { doing: 'write-dest', path })
  }
}

/** One output on its way. */
class Output {
  readonly #source: OutputSource
  readonly #path: string
  readonly #parent: string
  readonly #name: string
  readonly #options: OutputOptions
  readonly #asides: AsideLog

  /** `path` is the destination as it was given; `parent` stands for its directory, `name` is its last part. */
  constructor(source: OutputSource, path: string, parent: string, name: string, options: OutputOptions, asides: AsideLog) {
    this.#source = source
    this.#path = path
    this.#parent = parent
    this.#name = name
    this.#options = options
    this.#asides = asides
  }

  async run(): Promise<{ method: OutputMethod }> {
    await this.#checkDestination()
    const isTree = this.#source.treeBytes > 0
    const method = await this.#withAside(async (aside) => {
      const made = isTree ? await this.#makeTree(aside) : await this.#makeFile(aside)
      await (isTree ? this.#placeTree(aside) : this.#placeFile(aside))
      return made
    })
    await this.#syncParent()
    return { method }
  }

  /** Says early what the rename would say late. */
  async #checkDestination(): Promise<void> {
    const stat = await lstatOrNothing(join(this.#parent, this.#name))
    if (stat === undefined) return
    if (stat.isDirectory() && this.#source.treeBytes === 0) throw fail('dest-exists-as-directory', { path: this.#path })
    if (this.#options.overwrite !== true) throw fail('dest-exists', { path: this.#path })
  }

  /** Runs `work` with a new name aside of the destination; nothing has that name afterwards. */
  async #withAside<T>(work: (aside: string) => Promise<T>): Promise<T> {
    const { aside, logged } = this.#nameAside('')
    await this.#asides.begin(logged)
    try {
      return await work(aside)
    } finally {
      if (await removeTree(aside)) await this.#asides.end(logged)
    }
  }

  /** A new name in the destination's directory: to work with, and as it is remembered. */
  #nameAside(kind: '' | 'old-'): { aside: string; logged: string } {
    const name = `.${shorten(this.#name)}.polycast-${kind}${randomName()}`
    return { aside: join(this.#parent, name), logged: join(dirname(this.#path), name) }
  }

  async #makeFile(aside: string): Promise<OutputMethod> {
    const method = await this.#copyFile(aside)
    const fd = await openFile(aside, fs.constants.O_RDWR | fs.constants.O_NOFOLLOW)
    try {
      fs.fchmodSync(fd, this.#options.mode ?? 0o644)
      await syncFile(fd)
    } finally {
      await closeFile(fd)
    }
    return method
  }

  async #copyFile(aside: string): Promise<OutputMethod> {
    const { COPYFILE_EXCL, COPYFILE_FICLONE_FORCE } = fs.constants
    const { path } = this.#source
    try {
      await fs.promises.copyFile(path, aside, COPYFILE_EXCL | COPYFILE_FICLONE_FORCE)
      return 'reflink'
    } catch {
      // Another file system, or one without reflinks: many errnos say so. What else may be wrong, the copy meets as well.
    }
    if (this.#options.allowHardLink === true) {
      try {
        await fs.promises.link(path, aside)
        return 'link'
      } catch {
        // Another file system, or one without hard links: as above.
      }
    }
    await fs.promises.copyFile(path, aside, COPYFILE_EXCL)
    return 'copy'
  }

  async #makeTree(aside: string): Promise<OutputMethod> {
    await writeTree(this.#source, aside, this.#options.mode ?? 0o755)
    return 'copy'
  }

  async #placeFile(aside: string): Promise<void> {
    const final = join(this.#parent, this.#name)
    if (this.#options.overwrite === true) return fs.promises.rename(aside, final)
    try {
      await fs.promises.link(aside, final) // unlike rename, fails when somebody made the name meanwhile
    } catch (error) {
      if (errnoName(error) === 'EEXIST') throw fail('dest-exists', { path: this.#path }, error)
      await fs.promises.rename(aside, final) // a file system without hard links
    }
  }

  /** Renames a directory to its final name; what has the name gives way for that moment, and comes back if it fails. */
  async #placeTree(aside: string): Promise<void> {
    const final = join(this.#parent, this.#name)
    if ((await lstatOrNothing(final)) === undefined) return fs.promises.rename(aside, final)
    if (this.#options.overwrite !== true) throw fail('dest-exists', { path: this.#path })
    const { aside: old, logged } = this.#nameAside('old-')
    await this.#asides.begin(logged)
    await fs.promises.rename(final, old)
    try {
      await fs.promises.rename(aside, final)
    } catch (error) {
      await fs.promises.rename(old, final) // if this fails too, the next start does it
      await this.#asides.end(logged)
      throw error
    }
    await this.#syncParent()
    if (await removeTree(old)) await this.#asides.end(logged)
  }

  async #syncParent(): Promise<void> {
    try {
      await syncDirectory(join(this.#parent, '.'))
    } catch (error) {
      // A directory that may be written to but not listed cannot be opened for this; the output is there all the same.
      if (errnoName(error) !== 'EACCES') throw error
    }
  }
}

/** Removes what a crash left at `path`, a logged aside; a directory that was being replaced comes back if its name is free. */
export async function clearAside(path: string): Promise<boolean> {
  const match = ASIDE_NAME.exec(basename(path))
  if (match === null) return true // not a name of ours: never touched
  if (match[1] !== 'old-' || (await lstatOrNothing(path)) === undefined) return removeTree(path)
  const name = basename(path).slice(1, -'.polycast-old-01234567'.length)
  if (Buffer.byteLength(name) >= MAX_ASIDE_STEM_BYTES - 3) return false // shortened perhaps: whose name it is, a person has to say
  const final = join(dirname(path), name)
  if ((await lstatOrNothing(final)) !== undefined) return removeTree(path)
  await fs.promises.rename(path, final)
  return true
}

interface Parent {
  /** To be used in paths: stays the same directory whatever is renamed meanwhile. */
  readonly path: string
  /** Where the directory really is. */
  readonly real: string
  close(): Promise<void>
}

/** The directory of `path`, opened. */
async function openParent(path: string): Promise<Parent> {
  const directory = dirname(path)
  if (!fs.existsSync('/proc/self/fd')) {
    const real = await fs.promises.realpath(directory)
    return { path: real, real, close: () => Promise.resolve() }
  }
  const fd = await openFile(directory, O_PATH | fs.constants.O_DIRECTORY)
  try {
    const anchored = `/proc/self/fd/${fd}`
    return { path: anchored, real: await fs.promises.readlink(anchored), close: () => closeFile(fd) }
  } catch (error) {
    await closeFile(fd)
    throw error
  }
}

async function checkRoots(path: string, real: string, roots: readonly string[] | undefined): Promise<void> {
  if (roots === undefined) return
  for (const root of roots) {
    const realRoot = await fs.promises.realpath(root).catch(() => undefined) // a root that isn't there holds nothing
    if (realRoot !== undefined && (real === realRoot || real.startsWith(realRoot.endsWith(sep) ? realRoot : realRoot + sep))) return
  }
  throw fail('dest-outside-root', { path, roots: roots.join(', ') })
}

async function lstatOrNothing(path: string): Promise<fs.Stats | undefined> {
  try {
    return await fs.promises.lstat(path)
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return undefined
    throw error
  }
}

/** The beginning of a name that leaves room for what marks it as ours: a name may have 255 bytes. */
function shorten(name: string): string {
  let stem = name
  while (Buffer.byteLength(stem) > MAX_ASIDE_STEM_BYTES) stem = stem.slice(0, -1)
  return stem
}
