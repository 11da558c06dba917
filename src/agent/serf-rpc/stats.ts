/** What `serf info` shows: groups of names and values, all of them text. */
import { availableParallelism, cpus } from 'node:os'
import type { Texts } from './messages.ts'
import type { RpcParts } from './parts.ts'

/** Serf's names of what gossip counts under a name of ours; 0 where gossip does not count it. */
const SERF_COUNTERS = {
  health_score: 'serf.healthScore',
  member_time: 'serf.memberTime',
  event_time: 'serf.eventTime',
  query_time: 'serf.queryTime',
  intent_queue: 'serf.intentQueue',
  event_queue: 'serf.eventQueue',
  query_queue: 'serf.queryQueue',
  coordinate_resets: 'serf.coordinateResets',
} as const

export async function stats({ gossip, isEncrypted }: RpcParts): Promise<ReadonlyMap<string, Texts>> {
  const counted = await gossip.gossipStats()
  const members = gossip.gossipMembers()
  const withStatus = (status: string): string => String(members.filter((member) => member.status === status).length)
  const serf = {
    members: String(members.length),
    failed: withStatus('failed'),
    left: withStatus('left'),
    encrypted: String(isEncrypted),
    ...Object.fromEntries(Object.entries(SERF_COUNTERS).map(([name, ours]) => [name, String(counted[ours] ?? 0)])),
  }
  const groups: Record<string, Readonly<Record<string, string>>> = {
    agent: { name: gossip.self.name },
    runtime: {
      os: process.platform,
      arch: process.arch === 'x64' ? 'amd64' : process.arch,
      version: `node${process.versions.node}`,
      max_procs: String(availableParallelism()),
      // Tools read it as a number; Node has no goroutines.
      goroutines: '1',
      cpu_count: String(cpus().length),
    },
    serf,
    tags: gossip.self.tags,
    event_handlers: {},
    polycast: Object.fromEntries(Object.entries(counted).map(([name, value]) => [name, String(value)])),
  }
  return new Map(Object.entries(groups).map(([name, group]) => [name, new Map(Object.entries(group))]))
}
