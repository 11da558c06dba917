/** What `sizing.ts` says of whole nodes: how soon an event is known to all, and what a node sends with all layers when nothing happens. */
import { GOSSIP_PROFILES } from '../../core/gossip/profile.ts'
import { Random } from '../../core/lib/random.ts'
import { rounded } from '../scenario.ts'
import { GossipWorld } from './gossip-world.ts'
import type { LinkOptions } from './links.ts'
import type { SizingOptions } from './sizing.ts'
import { GossipNode, WHOLE_META } from './whole-node.ts'
import { WholeRun } from './whole-run.ts'

export interface WholeSizing {
  /** A node sends an event of 100 bytes: the last that has it, ms; −1 where one hadn't within the run. */
  readonly eventAllMs: number
  /** What a node sends when nothing happens, with all layers, in datagrams and on streams. */
  readonly wholeBytesPerSec: number
}

/** Above this, each node's knowledge of the state of each takes minutes and gigabytes. */
export const MAX_WHOLE_NODES = 1024

/** What the trees and the states of nodes take until they are as they stay, ms. */
const SETTLED_MS = 10_000
const MOST_IDLE_MS = 10_000
const EVENTS = 3
const EVENT_BYTES = 100
const APART_MS = 1000
/** How long an event is waited for, ms. */
const EVENT_WAIT_MS = 5000

/** Takes ten to twenty seconds for a thousand nodes. */
export function sizeWhole({ nodes, loss, profile, seed, idleMs }: SizingOptions, links: Partial<LinkOptions>): WholeSizing {
  const world = new GossipWorld({
    seed: `${seed}/${nodes}/${loss}/${profile}/whole`,
    nodes,
    established: nodes,
    profile: GOSSIP_PROFILES[profile],
    links: { loss, streamLoss: loss, ...links },
    createNode: (options, now) => new GossipNode(options, now),
    meta: WHOLE_META,
  })
  const run = new WholeRun(world)
  const measuredMs = Math.min(idleMs, MOST_IDLE_MS)
  world.run(SETTLED_MS)
  world.measure()
  world.run(SETTLED_MS + measuredMs)
  const bytes = world.hosts.reduce((sum, { sentBytes, streamBytes }) => sum + sentBytes + streamBytes, 0)
  const random = new Random(`${seed}/${nodes}/events`)
  const spreads = Array.from({ length: EVENTS }, (_, event) => {
    const spread = run.publish(random.below(nodes), `e${event}`, EVENT_BYTES)
    world.run(world.now + APART_MS)
    return spread
  })
  const until = world.now + EVENT_WAIT_MS
  while (world.now < until && spreads.some(({ count }) => count < nodes)) world.run(world.now + APART_MS)
  const lasts = spreads.map((spread) => spread.times()[nodes - 1] ?? Infinity).toSorted((a, b) => a - b)
  return { eventAllMs: rounded(lasts[1]!, 0), wholeBytesPerSec: rounded(bytes / nodes / (measuredMs / 1000), 1) }
}
