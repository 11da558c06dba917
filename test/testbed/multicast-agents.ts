/** What is awaited of multicast among agents on the hosts of a LAN: whom it reaches, and where a session is. */
import { isSessionGroup } from '#src/agent/multicast/session/groups.js'
import { MIB, until, type Agent, type Cluster } from '../cluster.ts'
import type { Lan } from './lan.ts'
import { Sending } from './sending.ts'

/** The group and port of a session that a host has joined, once there is one. */
export async function sessionAt(lan: Lan, host: number): Promise<{ address: string; port: number }> {
  let found: { address: string; port: number } | undefined
  await until(`h${host} joins a session`, () => {
    found = lan.udpSockets(host).find(({ address }) => isSessionGroup(address))
    return found !== undefined
  })
  return found!
}

/** Until it is known that multicast reaches these: before that deliveries go by the swarm, as they should. `all` are those that get them. */
export async function reachable(
  cluster: Cluster,
  sender: Agent,
  receivers: readonly Agent[],
  all: readonly Agent[] = receivers,
): Promise<void> {
  let round = 0
  await until('multicast reaches them', async () => {
    const begun = await Sending.begin(cluster, sender, `reach-${round++}.bin`, 2 * MIB)
    const byMulticast = await begun.delivered(all)
    return all.every((receiver, i) => !receivers.includes(receiver) || byMulticast[i]! > 0)
  })
}
