/**
 * Which addresses an agent connects to for a source. Whoever may order a fetch makes the agent send requests; without a filter
 * they could make it read what only the agent's machine can reach (server-side request forgery).
 *
 * Addresses are checked after the name was resolved, on the very addresses that are connected to, and again for each redirect:
 * a name that resolves to something else the second time gains nothing.
 */
import { lookup as dnsLookup, type LookupAddress } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

/** Decides on one resolved address (IPv4 or IPv6, as text). */
export type AllowAddress = (address: string) => boolean

/** Raised by a lookup all of whose addresses were refused. */
export class AddressRefusedError extends Error {
  override readonly name: string = 'AddressRefusedError'
  readonly address: string

  constructor(address: string) {
    super(`the address ${address} is not allowed as a source`)
    this.address = address
  }
}

// Where clouds serve the machine's own credentials, without asking for any: link-local, and the few that are not.
const METADATA = new BlockList()
METADATA.addSubnet('169.254.0.0', 16, 'ipv4')
METADATA.addSubnet('fe80::', 10, 'ipv6')
METADATA.addAddress('fd00:ec2::254', 'ipv6') // Amazon
METADATA.addAddress('100.100.100.200', 'ipv4') // Alibaba
METADATA.addAddress('192.0.0.192', 'ipv4') // Oracle

/** The default: everything but link-local addresses and the metadata services of clouds. */
export function allowAllButMetadata(address: string): boolean {
  const family = isIP(address)
  return family !== 0 && !METADATA.check(address, family === 4 ? 'ipv4' : 'ipv6')
}

/** Throws AddressRefusedError for a URL whose host is an address that is refused: those are connected to without a lookup. */
export function refuseLiteral(url: URL, allow: AllowAddress): void {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  if (isIP(host) !== 0 && !allow(host)) throw new AddressRefusedError(host)
}

/** A lookup for sockets that gives only allowed addresses. */
export function filteredLookup(allow: AllowAddress): LookupFunction {
  return (hostname, options, callback) => {
    dnsLookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, '', 0)
      const allowed: LookupAddress[] = addresses.filter(({ address }) => allow(address))
      const first = allowed[0]
      if (first === undefined) return callback(new AddressRefusedError(addresses[0]?.address ?? hostname), '', 0)
      if (options.all) return callback(null, allowed)
      return callback(null, first.address, first.family)
    })
  }
}
