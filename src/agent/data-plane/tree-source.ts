/**
 * A directory as a source: its encoded tree, then the bytes of its files in the tree's order, as one stream.
 *
 * What a tree can't hold (sockets, devices, pipes) is refused by name rather than left out in silence.
 */
import { lstat, open, readdir, readlink } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { encodeTree, sortTree, treeFileBytes, treeProblem, type TreeEntry } from '../../core/content/index.ts'
import { fail, fromErrno } from '../errors.ts'

export const TREE_MEDIA_TYPE = 'application/vnd.polycast.tree'

export interface TreeStream {
  readonly totalBytes: number
  readonly treeBytes: number
  readonly name: string
  readonly chunks: AsyncIterable<Uint8Array>
}

const READ_BYTES = 1024 * 1024
/** Files below this are read whole and handed on together. */
const SMALL_FILE_BYTES = 256 * 1024

/** Lists a directory and makes the stream; a file that changes between the two gives `path-changed`. */
export async function openTree(path: string, signal: AbortSignal): Promise<TreeStream> {
  const root = resolve(path)
  const entries: TreeEntry[] = []
  await list(root, '', entries, signal)
  const sorted = sortTree(entries)
  const problem = treeProblem(sorted)
  if (problem !== undefined) throw fail('path-not-readable', { path: root, reason: problem })
  const tree = encodeTree(sorted)
  return {
    totalBytes: tree.length + treeFileBytes(sorted),
    treeBytes: tree.length,
    name: basename(root),
    chunks: read(root, tree, sorted, signal),
  }
}

async function list(root: string, below: string, entries: TreeEntry[], signal: AbortSignal): Promise<void> {
  const directory = join(root, below)
  const names = await readdir(directory).catch((error: unknown) => {
    throw fromErrno(error, { doing: 'read-path', path: directory })
  })
  for (const name of names) {
    signal.throwIfAborted()
    const path = below === '' ? name : `${below}/${name}`
    const full = join(root, path)
    const stats = await lstat(full).catch((error: unknown) => {
      throw fromErrno(error, { doing: 'read-path', path: full })
    })
    const mode = stats.mode & 0o777
    if (stats.isDirectory()) {
      entries.push({ kind: 'directory', path, mode, bytes: 0 })
      await list(root, path, entries, signal)
    } else if (stats.isSymbolicLink()) {
      entries.push({ kind: 'symlink', path, mode: 0o777, bytes: 0, target: await readlink(full) })
    } else if (stats.isFile()) {
      entries.push({ kind: 'file', path, mode, bytes: stats.size })
    } else throw fail('path-not-readable', { path: full, reason: 'it is neither a file, a directory nor a symbolic link' })
  }
}

async function* read(root: string, tree: Uint8Array, entries: readonly TreeEntry[], signal: AbortSignal): AsyncGenerator<Uint8Array> {
  let pending: Uint8Array[] = [tree]
  let pendingBytes = tree.length
  for (const entry of entries) {
    if (entry.kind !== 'file') continue
    signal.throwIfAborted()
    for await (const bytes of readFile(join(root, entry.path), entry.bytes)) {
      pending.push(bytes)
      pendingBytes += bytes.length
      if (pendingBytes < SMALL_FILE_BYTES) continue
      yield Buffer.concat(pending)
      pending = []
      pendingBytes = 0
    }
  }
  if (pendingBytes > 0) yield Buffer.concat(pending)
}

async function* readFile(path: string, expectedBytes: number): AsyncGenerator<Uint8Array> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw fromErrno(error, { doing: 'read-path', path })
  })
  try {
    let left = expectedBytes
    while (left > 0) {
      const buffer = Buffer.allocUnsafe(Math.min(left, READ_BYTES))
      const { bytesRead } = await handle.read(buffer, 0, buffer.length)
      if (bytesRead === 0) throw fail('path-changed', { path })
      left -= bytesRead
      yield buffer.subarray(0, bytesRead)
    }
    const stats = await handle.stat()
    if (stats.size !== expectedBytes) throw fail('path-changed', { path })
  } finally {
    await handle.close()
  }
}
