/**
 * A beacon: what one node sends on one link so that others know whether, how well and how large its datagrams arrive, and what it hears of
 * them. docs/specs/10-reach.md §2.
 *
 *   beacon  = datagram of `group-datagram.ts` with the magic 0xb7
 *   body    = u8 size, u8 flags, u48 node, u48 run, u32 sequence,
 *             u16 smallInterval, u16 largeInterval, u16 peers, u16 maxBytes,
 *             varint count, count × report, zeros
 *   report  = u48 node, u16 bytes, u8 quality
 *
 * `size` counts the sizes that are sent to groups, from 0, the smallest; 255 is a broadcast, 254 a datagram to one node. Each has sequence
 * numbers of its own. Intervals are in units of 100 ms. `quality` is 128 for an arriving broadcast plus the share of lost datagrams in
 * hundredths. Zeros fill the datagram up to its size, which the receiver takes from the datagram itself.
 */
import { Reader } from '../../wire/reader.ts'
import { isWireError, wireError, type WireError } from '../../wire/wire-error.ts'
import { Writer } from '../../wire/writer.ts'
import { GROUP_HEADER_BYTES, openDatagram, sealDatagram, type BeaconCipher, type DatagramKind } from './group-datagram.ts'

/** What a node hears of another one on a link. */
export interface PeerReport {
  readonly node: number
  /** Payload of the largest datagram to the group that arrives; 0 is none. */
  readonly multicastBytes: number
  readonly isBroadcastHeard: boolean
  /** Of the datagrams to the group, 0 to 1. */
  readonly lossShare: number
}

export interface Beacon {
  /** Index of its size; `BROADCAST_SIZE`, `DIRECT_SIZE`. */
  readonly size: number
  /** It beats fast, so that silence means something soon. */
  readonly isFast: boolean
  /** It hears no multicast on this link, though it did or should. */
  readonly isDeaf: boolean
  /** It wants to know soon who hears it. */
  readonly wantsReports: boolean
  readonly node: number
  /** Grows with each start of the node, 48 bits. */
  readonly run: number
  readonly sequence: number
  readonly smallIntervalMs: number
  readonly largeIntervalMs: number
  /** Nodes that it hears on the link. */
  readonly peers: number
  /** Payload of the largest datagrams that it sends to the group. */
  readonly maxBytes: number
  readonly reports: readonly PeerReport[]
}

export const BROADCAST_SIZE = 255
export const DIRECT_SIZE = 254

const KIND: DatagramKind = { magic: 0xb7, noun: 'a beacon' }
const FIXED_BYTES = 26
const REPORT_BYTES = 9
const INTERVAL_UNIT_MS = 100
const FLAG_FAST = 1
const FLAG_DEAF = 2
const FLAG_WANTS_REPORTS = 4
const QUALITY_BROADCAST = 128
const MAX_VALUE = 0xffff

/** How many reports fit a beacon of so many bytes. */
export function reportRoom(datagramBytes: number, cipher: BeaconCipher): number {
  // Two bytes of the count are enough for 16,383.
  const room = datagramBytes - GROUP_HEADER_BYTES - FIXED_BYTES - 2 - cipher.overheadBytes
  return Math.max(0, Math.floor(room / REPORT_BYTES))
}

/** The datagram, of exactly `datagramBytes` where the reports leave room, and never more than that for reports that fit. */
export function encodeBeacon(beacon: Beacon, cluster: number, datagramBytes: number, cipher: BeaconCipher): Uint8Array {
  const body = new Writer(datagramBytes)
  body.u8(beacon.size)
  body.u8((beacon.isFast ? FLAG_FAST : 0) | (beacon.isDeaf ? FLAG_DEAF : 0) | (beacon.wantsReports ? FLAG_WANTS_REPORTS : 0))
  body.u48(beacon.node)
  body.u48(beacon.run)
  body.u32(beacon.sequence)
  body.u16(units(beacon.smallIntervalMs))
  body.u16(units(beacon.largeIntervalMs))
  body.u16(Math.min(MAX_VALUE, beacon.peers))
  body.u16(Math.min(MAX_VALUE, beacon.maxBytes))
  body.varint(beacon.reports.length)
  for (const { node, multicastBytes, isBroadcastHeard, lossShare } of beacon.reports) {
    body.u48(node)
    body.u16(Math.min(MAX_VALUE, multicastBytes))
    body.u8((isBroadcastHeard ? QUALITY_BROADCAST : 0) + Math.round(100 * Math.min(1, Math.max(0, lossShare))))
  }
  const padding = datagramBytes - GROUP_HEADER_BYTES - body.length - cipher.overheadBytes
  if (padding > 0) body.bytes(new Uint8Array(padding))
  return sealDatagram(KIND, cluster, body.finish(), cipher)
}

/** What a datagram says. `ignore` for what is not of this cluster; never throws. */
export function decodeBeacon(datagram: Uint8Array, cluster: number, cipher: BeaconCipher): Beacon | WireError {
  const body = openDatagram(KIND, datagram, cluster, cipher)
  if (isWireError(body)) return body
  const reader = new Reader(body)
  const size = reader.u8()
  const flags = reader.u8()
  const node = reader.u48()
  const fields = {
    size,
    isFast: (flags & FLAG_FAST) !== 0,
    isDeaf: (flags & FLAG_DEAF) !== 0,
    wantsReports: (flags & FLAG_WANTS_REPORTS) !== 0,
    node,
    run: reader.u48(),
    sequence: reader.u32(),
    smallIntervalMs: reader.u16() * INTERVAL_UNIT_MS,
    largeIntervalMs: reader.u16() * INTERVAL_UNIT_MS,
    peers: reader.u16(),
    maxBytes: reader.u16(),
  }
  const count = reader.varint()
  if (count * REPORT_BYTES > reader.remaining) return wireError('penalise', 'a beacon with more reports than bytes')
  const reports: PeerReport[] = []
  for (let i = 0; i < count; i++) {
    const about = reader.u48()
    const multicastBytes = reader.u16()
    const quality = reader.u8()
    const lossShare = Math.min(1, (quality & ~QUALITY_BROADCAST) / 100)
    reports.push({ node: about, multicastBytes, isBroadcastHeard: quality >= QUALITY_BROADCAST, lossShare })
  }
  if (reader.failed) return wireError('penalise', 'a beacon that is cut off')
  return { ...fields, reports }
}

function units(ms: number): number {
  return Math.min(MAX_VALUE, Math.ceil(ms / INTERVAL_UNIT_MS))
}
