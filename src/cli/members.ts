/** `polycast members`: who is in the cluster, as one node sees it. */
import type { MemberList } from '../agent/http/api.ts'
import { Context } from './context.ts'
import type { CommonOptions } from './context.ts'
import { formatTable } from './format.ts'

/** Runs the command; gives its exit code. */
export async function members(options: CommonOptions): Promise<number> {
  const context = await Context.open(options)
  const list = await context.api.json<MemberList>('GET', '/v1/members')
  if (context.isJson) context.printJson(list)
  else {
    const rows = list.members.map(({ name, address, gossipPort, swarmPort, status, tags }) => [
      name,
      status,
      address,
      String(gossipPort),
      String(swarmPort),
      Object.entries(tags)
        .map(([key, value]) => `${key}=${value}`)
        .join(','),
    ])
    context.print(formatTable(['NAME', 'STATUS', 'ADDRESS', '>GOSSIP', '>SWARM', 'TAGS'], rows))
  }
  context.close()
  return 0
}
