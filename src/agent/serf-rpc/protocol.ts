/**
 * How Serf's RPC says it (docs/serf-rpc.md). A connection carries msgpack values without anything between them:
 *
 *   request  = header {Command, Seq}  [body]     which command has a body: `commands.ts`
 *   response = header {Seq, Error}    [body]     with the Seq of the request; streams go on to send such pairs under theirs
 */
import type { Kind } from '../../core/gossip/msgpack-kinds.ts'
import { MsgpackReader, MsgpackWriter } from '../../core/gossip/msgpack.ts'
import { wireError, type WireError } from '../../core/wire/wire-error.ts'
import type { PolycastError } from '../errors.ts'
import { RESPONSE_HEADER } from './messages.ts'

/** Errors, in the words that clients of Serf look for. */
export const ERROR_TEXTS = {
  unsupportedCommand: 'Unsupported command',
  unsupportedVersion: 'Unsupported IPC version',
  duplicateHandshake: 'Handshake already performed',
  handshakeRequired: 'Handshake required',
  monitorExists: 'Monitor already exists',
  invalidFilter: 'Invalid event filter',
  streamExists: 'Stream with given sequence exists',
  invalidQueryId: 'No pending queries matching ID',
  authRequired: 'Authentication required',
  invalidAuthToken: 'Invalid authentication token',
  internalQuery: "Queries cannot contain the '_serf_' prefix",
  /** A limit of this side's own. */
  tooManyStreams: 'Too many streams, monitors and queries on this connection',
} as const

/** Characters of an error that are passed on: an error of somebody else's may be of any length. */
const MAX_ERROR_LENGTH = 4096

/** What clients are told of an operation that failed. */
export function errorText({ code, message, params }: PolycastError): string {
  // The sentence around the reason speaks of requests of the HTTP API.
  return code === 'bad-request' ? String(params['reason']) : message
}

/** One value of a kind, which has to be all of the bytes. */
export function decodeValue<T>(kind: Kind<T>, value: Uint8Array): T | WireError {
  const reader = new MsgpackReader(value)
  const decoded = kind.read(reader)
  return reader.failed || reader.at !== value.length ? wireError('disconnect', 'a value that is not what belongs there') : decoded
}

/** A value with the kind to write it by. */
export interface Body {
  write(writer: MsgpackWriter): void
}

export function bodyOf<T>(kind: Kind<T>, value: T): Body {
  return { write: (writer) => kind.write(writer, value) }
}

/** A response, or a record of a stream. */
export function encodeResponse(seq: number, error: string, body: Body | undefined): Uint8Array {
  const writer = new MsgpackWriter()
  RESPONSE_HEADER.write(writer, { Seq: seq, Error: error.slice(0, MAX_ERROR_LENGTH) })
  body?.write(writer)
  return writer.finish()
}
