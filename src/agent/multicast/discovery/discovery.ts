/**
 * Finds the other agents of the cluster on the networks that this machine is on, and has them joined: by DNS-SD, by beacons, and by Serf's
 * own way. One `NetworkLink` for each interface and family; what they find goes to one `JoinCandidates`. docs/specs/09-discovery.md.
 */
import { randomBytes } from 'node:crypto'
import { toHex } from '../../../core/lib/bytes.ts'
import { Random } from '../../../core/lib/random.ts'
import type { DiscoveryBeaconOutput } from '../../../core/multicast/discovery/discovery-beacon.ts'
import { recordKey, type DnsRecord } from '../../../core/multicast/discovery/dns-message.ts'
import { JoinCandidates } from '../../../core/multicast/discovery/join-candidates.ts'
import type { CandidateInput, CandidateOutput, DiscoveredBy } from '../../../core/multicast/discovery/join-candidates.ts'
import type { FoundService } from '../../../core/multicast/discovery/mdns-browser.ts'
import type { Browse, MdnsLinkOutput } from '../../../core/multicast/discovery/mdns-link.ts'
import { describeNode, POLYCAST_SERVICE, readNode } from '../../../core/multicast/discovery/membership-proof.ts'
import type { ClusterIdentity, Discovered, DiscoveredEndpoint, Stranger } from '../../../core/multicast/discovery/membership-proof.ts'
import type { Offer, OfferedService } from '../../../core/multicast/discovery/service-records.ts'
import { formatAddress, isUnspecified } from '../../addresses.ts'
import { explainError } from '../../errors.ts'
import type { GossipClock } from '../../gossip/gossip-clock.ts'
import { ipBytes, ipText } from '../../gossip/ip-bytes.ts'
import { MachineDriver } from '../../gossip/machine-driver.ts'
import { isInSubnet, keyOf, listInterfaces, watchInterfaces, type NetworkInterface } from '../sockets/interfaces.ts'
import { EVERYBODY } from '../sockets/link-socket.ts'
import { UdpSocket } from '../sockets/udp-socket.ts'
import { NetworkLink, type BeaconMaker } from './network-link.ts'

/** What discovery is to do, as the configuration says. */
export interface DiscoverySettings {
  /** Whether agents of this cluster are looked for. */
  readonly isOn: boolean
  readonly beaconPort: number
  /** The name that agents of Serf are started with (`-discover`); undefined where none are looked for. */
  readonly serfName: string | undefined
}

export interface DiscoveryOptions {
  readonly settings: DiscoverySettings
  readonly identity: ClusterIdentity
  readonly node: string
  /** The address that gossip is bound to; not a loopback one. */
  readonly bind: string
  readonly gossipPort: number
  readonly clock: Pick<GossipClock, 'now'>
  readonly isMember: (found: Discovered) => boolean
  readonly memberCount: () => number
  /** Why the join failed, or undefined. */
  readonly join: (endpoint: DiscoveredEndpoint) => Promise<string | undefined>
  readonly log: (level: 'debug' | 'info' | 'warn', message: string, fields: Record<string, unknown>) => void
}

const POLL_MS = 2000
/** Strangers that are not logged again. */
const MAX_KNOWN_STRANGERS = 256

export class Discovery {
  readonly #options: DiscoveryOptions
  readonly #random: Random = new Random(randomBytes(16).toString('hex'))
  readonly #id: Uint8Array = new Uint8Array(randomBytes(8))
  readonly #links: Map<string, NetworkLink> = new Map()
  readonly #candidates: MachineDriver<CandidateInput, CandidateOutput, JoinCandidates>
  /** Nodes by the instance that named them. */
  readonly #nodes: Map<string, string> = new Map()
  readonly #strangers: Set<string> = new Set()
  #everybody: UdpSocket | undefined
  #unwatch: (() => void) | undefined
  #isClosed = false

