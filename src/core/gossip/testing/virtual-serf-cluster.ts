/** `SerfMachine`s on a virtual network. */
import type { Endpoint } from '../messages.ts'
import { GOSSIP_PROFILES } from '../profile.ts'
import { SerfMachine } from '../serf/serf.ts'
import type { SerfInput, SerfOptions, SerfOutput, SerfStatus } from '../serf/serf-types.ts'
import { messageBytes, VERSIONS } from './virtual-cluster.ts'
import { VirtualNetwork, type Host } from './virtual-network.ts'

export class VirtualSerfCluster extends VirtualNetwork<SerfInput, SerfOutput, SerfMachine> {
  readonly #options: Partial<SerfOptions>

  constructor(seed: number | string, options: Partial<SerfOptions> = {}) {
    super(seed, 0)
    this.#options = options
  }

  /** Starts a member, at an endpoint of its own unless one is given. */
  add(node: string, options: Partial<SerfOptions> = {}): Host<SerfInput, SerfMachine> {
    const endpoint = options.endpoint ?? this.freeEndpoint()
    const machine = new SerfMachine(
      {
        node,
        endpoint,
        tags: new Map(),
        versions: VERSIONS,
        profile: GOSSIP_PROFILES.lan,
        random: this.randomFor(node),
        messageBytes,
        packetBytes: 1400,
        keyring: undefined,
        ...this.#options,
        ...options,
      },
      this.now,
    )
    return this.start(node, endpoint, machine)
  }

  /** The host begins anew, at the same place and by the same name. */
  restart(node: string, options: Partial<SerfOptions> = {}): Host<SerfInput, SerfMachine> {
    const { endpoint } = this.host(node)
    this.crash(node)
    return this.add(node, { ...options, endpoint })
  }

  join(node: string, seed: string, ignoreOldEvents = false): void {
    this.input(node, { type: 'join', endpoints: [this.host(seed).endpoint], ignoreOldEvents })
  }

  up(): Host<SerfInput, SerfMachine>[] {
    return [...this.hosts.values()].filter((host) => host.isUp)
  }

  /** Whether all that run have this status for a member. */
  allSee(node: string, status: SerfStatus | undefined): boolean {
    return this.up().every(({ machine }) => machine.member(node)?.status === status)
  }

  /** Whether all that run see each other alive, and nobody else. */
  isWhole(): boolean {
    const up = this.up()
    return up.every(
      ({ machine }) =>
        machine.members().filter(({ status, isSuspect }) => status === 'alive' && !isSuspect).length === up.length &&
        up.every(({ node }) => machine.member(node)?.status === 'alive'),
    )
  }

  /** Who had the user event of that name, and how often. */
  deliveries(name: string): Map<string, number> {
    const counts = new Map<string, number>()
    for (const { node, output } of this.eventsOf('event')) {
      if (output.event.name === name) counts.set(node, (counts.get(node) ?? 0) + 1)
    }
    return counts
  }
}

/** Members n0 to n(count − 1), all of one cluster. */
export function serfClusterOf(count: number, seed: number | string, options: Partial<SerfOptions> = {}): VirtualSerfCluster {
  const cluster = new VirtualSerfCluster(seed, options)
  for (let i = 0; i < count; i++) cluster.add(`n${i}`)
  for (let i = 1; i < count; i++) cluster.join(`n${i}`, 'n0')
  if (!cluster.runUntil(() => cluster.isWhole(), 40_000)) throw new Error('the cluster does not come together')
  return cluster
}

/** An endpoint that differs from all that hosts get by themselves. */
export function otherEndpoint(last: number): Endpoint {
  return { address: Uint8Array.of(10, 9, 9, last), port: 7946 }
}
