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

/** Sets of tags, and of versions, that are remembered. */
const MAX_VALUES = 512

/**
 * The members as the main thread keeps them. What came from the worker is a copy of its own in everything: tags and versions, which most
 * members have alike, are kept once.
 */
export class MemberCopies {
  readonly #tags: Map<string, GossipMember['tags']> = new Map()
  readonly #versions: Map<string, GossipMember['versions']> = new Map()

  keep(member: GossipMember): GossipMember {
    const { name, address, port, status, isSuspect, incarnation, isPolycast, changedAt, lastRttMs } = member
    const tags = once(this.#tags, JSON.stringify(member.tags), member.tags)
    const versions = once(this.#versions, member.versions.join(), member.versions)
    return { name, address, port, tags, status, isSuspect, incarnation, versions, isPolycast, changedAt, lastRttMs }
  }
}

function once<T>(values: Map<string, T>, key: string, value: T): T {
  const known = values.get(key)
  if (known !== undefined) return known
  if (values.size >= MAX_VALUES) values.clear()
  values.set(key, value)
  return value
}

/** The same as selectors, deliveries and `polycast members` know it: without the tag that Polycast sets itself. */
export function asMember({ name, address, port, tags, status, isSuspect, incarnation }: GossipMember): Member {
  const own = ownTags(tags)
  return {
    name,
    address,
    gossipPort: port,
    swarmPort: portOf(tags[POLYCAST_TAG]),
    status: status === 'failed' ? 'dead' : status === 'left' ? 'left' : isSuspect ? 'suspect' : 'alive',
    tags: own,
    incarnation,
    isSeed: own['role'] === 'seed',
  }
}

/** By the tags that they were made from, which many members share. */
const OWN_TAGS: WeakMap<GossipMember['tags'], Member['tags']> = new WeakMap()

function ownTags(tags: GossipMember['tags']): Member['tags'] {
  let own = OWN_TAGS.get(tags)
  if (own === undefined) {
    const { [POLYCAST_TAG]: _swarmPort, ...others } = tags
    own = others
    OWN_TAGS.set(tags, own)
  }
  return own
}

/** 0 for a member that has no swarm port: an agent of Serf, or one that says nonsense. */
function portOf(text: string | undefined): number {
  const port = Number(text)
  return Number.isInteger(port) && port > 0 && port < 65_536 ? port : 0
}