  constructor(options: DiscoveryOptions) {
    this.#options = options
    const { clock, isMember, memberCount } = options
    const candidates = new JoinCandidates({ random: this.#random.fork('candidates'), isMember, memberCount })
    this.#candidates = new MachineDriver(candidates, clock, (output) => void this.#join(output))
  }

  start(): void {
    this.#candidates.start()
    this.#reconcile(listInterfaces())
    this.#unwatch = watchInterfaces({ pollMs: POLL_MS }, ({ all }) => this.#reconcile(all))
    if (this.#options.settings.isOn) void this.#hearEverybody()
  }

  /** What it has and has left out, of all links together. */
  stats(): Record<string, number> {
    const stats: Record<string, number> = {
      links: this.#links.size,
      candidates: this.#candidates.machine.size,
      droppedCandidates: this.#candidates.machine.dropped,
    }
    for (const link of this.#links.values()) {
      for (const [key, value] of Object.entries(link.stats())) stats[key] = (stats[key] ?? 0) + value
    }
    return stats
  }

  /** The keys of gossip are others now, and so are the proofs. */
  keysChanged(): void {
    this.#reconcile(listInterfaces())
  }

  /** Takes back what it says, and joins nobody any more. */
  close(): void {
    this.#isClosed = true
    this.#unwatch?.()
    this.#candidates.stop()
    for (const link of this.#links.values()) link.close()
    this.#links.clear()
    this.#everybody?.close()
  }

  // ---- interfaces ----

  #reconcile(all: readonly NetworkInterface[]): void {
    // Keys may change while this node is leaving.
    if (this.#isClosed) return
    const wanted = wantedLinks(all, this.#options.bind)
    for (const [key, link] of this.#links) {
      if (wanted.has(key)) continue
      this.#links.delete(key)
      link.close()
      this.#options.log('debug', 'an interface is no longer used for discovery', { interface: link.interface.name })
    }
    for (const [key, { via, addresses }] of wanted) {
      const offer = this.#offer(addresses)
      const link = this.#links.get(key)
      if (link !== undefined) link.offer(offer)
      else this.#links.set(key, this.#openLink(via, offer))
    }
  }

  #openLink(via: NetworkInterface, offer: Offer): NetworkLink {
    const { clock, log, identity, node, gossipPort, settings, isMember } = this.#options
    log('debug', 'an interface is used for discovery', { interface: via.name, address: via.address })
    const beacon: BeaconMaker = { identity, node, id: this.#id, gossipPort, port: settings.beaconPort, isMember }
    return new NetworkLink({
      interface: via,
      offer,
      browses: this.#browses(),
      beacon: settings.isOn ? beacon : undefined,
      clock,
      random: this.#random.fork(keyOf(via)),
      isOurs: (record) => this.#isOurs(record),
      onMdns: (output) => this.#heardMdns(output, via),
      onBeacon: (output) => this.#heardBeacon(output, via),
      log,
    })
  }

  #isOurs(record: DnsRecord): boolean {
    const key = recordKey(record)
    for (const link of this.#links.values()) if (link.records.some((own) => recordKey(own) === key)) return true
    return false
  }

  /** What this node says on a link where it has these addresses. */
  #offer(addresses: readonly Uint8Array[]): Offer {
    const { settings, identity, node, gossipPort: port } = this.#options
    const services: OfferedService[] = []
    if (settings.isOn) {
      const endpoints = addresses.map((address) => ({ address, port }))
      services.push({ type: POLYCAST_SERVICE, instance: node, port, txt: describeNode(node, endpoints, identity) })
    }
    if (settings.serfName !== undefined) {
      services.push({ type: serfType(settings.serfName), instance: node, port, txt: [`Serf '${settings.serfName}' cluster`] })
    }
    return { host: hostLabel(node, this.#id), addresses, services }
  }

  #browses(): Browse[] {
    const { settings, isMember } = this.#options
    const isNeeded = (node: string): boolean => !isMember({ node, endpoints: [] })
    const browses: Browse[] = []
    if (settings.isOn) browses.push({ type: POLYCAST_SERVICE, isLegacy: false, isNeeded })
    // Serf answers to the port that was asked from alone, and looks for others from such a port itself.
    if (settings.serfName !== undefined) browses.push({ type: serfType(settings.serfName), isLegacy: true, isNeeded })
    return browses
  }

  /** Hears those whose netmask is another one than this machine's. */
  async #hearEverybody(): Promise<void> {
    const onPacket = (bytes: Uint8Array, from: { readonly address: string }): void => {
      for (const link of this.#links.values()) {
        if (link.interface.family === 4 && isInSubnet(from.address, link.interface)) return link.heardBeacon(bytes)
      }
      for (const link of this.#links.values()) if (link.interface.family === 4) return link.heardBeacon(bytes)
    }
    try {
      const { settings } = this.#options
      const place = { family: 4, address: EVERYBODY, port: settings.beaconPort, isShared: true } as const
      const socket = await UdpSocket.open({ ...place, group: EVERYBODY, interface: 'any', onPacket })
      if (this.#isClosed) socket.close()
      else this.#everybody = socket
    } catch (error) {
      this.#options.log('debug', 'beacons to 255.255.255.255 cannot be heard, those to the subnets can', { reason: explainError(error) })
    }
  }

  // ---- who is found ----

  #heardMdns(output: Exclude<MdnsLinkOutput, { type: 'send' | 'ask' }>, via: NetworkInterface): void {
    switch (output.type) {
      case 'found': {
        const { serviceType, service } = output
        if (serviceType !== typeText(POLYCAST_SERVICE)) return this.#found(nodeOfSerf(service), 'serf', via)
        const read = readNode(service, this.#options.identity)
        if (typeof read === 'string') return this.#stranger(read, service.instance, via)
        this.#nodes.set(`${via.name} ${service.instance}`, read.node)
        return this.#found(read, 'dns-sd', via)
      }
      case 'lost': {
        const key = `${via.name} ${output.instance}`
        const by = output.serviceType === typeText(POLYCAST_SERVICE) ? 'dns-sd' : 'serf'
        this.#candidates.handle({ type: 'lost', by, node: this.#nodes.get(key) ?? output.instance })
        if (by === 'dns-sd') this.#nodes.delete(key)
        return
      }
      case 'renamed':
        return this.#options.log('warn', 'another host on the network has this name; this one is announced by another', {
          name: output.from,
          as: output.to,
          interface: via.name,
        })
    }
  }

  #heardBeacon(output: Exclude<DiscoveryBeaconOutput, { type: 'send' }>, via: NetworkInterface): void {
    if (output.type === 'found') this.#found(output.found, 'beacon', via)
    else this.#stranger(output.stranger, 'beacons', via)
  }

  #found(found: Discovered, by: DiscoveredBy, via: NetworkInterface): void {
    const endpoints = found.endpoints.filter(({ address }) => canReach(this.#options.bind, address))
    if (endpoints.length === 0) {
      this.#once(`family ${found.node}`, 'an agent was discovered whose address is of the other IP family than this one listens on', {
        agent: found.node,
        by,
      })
      return
    }
    const isNew = !this.#options.isMember(found)
    this.#candidates.handle({ type: 'found', by, found: { node: found.node, endpoints } })
    if (isNew) this.#options.log('debug', 'discovered an agent', { agent: found.node, by, interface: via.name })
  }

  #stranger(stranger: Stranger, name: string, via: NetworkInterface): void {
    const fields = { name, interface: via.name, reason: stranger }
    if (stranger === 'another key') {
      this.#once(`key ${via.name} ${name}`, 'an agent of a cluster of this name has other keys of gossip, and is left alone', fields)
    } else this.#options.log('debug', 'what was discovered is not of this cluster', fields)
  }

  #once(key: string, message: string, fields: Record<string, unknown>): void {
    if (this.#strangers.has(key) || this.#strangers.size >= MAX_KNOWN_STRANGERS) return
    this.#strangers.add(key)
    this.#options.log('info', message, fields)
  }

  async #join({ node, by, endpoint, attempt }: CandidateOutput): Promise<void> {
    const fields = { agent: node, by, address: formatAddress(ipText(endpoint.address), endpoint.port) }
    this.#options.log(attempt === 1 ? 'info' : 'debug', 'an agent was discovered on the network; joining it', fields)
    const reason = await this.#options.join(endpoint)
    if (reason !== undefined) this.#options.log('debug', 'an agent that was discovered does not answer', { ...fields, reason })
    this.#candidates.handle({ type: 'outcome', node, isJoined: reason === undefined })
  }
}

