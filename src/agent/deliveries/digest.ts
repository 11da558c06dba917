/** The `--digest` of a user: a hash of a content's bytes, not to be confused with its content id, which is the hash of its manifest. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { Blake3Hasher } from '@napi-rs/blake-hash'
import { fail, fromErrno } from '../errors.ts'

/** A parsed digest. */
export interface Digest {
  readonly algorithm: 'sha256' | 'blake3'
  /** Lower case. */
  readonly hex: string
  /** `algorithm:hex`, the one spelling that digests are compared in. */
  readonly text: string
}

/** Parses `sha256:…` or `blake3:…`, 64 hex digits each. Errors: usage. */
export function parseDigest(text: string): Digest {
  const match = /^(sha256|blake3):([0-9a-f]{64})$/i.exec(text)
  if (match === null) throw fail('usage', { reason: `The digest "${text.slice(0, 100)}" is not sha256: or blake3: with 64 hex digits.` })
  const algorithm = match[1]?.toLowerCase() === 'blake3' ? 'blake3' : 'sha256'
  const hex = match[2]?.toLowerCase() ?? ''
  return { algorithm, hex, text: `${algorithm}:${hex}` }
}

const READ_BYTES = 1024 * 1024

/** The digest of a file's bytes, read in pieces; the event loop runs between them. Errors: path-not-found, path-not-readable. */
export async function digestOfFile(path: string, algorithm: Digest['algorithm'], signal?: AbortSignal): Promise<string> {
  const blake = algorithm === 'blake3' ? new Blake3Hasher() : undefined
  const sha = createHash('sha256')
  try {
    for await (const piece of createReadStream(path, {
      highWaterMark: READ_BYTES,
      ...(signal === undefined ? {} : { signal }),
    }) as AsyncIterable<Buffer>) {
      if (blake === undefined) sha.update(piece)
      else blake.update(piece)
    }
  } catch (error) {
    if (signal?.aborted === true) throw fail('cancelled', { reason: 'while its digest was checked' }, error)
    throw fromErrno(error, { doing: 'read-path', path })
  }
  return blake === undefined ? sha.digest('hex') : blake.digestBuffer().toString('hex')
}
