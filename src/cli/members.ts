/** `polycast members`: who is in the cluster, as one node sees it, and why somebody is not well. */
import type { MemberList } from '../agent/http/api.ts'
import type { ListedMember, MemberVerdict } from '../agent/http/gossip-api.ts'
import { withContext } from './context.ts'
import type { CommonOptions } from './context.ts'
import { formatRtt, formatTable, formatTime } from './format.ts'
import { verdictText } from './verdict-view.ts'

/** Runs the command; gives its exit code. */
export async function members(options: CommonOptions & { readonly detailed?: boolean }): Promise<number> {
  return withContext(options, async (context) => {
    const list = await context.api.json<MemberList>('GET', '/v1/members')
    if (context.isJson) context.printJson(list)
    else context.print(options.detailed === true ? detailed(list.members) : brief(list.members))
    return 0
  })
}

/** `members show`. */
export async function showMember(name: string, options: CommonOptions): Promise<number> {
  return withContext(options, async (context) => {
    const answer = await context.api.json<MemberVerdict>('GET', `/v1/members/${encodeURIComponent(name)}/verdict`)
    if (context.isJson) context.printJson(answer)
    else context.print(verdictText(answer, Date.now()))
    return 0
  })
}

function brief(list: readonly ListedMember[]): string {
  const rows = list.map(({ name, address, gossipPort, swarmPort, status, tags }) => [
    name,
    status,
    address,
    String(gossipPort),
    swarmPort === 0 ? '-' : String(swarmPort),
    tagsText(tags),
  ])
  return formatTable(['NAME', 'STATUS', 'ADDRESS', '>GOSSIP', '>SWARM', 'TAGS'], rows)
}

function detailed(list: readonly ListedMember[]): string {
  const rows = list.map((member) => [
    member.name,
    member.isSuspect === true && member.status === 'alive' ? 'suspect' : member.status,
    member.isPolycast === undefined ? '' : member.isPolycast ? 'polycast' : 'serf',
    member.address,
    String(member.gossipPort),
    String(member.swarmPort),
    String(member.incarnation),
    member.lastRttMs === undefined ? '' : formatRtt(member.lastRttMs),
    member.changedAt === undefined ? '' : formatTime(member.changedAt),
    tagsText(member.tags),
  ])
  return formatTable(['NAME', 'STATUS', 'KIND', 'ADDRESS', '>GOSSIP', '>SWARM', '>INCARNATION', '>RTT', 'CHANGED', 'TAGS'], rows)
}

function tagsText(tags: Readonly<Record<string, string>>): string {
  return Object.entries(tags)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}
