/** Runs one scenario and says what came of it: figures that are exact for its seed, and what did not hold. */
import { rounded, type Figures, type Outcome, type Runnable } from './scenario.ts'
import { SCENARIOS, type Scenario } from './scenarios.ts'
import { SwarmWorld } from './swarm-world.ts'

export interface SwarmFigures extends Figures {
  /** Times from joining to the last chunk, over the bound. */
  readonly median: number
  readonly last: number
  /** What the origin sent, over F. */
  readonly originSent: number
  /** The most that any zone's link to the core carried, one way, over F. */
  readonly zoneLink: number
  /** What arrived at those who had it, over what all peers need. */
  readonly duplicates: number
  /** Peers of those that count that lack something at the end. */
  readonly unfinished: number
  /** The least that one of them has, over F. */
  readonly leastHeld: number
  /** How often one dropped another. */
  readonly dropped: number
  readonly trace: string
}

/** The scenarios as `main.ts` runs them. */
export const SWARM_RUNNABLES: readonly Runnable[] = SCENARIOS.map((scenario) => ({
  name: `swarm/${scenario.name}`,
  what: scenario.what,
  isByHand: false,
  run: (seed): Outcome => simulate(seed === undefined ? scenario : { ...scenario, options: { ...scenario.options, seed } }),
  describe: (figures): string => describe(figures as SwarmFigures),
}))

function simulate({ options, boundMs, within, originAtMost, counted, befall }: Scenario): Outcome {
  const world = new SwarmWorld(options)
  befall(world, boundMs)
  world.run(within * boundMs)
  const hosts = world.hosts.slice(1).filter((_, peer) => counted(peer))
  const times = hosts.map((host) => (host.doneAt - host.joinedAt) / boundMs).sort((a, b) => a - b)
  const zones = [...new Set(options.peers.map((peer) => peer.zone ?? ''))].map((zone) => world.network.zoneBytes(zone))
  const duplicates = world.hosts.reduce((sum, { peer }) => sum + peer.status().duplicateBytes, 0)
  const figures: SwarmFigures = {
    median: rounded4(times[Math.floor(times.length / 2)] ?? Infinity),
    last: rounded4(times.at(-1) ?? Infinity),
    originSent: rounded4((world.network.hosts[0]?.sentBytes ?? 0) / options.contentBytes),
    zoneLink: rounded4(Math.max(...zones.map(({ up, down }) => Math.max(up, down))) / options.contentBytes),
    duplicates: rounded4(duplicates / options.contentBytes / options.peers.length),
    unfinished: times.filter((time) => !Number.isFinite(time)).length,
    leastHeld: rounded4(Math.min(...hosts.map(({ disk }) => disk.count / disk.length))),
    dropped: world.misbehaviours.length,
    trace: world.network.traceHash.toString(16),
  }
  const violations = [...world.checks.violations]
  if (figures.originSent > originAtMost) violations.push(`the origin sent ${figures.originSent} F; ${originAtMost} are the limit`)
  return { figures, violations }
}

function describe(figures: SwarmFigures): string {
  const { median, last, originSent, zoneLink, duplicates, unfinished, leastHeld, dropped, trace } = figures
  return `median ${median} of the bound, last ${last}, origin ${originSent} F, busiest zone link ${zoneLink} F, duplicates ${duplicates}, unfinished ${unfinished} (least held ${leastHeld} F), dropped ${dropped}, trace ${trace}`
}

function rounded4(value: number): number {
  return rounded(value, 4)
}
