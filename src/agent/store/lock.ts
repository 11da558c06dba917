/**
 * One agent per data directory: a lock file that names its holder. Not a lock of the kernel: those differ by file system,
 * and Node has none.
 *
 * The file is written aside and published by link(2), which fails when the name exists: so it is always whole and there is
 * one winner. It holds the process id, the machine's boot id, the process's start time and a nonce; a holder whose process
 * is gone, or is another process by now, or ran before the last boot, is dead, and its lock may be taken over. Two openers
 * may find the same dead lock: only the one who holds the guard `lock.takeover-NONCE` (a lock of the same kind, named after
 * the dead lock's nonce) may replace it, and looks once more before it does. A guard may be left by a crash as well and is
 * taken over in the same way.
 *
 * A holder in another container (another pid namespace) cannot be looked up. It touches its lock file every
 * `heartbeatMs`; one who finds such a lock watches it for `foreignMs`, and only an untouched one counts as dead.
 *
 * Beside the lock there is `reserve`, 64 KiB that are given up when the disk has no room for the lock.
 */
import * as fs from 'node:fs'
import { createHash, randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fail } from '../errors.ts'
import { errnoName } from './files.ts'

/** Who holds a lock: enough to tell whether it still runs. */
interface Holder {
  readonly pid: number
  readonly bootId: string
  /** In clock ticks since boot; '' where the system doesn't tell. */
  readonly startTime: string
  readonly pidNamespace: string
  readonly nonce: string
}

/** How often a holder shows that it lives, and how long a holder that cannot be looked up is watched. */
export interface LockTimes {
  heartbeatMs: number
  foreignMs: number
}

/** A file that is there to be removed when the disk is full. */
const RESERVE = 'reserve'
const RESERVE_BYTES = 64 * 1024

const TIMES: LockTimes = { heartbeatMs: 2_000, foreignMs: 7_000 }

/** A data directory held by this opener. */
export interface DirectoryLock {
  /** Gives the directory free; does nothing the second time. */
  release(): void
}

/**
 * Locks `directory`, which must exist.
 *
 * Rejects with `data-dir-locked`, which names the holder's process id. `onLost` is called when another opener took the lock
 * over all the same (this process was stopped for long, or somebody removed the file): nothing may be written from then on.
 */
export async function lockDirectory(directory: string, onLost: () => void, times: LockTimes = TIMES): Promise<DirectoryLock> {
  const path = join(directory, 'lock')
  const self = describeSelf()
  await acquire(directory, 'lock', self, times)
  keepReserve(directory)
  let isHeld = true
  const lose = (): void => {
    if (!isHeld) return
    isHeld = false
    clearInterval(timer)
    onLost()
  }
  const timer = setInterval(() => {
    fs.readFile(path, (error, bytes) => {
      // An error of the disk says nothing about the lock; the store's own writes will report it.
      if (error !== null && errnoName(error) !== 'ENOENT') return
      if (error !== null || parseHolder(bytes)?.nonce !== self.nonce) return lose()
      const now = new Date()
      fs.utimes(path, now, now, (touchError) => {
        if (touchError !== null && errnoName(touchError) === 'ENOENT') lose()
      })
    })
  }, times.heartbeatMs)
  timer.unref()
  return {
    release() {
      if (!isHeld) return
      isHeld = false
      clearInterval(timer)
      releaseFile(path, self)
    },
  }
}

/** Takes the lock file `name`; on return it is this opener's. */
async function acquire(directory: string, name: string, self: Holder, times: LockTimes): Promise<void> {
  const path = join(directory, name)
  for (;;) {
    if (publish(directory, path, self, 'link')) return
    const bytes = readBytes(path)
    if (bytes === undefined) continue // released between the two calls
    const holder = parseHolder(bytes)
    if (holder !== undefined && (await isAlive(path, holder, times))) throw fail('data-dir-locked', { path: directory, pid: holder.pid })
    // A dead lock. One that doesn't parse is a power loss's leftover: nobody publishes an incomplete one.
    const guard = `lock.takeover-${holder?.nonce ?? createHash('sha256').update(bytes).digest('hex').slice(0, 16)}`
    await acquire(directory, guard, self, times)
    try {
      const current = readBytes(path)
      if (current !== undefined && current.equals(bytes)) {
        publish(directory, path, self, 'rename')
        return
      }
    } finally {
      releaseFile(join(directory, guard), self)
    }
  }
}

/** Writes `self` aside and gives it the name `path`; false when `how` is link and the name is taken. */
function publish(directory: string, path: string, self: Holder, how: 'link' | 'rename'): boolean {
  const aside = join(directory, `lock.new-${self.nonce}`)
  try {
    writeAside(aside, directory, self)
    if (how === 'rename') {
      fs.renameSync(aside, path)
      return true
    }
    fs.linkSync(aside, path)
    return true
  } catch (error) {
    if (how === 'link' && errnoName(error) === 'EEXIST') return false
    throw error
  } finally {
    fs.rmSync(aside, { force: true })
  }
}

