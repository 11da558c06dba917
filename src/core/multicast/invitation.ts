/**
 * What a receiver must know to join a session: travels over TCP, in a ticket or a message of the swarm. docs/specs/07-multicast.md §4.
 *
 *   invitation = u8 version (1) | u64 session id | text group | u16 group port | text sender | u16 control port | u16 datagramBytes
 *                | u8 blockSymbols | varint invited | lengthBytes salt | lengthBytes keyId | lengthBytes app       at most 512 bytes
 *
 * An invitation is data of a peer: who takes it checks that the group is a multicast address in use for sessions, and the sender the peer.
 */
import { assert } from '../lib/assert.ts'
import { toHex, utf8Encode } from '../lib/bytes.ts'
import { Reader } from '../wire/reader.ts'
import { type WireError, wireError } from '../wire/wire-error.ts'
import { Writer } from '../wire/writer.ts'
import { SESSION_ID_BYTES } from './data-packet.ts'
import { sessionIdBytes } from './session-packets.ts'
import type { SessionParameters } from './session-types.ts'

/** Bytes of an invitation at the most. */
export const MAX_INVITATION_BYTES = 512

/** Least and greatest `datagramBytes`: the least holds every control packet's fixed part, the greatest is UDP's. */
export const MIN_DATAGRAM_BYTES = 256
export const MAX_DATAGRAM_BYTES = 65_507

const VERSION = 1
const MAX_ADDRESS_BYTES = 64
const MAX_KEY_BYTES = 32
const MAX_INVITATION_APP_BYTES = 192
const MAX_INVITED = 0xffffff

export interface Invitation extends SessionParameters {
  /** The group's address, IPv4 or IPv6, as text. */
  readonly group: string
  readonly groupPort: number
  /** The address that the sender sends from: the source of a source-specific group, and with the control port where feedback goes. */
  readonly sender: string
  readonly controlPort: number
  /** How many were invited. */
  readonly invited: number
  /** From it and the group key the session's keys are derived; empty without a key. At most 32 bytes. */
  readonly salt: Uint8Array
  /** Which group key; empty without. At most 32 bytes. */
  readonly keyId: Uint8Array
  /** Of the layer above; at most 192 bytes. */
  readonly app: Uint8Array
}

export function encodeInvitation(invitation: Invitation): Uint8Array {
  assert(utf8Encode(invitation.group).length <= MAX_ADDRESS_BYTES, 'a group address')
  assert(utf8Encode(invitation.sender).length <= MAX_ADDRESS_BYTES, "a sender's address")
  assert(invitation.salt.length <= MAX_KEY_BYTES && invitation.keyId.length <= MAX_KEY_BYTES, 'a salt and a key id of at most 32 bytes')
  assert(invitation.app.length <= MAX_INVITATION_APP_BYTES, 'at most 192 bytes of the layer above')
  assert(isPlausible(invitation), 'parameters in their bounds')
  const writer = new Writer(160)
  writer.u8(VERSION)
  writer.bytes(sessionIdBytes(invitation.sessionId))
  writer.text(invitation.group)
  writer.u16(invitation.groupPort)
  writer.text(invitation.sender)
  writer.u16(invitation.controlPort)
  writer.u16(invitation.datagramBytes)
  writer.u8(invitation.blockSymbols)
  writer.varint(invitation.invited)
  writer.lengthBytes(invitation.salt)
  writer.lengthBytes(invitation.keyId)
  writer.lengthBytes(invitation.app)
  return writer.finish()
}

export function decodeInvitation(bytes: Uint8Array): Invitation | WireError {
  if (bytes.length > MAX_INVITATION_BYTES) return wireError('disconnect', 'an invitation is too long')
  const reader = new Reader(bytes)
  if (reader.u8() !== VERSION) return wireError('ignore', 'an invitation of an unknown version')
  const invitation: Invitation = {
    sessionId: toHex(reader.bytes(SESSION_ID_BYTES)),
    group: reader.text(MAX_ADDRESS_BYTES),
    groupPort: reader.u16(),
    sender: reader.text(MAX_ADDRESS_BYTES),
    controlPort: reader.u16(),
    datagramBytes: reader.u16(),
    blockSymbols: reader.u8(),
    invited: reader.varint(),
    salt: reader.lengthBytes(MAX_KEY_BYTES),
    keyId: reader.lengthBytes(MAX_KEY_BYTES),
    app: reader.lengthBytes(MAX_INVITATION_APP_BYTES),
  }
  if (!reader.done() || !isPlausible(invitation)) return wireError('disconnect', 'an invitation is malformed')
  return invitation
}

function isPlausible({ datagramBytes, blockSymbols, groupPort, controlPort, invited }: Invitation): boolean {
  if (datagramBytes < MIN_DATAGRAM_BYTES || datagramBytes > MAX_DATAGRAM_BYTES) return false
  return blockSymbols >= 1 && blockSymbols <= 255 && groupPort > 0 && controlPort > 0 && invited <= MAX_INVITED
}
