/**
 * The network interfaces of this machine, as multicast needs them: one entry per interface and address, since a group is joined, and a
 * datagram sent, on an interface that is named. Never on the system's default: that is right on machines with one interface and a
 * default route alone.
 *
 * Node tells no changes, so that they are looked for: whether an address is another at each look, which one question to the system answers;
 * the sizes of packets, for which files are read, more rarely. What is down, or has no carrier, is not listed.
 */
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { ipBytes } from '../../gossip/ip-bytes.ts'

/** One address of one interface. */
export interface NetworkInterface {
  /** As the system names it: `eth0`. */
  readonly name: string
  readonly family: 4 | 6
  /** Without a zone. */
  readonly address: string
  readonly netmask: string
  /** Length of the subnet's prefix, bits. */
  readonly prefixBits: number
  /** Where a datagram for the whole subnet goes; undefined for IPv6 and for subnets of two addresses or one. */
  readonly broadcast: string | undefined
  /** The largest packet, IP header included; undefined where the system does not tell. */
  readonly mtu: number | undefined
  readonly isLoopback: boolean
  /** An address of this link alone: fe80::/10. */
  readonly isLinkLocal: boolean
  /** Index of the interface, for IPv6; 0 otherwise. */
  readonly scopeId: number
}

/** What became of the interfaces between two looks. An address that changed has gone and come. */
export interface InterfaceChange {
  readonly added: readonly NetworkInterface[]
  readonly removed: readonly NetworkInterface[]
  readonly all: readonly NetworkInterface[]
}

export interface WatchOptions {
  /** Time between two looks, ms. */
  readonly pollMs: number
  /** Instead of the machine's own, for tests: the interfaces, and a text that is another whenever their addresses are. */
  readonly list?: () => NetworkInterface[]
  readonly glance?: () => string
}

/** An address without what has to be read from files. */
export type InterfaceAddress = Omit<NetworkInterface, 'mtu'>

/** All addresses of all interfaces that are up, by name, IPv4 first. */
export function listInterfaces(): NetworkInterface[] {
  const mtus = new Map<string, number | undefined>()
  return listAddresses().map((address) => {
    const { name } = address
    if (!mtus.has(name)) mtus.set(name, mtuOf(name))
    return { ...address, mtu: mtus.get(name) }
  })
}

/** The same without the largest packets, for which files are read. */
export function listAddresses(): InterfaceAddress[] {
  const found: InterfaceAddress[] = []
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    for (const { address, netmask, family, internal, cidr, scopeid } of addresses ?? []) {
      const prefixBits = cidr === null ? prefixOf(netmask) : Number(cidr.slice(cidr.lastIndexOf('/') + 1))
      const isV4 = family === 'IPv4'
      found.push({
        name,
        family: isV4 ? 4 : 6,
        address: address.replace(/%.*$/, ''),
        netmask,
        prefixBits,
        broadcast: isV4 && prefixBits <= 30 ? broadcastOf(address, prefixBits) : undefined,
        isLoopback: internal,
        isLinkLocal: !isV4 && /^fe[89ab]/i.test(address),
        scopeId: scopeid ?? 0,
      })
    }
  }
  return found.toSorted((a, b) => a.name.localeCompare(b.name) || a.family - b.family)
}

/** Looks at which the largest packets are read anew, though no address has changed. */
const LOOKS_PER_MTU = 5

/** Calls back with each change; the function returned ends it. Never keeps the process alive. */
export function watchInterfaces(options: WatchOptions, onChange: (change: InterfaceChange) => void): () => void {
  const { pollMs, list = listInterfaces, glance = () => JSON.stringify(networkInterfaces()) } = options
  let glimpsed = glance()
  let known = new Map(list().map((one) => [keyOf(one), one]))
  let looks = 0
  const timer = setInterval(() => {
    const glimpse = glance()
    if (glimpse === glimpsed && ++looks % LOOKS_PER_MTU !== 0) return
    glimpsed = glimpse
    const all = list()
    const current = new Map(all.map((one) => [keyOf(one), one]))
    const added = all.filter((one) => !known.has(keyOf(one)))
    const removed = [...known].filter(([key]) => !current.has(key)).map(([, one]) => one)
    known = current
    if (added.length > 0 || removed.length > 0) onChange({ added, removed, all })
  }, pollMs)
  timer.unref()
  return () => clearInterval(timer)
}

/** The same key, the same interface with the same address, netmask and MTU. */
export function keyOf({ name, family, address, prefixBits, mtu, scopeId }: NetworkInterface): string {
  return `${name} ${family} ${address}/${prefixBits} ${mtu ?? ''} ${scopeId}`
}

/** The interface as the socket calls of its family take it. IPv6 by its name: a zone by number, or a global address, would silently be the default one. */
export function interfaceArgument({ family, address, name, scopeId }: NetworkInterface): string {
  if (family === 4) return address
  return process.platform === 'win32' ? `::%${scopeId}` : `::%${name}`
}

/** An address of this interface with the zone that an address of one link needs. */
export function zoned(address: string, { name, scopeId }: NetworkInterface): string {
  return `${address}%${process.platform === 'win32' ? String(scopeId) : name}`
}

/** Whether an address is one of the interface's own subnet; one with a zone is where its zone says. */
export function isInSubnet(address: string, { name, address: own, prefixBits, scopeId }: InterfaceAddress): boolean {
  const [bare = '', zone] = address.split('%')
  if (zone !== undefined) return zone === name || zone === String(scopeId)
  const a = ipBytes(bare)
  const b = ipBytes(own)
  if (a === undefined || b === undefined || a.length !== b.length) return false
  for (let bit = 0; bit < prefixBits; bit += 8) {
    const mask = prefixBits - bit >= 8 ? 0xff : (0xff << (8 - (prefixBits - bit))) & 0xff
    if (((a[bit / 8]! ^ b[bit / 8]!) & mask) !== 0) return false
  }
  return true
}

function broadcastOf(address: string, prefixBits: number): string {
  const bytes = ipBytes(address)!
  for (let bit = prefixBits; bit < 32; bit++) bytes[bit >> 3]! |= 0x80 >> (bit & 7)
  return bytes.join('.')
}

function prefixOf(netmask: string): number {
  const bytes = ipBytes(netmask) ?? new Uint8Array(0)
  return bytes.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0)
}

/**
 * What Linux tells of an interface in /sys/class/net, trimmed; undefined on other systems, and where /sys is not of this network: in a namespace of the
 * network alone it still shows the interfaces of another one, perhaps with the same names.
 */
export function linkAttribute(name: string, what: string): string | undefined {
  const mac = networkInterfaces()[name]?.[0]?.mac
  return mac !== undefined && read(`/sys/class/net/${name}/address`) === mac ? read(`/sys/class/net/${name}/${what}`) : undefined
}

/** Other systems than Linux do not tell it: there, the beacons find out what gets through. */
function mtuOf(name: string): number | undefined {
  const mtu = Number(linkAttribute(name, 'mtu') ?? read(`/proc/sys/net/ipv6/conf/${name}/mtu`))
  return mtu > 0 ? mtu : undefined
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    // Not told for every interface, and nowhere but on Linux.
    return undefined
  }
}
