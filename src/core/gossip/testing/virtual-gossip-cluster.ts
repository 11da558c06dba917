/** `GossipMachine`s, with all their layers, on a virtual network, and the bytes that they send, as encoded. */
import { Random } from '../../lib/random.ts'
import { GossipMachine, type GossipInput, type GossipOutput } from '../gossip-machine.ts'
import { POLYCAST_TAG } from '../polycast-tag.ts'
import { encodePacketMessage } from '../memberlist-codec.ts'
import type { PacketMessage } from '../messages.ts'
import { composePacket, PART_OVERHEAD_BYTES } from '../packet.ts'
import { GOSSIP_PROFILES, type GossipProfile } from '../profile.ts'
import { composeStream } from '../stream.ts'
import { VERSIONS } from './virtual-cluster.ts'
import { VirtualNetwork } from './virtual-network.ts'

const PLAIN = { label: new Uint8Array(0), encryption: undefined, isCompressing: false }

export class VirtualGossipCluster extends VirtualNetwork<GossipInput, GossipOutput, GossipMachine> {
  /** Since the last `resetTraffic`. */
  packets = 0
  packetBytes = 0
  streamBytes = 0
  readonly #profile: GossipProfile

  constructor(seed: number | string, profile: GossipProfile = GOSSIP_PROFILES.lan) {
    super(seed, 0)
    this.#profile = profile
    this.onPacket = (_from, _to, messages): void => {
      this.packets++
      this.packetBytes += composePacket(messages.map(encodePacketMessage), PLAIN, true).length
    }
    this.onStream = (message): void => {
      this.streamBytes += composeStream(message, PLAIN, true).length
    }
  }

  /** Starts a node; one that is not of Polycast has no tag by which the others would know. */
  add(node: string, isPolycast = true): void {
    const endpoint = this.freeEndpoint()
    const machine = new GossipMachine(
      {
        node,
        endpoint,
        tags: new Map([...(isPolycast ? [[POLYCAST_TAG, '7947'] as const] : []), ['role', 'web']]),
        versions: VERSIONS,
        profile: this.#profile,
        random: new Random(`${node}/${this.randomFor(node).uint32()}`),
        generation: 1,
        wallClockMs: 0,
        messageBytes: (message: PacketMessage) => PART_OVERHEAD_BYTES + encodePacketMessage(message).length,
        packetBytes: 1393,
        keyring: undefined,
      },
      this.now,
    )
    this.start(node, endpoint, machine)
  }

  join(node: string, seed: string): void {
    this.input(node, { type: 'join', endpoints: [this.host(seed).endpoint], ignoreOldEvents: true })
  }

  resetTraffic(): void {
    this.packets = 0
    this.packetBytes = 0
    this.streamBytes = 0
  }

  /** Whether all that run see each other alive, and nobody else. */
  isWhole(): boolean {
    const up = [...this.hosts.values()].filter((host) => host.isUp)
    return up.every(({ machine }) => machine.serf.members().filter(({ status }) => status === 'alive').length === up.length)
  }
}
