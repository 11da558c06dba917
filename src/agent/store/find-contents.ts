/**
 * What the start finds below `contents`, held against what the journal says. No content is read through here: what has to
 * be verified is verified later, while the node is at work.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { isPolycastError } from '../errors.ts'
import { errnoName, randomName } from './files.ts'
import { CONTENT_NAME, TRASH_NAME } from './garbage.ts'
import type { FileStamp, JournalState } from './journal.ts'
import type { ContentHost } from './content-host.ts'
import { Content, readStamp } from './stored-content.ts'

/** What was found. */
export interface FoundContents {
  readonly contents: Content[]
  /** Directories without anything to go by. */
  readonly discarded: { readonly id: string; readonly reason: string }[]
  /** Paths to remove. */
  readonly leftovers: string[]
  /** Contents that could not be looked at, and are left as they are. */
  readonly failures: { readonly id: string; readonly error: unknown }[]
}

/** Looks at every directory of a content; rejects with errno errors. */
export async function findContents(directory: string, state: JournalState, host: ContentHost): Promise<FoundContents> {
  const found: FoundContents = { contents: [], discarded: [], leftovers: [], failures: [] }
  const ids: string[] = []
  for (const name of await fs.promises.readdir(directory)) {
    if (CONTENT_NAME.test(name)) ids.push(name)
    else if (TRASH_NAME.test(name)) found.leftovers.push(join(directory, name))
  }
  const stamps = await Promise.all(ids.map((id) => stampOrError(join(directory, id, 'data'))))
  for (const [index, id] of ids.entries()) {
    const stamp = stamps[index] as FileStamp | Error
    const path = join(directory, id)
    try {
      if (stamp instanceof Error) throw stamp
      found.contents.push(findOne(path, id, stamp, state, host))
    } catch (error) {
      if (!isPolycastError(error, 'content-damaged') && errnoName(error) !== 'ENOENT') {
        found.failures.push({ id, error })
        continue
      }
      found.discarded.push({ id, reason: (error as Error).message })
      const trash = join(directory, `.trash-${randomName()}`)
      await fs.promises.rename(path, trash) // its name has to be free before the store opens
      found.leftovers.push(trash)
    }
  }
  return found
}

function findOne(path: string, id: string, stamp: FileStamp, state: JournalState, host: ContentHost): Content {
  const record = state.contents.get(id)
  if (record === undefined) return Content.adopted(path, id, host)
  const isComplete = isSameStamp(record.complete, stamp)
  const cleanStamp = state.clean?.get(id)
  return Content.found(
    path,
    { ...record, complete: isComplete ? stamp : undefined },
    isSameStamp(cleanStamp, stamp) ? stamp : undefined,
    host,
  )
}

function isSameStamp(a: FileStamp | undefined, b: FileStamp): boolean {
  return a !== undefined && a.bytes === b.bytes && a.mtimeNs === b.mtimeNs
}

async function stampOrError(path: string): Promise<FileStamp | Error> {
  try {
    return await readStamp(path)
  } catch (error) {
    return error as Error
  }
}
