/**
 * Directories: the tree that a directory's content begins with; after it come the bytes of all files, in the tree's order
 * (docs/specs/01-manifest.md §6). Not the walking or the writing of a directory: that is the agent's.
 *
 *   tree  = "PCT" 1, count varint, count × entry
 *   entry = kind u8 (0 file, 1 directory, 2 symbolic link), path text, mode varint (≤ 0o777),
 *           file: bytes varint | symbolic link: target text
 *
 * Entries stand in depth-first order, names by their UTF-8 bytes: each after the directory that holds it, which must be
 * listed. So one look at the stack of open directories refuses duplicates, a file used as a directory, and a path through
 * a symbolic link.
 */
import { assert } from '../lib/assert.ts'
import { utf8Encode } from '../lib/bytes.ts'
import { Reader } from '../wire/reader.ts'
import { wireError, type WireError } from '../wire/wire-error.ts'
import { Writer } from '../wire/writer.ts'
import { KIND, readPrefix, writePrefix } from './format.ts'
import { MAX_TOTAL_BYTES, MAX_TREE_BYTES } from './limits.ts'

/** One thing in a directory. */
export interface TreeEntry {
  kind: 'file' | 'directory' | 'symlink'
  /** Relative to the directory that is delivered, names separated by '/'. */
  path: string
  /** Permission bits, 0 to 0o777; 0o777 for a symbolic link. */
  mode: number
  /** Length of a file; 0 for the others. */
  bytes: number
  /** Where a symbolic link points: any text, never followed by the receiver. */
  target?: string
}

/** Entries of one tree. */
export const MAX_TREE_ENTRIES: number = 16 * 1024 * 1024
/** Bytes of a path, and of a link's target. */
export const MAX_PATH_BYTES = 4096
/** Bytes of one name in a path. */
export const MAX_NAME_BYTES = 255

const KINDS: readonly TreeEntry['kind'][] = ['file', 'directory', 'symlink']
const LEAST_ENTRY_BYTES = 5
const LONE_SURROGATE = /\p{Surrogate}/u

/** The entries in the tree's order, which is the order of the files' bytes in the content too. */
export function sortTree(entries: readonly TreeEntry[]): TreeEntry[] {
  const keyed = entries.map((entry) => ({ entry, key: orderKey(entry.path) }))
  return keyed.sort((a, b) => compareKeys(a.key, b.key)).map(({ entry }) => entry)
}

/** Length of all files of the tree together: what follows the tree in the content. */
export function treeFileBytes(entries: readonly TreeEntry[]): number {
  return entries.reduce((sum, entry) => sum + entry.bytes, 0)
}

/** Why these entries, in any order, are no tree that can be delivered, and which one; undefined when they are. */
export function treeProblem(entries: readonly TreeEntry[]): string | undefined {
  return sortedProblem(sortTree(entries))
}

/** The bytes of a tree, its entries in any order; one with a `treeProblem` is a bug. Set-uid, set-gid and sticky bits are dropped. */
export function encodeTree(entries: readonly TreeEntry[]): Uint8Array {
  const sorted = sortTree(entries).map((entry) => ({ ...entry, mode: entry.mode & 0o777 }))
  const problem = sortedProblem(sorted)
  assert(problem === undefined, `a tree to encode: ${problem}`)
  const writer = new Writer(64 * sorted.length + 16)
  writePrefix(writer, KIND.tree)
  writer.varint(sorted.length)
  for (const entry of sorted) {
    writer.u8(KINDS.indexOf(entry.kind))
    writer.text(entry.path)
    writer.varint(entry.mode)
    if (entry.kind === 'file') writer.varint(entry.bytes)
    if (entry.kind === 'symlink') writer.text(entry.target ?? '')
  }
  assert(writer.length <= MAX_TREE_BYTES, 'a tree within the limit')
  return writer.finish()
}

/** The entries of the tree in `bytes`, in its order; every path is safe to join to a directory. */
export function decodeTree(bytes: Uint8Array): TreeEntry[] | WireError {
  if (bytes.length > MAX_TREE_BYTES) return wireError('disconnect', 'a tree is longer than the limit')
  const reader = new Reader(bytes)
  readPrefix(reader, KIND.tree)
  const count = reader.varint()
  if (count > MAX_TREE_ENTRIES || count * LEAST_ENTRY_BYTES > reader.remaining) reader.fail()
  const entries: TreeEntry[] = []
  while (entries.length < count && !reader.failed) entries.push(readEntry(reader))
  if (!reader.done()) return wireError('disconnect', 'a tree is malformed')
  const problem = sortedProblem(entries)
  return problem === undefined ? entries : wireError('disconnect', `a tree is invalid: ${problem}`)
}

