/**
 * Something short for all that one datagram reaches: over which links it goes, and its bytes. docs/specs/10-reach.md §6.
 *
 *   shout = u8 0xb8, u8 version = 1, u32 cluster, sealed bytes
 *
 * Sealed as beacons are. A shout may come twice, and one that was recorded may come again: what is in it has to know for itself whether it is
 * new, as events of gossip do.
 */
import { Reader } from '../../wire/reader.ts'
import { wireError, type WireError } from '../../wire/wire-error.ts'
import { Writer } from '../../wire/writer.ts'
import type { BeaconCipher } from './beacon.ts'
import type { ReachEntry } from './reach-types.ts'

/** The datagram at the most: a size that beacons try and that gets through nearly everywhere. */
export const SHOUT_DATAGRAM_BYTES = 1200

const MAGIC = 0xb8
const VERSION = 1
const HEADER_BYTES = 6
/** Who loses more than this would have to be told again too often. */
const MAX_LOSS_SHARE = 0.2

/** Whom a shout reaches, and the links that it has to go over for that. */
export interface ShoutPlan {
  readonly links: readonly string[]
  readonly members: ReadonlySet<string>
}

/** How many bytes a shout holds. */
export function shoutRoom(cipher: BeaconCipher): number {
  return SHOUT_DATAGRAM_BYTES - HEADER_BYTES - cipher.overheadBytes
}

/** Few links that reach all who can be reached, the one that reaches most first: members that are heard by two families get one datagram. */
export function planShout(table: readonly ReachEntry[]): ShoutPlan {
  const byLink = new Map<string, string[]>()
  for (const { link, member, multicastBytes, lossShare } of table) {
    if (multicastBytes < SHOUT_DATAGRAM_BYTES || lossShare > MAX_LOSS_SHARE) continue
    const reached = byLink.get(link)
    if (reached === undefined) byLink.set(link, [member])
    else reached.push(member)
  }
  const links: string[] = []
  const members = new Set<string>()
  for (const [link, reached] of [...byLink].toSorted((a, b) => b[1].length - a[1].length)) {
    const before = members.size
    for (const member of reached) members.add(member)
    if (members.size > before) links.push(link)
  }
  return { links, members }
}

/** Whether a datagram is meant as a shout; whether it is one, `decodeShout` tells. */
export function isShout(datagram: Uint8Array): boolean {
  return datagram[0] === MAGIC
}

export function encodeShout(bytes: Uint8Array, cluster: number, cipher: BeaconCipher): Uint8Array {
  const writer = new Writer(HEADER_BYTES + bytes.length + cipher.overheadBytes)
  writer.u8(MAGIC)
  writer.u8(VERSION)
  writer.u32(cluster)
  writer.bytes(cipher.seal(bytes, writer.finish().slice()))
  return writer.finish()
}

/** What was shouted; `ignore` for what is not of this cluster. Never throws. */
export function decodeShout(datagram: Uint8Array, cluster: number, cipher: BeaconCipher): Uint8Array | WireError {
  const reader = new Reader(datagram)
  if (reader.u8() !== MAGIC || reader.u8() !== VERSION) return wireError('ignore', 'no shout')
  if (reader.u32() !== cluster || reader.failed) return wireError('ignore', 'a shout of another cluster')
  const header = datagram.subarray(0, HEADER_BYTES)
  return cipher.open(datagram.subarray(HEADER_BYTES), header) ?? wireError('penalise', 'a shout that no key of this cluster has sealed')
}
