/**
 * Arithmetic of group addresses, and the choice of a group for a session.
 *
 * An IPv4 group's Ethernet address is 01:00:5e and the low 23 bits of the group, so that 32 groups share each; an IPv6 group's is 33:33
 * and its low 32 bits. Network cards and many switches tell groups apart by the Ethernet address alone: two sessions that share one cost
 * every receiver of the one the traffic of the other. And whatever shares one with 224.0.0.0/24, every switch floods to all ports
 * (RFC 4541 §2.1.2). So a group is a hash of the session's id with the 24th bit 0, taken again where its Ethernet address is one that was
 * seen in use. RFC 4607 (232/8, ff3x::/32), RFC 2365 (239.192/14), RFC 3307 (identifiers from 0x8000_0000 on are free to take).
 */
import { assert } from '../lib/assert.ts'
import { hashUnits } from '../lib/text-hash.ts'

/** Source-specific groups, where only the announced sender is heard, or groups of any source, for networks that know IGMPv2 alone. */
export type GroupKind = 'ssm' | 'asm'

/** Hashes of one session until it gives up: with 1,000 groups in use, each of them is free with 99.99 %. */
const MAX_ATTEMPTS = 64
/** Below this, the low 23 bits name groups that are always flooded. */
const FIRST_FREE_LOW_BITS = 256

/** The Ethernet address of a group, as 6 bytes in hex with colons. The group is an IPv4 or IPv6 address without zone. */
export function ethernetAddress(group: string): string {
  const bytes = group.includes(':') ? [0x33, 0x33, ...low32(group)] : [0x01, 0x00, 0x5e, ...low23(group)]
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':')
}

/** Whether every switch sends it to all ports, joined or not. */
export function isAlwaysFlooded(group: string): boolean {
  // ff02::1 is the one group of IPv6 that has no members' reports (RFC 3810 §6).
  if (group.includes(':')) return ethernetAddress(group) === '33:33:00:00:00:01'
  const [high = 0, middle = 0] = low23(group)
  return high === 0 && middle === 0
}

/**
 * A group for a session, the same for the same id and the same groups in use; undefined where none was found. `observed` are the
 * addresses of groups that are known to be in use, of either family.
 */
export function pickGroup(sessionId: string, kind: GroupKind, family: 4 | 6, observed: Iterable<string>): string | undefined {
  const used = new Set(Array.from(observed, ethernetAddress))
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const hash = hashUnits(`${sessionId} ${attempt}`)
    const low = hash & 0x7fffff
    if (family === 4 && low < FIRST_FREE_LOW_BITS) continue
    const group = family === 6 ? ipv6Group(kind, hash) : kind === 'ssm' ? ipv4Group(232, low) : ipv4Group(239, 0xc00000 | (hash & 0x3ffff))
    if (!used.has(ethernetAddress(group))) return group
  }
  return undefined
}

/** What a cluster's nodes meet in before they know each other. */
export interface WellKnownGroups {
  /** 239.255.P.C: the local scope of RFC 2365. */
  readonly ipv4: string
  /** ff02::, of one link: what comes on an interface is never taken for what comes on another. */
  readonly ipv6Link: string
  /** ff15::, which routers of a site may pass on. */
  readonly ipv6Site: string
}

/** The groups of a cluster, by its name: one for finding each other, one for the beacons of reachability. */
export function wellKnownGroups(cluster: string, purpose: 'discovery' | 'reach'): WellKnownGroups {
  const hash = hashUnits(`polycast ${cluster}`)
  // 239.255.0.x and 239.255.255.x hold groups of others: DDS, SSDP, SLP.
  const third = 1 + ((hash >>> 8) % 254)
  const last = ((hash & 0x7f) << 1) | (purpose === 'reach' ? 1 : 0)
  const low = `${(0x8000 | (hash >>> 17)).toString(16)}:${((third << 8) | last).toString(16)}`
  return { ipv4: `239.255.${third}.${last}`, ipv6Link: `ff12::${low}`, ipv6Site: `ff15::${low}` }
}

function ipv4Group(first: number, low24: number): string {
  return `${first}.${low24 >>> 16}.${(low24 >>> 8) & 0xff}.${low24 & 0xff}`
}

function ipv6Group(kind: GroupKind, hash: number): string {
  const high = (0x8000 | ((hash >>> 16) & 0x7fff)).toString(16)
  return `${kind === 'ssm' ? 'ff35' : 'ff15'}::${high}:${(hash & 0xffff).toString(16)}`
}

function low23(group: string): number[] {
  const octets = group.split('.').map(Number)
  assert(octets.length === 4, 'an IPv4 group')
  return [octets[1]! & 0x7f, octets[2]!, octets[3]!]
}

/** The last two groups of digits; a dotted end does not occur in groups. */
function low32(group: string): number[] {
  const [head = '', tail] = group.split('::')
  const last = (tail ?? head).split(':').filter((part) => part !== '')
  const words = [last.at(-2) ?? '0', last.at(-1) ?? '0'].map((word) => Number.parseInt(word, 16))
  return words.flatMap((word) => [word >>> 8, word & 0xff])
}
