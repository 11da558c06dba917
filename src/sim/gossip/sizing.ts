/**
 * What a cluster of a given size, on a given network, will be like: how soon a crash is known, how soon one that joins is, how much is sent
 * when nothing happens, and how often one that is well is declared failed; and, of whole nodes, how soon an event is known to
 * all. Simulated, not computed: the machines that ship run, and the numbers are those of one run from a seed.
 */
import { GOSSIP_PROFILES, type ProfileName } from '../../core/gossip/profile.ts'
import { suspicionBounds } from '../../core/gossip/suspicion.ts'
import { Random } from '../../core/lib/random.ts'
import { rounded } from '../scenario.ts'
import type { Spread } from './gossip-checks.ts'
import { GossipWorld } from './gossip-world.ts'
import { MAX_WHOLE_NODES, sizeWhole, type WholeSizing } from './whole-sizing.ts'

export interface SizingOptions {
  readonly nodes: number
  /** Share of all packets that get lost, those of streams with them. */
  readonly loss: number
  readonly profile: ProfileName
  readonly seed: string
  /** For how long the cluster does nothing while its traffic is counted, ms. */
  readonly idleMs: number
}

/** Times from what happened until nodes knew, ms; −1 where one that should know didn't within the run. */
export interface Sizing {
  readonly nodes: number
  readonly loss: number
  readonly profile: ProfileName
  readonly seed: string
  /** A node is killed: the first that declares it failed, and the last. */
  readonly crashFirstMs: number
  readonly crashAllMs: number
  /** A node joins: the last that knows it. */
  readonly joinAllMs: number
  /** A node's tags change: the last that knows them. */
  readonly changeAllMs: number
  /** What a node sends when nothing happens: datagrams, and exchanges of everything on streams. */
  readonly packetBytesPerSec: number
  readonly streamBytesPerSec: number
  /** In the idle time, in which all are well: how often a node got no answer from another and accused it, */
  readonly idleSec: number
  readonly falselyAccused: number
  /** and how many nodes were declared failed by any other one. */
  readonly falselyFailed: number
  /** Of whole nodes, with events and state; undefined for clusters that are too large for that. */
  readonly whole: WholeSizing | undefined
}

export const MIN_SIZED_NODES = 3
export const MAX_SIZED_NODES = 10_000

/** How many nodes of one cluster are killed, join or change, each in turn; of what comes of them the median is given. */
const SAMPLES = 3
const NODES_PER_SAMPLE = 8
/** Between two of them, ms. */
const APART_MS = 1500
/** How long it is waited for all to know of one that joins or changes, in the profile's gossip intervals. */
const SPREAD_INTERVALS = 150
/** How often it is looked at whether all know, ms. */
const LOOK_MS = 100
const TAGS = new Uint8Array(64)

/** Takes up to minutes for ten thousand nodes. */
export function sizeCluster({ nodes, loss, profile, seed, idleMs }: SizingOptions): Sizing {
  const samples = Math.max(1, Math.min(SAMPLES, Math.floor(nodes / NODES_PER_SAMPLE)))
  const times = GOSSIP_PROFILES[profile]
  const links = profile === 'wan' ? WAN_LINKS : {}
  const world = new GossipWorld({
    seed: `${seed}/${nodes}/${loss}/${profile}`,
    nodes: nodes + samples,
    established: nodes,
    profile: times,
    links: { loss, streamLoss: loss, ...links },
  })
  world.run(idleMs)
  const sum = (of: (host: (typeof world.hosts)[number]) => number): number => world.hosts.reduce((total, host) => total + of(host), 0)
  const nodeSeconds = (nodes * idleMs) / 1000
  const idle = {
    packetBytesPerSec: rounded(sum((host) => host.sentBytes) / nodeSeconds, 1),
    streamBytesPerSec: rounded(sum((host) => host.streamBytes) / nodeSeconds, 1),
    idleSec: idleMs / 1000,
    falselyAccused: world.checks.accusations,
    falselyFailed: world.checks.failedThoughUp.size,
  }
  const numbers = new Random(`${seed}/${nodes}`).shuffle(Array.from({ length: nodes }, (_, index) => index)).slice(0, samples)
  const waitMs = SPREAD_INTERVALS * times.gossipIntervalMs
  const changed = measured(world, 'updated', numbers, nodes - 1, waitMs, (index) => world.hosts[index]!.change(TAGS, world.now))
  const joining = numbers.map((_, sample) => nodes + sample)
  const joined = measured(world, 'joined', joining, nodes, waitMs, (index) => world.start(index, [numbers.at(-1)!]))
  const { maxMs } = suspicionBounds(times, nodes)
  const crashed = measured(world, 'failed', numbers, nodes, maxMs + waitMs, (index) => world.kill(index))
  return {
    nodes,
    loss,
    profile,
    seed,
    crashFirstMs: median(crashed.map((spread) => first(spread))),
    crashAllMs: median(crashed.map((spread) => last(spread, nodes))),
    joinAllMs: median(joined.map((spread) => last(spread, nodes))),
    changeAllMs: median(changed.map((spread) => last(spread, nodes - 1))),
    ...idle,
    whole: nodes > MAX_WHOLE_NODES ? undefined : sizeWhole({ nodes, loss, profile, seed, idleMs }, links),
  }
}

/** Sites far apart: 20 to 150 ms one way. */
const WAN_LINKS = { minLatencyMs: 20, maxLatencyMs: 150, rateBytesPerSec: 12_500_000 }

/** Has something happen to one node after the other, and waits until so many have told of it, or the time is over. */
function measured(
  world: GossipWorld,
  type: 'updated' | 'joined' | 'failed',
  indices: readonly number[],
  expected: number,
  waitMs: number,
  happen: (index: number) => void,
): readonly Spread[] {
  const spreads: Spread[] = []
  for (const [sample, index] of indices.entries()) {
    world.at(world.now + sample * APART_MS, () => {
      spreads.push(world.checks.follow(type, `n${index}`))
      happen(index)
    })
  }
  const until = world.now + indices.length * APART_MS + waitMs
  const isOver = (): boolean => spreads.length === indices.length && spreads.every((spread) => spread.count >= expected)
  do world.run(world.now + LOOK_MS)
  while (world.now < until && !isOver())
  return spreads
}

function first(spread: Spread): number {
  return spread.times()[0] ?? Infinity
}

/** When so many knew: those who join or go themselves meanwhile may know later. */
function last(spread: Spread, expected: number): number {
  return spread.times()[expected - 1] ?? Infinity
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return rounded(sorted[Math.floor((sorted.length - 1) / 2)]!, 0)
}
