/**
 * A socket for one group on one interface.
 *
 * On Linux it is bound to the group's address: one that is bound to no address gets what comes for every group that any program of the
 * machine has joined. Where several interfaces of the machine have joined the same group, the system still hands what comes on one of
 * them to the sockets of all, except for groups of one link in IPv6 (ff02::): who cares looks at the sender, with `isFromHere`.
 */
import type { Socket } from 'node:dgram'
import type { PolycastError } from '../../errors.ts'
import type { Impairment } from './impairment.ts'
import { interfaceArgument, isInSubnet, listAddresses, zoned, type NetworkInterface } from './interfaces.ts'
import { UdpSocket, type BulkOptions, type PacketListener } from './udp-socket.ts'

export interface GroupSocketOptions {
  readonly interface: NetworkInterface
  /** Address of the group, of the interface's family, without a zone. */
  readonly group: string
  readonly port: number
  readonly onPacket: PacketListener
  /** It joins nothing and is bound to the interface's address and a free port, so that `port` is where it sends to alone. */
  readonly sendOnly?: boolean
  /** Only what this sender sends is received: source-specific multicast. */
  readonly source?: string
  /** Routers that a datagram may pass, plus one: 1 stays on the link. */
  readonly ttl?: number
  readonly receiveBufferBytes?: number
  readonly sendBufferBytes?: number
  /** What comes from an address of another interface's subnet is dropped: for receivers that have to know where it came in. */
  readonly isFromHere?: boolean
  readonly bulk?: BulkOptions
  readonly impairment?: Impairment | undefined
}

/** A group on an interface. */
export interface GroupSocket {
  readonly interface: NetworkInterface
  readonly group: string
  readonly port: number
  readonly socket: UdpSocket
  /** Sends to the group. */
  send(bytes: Uint8Array): void
  /**
   * Leaves the group and joins it again, which tells the switches anew that somebody is here; undefined, or why it cannot be joined. Where
   * the interface itself went and came back, it has to be closed and opened.
   */
  rejoin(): PolycastError | undefined
  close(): void
}

const DEFAULT_TTL = 1
/** Senders of which it is remembered where they are. */
const MAX_KNOWN_SENDERS = 4096

/**
 * Opens one. Rejects with `address-in-use`, `multicast-interface-gone` (no such interface or address), `multicast-too-many-groups` (the
 * system's limit of groups or sources), `multicast-no-route` or `multicast-unusable`.
 */
export async function openGroupSocket(options: GroupSocketOptions): Promise<GroupSocket> {
  const { interface: via, group, port, sendOnly = false, source } = options
  const join = (socket: Socket): void => {
    if (source === undefined) socket.addMembership(group, interfaceArgument(via))
    else socket.addSourceSpecificMembership(source, group, interfaceArgument(via))
  }
  const socket = await UdpSocket.open({
    family: via.family,
    address: sendOnly ? ownAddress(via) : bindAddress(group, via),
    port: sendOnly ? 0 : port,
    isShared: !sendOnly,
    group,
    interface: via.name,
    onPacket: options.isFromHere === true ? filtered(via, options.onPacket) : options.onPacket,
    receiveBufferBytes: options.receiveBufferBytes,
    sendBufferBytes: options.sendBufferBytes,
    impairment: options.impairment,
    bulk: options.bulk,
    prepare: (raw) => {
      prepareSending(raw, via, options.ttl ?? DEFAULT_TTL)
      if (!sendOnly) join(raw)
    },
  })
  const target = isLinkScoped(group) ? zoned(group, via) : group
  if (sendOnly) {
    try {
      await socket.connect(port, target)
    } catch (error) {
      socket.close()
      throw error
    }
  }
  return {
    interface: via,
    group,
    port,
    socket,
    send: sendOnly ? (bytes) => socket.send(bytes) : (bytes) => socket.send(bytes, port, target),
    rejoin: () => {
      try {
        if (source === undefined) socket.raw.dropMembership(group, interfaceArgument(via))
        else socket.raw.dropSourceSpecificMembership(source, group, interfaceArgument(via))
      } catch {
        // It was not a member any more, as after the interface was gone: it is to become one.
      }
      try {
        join(socket.raw)
        return undefined
      } catch (error) {
        return socket.explain(error)
      }
    },
    close: () => socket.close(),
  }
}

/** What a socket needs so that its datagrams to groups leave on that interface. */
export function prepareSending(socket: Socket, via: NetworkInterface, ttl: number): void {
  socket.setMulticastInterface(interfaceArgument(via))
  socket.setMulticastTTL(ttl)
  // Receivers on this very machine get it, too.
  socket.setMulticastLoopback(true)
}

/** The interface's own address, as a socket is bound to it. */
export function ownAddress(via: NetworkInterface): string {
  return via.isLinkLocal ? zoned(via.address, via) : via.address
}

/** Whether an IPv6 group is one of the link (or the machine) alone, so that its address needs a zone. */
export function isLinkScoped(group: string): boolean {
  return /^ff[0-9a-f][12]:/i.test(group)
}

function bindAddress(group: string, via: NetworkInterface): string {
  // Windows binds to no group: there, everything for the port comes, and who reads it looks at the session.
  if (process.platform === 'win32') return via.family === 4 ? '0.0.0.0' : '::'
  return isLinkScoped(group) ? zoned(group, via) : group
}

/** Passes on what does not come from the subnet of another interface. */
function filtered(via: NetworkInterface, onPacket: PacketListener): PacketListener {
  const known = new Map<string, boolean>()
  return (bytes, from) => {
    let isHere = known.get(from.address)
    if (isHere === undefined) {
      isHere = isInSubnet(from.address, via) || !listAddresses().some((one) => one.name !== via.name && isInSubnet(from.address, one))
      if (known.size >= MAX_KNOWN_SENDERS) known.clear()
      known.set(from.address, isHere)
    }
    if (isHere) onPacket(bytes, from)
  }
}
