/** Addresses as text: of which kind they are, and how host and port are written together. */

import { BlockList, isIP } from 'node:net'

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')
LOOPBACK.addSubnet('::ffff:127.0.0.0', 104, 'ipv6')

/** True for an IP address that only this machine reaches; false for host names. */
export function isLoopback(address: string): boolean {
  const family = isIP(address)
  return family !== 0 && LOOPBACK.check(address, family === 4 ? 'ipv4' : 'ipv6')
}

/** True for 0.0.0.0 and ::, every address of the machine. */
export function isUnspecified(address: string): boolean {
  return isIP(address) !== 0 && /^(0\.0\.0\.0|[0:]+(ffff:(0\.0\.0\.0|0+:0+))?)$/i.test(address)
}

/** `127.0.0.1:7946`, or `[::1]:7946`. */
export function formatAddress(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** Splits `host`, `host:port`, `[v6]:port` or a bare IPv6 address; undefined if it is none of them. Ports begin with 1. */
export function parseAddress(text: string, defaultPort: number): { host: string; port: number } | undefined {
  const address = splitAddress(text, defaultPort)
  return address?.port === 0 ? undefined : address
}

/** The same for an address to listen at, which names its port: 0 is any free one. */
export function parseListenAddress(text: string): { host: string; port: number } | undefined {
  const address = splitAddress(text, -1)
  return address?.port === -1 ? undefined : address
}

function splitAddress(text: string, defaultPort: number): { host: string; port: number } | undefined {
  const match = /^(?:\[(?<v6>[0-9A-Fa-f:.]+)\]|(?<host>[^\s:[\]/@]+))(?::(?<port>\d{1,5}))?$/.exec(text)
  if (match === null) return /^[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*$/.test(text) ? { host: text, port: defaultPort } : undefined
  const host = match.groups?.['v6'] ?? match.groups?.['host'] ?? ''
  const port = match.groups?.['port'] === undefined ? defaultPort : Number(match.groups['port'])
  return port <= 65_535 ? { host, port } : undefined
}
