/** Which groups another node may name for a session: those that `pickGroup` takes (core/multicast/addresses.ts), and no others. */
import { ipBytes } from '../../gossip/ip-bytes.ts'

/** Whether a group is source-specific, of the range for sessions, and not one that switches always flood. */
export function isSessionGroup(group: string): boolean {
  const bytes = ipBytes(group)
  if (bytes === undefined) return false
  if (bytes.length === 4) return bytes[0] === 232 && bytes[1]! < 128 && (bytes[1]! > 0 || bytes[2]! > 0)
  return bytes[0] === 0xff && bytes[1] === 0x35 && bytes.subarray(2, 12).every((byte) => byte === 0) && bytes[12]! >= 0x80
}
