/**
 * Makes the directory that a content holds, at a path that nobody else has, and removes such directories again. Not the
 * rename to the final name (output.ts).
 *
 * The tree was checked when it was decoded: no path leaves the directory or goes through one of its symbolic links. Those
 * are made last all the same, and files with O_EXCL, so that nothing is ever written through a link. Small files are cut from
 * one read of some megabytes and written a few at a time; large ones go through in pieces. Modes that would forbid the
 * writing are set at the end. Every file is synced, then every directory.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { decodeTree, treeFileBytes, type TreeEntry } from '../../core/content/tree.ts'
import { isWireError } from '../../core/wire/wire-error.ts'
import { fail } from '../errors.ts'
import { closeFile, errnoName, openFile, syncDirectory, syncFile, writeFully } from './files.ts'
import type { OutputSource } from './output.ts'

const PIECE_BYTES = 4 * 1024 * 1024
const PARALLEL_FILES = 16

/** One file of a tree and where its bytes begin in the content. */
interface PlacedFile {
  readonly entry: TreeEntry
  readonly offset: number
}

/** Makes directory `path`, which doesn't exist, with all that the content's tree lists; `mode` is the directory's own. */
export async function writeTree(source: OutputSource, path: string, mode: number): Promise<void> {
  const tree = await readTree(source)
  const directories = tree.filter((entry) => entry.kind === 'directory')
  await fs.promises.mkdir(path, { mode: 0o700 })
  for (const entry of directories) await fs.promises.mkdir(join(path, entry.path), { mode: 0o700 })
  for (const batch of batches(placeFiles(source, tree))) await writeBatch(source, path, batch)
  for (const entry of tree) if (entry.kind === 'symlink') await fs.promises.symlink(entry.target ?? '', join(path, entry.path))
  for (const entry of directories) await syncDirectory(join(path, entry.path))
  await syncDirectory(path)
  for (const entry of directories.toReversed()) await fs.promises.chmod(join(path, entry.path), entry.mode)
  await fs.promises.chmod(path, mode)
}

/**
 * Removes a file or a directory with all that is in it; true when nothing is left. Directories without the right to
 * write are given it first, as far as this user may. What cannot be removed is left, and false returned.
 */
export async function removeTree(path: string): Promise<boolean> {
  try {
    await fs.promises.rm(path, { recursive: true, force: true })
    return true
  } catch (error) {
    if (errnoName(error) !== 'EACCES' && errnoName(error) !== 'EPERM') return false
  }
  try {
    await openUp(path)
    await fs.promises.rm(path, { recursive: true, force: true })
    return true
  } catch {
    return false
  }
}

async function openUp(path: string): Promise<void> {
  const stat = await fs.promises.lstat(path)
  if (!stat.isDirectory()) return
  await fs.promises.chmod(path, 0o700)
  for (const entry of await fs.promises.readdir(path, { withFileTypes: true }))
    if (entry.isDirectory()) await openUp(join(path, entry.name))
}

async function readTree(source: OutputSource): Promise<TreeEntry[]> {
  const tree = decodeTree(await source.readBytes(0, source.treeBytes))
  if (isWireError(tree))
    throw fail('content-damaged', { id: source.id, reason: `its author made a directory that cannot be written: ${tree.message}` })
  if (source.treeBytes + treeFileBytes(tree) !== source.totalBytes) {
    throw fail('content-damaged', { id: source.id, reason: 'its author listed files of another length than there are bytes' })
  }
  return tree
}

function placeFiles(source: OutputSource, tree: readonly TreeEntry[]): PlacedFile[] {
  const files: PlacedFile[] = []
  let offset = source.treeBytes
  for (const entry of tree) {
    if (entry.kind !== 'file') continue
    files.push({ entry, offset })
    offset += entry.bytes
  }
  return files
}

/** Files in their order, as many at a time as fit into one piece; a larger one alone. */
function* batches(files: readonly PlacedFile[]): Generator<PlacedFile[]> {
  let batch: PlacedFile[] = []
  let bytes = 0
  for (const file of files) {
    if (batch.length > 0 && bytes + file.entry.bytes > PIECE_BYTES) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(file)
    bytes += file.entry.bytes
  }
  if (batch.length > 0) yield batch
}

async function writeBatch(source: OutputSource, path: string, batch: readonly PlacedFile[]): Promise<void> {
  const [first] = batch as [PlacedFile]
  if (batch.length === 1)
    return writeFile(join(path, first.entry.path), first.entry, (at, length) => source.readBytes(first.offset + at, length))
  const bytes = await source.readBytes(
    first.offset,
    batch.reduce((sum, { entry }) => sum + entry.bytes, 0),
  )
  const files = batch.values()
  const work = async (): Promise<void> => {
    for (const { entry, offset } of files) {
      const start = offset - first.offset
      await writeFile(join(path, entry.path), entry, (at, length) => bytes.subarray(start + at, start + at + length))
    }
  }
  // All have to come to rest, also when one fails: what is made is removed then.
  const ends = await Promise.allSettled(Array.from({ length: Math.min(PARALLEL_FILES, batch.length) }, work))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

async function writeFile(
  path: string,
  entry: TreeEntry,
  read: (at: number, length: number) => Promise<Uint8Array> | Uint8Array,
): Promise<void> {
  const fd = await openFile(path, 'wx')
  try {
    for (let at = 0; at < entry.bytes; at += PIECE_BYTES) {
      await writeFully(fd, [await read(at, Math.min(PIECE_BYTES, entry.bytes - at))], at)
    }
    fs.fchmodSync(fd, entry.mode)
    await syncFile(fd)
  } finally {
    await closeFile(fd)
  }
}
