/** Members of the machine as the rest of the agent sees them. */
import { POLYCAST_TAG } from '../../core/gossip/polycast-tag.ts'
import type { SerfMember } from '../../core/gossip/serf/serf-types.ts'
import type { Member } from '../membership/member.ts'
import type { GossipMember } from './gossip.ts'
import { ipText } from './ip-bytes.ts'

/** A member of the machine, with the time of its last change in ms since 1970. */
export function memberOf(member: SerfMember, changedAt: number): GossipMember {
  const { name, address, port, tags, status, isSuspect, incarnation, versions, lastRttMs } = member
  return {
    name,
    address: ipText(address),
    port,
    tags: Object.fromEntries(tags),
    status,
    isSuspect,
    incarnation,
    versions: [...(versions ?? [])],
    isPolycast: tags.has(POLYCAST_TAG),
    changedAt: Math.round(changedAt),
    lastRttMs,
  }
}

/** The same as selectors, deliveries and `polycast members` know it: without the tag that Polycast sets itself. */
export function asMember({ name, address, port, tags, status, isSuspect, incarnation }: GossipMember): Member {
  const { [POLYCAST_TAG]: swarmPort, ...own } = tags
  return {
    name,
    address,
    gossipPort: port,
    swarmPort: portOf(swarmPort),
    status: status === 'failed' ? 'dead' : status === 'left' ? 'left' : isSuspect ? 'suspect' : 'alive',
    tags: own,
    incarnation,
    isSeed: own['role'] === 'seed',
  }
}

/** 0 for a member that has no swarm port: an agent of Serf, or one that says nonsense. */
function portOf(text: string | undefined): number {
  const port = Number(text)
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : 0
}
