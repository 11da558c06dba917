/**
 * Discovery on one interface and family: the sockets of mDNS and of beacons, and the machines that they feed. It decides nothing about the
 * protocols. docs/specs/09-discovery.md §2, §4.
 *
 * A socket that cannot be opened (another program has the port for itself, the interface has just gone) is tried again for as long as the
 * link lasts; meanwhile the others do what they can.
 */
import type { Random } from '../../../core/lib/random.ts'
import {
  DiscoveryBeacon,
  type DiscoveryBeaconInput,
  type DiscoveryBeaconOutput,
} from '../../../core/multicast/discovery/discovery-beacon.ts'
import type { DnsRecord } from '../../../core/multicast/discovery/dns-message.ts'
import { MdnsLink, type Browse, type MdnsLinkInput, type MdnsLinkOutput } from '../../../core/multicast/discovery/mdns-link.ts'
import { MDNS_PORT } from '../../../core/multicast/discovery/mdns-responder.ts'
import type { ClusterIdentity, Discovered } from '../../../core/multicast/discovery/membership-proof.ts'
import type { Offer } from '../../../core/multicast/discovery/service-records.ts'
import { explainError } from '../../errors.ts'
import type { GossipClock } from '../../gossip/gossip-clock.ts'
import { ipBytes } from '../../gossip/ip-bytes.ts'
import { MachineDriver } from '../../gossip/machine-driver.ts'
import { openGroupSocket, type GroupSocket } from '../sockets/group-socket.ts'
import type { NetworkInterface } from '../sockets/interfaces.ts'
import { EVERYBODY, openBroadcastSocket, openLinkSocket, type LinkSocket } from '../sockets/link-socket.ts'
import type { UdpSocket } from '../sockets/udp-socket.ts'

/** What its beacons say; undefined for a link without any. */
export interface BeaconMaker {
  readonly identity: ClusterIdentity
  readonly node: string
  readonly id: Uint8Array
  readonly gossipPort: number
  readonly port: number
  readonly isMember: (found: Discovered) => boolean
}

export interface NetworkLinkOptions {
  readonly interface: NetworkInterface
  readonly offer: Offer
  readonly browses: readonly Browse[]
  readonly beacon: BeaconMaker | undefined
  readonly clock: Pick<GossipClock, 'now'>
  readonly random: Random
  readonly isOurs: (record: DnsRecord) => boolean
  readonly onMdns: (output: Exclude<MdnsLinkOutput, { type: 'send' | 'ask' }>) => void
  readonly onBeacon: (output: Exclude<DiscoveryBeaconOutput, { type: 'send' }>) => void
  readonly log: (level: 'debug' | 'info' | 'warn', message: string, fields: Record<string, unknown>) => void
}

/** RFC 6762 §3. */
const GROUPS = { 4: '224.0.0.251', 6: 'ff02::fb' } as const
/** RFC 6762 §11: some drop what has any other TTL. */
const MDNS_TTL = 255
const RETRY_MS = 10_000

export class NetworkLink {
  readonly interface: NetworkInterface
  readonly #options: NetworkLinkOptions
  #offer: Offer
  /** Undefined until their sockets are open: what they say before is lost. */
  #mdns: MachineDriver<MdnsLinkInput, MdnsLinkOutput, MdnsLink> | undefined
  #beacon: MachineDriver<DiscoveryBeaconInput, DiscoveryBeaconOutput, DiscoveryBeacon> | undefined
  #group: GroupSocket | undefined
  #own: LinkSocket | undefined
  #broadcast: UdpSocket | undefined
  readonly #timers: Set<NodeJS.Timeout> = new Set()
  #isClosed = false

  constructor(options: NetworkLinkOptions) {
    this.#options = options
    this.interface = options.interface
    this.#offer = options.offer
    void this.#open('mDNS', () => this.#openGroup())
    const hasBeacon = options.beacon !== undefined && options.interface.broadcast !== undefined
    if (hasBeacon) void this.#open('beacons', () => this.#openBroadcast())
    if (hasBeacon || options.browses.some(({ isLegacy }) => isLegacy)) void this.#open('beacons', () => this.#openOwn())
  }

  /** Everything that it says on this link. */
  get records(): readonly DnsRecord[] {
    return this.#mdns?.machine.records ?? []
  }

