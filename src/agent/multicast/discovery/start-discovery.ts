/** Discovery as a node of gossip has it: who is a member, and which key there is, come from gossip. */
import type { Keyring } from '../../../core/gossip/keyring.ts'
import type { SerfMachine } from '../../../core/gossip/serf/serf.ts'
import type { Discovered } from '../../../core/multicast/discovery/membership-proof.ts'
import { Discovery, type DiscoveryOptions, type DiscoverySettings } from './discovery.ts'
import { discoveryKey } from './discovery-key.ts'

export interface GossipOfNode extends Pick<DiscoveryOptions, 'clock' | 'join' | 'log' | 'gossipPort'> {
  readonly serf: Pick<SerfMachine, 'isAlive' | 'stats'>
  readonly keyring: Keyring | undefined
}

/** Begins to look for others of the cluster of this name; undefined where that is not wanted. */
export function startDiscovery(
  node: { readonly name: string; readonly bind: string; readonly discovery: DiscoverySettings | undefined },
  cluster: string,
  { serf, keyring, ...rest }: GossipOfNode,
): Discovery | undefined {
  const { name, bind, discovery: settings } = node
  if (settings === undefined) return undefined
  const isMember = ({ node, endpoints }: Discovered): boolean => serf.isAlive(node, endpoints)
  const discovery = new Discovery({
    ...rest,
    settings,
    identity: {
      cluster,
      key: keyring === undefined ? undefined : discoveryKey(keyring),
    },
    node: name,
    bind,
    isMember,
    memberCount: () => {
      const { members, failed, left } = serf.stats()
      return members - failed - left
    },
  })
  discovery.start()
  return discovery
}
