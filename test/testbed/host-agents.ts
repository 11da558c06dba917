/** Agents on the hosts of a LAN, each called after its host. */
import { randomBytes } from 'node:crypto'
import type { Agent, AgentStart, Cluster } from '../cluster.ts'
import type { Lan } from './lan.ts'

/** The API is on the host's loopback, where the commands of the same host reach it. */
export const HOST_FLAGS: readonly string[] = ['--insecure', '--http-bind', '127.0.0.1']

/** How one is started; flags come after `HOST_FLAGS`. */
export interface HostAgentStart extends Omit<AgentStart, 'launcher'> {
  /** By default the host's: h0. */
  readonly name?: string
  /** Variables as `NAME=value`. */
  readonly environment?: readonly string[]
}

/** Starts one and waits until it is ready; it is bound to the host's address, where no other is given. */
export function startOn(cluster: Cluster, lan: Lan, host: number, options: HostAgentStart = {}): Promise<Agent> {
  const { name = `h${host}`, address = lan.address(host), environment = [], flags = [], ...rest } = options
  const launcher = [...lan.launcher(host), ...(environment.length === 0 ? [] : ['env', ...environment])]
  return cluster.start(name, { ...rest, address, launcher, flags: [...HOST_FLAGS, ...flags] })
}

/** Starts one on each of these hosts, all joined to the first, and waits until all know all. */
export async function agentsOn(
  cluster: Cluster,
  lan: Lan,
  hosts: readonly number[],
  options: Pick<HostAgentStart, 'flags' | 'environment'> = {},
): Promise<Agent[]> {
  const agents: Agent[] = []
  for (const host of hosts) agents.push(await startOn(cluster, lan, host, { ...options, join: agents.slice(0, 1) }))
  await cluster.acquainted(...agents)
  return agents
}

/** Flags for a key of gossip that nobody else has. */
export async function keyFlags(cluster: Cluster): Promise<readonly string[]> {
  const key = Buffer.from(randomBytes(32).toString('base64'))
  return ['--gossip-key-file', await cluster.file(`key-${randomBytes(4).toString('hex')}`, key)]
}
