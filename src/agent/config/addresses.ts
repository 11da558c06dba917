/** What kind of IP address an address is. */

import { BlockList, isIP } from 'node:net'

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')
LOOPBACK.addSubnet('::ffff:127.0.0.0', 104, 'ipv6')

const UNSPECIFIED = new BlockList()
UNSPECIFIED.addAddress('0.0.0.0', 'ipv4')
UNSPECIFIED.addAddress('::', 'ipv6')
UNSPECIFIED.addAddress('::ffff:0.0.0.0', 'ipv6')

/** True for an IP address that only this machine reaches; false for host names. */
export function isLoopback(address: string): boolean {
  return isIn(LOOPBACK, address)
}

/** True for 0.0.0.0 and ::, every address of the machine. */
export function isUnspecified(address: string): boolean {
  return isIn(UNSPECIFIED, address)
}

function isIn(list: BlockList, address: string): boolean {
  const family = isIP(address)
  return family !== 0 && list.check(address, family === 4 ? 'ipv4' : 'ipv6')
}
