/** IP addresses as gossip carries them, 4 or 16 bytes, and as text. */
import { isIP } from 'node:net'

/** The bytes of an address; undefined for what is none. A zone (`%eth0`) has no bytes and is left out. */
export function ipBytes(text: string): Uint8Array | undefined {
  const address = text.replace(/%.*$/, '')
  if (isIP(address) === 4) return Uint8Array.from(address.split('.'), Number)
  if (isIP(address) !== 6) return undefined
  const bytes = new Uint8Array(16)
  // The last 32 bits may be written as an IPv4 address.
  const dotted = /^(?<head>.*:)(?<v4>\d+\.\d+\.\d+\.\d+)$/.exec(address)?.groups
  const hexOfV4 = dotted === undefined ? undefined : Buffer.from(ipBytes(dotted['v4']!)!).toString('hex')
  const plain = hexOfV4 === undefined ? address : `${dotted!['head']!}${hexOfV4.slice(0, 4)}:${hexOfV4.slice(4)}`
  const [head = '', tail] = plain.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const put = (list: readonly string[], at: number): void => {
    list.forEach((group, index) => {
      const value = Number.parseInt(group, 16)
      bytes[at + 2 * index] = value >>> 8
      bytes[at + 2 * index + 1] = value & 0xff
    })
  }
  put(groups(head), 0)
  if (tail !== undefined) put(groups(tail), 16 - 2 * groups(tail).length)
  return bytes
}

/** The text of an address of 4 or 16 bytes; an IPv4 address that is mapped into IPv6 is written as IPv4. */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  if (isMapped(bytes)) return bytes.subarray(12).join('.')
  const groups = Array.from({ length: 8 }, (_, index) => (bytes[2 * index]! << 8) | bytes[2 * index + 1]!)
  // RFC 5952 §4.2: the longest run of zeros, two at the least, the first of several, is left out.
  let best = { at: -1, length: 1 }
  for (let at = 0; at < 8; at++) {
    let length = 0
    while (groups[at + length] === 0) length++
    if (length > best.length) best = { at, length }
  }
  const text = (list: readonly number[]): string => list.map((group) => group.toString(16)).join(':')
  return best.at < 0 ? text(groups) : `${text(groups.slice(0, best.at))}::${text(groups.slice(best.at + best.length))}`
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes[10] === 0xff && bytes[11] === 0xff && bytes.subarray(0, 10).every((byte) => byte === 0)
}
