/**
 * Who of two hosts that probe for a name at once may have it (RFC 6762 §8.2): the one whose records come later, compared one after the
 * other, sorted, by class, type and the bytes of their data; if they are all the same, nobody is in the other's way.
 */
import { recordDataBytes } from './dns-codec.ts'
import type { DnsRecord } from './dns-message.ts'

/** Below 0 where ours come earlier and lose, 0 where they are the same, above 0 where they win. Both are of one name. */
export function contestProbe(ours: readonly DnsRecord[], theirs: readonly DnsRecord[]): number {
  const a = sorted(ours)
  const b = sorted(theirs)
  for (let i = 0; i < a.length && i < b.length; i++) {
    const order = compare(a[i]!, b[i]!)
    if (order !== 0) return order
  }
  return a.length - b.length
}

interface Claim {
  readonly type: number
  readonly bytes: Uint8Array
}

function sorted(records: readonly DnsRecord[]): Claim[] {
  return records.map(({ type, data }) => ({ type, bytes: recordDataBytes(data) })).sort(compare)
}

function compare(a: Claim, b: Claim): number {
  if (a.type !== b.type) return a.type - b.type
  for (let i = 0; i < a.bytes.length && i < b.bytes.length; i++) {
    if (a.bytes[i] !== b.bytes[i]) return a.bytes[i]! - b.bytes[i]!
  }
  return a.bytes.length - b.bytes.length
}
