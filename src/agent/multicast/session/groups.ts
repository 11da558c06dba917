/**
 * The groups of sessions: made from the session's id, so that two sessions hardly ever share one, nor an Ethernet address.
 *
 * Source-specific (232/8, ff35::8000:0/97; RFC 4607, RFC 3307): hosts get only what the named sender sends, and switches with snooping of
 * IGMPv3 or MLDv2 pass on no more. An IPv4 group's Ethernet address has its low 23 bits: the 24th is 0 here, so that those differ
 * wherever the groups do, and groups that share one with 224.0.0.0/24, which switches flood always, are left out.
 */
import { ipBytes } from '../../gossip/ip-bytes.ts'

/** The group of a session. */
export function sessionGroup(sessionId: string, family: 4 | 6): string {
  const id = Buffer.from(sessionId, 'hex')
  if (family === 6) return `ff35::${(0x8000 | id.readUInt16BE(0)).toString(16)}:${id.readUInt16BE(2).toString(16)}`
  // Any of the id's bytes may be zero, all of them are not: 2 in 100,000 ids begin with one of the flooded ones.
  for (let at = 0; at < id.length - 2; at++) {
    const low = id.readUIntBE(at, 3) & 0x7fffff
    if (low >= 256) return `232.${low >> 16}.${(low >> 8) & 0xff}.${low & 0xff}`
  }
  return '232.1.1.1'
}

/** Whether a group that another node names may be joined for a session. */
export function isSessionGroup(group: string): boolean {
  const bytes = ipBytes(group)
  if (bytes === undefined) return false
  if (bytes.length === 4) return bytes[0] === 232 && bytes[1]! < 128 && (bytes[1]! > 0 || bytes[2]! > 0)
  return bytes[0] === 0xff && bytes[1] === 0x35 && bytes.subarray(2, 12).every((byte) => byte === 0) && bytes[12]! >= 0x80
}
