/**
 * The outermost layer of a packet or stream: a label, which keeps clusters apart that can reach each other (docs/specs/04-gossip.md §4.5).
 * It is no secret; where there is encryption, it is authenticated too.
 *
 *   labelled = f4, u8 length (1 to 255), label, packet or stream
 */
import { assert } from '../lib/assert.ts'
import { concatBytes, equalBytes } from '../lib/bytes.ts'
import { wireError, type WireError } from '../wire/wire-error.ts'
import { MESSAGE_TYPES } from './message-types.ts'

export const MAX_LABEL_BYTES = 255
/** Bytes before a label. */
export const LABEL_HEADER_BYTES = 2

/** `bytes` under a label; as they are under an empty one. */
export function addLabel(bytes: Uint8Array, label: Uint8Array): Uint8Array {
  assert(label.length <= MAX_LABEL_BYTES, `a label of at most ${MAX_LABEL_BYTES} bytes`)
  return label.length === 0 ? bytes : concatBytes([Uint8Array.of(MESSAGE_TYPES.label, label.length), label, bytes])
}

/** What is under this label; undefined while `bytes`, which may go on, do not hold it whole. An empty label is no layer at all. */
export function removeLabel(bytes: Uint8Array, label: Uint8Array): Uint8Array | WireError | undefined {
  if (bytes.length === 0) return undefined
  const length = bytes[0] === MESSAGE_TYPES.label ? bytes[1] : 0
  if (length === undefined) return undefined
  if (bytes[0] === MESSAGE_TYPES.label && length === 0) return wireError('ignore', 'an empty label')
  if (length !== label.length) return wireError('ignore', 'another label: it belongs to another cluster')
  if (length === 0) return bytes
  const end = LABEL_HEADER_BYTES + length
  if (bytes.length < end) return undefined
  if (!equalBytes(bytes.subarray(LABEL_HEADER_BYTES, end), label)) {
    return wireError('ignore', 'another label: it belongs to another cluster')
  }
  return bytes.subarray(end)
}