/** On a full disk the reserve makes room: an agent that cannot start is one through which nobody can free space. */
function writeAside(aside: string, directory: string, self: Holder): void {
  const text = `${JSON.stringify(self)}\n`
  try {
    writeSynced(aside, text)
  } catch (error) {
    if (errnoName(error) !== 'ENOSPC' && errnoName(error) !== 'EDQUOT') throw error
    fs.rmSync(join(directory, RESERVE), { force: true })
    writeSynced(aside, text)
  }
}

function writeSynced(path: string, text: string | Uint8Array): void {
  const fd = fs.openSync(path, 'w', 0o644)
  try {
    fs.writeFileSync(fd, text)
    fs.fsyncSync(fd)
  } finally {
    fs.closeSync(fd)
  }
}

/** Makes the reserve anew when it was used up; on a disk that is still full there is none. */
function keepReserve(directory: string): void {
  const path = join(directory, RESERVE)
  if (fs.existsSync(path)) return
  try {
    writeSynced(path, Buffer.alloc(RESERVE_BYTES, 1))
  } catch {
    fs.rmSync(path, { force: true }) // a full disk: the next start tries again
  }
}

function releaseFile(path: string, self: Holder): void {
  if (readHolder(path)?.nonce === self.nonce) fs.rmSync(path, { force: true })
}

async function isAlive(path: string, holder: Holder, times: LockTimes): Promise<boolean> {
  const self = describeSelf()
  if (holder.bootId !== self.bootId) return false
  if (holder.pidNamespace === self.pidNamespace) return isProcess(holder)
  const touched = touchedAt(path)
  for (let waitedMs = 0; waitedMs < times.foreignMs; waitedMs += times.heartbeatMs / 4) {
    await sleep(times.heartbeatMs / 4)
    const now = touchedAt(path)
    if (now === undefined) return false
    if (now !== touched) return true
  }
  return false
}

/** Whether the holder's process id still belongs to the process that took the lock. */
function isProcess(holder: Holder): boolean {
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    if (errnoName(error) === 'ESRCH') return false
    // EPERM: a process of another user has that id; its start time says whether it is the holder.
  }
  const stat = readStat(holder.pid)
  if (stat === undefined || holder.startTime === '') return true // a system without /proc: the id has to do
  return stat.startTime === holder.startTime && stat.state !== 'Z' && stat.state !== 'X'
}

function describeSelf(): Holder {
  return {
    pid: process.pid,
    bootId: readText('/proc/sys/kernel/random/boot_id')?.trim() ?? '',
    startTime: readStat(process.pid)?.startTime ?? '',
    pidNamespace: readNamespace(),
    nonce: randomBytes(8).toString('hex'),
  }
}

/**
 * State and start time (fields 3 and 22 of /proc/PID/stat; field 2, in parentheses, may hold anything). A process that was
 * killed and not yet waited for has the state Z: it writes no more.
 */
function readStat(pid: number): { state: string; startTime: string } | undefined {
  const text = readText(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { state: fields[0] ?? '', startTime: fields[19] ?? '' }
}

function readNamespace(): string {
  try {
    return fs.readlinkSync('/proc/self/ns/pid')
  } catch {
    return '' // not Linux: one namespace for all
  }
}

function readText(path: string): string | undefined {
  try {
    return fs.readFileSync(path, 'utf8')
  } catch {
    return undefined // not Linux, or no such process: the caller does without
  }
}

function readBytes(path: string): Buffer | undefined {
  try {
    return fs.readFileSync(path)
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return undefined
    throw error
  }
}

function readHolder(path: string): Holder | undefined {
  const bytes = readBytes(path)
  return bytes === undefined ? undefined : parseHolder(bytes)
}

function parseHolder(bytes: Buffer): Holder | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    if (typeof value !== 'object' || value === null) return undefined
    const { pid, bootId, startTime, pidNamespace, nonce } = value as Record<string, unknown>
    if (typeof pid !== 'number' || !Number.isInteger(pid) || pid < 1 || typeof bootId !== 'string' || typeof startTime !== 'string')
      return undefined
    if (typeof pidNamespace !== 'string' || typeof nonce !== 'string' || !/^[0-9a-f]{16}$/.test(nonce)) return undefined
    return { pid, bootId, startTime, pidNamespace, nonce }
  } catch {
    return undefined // not JSON: cut off by a power loss
  }
}

function touchedAt(path: string): number | undefined {
  try {
    return fs.statSync(path).mtimeMs
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return undefined
    throw error
  }
}
