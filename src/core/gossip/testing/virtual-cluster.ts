/** `SwimMachine`s on a virtual network. */
import type { Endpoint, PacketMessage, ProtocolVersions } from '../messages.ts'
import { GOSSIP_PROFILES, type GossipProfile } from '../profile.ts'
import { SwimMachine } from '../swim.ts'
import type { SwimInput, SwimLimits, SwimOutput } from '../swim-types.ts'
import { VirtualNetwork, type Host } from './virtual-network.ts'

export const VERSIONS: ProtocolVersions = [1, 5, 2, 2, 5, 5]

export interface ClusterOptions {
  readonly seed: number | string
  readonly profile?: GossipProfile
  readonly lossShare?: number
  readonly limits?: Partial<SwimLimits>
  /** Whether all understand what pings and acks have beside memberlist's fields; false unless given. */
  readonly areAllPeers?: boolean
}

export class VirtualCluster extends VirtualNetwork<SwimInput, SwimOutput, SwimMachine> {
  readonly #options: ClusterOptions

  constructor(options: ClusterOptions) {
    super(options.seed, options.lossShare ?? 0)
    this.#options = options
  }

  /** Starts a member, at an endpoint of its own unless one is given. */
  add(node: string, changes: { versions?: ProtocolVersions; meta?: Uint8Array; endpoint?: Endpoint } = {}): Host<SwimInput, SwimMachine> {
    const endpoint = changes.endpoint ?? this.freeEndpoint()
    const machine = new SwimMachine(
      {
        node,
        endpoint,
        meta: changes.meta ?? new Uint8Array(0),
        versions: changes.versions ?? VERSIONS,
        profile: this.#options.profile ?? GOSSIP_PROFILES.serf,
        random: this.randomFor(node),
        messageBytes,
        packetBytes: 1400,
        isPeer: () => this.#options.areAllPeers === true,
        ...(this.#options.limits === undefined ? {} : { limits: this.#options.limits }),
      },
      this.now,
    )
    return this.start(node, endpoint, machine)
  }

  join(node: string, seed: string): void {
    this.input(node, { type: 'join', endpoints: [this.host(seed).endpoint] })
  }

  /** What one member thinks of another. */
  stateOf(observer: string, node: string): string | undefined {
    return this.machine(observer).member(node)?.state
  }

  /** Whether all that run think so of a member. */
  allSee(node: string, state: string): boolean {
    return [...this.hosts.values()].every((host) => !host.isUp || host.machine.member(node)?.state === state)
  }

  /** Whether all that run see each other alive, and nobody else. */
  isWhole(): boolean {
    const up = [...this.hosts.values()].filter((host) => host.isUp)
    return up.every(
      ({ machine }) => machine.status().alive === up.length && up.every(({ node }) => machine.member(node)?.state === 'alive'),
    )
  }
}

/** About what the messages take in msgpack. */
export function messageBytes(message: PacketMessage): number {
  switch (message.type) {
    case 'alive':
      return 60 + message.node.length + message.meta.length
    case 'suspect':
    case 'dead':
      return 34 + message.node.length + message.from.length
    case 'user':
      return 3 + message.bytes.length
    case 'ping':
    case 'indirect-ping':
    case 'ack':
    case 'nack':
      return 70
  }
}