function readEntry(reader: Reader): TreeEntry {
  const kind = KINDS[reader.u8()]
  if (kind === undefined) reader.fail()
  const path = reader.text(MAX_PATH_BYTES)
  const mode = reader.varint()
  if (kind === 'symlink') return { kind, path, mode, bytes: 0, target: reader.text(MAX_PATH_BYTES) }
  return { kind: kind ?? 'file', path, mode, bytes: kind === 'file' ? reader.varint() : 0 }
}

/** Why entries are no tree in order. */
function sortedProblem(entries: readonly TreeEntry[]): string | undefined {
  if (entries.length > MAX_TREE_ENTRIES) return 'there are more entries than the limit'
  const open: string[] = []
  let previous: Uint8Array | undefined
  let totalBytes = 0
  for (const entry of entries) {
    const problem = entryProblem(entry)
    if (problem !== undefined) return `${quote(entry.path)} ${problem}`
    const key = orderKey(entry.path)
    const order = previous === undefined ? -1 : compareKeys(previous, key)
    if (order === 0) return `${quote(entry.path)} is there twice`
    if (order > 0) return `${quote(entry.path)} is not in order`
    previous = key
    const slash = entry.path.lastIndexOf('/')
    const parent = slash < 0 ? '' : entry.path.slice(0, slash)
    while (open.length > 0 && open.at(-1) !== parent) open.pop()
    if (parent !== '' && open.length === 0) return `${quote(entry.path)} is in something that is not listed as a directory`
    if (entry.kind === 'directory') open.push(entry.path)
    totalBytes += entry.bytes
    if (totalBytes > MAX_TOTAL_BYTES) return 'the files are longer together than the limit'
  }
  return undefined
}

function entryProblem(entry: TreeEntry): string | undefined {
  const { kind, path, mode, bytes, target } = entry
  if (path === '') return 'is an empty path'
  if (path.startsWith('/')) return 'is an absolute path'
  if (path.includes('\0')) return 'has a NUL in its path'
  if (LONE_SURROGATE.test(path)) return 'has a path that is not Unicode'
  if (path.length > MAX_PATH_BYTES || utf8Encode(path).length > MAX_PATH_BYTES) return `has a path of more than ${MAX_PATH_BYTES} bytes`
  for (const name of path.split('/')) {
    if (name === '' || name === '.' || name === '..') return `has the name ${quote(name)} in its path`
    if (name.length * 3 > MAX_NAME_BYTES && utf8Encode(name).length > MAX_NAME_BYTES)
      return `has a name of more than ${MAX_NAME_BYTES} bytes`
  }
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) return 'has a mode beyond 0777'
  if (!Number.isSafeInteger(bytes) || bytes < 0 || (kind !== 'file' && bytes !== 0)) return 'has a length that is none'
  if (kind !== 'symlink') return target === undefined ? undefined : 'has a target but is no symbolic link'
  if (target === undefined || target === '' || target.includes('\0') || LONE_SURROGATE.test(target))
    return 'is a symbolic link without a proper target'
  if (utf8Encode(target).length > MAX_PATH_BYTES) return `has a target of more than ${MAX_PATH_BYTES} bytes`
  return undefined
}

/** The path's UTF-8 with each '/' as 0: compared byte by byte, a directory's entries come right after it. */
function orderKey(path: string): Uint8Array {
  return utf8Encode(path).map((byte) => (byte === 0x2f ? 0 : byte))
}

function compareKeys(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length)
  for (let i = 0; i < shared; i++) if (a[i] !== b[i]) return (a[i] as number) - (b[i] as number)
  return a.length - b.length
}

/** A path for a message: without what a terminal would act on, and not endless. */
function quote(path: string): string {
  return JSON.stringify(path.length > 120 ? `${path.slice(0, 117)}...` : path).replace(/[\p{Cc}\p{Cf}]/gu, '\ufffd')
}
