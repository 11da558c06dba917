/** Where members are, compared. */
import { equalBytes, toHex } from '../lib/bytes.ts'
import type { Endpoint, PingSource } from './messages.ts'

/** Text that two endpoints have in common when they are one: an IPv4 address counts the same in four bytes and mapped into sixteen. */
export function endpointKey({ address, port }: Endpoint): string {
  return `${toHex(isMapped(address) ? address.subarray(12) : address)}:${port}`
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.port === b.port && (equalBytes(a.address, b.address) || endpointKey(a) === endpointKey(b))
}

export function isEndpoint({ address, port }: Endpoint): boolean {
  return (address.length === 4 || address.length === 16) && Number.isInteger(port) && port > 0 && port < 65536
}

/** Where the answer to a request goes: to whom it names, or whence it came. */
export function replyEndpoint(request: PingSource, from: Endpoint): Endpoint {
  if (request.sourceAddress === undefined || request.sourcePort === undefined) return from
  const named = { address: request.sourceAddress, port: request.sourcePort }
  return isEndpoint(named) ? named : from
}

/** ::ffff:0:0/96, RFC 4291 §2.5.5.2. */
function isMapped(address: Uint8Array): boolean {
  if (address.length !== 16 || address[10] !== 0xff || address[11] !== 0xff) return false
  for (let i = 0; i < 10; i++) if (address[i] !== 0) return false
  return true
}
