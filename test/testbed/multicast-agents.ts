/** Agents on the hosts of a LAN, and deliveries by multicast among them. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { isSessionGroup } from '#src/agent/multicast/session/groups.js'
import { eventsOf, hashOf, MIB, receiptOf, sampleBytes, sha256, until, type Agent, type CliResult, type Cluster } from '../cluster.ts'
import type { Lan } from './lan.ts'

/** Agents on hosts of a LAN, one cluster. */
export async function agentsOn(
  cluster: Cluster,
  lan: Lan,
  hosts: readonly number[],
  options: {
    flags?: readonly string[]
    environment?: (host: number) => readonly string[]
    /** By default the host's IPv4 address. */
    address?: (host: number) => string
  } = {},
): Promise<Agent[]> {
  const { flags = [], environment = () => [], address = (host) => lan.address(host) } = options
  const agents: Agent[] = []
  for (const host of hosts) {
    const variables = environment(host)
    agents.push(
      await cluster.start(`h${host}`, {
        address: address(host),
        launcher: [...lan.launcher(host), ...(variables.length === 0 ? [] : ['env', ...variables])],
        flags: ['--insecure', '--http-bind', '127.0.0.1', ...flags],
        join: agents.slice(0, 1),
      }),
    )
  }
  await cluster.acquainted(...agents)
  return agents
}

/** The group and port of a session that a host has joined, once there is one. */
export async function sessionAt(lan: Lan, host: number): Promise<{ address: string; port: number }> {
  let found: { address: string; port: number } | undefined
  await until(`h${host} joins a session`, () => {
    found = lan.udpSockets(host).find(({ address }) => isSessionGroup(address))
    return found !== undefined
  })
  return found!
}

/** A delivery to all others, while it runs. */
export class Sending {
  readonly dest: string
  readonly bytes: Buffer
  readonly result: Promise<CliResult>

  private constructor(dest: string, bytes: Buffer, result: Promise<CliResult>) {
    this.dest = dest
    this.bytes = bytes
    this.result = result
  }

  static async begin(cluster: Cluster, sender: Agent, dest: string, size: number): Promise<Sending> {
    const bytes = sampleBytes(`${cluster.directory}${dest}`, size)
    const { result } = sender.startCli('send', await cluster.file(dest, bytes), '--to', 'all', '--dest', dest, '--json')
    return new Sending(dest, bytes, result)
  }

  /** What came to each receiver by multicast, once all have it; fails where one doesn't, or has something else. */
  async delivered(receivers: readonly Agent[]): Promise<number[]> {
    const result = await this.result
    const last = eventsOf(result).at(-1)
    assert.ok(last?.event === 'done', `${result.stdout.trim().split('\n').at(-1)} ${result.stderr}`)
    const byMulticast: number[] = []
    for (const receiver of receivers) {
      const receipt = receiptOf(last.delivery, receiver.name)
      assert.equal(receipt.status, 'done')
      assert.equal(await hashOf(receiver.received(this.dest)), sha256(this.bytes))
      byMulticast.push(receipt.multicastBytes ?? 0)
    }
    return byMulticast
  }
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

/** Flags for a key of gossip of their own. */
export async function keyFile(cluster: Cluster): Promise<readonly string[]> {
  return ['--gossip-key-file', await cluster.file(`key-${randomBytes(4).toString('hex')}`, Buffer.from(randomBytes(32).toString('base64')))]
}
