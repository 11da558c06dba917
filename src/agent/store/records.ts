/**
 * The framing of the store's own files: the journal and the side files of each content. Not for the network (core/wire).
 *
 *   file    record*
 *   record  u32 length of body (1 to MAX_RECORD_BYTES) · u32 crc32 of those four bytes and the body · body      (big endian)
 *
 * A file is only ever appended to, or replaced whole by a rename. Whatever a crash leaves at its end (a record cut off, zeros
 * of an extended but unwritten file, garbage) fails the length or the checksum; replay stops there, and all before it is good.
 * The checksum covers the length too, so that a run of zeros is no row of empty records.
 */
import { crc32 } from 'node:zlib'
import { assert } from '../../core/lib/assert.ts'

/** The largest body of a record: a length beyond it is damage, not a reason to allocate. */
export const MAX_RECORD_BYTES: number = 64 * 1024 * 1024

const HEADER_BYTES = 8

/** One record around `body`. */
export function encodeRecord(body: Uint8Array): Buffer {
  assert(body.length > 0 && body.length <= MAX_RECORD_BYTES, 'a record has a body of 1 byte to 64 MiB')
  const record = Buffer.allocUnsafe(HEADER_BYTES + body.length)
  record.writeUInt32BE(body.length, 0)
  record.set(body, HEADER_BYTES)
  record.writeUInt32BE(checksum(record, HEADER_BYTES, body.length), 4)
  return record
}

/** The bodies of all good records from the beginning on, as views, and how many bytes of `file` they take. */
export function decodeRecords(file: Uint8Array): { bodies: Uint8Array[]; validBytes: number } {
  const view = Buffer.from(file.buffer, file.byteOffset, file.length)
  const bodies: Uint8Array[] = []
  let at = 0
  while (view.length - at >= HEADER_BYTES) {
    const length = view.readUInt32BE(at)
    const start = at + HEADER_BYTES
    if (length === 0 || length > MAX_RECORD_BYTES || length > view.length - start) break
    if (checksum(view.subarray(at, start + length), HEADER_BYTES, length) !== view.readUInt32BE(at + 4)) break
    bodies.push(view.subarray(start, start + length))
    at = start + length
  }
  return { bodies, validBytes: at }
}

function checksum(record: Buffer, bodyAt: number, bodyBytes: number): number {
  return crc32(record.subarray(bodyAt, bodyAt + bodyBytes), crc32(record.subarray(0, 4)))
}