/** The links to have: for each interface and family on which this node can be reached, with all its addresses there. */
export function wantedLinks(
  all: readonly NetworkInterface[],
  bind: string,
): Map<string, { readonly via: NetworkInterface; readonly addresses: readonly Uint8Array[] }> {
  const wanted = new Map<string, { readonly via: NetworkInterface; readonly addresses: readonly Uint8Array[] }>()
  const bound = isUnspecified(bind) ? undefined : ipBytes(bind)
  for (const name of new Set(all.map((one) => one.name))) {
    const usable = all.filter((one) => one.name === name && !one.isLoopback)
    // One of each family: of several, all lead to the same node. Gossip has no zones, so that addresses of one link are of no use to it.
    const reached = ([4, 6] as const).flatMap((family) => {
      const own = usable.filter((one) => one.family === family && !one.isLinkLocal)
      const chosen = bound === undefined ? own[0] : own.find(({ address }) => ipText(ipBytes(address)!) === ipText(bound))
      return chosen === undefined || !canReach(bind, ipBytes(chosen.address)!) ? [] : [chosen]
    })
    const addresses = reached.map(({ address }) => ipBytes(address)!)
    for (const { family, address } of reached) {
      // Packets of IPv6 go out from the address of the link, which stays when the others change.
      const via = usable.find((one) => one.family === family && (family === 6 ? one.isLinkLocal : one.address === address))
      const chosen = via ?? usable.find((one) => one.address === address)!
      wanted.set(keyOf(chosen), { via: chosen, addresses })
    }
  }
  return wanted
}

/** Whether a node that is bound there can send to this address. */
function canReach(bind: string, address: Uint8Array): boolean {
  const isBoundToV4 = ipBytes(bind)?.length === 4
  return isUnspecified(bind) && !isBoundToV4 ? true : isBoundToV4 === (address.length === 4)
}

function nodeOfSerf({ instance, port, addresses }: FoundService): Discovered {
  return { node: instance, endpoints: addresses.map((address) => ({ address, port })) }
}

function serfType(name: string): readonly string[] {
  return [`_serf_${name}`, '_tcp']
}

function typeText(type: readonly string[]): string {
  return type.join('.')
}

/** A host name of its own: the machine's may be announced by another responder on it, with other addresses. */
function hostLabel(node: string, id: Uint8Array): string {
  return `${node.replaceAll(/[^A-Za-z0-9-]/g, '-').slice(0, 40)}-${toHex(id).slice(0, 8)}`
}
