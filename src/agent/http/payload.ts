/** Bytes in JSON: in base64 both ways, and as text where people write or read them. */
import { fail } from '../errors.ts'
import type { GivenBytes, ShownBytes } from './gossip-api.ts'

/** The bytes that a request gives. Errors: bad-request (both forms at once). */
export function bytesOf({ payload, text }: GivenBytes): Uint8Array {
  if (payload !== undefined && text !== undefined)
    throw fail('bad-request', { reason: 'payload and text are two forms of one thing: give one' })
  return payload === undefined ? Buffer.from(text ?? '', 'utf8') : Buffer.from(payload, 'base64')
}

/** Bytes as an answer shows them. */
export function shownBytes(bytes: Uint8Array): ShownBytes {
  const payload = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
  try {
    return { payload, text: STRICT.decode(bytes) }
  } catch {
    // Not UTF-8: base64 alone has it then.
    return { payload }
  }
}

const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
