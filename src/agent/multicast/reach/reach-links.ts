/** Which links the beacons go over, and the sockets of one of them. */
import type { WellKnownGroups } from '../../../core/multicast/addresses.ts'
import type { ReachLink, ReachPath } from '../../../core/multicast/reach/reach-types.ts'
import { isLoopback, isUnspecified } from '../../addresses.ts'
import type { PolycastError } from '../../errors.ts'
import { openGroupSocket, type GroupSocket } from '../sockets/group-socket.ts'
import { keyOf, type NetworkInterface } from '../sockets/interfaces.ts'
import { openBroadcastSocket, openLinkSocket, type LinkSocket } from '../sockets/link-socket.ts'
import type { SocketCounters, UdpSocket } from '../sockets/udp-socket.ts'

/** A link, and the address of the interface that it is used with. */
export interface ChosenLink {
  readonly link: ReachLink
  readonly interface: NetworkInterface
  /** Another key is another link: its sockets have to be opened anew. */
  readonly key: string
}

const HEADER_BYTES = { 4: 28, 6: 48 } as const
/** A failure of longer ago is over: beacons go out more often. */
const RECENT_MS = 30_000
/** Where the system does not tell. */
const DEFAULT_MTU = 1500

/**
 * One link per interface and family: with the address that the node is bound to, else the first one; IPv6 with the address of the link,
 * if there is one. It is sent on the interface that the node is bound to, or on all of them; the others are listened at, so that it is
 * noticed when the cluster is there. Loopback interfaces are for nodes that are bound to one.
 */
export function chooseLinks(interfaces: readonly NetworkInterface[], bind: string): ChosenLink[] {
  const boundTo = isUnspecified(bind) ? undefined : interfaces.find(({ address }) => address === bind)?.name
  const wantsLoopback = isLoopback(bind)
  const chosen = new Map<string, ChosenLink>()
  for (const one of interfaces) {
    if (one.isLoopback !== wantsLoopback) continue
    const id = `${one.name}/${one.family}`
    const known = chosen.get(id)
    if (known !== undefined && rank(known.interface, bind) >= rank(one, bind)) continue
    const link: ReachLink = {
      id,
      interface: one.name,
      family: one.family,
      maxBytes: (one.mtu ?? DEFAULT_MTU) - HEADER_BYTES[one.family],
      hasBroadcast: one.broadcast !== undefined && !one.isLoopback,
      isSending: boundTo === undefined || boundTo === one.name,
    }
    chosen.set(id, { link, interface: one, key: keyOf(one) })
  }
  // Those that are sent on first: of more than there may be, the others are left out.
  return [...chosen.values()].toSorted((a, b) => Number(b.link.isSending) - Number(a.link.isSending))
}

function rank({ address, isLinkLocal }: NetworkInterface, bind: string): number {
  return isLinkLocal ? 2 : address === bind ? 1 : 0
}

export interface LinkSocketsOptions {
  readonly groups: WellKnownGroups
  readonly port: number
  readonly ttl: number
  readonly onPacket: (path: ReachPath, from: string, bytes: Uint8Array) => void
}

/** The sockets of one link: of the group, of broadcasts, and the one that all goes out by, which gets what is for this node alone. */
export class LinkSockets {
  readonly chosen: ChosenLink
  readonly #options: LinkSocketsOptions
  readonly #group: GroupSocket
  readonly #link: LinkSocket
  readonly #broadcast: UdpSocket | undefined

  /** Rejects as `openGroupSocket` does. */
  static async open(chosen: ChosenLink, options: LinkSocketsOptions): Promise<LinkSockets> {
    const { interface: via } = chosen
    const { port, ttl, onPacket } = options
    const opened: { close(): void }[] = []
    const keep = <T extends { close(): void } | undefined>(socket: T): T => {
      if (socket !== undefined) opened.push(socket)
      return socket
    }
    const on =
      (path: ReachPath) =>
      (bytes: Buffer, { address, port: from }: { readonly address: string; readonly port: number }): void =>
        onPacket(path, `${address} ${from}`, bytes)
    try {
      const group = keep(
        await openGroupSocket({ interface: via, group: groupOf(chosen, options), port, onPacket: on('group'), isFromHere: true }),
      )
      const broadcast = chosen.link.hasBroadcast
        ? keep(await openBroadcastSocket({ interface: via, port, onPacket: on('broadcast') }))
        : undefined
      const link = keep(await openLinkSocket({ interface: via, ttl, onPacket: on('direct') }))
      return new LinkSockets(chosen, options, group, link, broadcast)
    } catch (error) {
      for (const socket of opened) socket.close()
      throw error
    }
  }

  private constructor(
    chosen: ChosenLink,
    options: LinkSocketsOptions,
    group: GroupSocket,
    link: LinkSocket,
    broadcast: UdpSocket | undefined,
  ) {
    this.chosen = chosen
    this.#options = options
    this.#group = group
    this.#link = link
    this.#broadcast = broadcast
  }

  get group(): string {
    return this.#group.group
  }

  /** Why the system did not send something of late. */
  get sendError(): PolycastError | undefined {
    return this.#link.socket.lastErrorAgoMs < RECENT_MS ? this.#link.socket.lastError : undefined
  }

  get sent(): SocketCounters {
    return this.#link.socket.counters
  }

  send(path: 'group' | 'broadcast', bytes: Uint8Array): void {
    if (path === 'broadcast') this.#link.broadcast(bytes, this.#options.port)
    else this.#link.send(bytes, this.#options.port, this.group)
  }

  sendTo(to: string, bytes: Uint8Array): void {
    const [address = '', port] = to.split(' ')
    this.#link.send(bytes, Number(port), address)
  }

  rejoin(): PolycastError | undefined {
    return this.#group.rejoin()
  }

  close(): void {
    this.#group.close()
    this.#link.close()
    this.#broadcast?.close()
  }
}

function groupOf({ link }: ChosenLink, { groups, ttl }: LinkSocketsOptions): string {
  if (link.family === 4) return groups.ipv4
  // One of the link says on which interface it came; it does not pass routers.
  return ttl === 1 ? groups.ipv6Link : groups.ipv6Site
}
