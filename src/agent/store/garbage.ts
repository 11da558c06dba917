/**
 * What crashes leave below the data directory, told by its name and removed. Contents that the store knows are not looked at
 * here, and names of any other form are another program's.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'

/** The name of a directory on its way out. */
export const TRASH_NAME: RegExp = /^\.trash-[0-9a-f]{8}$/
/** The name of a content's directory. */
export const CONTENT_NAME: RegExp = /^[0-9a-f]{64}$/

/** Removes what is trash, and directories of contents that nobody knows; rejects with errno errors. */
export async function collectOrphans(
  contentsDirectory: string,
  isKnown: (id: string) => boolean,
): Promise<{ removed: number; bytes: number }> {
  const collected = { removed: 0, bytes: 0 }
  for (const name of await fs.promises.readdir(contentsDirectory)) {
    if (isKnown(name) || !(CONTENT_NAME.test(name) || TRASH_NAME.test(name))) continue
    const path = join(contentsDirectory, name)
    const bytes = await diskBytes(path)
    await fs.promises.rm(path, { recursive: true, force: true })
    collected.bytes += bytes
    collected.removed++
  }
  return collected
}

/** Removes files of that directory that were being written anew, aside, when the process ended; `stems` are their names. */
export async function removeUnfinished(directory: string, stems: readonly string[]): Promise<void> {
  for (const name of await fs.promises.readdir(directory)) {
    const match = /^(.*)\.new-[0-9a-f]{8}$/.exec(name)
    if (match !== null && stems.includes(match[1] ?? '')) await fs.promises.rm(join(directory, name), { force: true })
  }
}

/** Bytes of disk that the files of a directory take; what vanishes meanwhile counts for nothing. */
export async function diskBytes(directory: string): Promise<number> {
  let bytes = 0
  for (const name of await fs.promises.readdir(directory).catch(() => [])) {
    const stat = await fs.promises.lstat(join(directory, name)).catch(() => undefined)
    bytes += (stat?.blocks ?? 0) * 512
  }
  return bytes
}