  stats(): Record<string, number> {
    const beacon = this.#beacon?.machine.counters
    return {
      ...this.#mdns?.machine.stats(),
      ...(beacon === undefined ? {} : { beaconsSent: beacon.sent, beaconsHeard: beacon.heard, droppedBeacons: beacon.dropped }),
    }
  }

  offer(offer: Offer): void {
    this.#offer = offer
    this.#mdns?.handle({ type: 'offer', offer })
  }

  /** A datagram that came to everybody's address. */
  heardBeacon(bytes: Uint8Array): void {
    this.#beacon?.handle({ type: 'packet', bytes })
  }

  /** Says goodbye, if anybody can still hear it. */
  close(): void {
    if (this.#isClosed) return
    this.#mdns?.handle({ type: 'stop' })
    this.#isClosed = true
    this.#mdns?.stop()
    this.#beacon?.stop()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#group?.close()
    this.#own?.close()
    this.#broadcast?.close()
  }

  #beginBeacon(): void {
    const { beacon, interface: via, random, clock } = this.#options
    const address = ipBytes(via.address)
    if (beacon === undefined || address === undefined || via.broadcast === undefined) return
    const { identity, node, id, isMember, gossipPort } = beacon
    const endpoint = { address, port: gossipPort }
    const machine = new DiscoveryBeacon({ identity, node, id, endpoint, isMember, random: random.fork('beacon') }, clock.now())
    this.#beacon = new MachineDriver(machine, clock, (output) => {
      if (output.type !== 'send') return this.#options.onBeacon(output)
      this.#own?.broadcast(output.bytes, beacon.port)
      // Those whose netmask is another one hear this alone.
      this.#own?.send(output.bytes, beacon.port, EVERYBODY)
    })
    this.#beacon.start()
  }

  #carryOut(output: MdnsLinkOutput): void {
    switch (output.type) {
      case 'send':
        if (output.to === undefined) this.#group?.send(output.bytes)
        else this.#group?.socket.send(output.bytes, output.to.port, output.to.address)
        return
      case 'ask':
        return this.#own?.send(output.bytes, MDNS_PORT, GROUPS[this.interface.family])
      case 'found':
      case 'lost':
      case 'renamed':
        return this.#options.onMdns(output)
    }
  }

  // ---- sockets ----

  /** Opens one, now or later. */
  async #open(what: string, open: () => Promise<void>, isAgain = false): Promise<void> {
    try {
      await open()
      if (isAgain && !this.#isClosed) this.#options.log('info', `discovery by ${what} works now`, { interface: this.interface.name })
    } catch (error) {
      if (this.#isClosed) return
      this.#options.log(isAgain ? 'debug' : 'warn', `discovery by ${what} does not work on an interface; it is tried again`, {
        interface: this.interface.name,
        address: this.interface.address,
        reason: explainError(error),
      })
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        void this.#open(what, open, true)
      }, RETRY_MS)
      this.#timers.add(timer)
    }
  }

  async #openGroup(): Promise<void> {
    const { interface: via } = this
    const socket = await openGroupSocket({
      interface: via,
      group: GROUPS[via.family],
      port: MDNS_PORT,
      ttl: MDNS_TTL,
      isFromHere: true,
      onPacket: (bytes, { address, port }) => this.#mdns?.handle({ type: 'packet', bytes, from: { address, port } }),
    })
    if (this.#isClosed) return socket.close()
    socket.socket.raw.setTTL(MDNS_TTL)
    this.#group = socket
    const { browses, random, isOurs, clock } = this.#options
    const machine = new MdnsLink({ offer: this.#offer, browses, random, isOurs }, clock.now())
    this.#mdns = new MachineDriver(machine, clock, (output) => this.#carryOut(output))
    this.#mdns.start()
  }

  async #openOwn(): Promise<void> {
    const socket = await openLinkSocket({
      interface: this.interface,
      ttl: MDNS_TTL,
      onPacket: (bytes) => this.#mdns?.handle({ type: 'answer', bytes }),
    })
    if (this.#isClosed) return socket.close()
    this.#own = socket
    this.#beginBeacon()
  }

  async #openBroadcast(): Promise<void> {
    const { beacon } = this.#options
    const onPacket = (bytes: Uint8Array): void => this.heardBeacon(bytes)
    const socket = await openBroadcastSocket({ interface: this.interface, port: beacon!.port, onPacket })
    if (this.#isClosed) return socket?.close()
    this.#broadcast = socket
  }
}
