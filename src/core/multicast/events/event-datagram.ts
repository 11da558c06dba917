/**
 * A datagram that carries one event of the gossip layer to all that multicast reaches. docs/specs/06-broadcast.md §11.
 *
 *   event  = u8 0xb8, u8 version = 1, u32 cluster, sealed body          cluster: hash of the cluster's name, as in beacons
 *   body   = u48 node, u48 run, u32 sequence, content
 *
 * It goes to the group of the beacons (docs/specs/10-reach.md §1) and is sealed as they are, with the first six bytes as associated data. `node`
 * is the sender's, `run` grows with each of its starts, `sequence` counts its datagrams from 0. What the content is, is not known here.
 */
import { Reader } from '../../wire/reader.ts'
import { wireError, type WireError } from '../../wire/wire-error.ts'
import { Writer } from '../../wire/writer.ts'
import type { BeaconCipher } from '../reach/beacon.ts'

export interface EventDatagram {
  readonly node: number
  readonly run: number
  readonly sequence: number
  /** A view into the datagram where it is not sealed. */
  readonly content: Uint8Array
}

const MAGIC = 0xb8
const VERSION = 1
const HEADER_BYTES = 6
const FIXED_BYTES = 16
const HIGH = 0x1_0000_0000

/** Whether it is one, by its first byte alone. */
export function isEventDatagram(datagram: Uint8Array): boolean {
  return datagram[0] === MAGIC
}

/** What a datagram has beside its content. */
export function eventOverheadBytes(cipher: BeaconCipher): number {
  return HEADER_BYTES + FIXED_BYTES + cipher.overheadBytes
}

export function encodeEventDatagram({ node, run, sequence, content }: EventDatagram, cluster: number, cipher: BeaconCipher): Uint8Array {
  const header = new Writer(HEADER_BYTES)
  header.u8(MAGIC)
  header.u8(VERSION)
  header.u32(cluster)
  const body = new Writer(FIXED_BYTES + content.length)
  for (const value of [node, run]) {
    body.u16(Math.floor(value / HIGH))
    body.u32(value % HIGH)
  }
  body.u32(sequence)
  body.bytes(content)
  const head = header.finish()
  const sealed = cipher.seal(body.finish(), head)
  const datagram = new Uint8Array(head.length + sealed.length)
  datagram.set(head)
  datagram.set(sealed, head.length)
  return datagram
}

/** What a datagram says. `ignore` for what is not of this cluster; never throws. */
export function decodeEventDatagram(datagram: Uint8Array, cluster: number, cipher: BeaconCipher): EventDatagram | WireError {
  const header = new Reader(datagram.subarray(0, HEADER_BYTES))
  if (header.u8() !== MAGIC) return wireError('ignore', 'no event')
  const version = header.u8()
  if (version !== VERSION) return wireError('ignore', `an event of version ${version}`)
  if (header.u32() !== cluster || header.failed) return wireError('ignore', 'an event of another cluster')
  const body = cipher.open(datagram.subarray(HEADER_BYTES), datagram.subarray(0, HEADER_BYTES))
  if (body === undefined) return wireError('penalise', 'an event that no key of this cluster has sealed')
  if (body.length < FIXED_BYTES) return wireError('penalise', 'an event that is cut off')
  const reader = new Reader(body)
  return {
    node: reader.u16() * HIGH + reader.u32(),
    run: reader.u16() * HIGH + reader.u32(),
    sequence: reader.u32(),
    content: body.subarray(FIXED_BYTES),
  }
}
