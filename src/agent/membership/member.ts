/**
 * What a member is: the record that every node keeps of every other, and the rules that names and tags obey.
 *
 * Not here: how records travel and which of two counts (`core/gossip`).
 */

import { POLYCAST_TAG } from '../../core/gossip/polycast-tag.ts'

/** Alive; suspect: silent, may still refute; dead: was suspect for too long; left: said goodbye. */
export type MemberStatus = 'alive' | 'suspect' | 'dead' | 'left'

/** A node as the membership sees it. */
export interface Member {
  readonly name: string
  /** IP address that it listens on for gossip and swarm. */
  readonly address: string
  readonly gossipPort: number
  readonly swarmPort: number
  readonly status: MemberStatus
  readonly tags: Readonly<Record<string, string>>
  /** Grows whenever the node contradicts what is said of it; a higher one wins. */
  readonly incarnation: number
  /** True for the tag role=seed. */
  readonly isSeed: boolean
}

/** What all tags of a node together may take: what memberlist leaves for them. */
export const MAX_TAGS_BYTES = 512

const TAG_KEY = /^[A-Za-z0-9_.-]{1,64}$/
const TAG_VALUE = /^[^\s,=!\p{Cc}]{1,256}$/u

/** Why a set of tags is refused, or undefined when it is fine. */
export function tagsProblem(tags: Readonly<Record<string, string>>): string | undefined {
  // Counted as Serf encodes them: a map with short strings, two bytes of header each at most; and with the tag that Polycast sets itself.
  let bytes = 4 + POLYCAST_TAG.length + '65535'.length + 4
  for (const [key, value] of Object.entries(tags)) {
    if (!TAG_KEY.test(key)) return `"${key}" is no key of a tag: use 1 to 64 letters, digits, dots, hyphens and underscores`
    if (key === POLYCAST_TAG) return `${POLYCAST_TAG} is no tag of yours: it tells the others which agents are more than Serf`
    if (key === 'name') return 'name is no tag: selectors use it for the name of the node'
    if (!TAG_VALUE.test(value))
      return `"${value}" is no value of a tag: use 1 to 256 characters without spaces, commas, equals signs and exclamation marks`
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value) + 4
  }
  return bytes > MAX_TAGS_BYTES ? `all tags together take ${bytes} bytes, and ${MAX_TAGS_BYTES} is the most` : undefined
}
