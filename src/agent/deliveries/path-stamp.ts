/**
 * Whether a file is still the one that was read: by size, inode and times of change, as make and git do it.
 *
 * A file that changed again within the same tick of the clock that stamps it would look the same. So a stamp counts only
 * when it was taken again, unchanged, after the file was read, and the file's last change was at least a tick ago by then.
 */
import { stat } from 'node:fs/promises'
import { errnoOf } from '../errors.ts'

/** The longest tick of file systems that stamp in nanoseconds, and of those that stamp in seconds (two, on FAT). */
const TICK_MS = 25
const COARSE_TICK_MS = 2_500

/** What a regular file looks like, and when it last changed. */
export interface PathStamp {
  readonly text: string
  readonly changedAt: number
  readonly isCoarse: boolean
}

/** The stamp of a regular file; undefined for anything else, and for what can't be looked at. */
export async function stampOf(path: string): Promise<PathStamp | undefined> {
  try {
    const found = await stat(path, { bigint: true })
    if (!found.isFile()) return undefined
    const { dev, ino, size, mtimeNs, ctimeNs, ctimeMs } = found
    return { text: [dev, ino, size, mtimeNs, ctimeNs].join(':'), changedAt: Number(ctimeMs), isCoarse: ctimeNs % 1_000_000_000n === 0n }
  } catch (error) {
    // Who reads the file says what is wrong with it.
    if (errnoOf(error) !== undefined) return undefined
    throw error
  }
}

/** Whether content read between two stamps can be recognised by them later; `now` is the machine's clock, which stamps files. */
export function isReliable(before: PathStamp, after: PathStamp, now: number): boolean {
  return before.text === after.text && now - after.changedAt >= (after.isCoarse ? COARSE_TICK_MS : TICK_MS)
}
