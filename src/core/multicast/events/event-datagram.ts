/**
 * A datagram that carries one event of the gossip layer to all that multicast reaches. docs/specs/06-broadcast.md §11.
 *
 *   event  = datagram of `reach/group-datagram.ts` with the magic 0xb8
 *   body   = u48 node, u48 run, u32 sequence, content
 *
 * It goes to the group of the beacons (docs/specs/10-reach.md §1) and is sealed as they are. `node`
 * is the sender's, `run` grows with each of its starts, `sequence` counts its datagrams from 0. What the content is, is not known here.
 */
import { Reader } from '../../wire/reader.ts'
import { isWireError, wireError, type WireError } from '../../wire/wire-error.ts'
import { Writer } from '../../wire/writer.ts'
import { GROUP_HEADER_BYTES, openDatagram, sealDatagram, type BeaconCipher, type DatagramKind } from '../reach/group-datagram.ts'

export interface EventDatagram {
  readonly node: number
  readonly run: number
  readonly sequence: number
  /** A view into the datagram where it is not sealed. */
  readonly content: Uint8Array
}

const KIND: DatagramKind = { magic: 0xb8, noun: 'an event' }
const FIXED_BYTES = 16

/** Whether it is one, by its first byte alone. */
export function isEventDatagram(datagram: Uint8Array): boolean {
  return datagram[0] === KIND.magic
}

/** What a datagram has beside its content. */
export function eventOverheadBytes(cipher: BeaconCipher): number {
  return GROUP_HEADER_BYTES + FIXED_BYTES + cipher.overheadBytes
}

export function encodeEventDatagram({ node, run, sequence, content }: EventDatagram, cluster: number, cipher: BeaconCipher): Uint8Array {
  const body = new Writer(FIXED_BYTES + content.length)
  body.u48(node)
  body.u48(run)
  body.u32(sequence)
  body.bytes(content)
  return sealDatagram(KIND, cluster, body.finish(), cipher)
}

/** What a datagram says. `ignore` for what is not of this cluster; never throws. */
export function decodeEventDatagram(datagram: Uint8Array, cluster: number, cipher: BeaconCipher): EventDatagram | WireError {
  const body = openDatagram(KIND, datagram, cluster, cipher)
  if (isWireError(body)) return body
  if (body.length < FIXED_BYTES) return wireError('penalise', 'an event that is cut off')
  const reader = new Reader(body)
  return { node: reader.u48(), run: reader.u48(), sequence: reader.u32(), content: body.subarray(FIXED_BYTES) }
}
