/**
 * The rooms of the source tree and who may import whom: the table of ARCHITECTURE.md as a check. Project references make a wrong
 * import between the top rooms a compile error; this covers the rooms inside core as well, and imports of packages.
 *
 * Imports are found by their text, which is reliable because the formatter writes them all alike; it is no parser.
 */
import { readFile, readdir } from 'node:fs/promises'
import path from 'node:path'
import { builtinModules } from 'node:module'

interface Room {
  /** Folder, relative to the root. */
  readonly folder: string
  /** Folders it may import from, beside itself. */
  readonly mayImport: readonly string[]
  /** Folders it may import types from. */
  readonly mayImportTypesOf?: readonly string[]
  /** Whether its files, tests apart, may use packages and Node's modules. */
  readonly mayUsePackages: boolean
}

const CORE = 'src/core'

/** The most particular room that holds a file is the one whose rules apply. */
export const ROOMS: readonly Room[] = [
  { folder: 'src/core/lib', mayImport: [], mayUsePackages: false },
  { folder: 'src/core/wire', mayImport: ['src/core/lib'], mayUsePackages: false },
  { folder: 'src/core/content', mayImport: ['src/core/lib', 'src/core/wire'], mayUsePackages: false },
  { folder: 'src/core/gossip', mayImport: ['src/core/lib', 'src/core/wire', 'src/core/content'], mayUsePackages: false },
  { folder: 'src/core/swarm', mayImport: ['src/core/lib', 'src/core/wire', 'src/core/content'], mayUsePackages: false },
  { folder: 'src/core/multicast', mayImport: ['src/core/lib', 'src/core/wire', 'src/core/content'], mayUsePackages: false },
  { folder: CORE, mayImport: [CORE], mayUsePackages: false },
  { folder: 'src/sim', mayImport: [CORE], mayUsePackages: true },
  { folder: 'src/agent', mayImport: [CORE], mayUsePackages: true },
  { folder: 'src/cli', mayImport: ['src/sim'], mayImportTypesOf: ['src/agent'], mayUsePackages: true },
  { folder: 'src/dashboard', mayImport: [], mayImportTypesOf: ['src/agent'], mayUsePackages: true },
]

export interface Import {
  /** What stands between the quotes. */
  readonly specifier: string
  /** True for `import type` and `export type`: gone after compiling. */
  readonly isType: boolean
  /** True for `import('…')`: loaded when it is wanted. */
  readonly isDynamic: boolean
}

const STATIC_IMPORT = /^(?:import|export)\s(?<type>type\s)?(?:[^'"]*?\sfrom\s)?'(?<specifier>[^']+)'/gm
const DYNAMIC_IMPORT = /\bimport\('(?<specifier>[^']+)'\)/g

/** Imports of a module, in the order of their kinds. */
export function importsOf(source: string): Import[] {
  const imports: Import[] = []
  for (const { groups } of source.matchAll(STATIC_IMPORT)) {
    imports.push({ specifier: groups!['specifier']!, isType: groups!['type'] !== undefined, isDynamic: false })
  }
  for (const { groups } of source.matchAll(DYNAMIC_IMPORT)) {
    imports.push({ specifier: groups!['specifier']!, isType: false, isDynamic: true })
  }
  return imports
}

/** @returns what is wrong with one import of one file (both relative to the root), or undefined. */
export function complaintAboutImport(file: string, { specifier, isType, isDynamic }: Import): string | undefined {
  const room = roomOf(file)
  if (room === undefined) return undefined
  if (!specifier.startsWith('.')) {
    if (specifier.startsWith('#')) return `${file} imports ${specifier}: inside src/ imports are relative`
    const isTest = file.endsWith('.test.ts')
    if (!room.mayUsePackages && !isTest) return `${file} imports ${specifier}: ${room.folder} uses no package and no module of Node`
    if (builtinModules.includes(specifier)) return `${file} imports ${specifier}: write node:${specifier}`
    return undefined
  }
  const target = path.join(path.dirname(file), specifier)
  const allowed = [room.folder, ...room.mayImport, ...(isType ? (room.mayImportTypesOf ?? []) : [])]
  if (allowed.some((folder) => target.startsWith(`${folder}/`))) return undefined
  // The command line starts the agent in the foreground: the one thing of it that is loaded, and only then.
  if (room.folder === 'src/cli' && isDynamic && target.startsWith('src/agent/')) return undefined
  const permitted = [...room.mayImport, ...(room.mayImportTypesOf ?? []).map((folder) => `types of ${folder}`)]
  return `${file} imports ${specifier}: ${room.folder} may import ${permitted.length > 0 ? permitted.join(', ') : 'no other room'}`
}

function roomOf(file: string): Room | undefined {
  return ROOMS.filter(({ folder }) => file.startsWith(`${folder}/`)).toSorted((a, b) => b.folder.length - a.folder.length)[0]
}

/** Checks every file below src/. */
export async function checkRooms(root: string): Promise<string[]> {
  const entries = await readdir(path.join(root, 'src'), { recursive: true, withFileTypes: true })
  const files = entries
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => path.join(entry.parentPath, entry.name))
  const complaints = await Promise.all(
    files.map(async (file) => {
      const name = path.relative(root, file)
      return importsOf(await readFile(file, 'utf8')).flatMap((found) => complaintAboutImport(name, found) ?? [])
    }),
  )
  return complaints.flat()
}
