/** A source that is a regular file on this machine. */
import { constants, type BigIntStats } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { fail, fromErrno } from '../errors.ts'
import { throwIfCancelled } from './cancel.ts'
import { DEFAULT_MEDIA_TYPE } from './location.ts'
import type { OpenOptions, Source, SourceStream, Validator } from './source.ts'

/** Bytes of one read: large enough that the calls don't show, small enough that the first chunk starts its way at once. */
const READ_BYTES = 1 << 18

/** A source that reads the file at a path. A file that is written to meanwhile gives `path-changed`; one replaced by a rename doesn't. */
export function createFileSource(file: string): Source {
  const location = path.resolve(file)
  return { location, open: (options) => openFile(location, options) }
}

async function openFile(file: string, { signal, offset = 0, validator }: OpenOptions): Promise<SourceStream> {
  throwIfCancelled(signal)
  // Non-blocking, because opening a FIFO waits for its other end.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((error: unknown) => {
    throw fromErrno(error, { doing: 'read-path', path: file })
  })
  const close = (): void => void handle.close()
  signal.addEventListener('abort', close, { once: true })
  try {
    const stats = await handle.stat({ bigint: true })
    if (stats.isDirectory()) throw fail('path-not-readable', { path: file, reason: 'it is a directory' })
    if (!stats.isFile()) throw fail('path-not-readable', { path: file, reason: 'it is not a regular file' })
    if (validator !== undefined && validator !== validatorOf(stats)) throw fail('path-changed', { path: file })
    if (offset > Number(stats.size) || (offset > 0 && validator === undefined))
      throw fail('source-range-unsupported', { url: file, offset })
    return {
      totalBytes: Number(stats.size),
      name: path.basename(file),
      mediaType: DEFAULT_MEDIA_TYPE,
      validator: validatorOf(stats),
      chunks: readFile({ handle, file, stats, offset, signal, close }),
    }
  } catch (error) {
    signal.removeEventListener('abort', close)
    await handle.close()
    throw error
  }
}

interface Reading {
  readonly handle: FileHandle
  readonly file: string
  readonly stats: BigIntStats
  readonly offset: number
  readonly signal: AbortSignal
  /** What the signal was told to call for the time before the first read. */
  readonly close: () => void
}

async function* readFile({ handle, file, stats, offset, signal, close }: Reading): AsyncGenerator<Uint8Array, void> {
  try {
    const end = Number(stats.size)
    const buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, end - offset))
    for (let position = offset; position < end;) {
      throwIfCancelled(signal)
      const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, end - position), position)
      if (bytesRead === 0) throw fail('path-changed', { path: file }) // it has become shorter
      position += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
    throwIfCancelled(signal)
    if (validatorOf(await handle.stat({ bigint: true })) !== validatorOf(stats)) throw fail('path-changed', { path: file })
  } catch (error) {
    throw fromErrno(error, { doing: 'read-path', path: file })
  } finally {
    signal.removeEventListener('abort', close)
    await handle.close()
  }
}

function validatorOf({ dev, ino, size, mtimeNs }: BigIntStats): Validator {
  return JSON.stringify(['file', dev, ino, size, mtimeNs].map(String))
}
