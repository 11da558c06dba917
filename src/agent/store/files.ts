/**
 * The few calls of the file system that the store is made of, as promises that move all bytes or reject.
 *
 * Not here: names for what failed (`fromErrno` in ../errors.ts, by the caller, who knows what was being done).
 * File descriptors are plain numbers: node:fs's callbacks cost half of what its FileHandle costs per call, and a content
 * is written in thousands of calls.
 */
import * as fs from 'node:fs'
import { dirname } from 'node:path'
import { randomBytes } from 'node:crypto'
import { Pace } from './pace.ts'

const pace = new Pace()

/** The most buffers that one vectored write takes (IOV_MAX of Linux). */
export const MAX_WRITE_BUFFERS = 1024

/** Opens a file; rejects with Node's errno error. */
export function openFile(path: string, flags: string | number, mode?: number): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.open(path, flags, mode ?? 0o600, (error, fd) => (error === null ? resolve(fd) : reject(error)))
  })
}

/** Closes a file descriptor. */
export function closeFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.close(fd, (error) => (error ? reject(error) : resolve()))
  })
}

/** Forces a file's bytes, or a directory's entries, to the disk. */
export function syncFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    fs.fsync(fd, (error) => (error === null ? resolve() : reject(error)))
  })
}

/** Fills `buffer` from `position` on; resolves with the bytes read, fewer only at the end of the file. */
export async function readFully(fd: number, buffer: Uint8Array, position: number): Promise<number> {
  let begun = 0
  while (begun < buffer.length && pace.isQuick()) {
    const bytes = pace.call(() => fs.readSync(fd, buffer, begun, buffer.length - begun, position + begun))
    if (bytes === 0) return begun
    begun += bytes
  }
  return new Promise((resolve, reject) => {
    const readFrom = (done: number): void => {
      fs.read(fd, buffer, done, buffer.length - done, position + done, (error, bytes) => {
        if (error !== null) return reject(error)
        if (bytes === 0 || done + bytes === buffer.length) return resolve(done + bytes)
        readFrom(done + bytes)
      })
    }
    if (begun === buffer.length) resolve(begun)
    else readFrom(begun)
  })
}

/** Writes all bytes of `buffers`, at most `MAX_WRITE_BUFFERS` of them, to `position` and on; usually one system call. */
export async function writeFully(fd: number, buffers: readonly Uint8Array[], position: number): Promise<void> {
  let whole: readonly Uint8Array[] = buffers.filter((buffer) => buffer.length > 0)
  let begun = position
  while (whole.length > 0 && pace.isQuick()) {
    const waiting = whole
    const bytes = pace.call(() => fs.writevSync(fd, waiting, begun))
    if (bytes === 0) throw Object.assign(new Error('a write that wrote nothing'), { code: 'EIO' })
    whole = dropBytes(waiting, bytes)
    begun += bytes
  }
  return new Promise((resolve, reject) => {
    const writeFrom = (rest: readonly Uint8Array[], at: number): void => {
      fs.writev(fd, rest, at, (error, bytes) => {
        if (error !== null) return reject(error)
        const left = dropBytes(rest, bytes)
        if (left.length === 0) return resolve()
        if (bytes === 0) return reject(Object.assign(new Error('a write that wrote nothing'), { code: 'EIO' }))
        writeFrom(left, at + bytes)
      })
    }
    if (whole.length === 0) resolve()
    else writeFrom(whole, begun)
  })
}

/** Makes the entries of a directory durable: what was created, renamed or removed in it. */
export async function syncDirectory(path: string): Promise<void> {
  const fd = await openFile(path, 'r')
  try {
    await syncFile(fd)
  } finally {
    await closeFile(fd)
  }
}

/** Replaces a file by `bytes` so that at every moment, also of a power loss, it is the old one or the new one whole. */
export async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const aside = `${path}.new-${randomName()}`
  try {
    const fd = await openFile(aside, 'wx')
    try {
      await writeFully(fd, [bytes], 0)
      await syncFile(fd)
    } finally {
      await closeFile(fd)
    }
    await fs.promises.rename(aside, path)
  } catch (error) {
    await fs.promises.rm(aside, { force: true })
    throw error
  }
  await syncDirectory(dirname(path))
}

/** Eight hexadecimal digits that no other file aside has. */
export function randomName(): string {
  return randomBytes(4).toString('hex')
}

/** The errno name of an error of node:fs, such as `ENOENT`. */
export function errnoName(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** What is left of `buffers` after their first `count` bytes. */
function dropBytes(buffers: readonly Uint8Array[], count: number): readonly Uint8Array[] {
  let index = 0
  let left = count
  while (index < buffers.length && left >= (buffers[index] as Uint8Array).length) left -= (buffers[index++] as Uint8Array).length
  if (index === buffers.length) return []
  return [(buffers[index] as Uint8Array).subarray(left), ...buffers.slice(index + 1)]
}
