/**
 * Sockets of one interface that are not for one group: one that is bound to the interface's own address, to send to groups, to everybody
 * or to one node from there, and to get what is sent to that address; and one that hears what is sent to everybody in an IPv4 subnet.
 *
 * Broadcast goes to the subnet's own address (10.0.0.255). 255.255.255.255 would leave by the default route, or not at all without one.
 */
import type { Impairment } from './impairment.ts'
import { isLinkScoped, ownAddress, prepareSending } from './group-socket.ts'
import { zoned, type NetworkInterface } from './interfaces.ts'
import { UdpSocket, type PacketListener } from './udp-socket.ts'

/** All hosts of a network, whatever its subnet. */
export const EVERYBODY = '255.255.255.255'

export interface LinkSocketOptions {
  readonly interface: NetworkInterface
  /** The port that it is bound to; 0, any free one, unless given. */
  readonly port?: number
  readonly onPacket: PacketListener
  /** Routers that a datagram to a group may pass, plus one. */
  readonly ttl?: number
  readonly receiveBufferBytes?: number
  readonly impairment?: Impairment | undefined
}

/** A socket at the interface's own address. */
export interface LinkSocket {
  readonly interface: NetworkInterface
  readonly port: number
  readonly socket: UdpSocket
  /** Sends to a group or a node; addresses of one link need no zone. */
  send(bytes: Uint8Array, port: number, address: string): void
  /** Sends to everybody in the subnet; does nothing where there is no such address. */
  broadcast(bytes: Uint8Array, port: number): void
  close(): void
}

/** Opens one. Rejects as `openGroupSocket` does. */
export async function openLinkSocket(options: LinkSocketOptions): Promise<LinkSocket> {
  const { interface: via, port = 0 } = options
  const socket = await UdpSocket.open({
    family: via.family,
    address: ownAddress(via),
    port,
    isShared: false,
    group: 'this subnet',
    interface: via.name,
    onPacket: options.onPacket,
    receiveBufferBytes: options.receiveBufferBytes,
    impairment: options.impairment,
    prepare: (raw) => {
      prepareSending(raw, via, options.ttl ?? 1)
      if (via.broadcast !== undefined) raw.setBroadcast(true)
    },
  })
  const needsZone = (address: string): boolean => /^fe[89ab]/i.test(address) || isLinkScoped(address)
  return {
    interface: via,
    port: socket.port,
    socket,
    send: (bytes, to, address) => {
      socket.send(bytes, to, via.family === 6 && !address.includes('%') && needsZone(address) ? zoned(address, via) : address)
    },
    broadcast: (bytes, to) => {
      if (via.broadcast !== undefined) socket.send(bytes, to, via.broadcast)
    },
    close: () => socket.close(),
  }
}

export interface BroadcastSocketOptions {
  /** One of IPv4 that has a broadcast address. */
  readonly interface: NetworkInterface
  readonly port: number
  readonly onPacket: PacketListener
  readonly impairment?: Impairment | undefined
}

/** Hears what is sent to everybody in the interface's subnet; undefined where that has no such address. Rejects as `openGroupSocket` does. */
export async function openBroadcastSocket({
  interface: via,
  port,
  onPacket,
  impairment,
}: BroadcastSocketOptions): Promise<UdpSocket | undefined> {
  if (via.broadcast === undefined) return undefined
  // Bound to that address where the system can: then nothing else comes, and other programs may be bound to it, too.
  const address = process.platform === 'win32' ? '0.0.0.0' : via.broadcast
  return UdpSocket.open({ family: 4, address, port, isShared: true, group: via.broadcast, interface: via.name, onPacket, impairment })
}
