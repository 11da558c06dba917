/**
 * Where a delivery may be written on this node: below one of the roots that the configuration allows, and nowhere else.
 *
 * The path comes from another node and isn't trusted: no `..`, no NUL, no control characters, and no symbolic link on the
 * way that leads out of the root. The last name may be a link: the rename at the end replaces the link itself, it isn't
 * followed. Whoever can change directories below a root while a delivery is written can still lead it astray; a root
 * belongs to the user that runs the agent.
 */
import { lstat, mkdir, realpath, stat } from 'node:fs/promises'
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path'
import { errnoOf, fail, fromErrno } from '../errors.ts'

const MAX_PATH_BYTES = 4096
const MAX_NAME_BYTES = 255

/** What a delivery asks for. */
export interface DestinationRequest {
  /** Relative to the first root, or absolute and below one of the roots; empty for the content's own name; with a `/` at its end, the directory that the content goes into under its own name. */
  readonly dest: string
  /** The content's name. */
  readonly name: string
  /** Create the directories that are missing. */
  readonly createDirectories: boolean
}

/**
 * The absolute path to write to, links on the way resolved, its directory existing.
 * Errors: dest-outside-root, dest-missing-directory, dest-exists-as-directory (the root itself), dest-not-writable.
 */
export async function resolveDestination(roots: readonly string[], request: DestinationRequest): Promise<string> {
  const refused = (path: string): Error => fail('dest-outside-root', { path, roots: roots.join(', ') })
  const wanted = request.dest === '' || request.dest.endsWith('/') ? `${request.dest}${plainName(request.name)}` : request.dest
  if (/\p{Cc}/u.test(wanted) || Buffer.byteLength(wanted) > MAX_PATH_BYTES || wanted.split('/').includes('..'))
    throw refused(printable(wanted))
  for (const root of roots) {
    const path = isAbsolute(wanted) ? resolve(wanted) : resolve(root, wanted)
    if (path === resolve(root)) throw fail('dest-exists-as-directory', { path })
    if (!isBelow(resolve(root), path)) continue
    const realRoot = await realpath(root).catch((error: unknown) => {
      throw fromErrno(error, { doing: 'write-dest', path: join(root, 'x') })
    })
    const directory = await realDirectory(dirname(path), realRoot, request.createDirectories)
    if (directory !== realRoot && !isBelow(realRoot, directory)) throw refused(wanted)
    return join(directory, basename(path))
  }
  throw refused(wanted)
}

/** Refuses what can't take a file before the file is fetched. Errors: dest-exists-as-directory. */
export async function checkTakesFile(path: string): Promise<void> {
  // What else may be wrong with it is found when it is written.
  const found = await lstat(path).catch(() => undefined)
  if (found?.isDirectory() === true) throw fail('dest-exists-as-directory', { path })
}

/** A base name that is safe to create in a directory, made from what another node calls a content. */
export function plainName(name: string): string {
  const last = name.split('/').findLast((part) => part !== '') ?? ''
  const clean = last.replaceAll(/\p{Cc}/gu, '_')
  if (clean === '' || clean === '.' || clean === '..') return 'content'
  let text = clean
  while (Buffer.byteLength(text) > MAX_NAME_BYTES) text = text.slice(0, -1)
  return text
}

/** The directory's real path; what is missing is created only below the real root, one name at a time, so that no link leads the creation out. */
async function realDirectory(path: string, realRoot: string, create: boolean): Promise<string> {
  try {
    const real = await realpath(path)
    if (!(await stat(real)).isDirectory()) throw fail('dest-missing-directory', { path })
    return real
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || !create) {
      if (errnoOf(error) === 'ENOENT') throw fail('dest-missing-directory', { path }, error)
      throw fromErrno(error, { doing: 'write-dest', path })
    }
  }
  const parent = await realDirectory(dirname(path), realRoot, create)
  if (parent !== realRoot && !isBelow(realRoot, parent)) return parent
  const made = join(parent, basename(path))
  await mkdir(made).catch((error: unknown) => {
    if (errnoOf(error) !== 'EEXIST') throw fromErrno(error, { doing: 'write-dest', path: made })
  })
  const real = await realpath(made).catch((error: unknown) => {
    throw fromErrno(error, { doing: 'write-dest', path: made })
  })
  return real
}

function isBelow(root: string, path: string): boolean {
  const way = relative(root, path)
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way)
}

function printable(path: string): string {
  return path.slice(0, 200).replaceAll(/\p{Cc}/gu, '?')
}
