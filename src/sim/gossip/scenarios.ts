/**
 * What is simulated of gossip: named clusters, what befalls them and what must come of it. Run by `../main.ts`; the figures they gave are in
 * `../figures.json`.
 */
import { GOSSIP_PROFILES, type ProfileName } from '../../core/gossip/profile.ts'
import { Random } from '../../core/lib/random.ts'
import type { Figures, Outcome, Runnable } from '../scenario.ts'
import type { Spread } from './gossip-checks.ts'
import { GossipWorld, type GossipWorldOptions } from './gossip-world.ts'
import { describeRun, figuresOf } from './run-figures.ts'
import type { CreateSimNode } from './sim-node.ts'

export interface GossipScenario {
  readonly name: string
  readonly what: string
  readonly nodes: number
  readonly runMs: number
  readonly profile?: ProfileName
  /** Whether all know all at the start; else the scenario starts them. True unless given. */
  readonly isEstablished?: boolean
  readonly loss?: number
  readonly streamLoss?: number
  /** When traffic begins to count, ms; from the start unless given. */
  readonly measureFromMs?: number
  readonly recoveryMs?: number
  /** How often a node that is well may declare another one failed that is well; 0 unless given. */
  readonly mostFalseFailures?: number
  /** How often a node may declare another one failed that runs, well or not; no limit unless given. */
  readonly mostFailedThoughUp?: number
  /** Whether at the end all are to see those that run, and nobody else. True unless given. */
  readonly endsAsOne?: boolean
  /** For how long one that is well may hold another for dead that is well, ms; 15 s unless given. */
  readonly mostHeldDeadMs?: number
  /** When the last trouble ends, ms: from then on it is measured how long it takes until all have one view, */
  readonly troubleEndsMs?: number
  /** and that may take so long, ms. */
  readonly oneViewWithinMs?: number
  /** What the scenario follows is to have reached all who run by then, ms; no limit unless given. */
  readonly lastWithinMs?: number
  readonly isByHand?: boolean
  /** `SwimMachine` alone unless given, and what nodes say of themselves. */
  readonly createNode?: CreateSimNode
  readonly meta?: Uint8Array
  /** Arranges what goes wrong; gives what is followed, if anything is. */
  readonly befall?: (world: GossipWorld) => () => Spread | undefined
}

const SECOND = 1000
const MINUTE = 60 * SECOND
/** How often it is looked at whether all have one view, ms. */
const ONE_VIEW_LOOK_MS = 100
const NOTHING = (): undefined => undefined

/** All hosts start at the same time, and join by way of the first three. */
function joinAtOnce(world: GossipWorld): void {
  for (const { index } of world.hosts) world.start(index, seedsOf(index))
}

function seedsOf(index: number): readonly number[] {
  return index === 0 ? [] : [0, 1, 2].filter((seed) => seed !== index)
}

/** At a time one node is killed; who declares it failed is followed. */
export function killAt(time: number, index: number): NonNullable<GossipScenario['befall']> {
  return (world) => {
    let spread: Spread | undefined
    world.at(time, () => {
      spread = world.checks.follow('failed', `n${index}`)
      world.kill(index)
    })
    return () => spread
  }
}

function joinsFollowed(world: GossipWorld): () => Spread {
  const spread = world.checks.follow('joined', `n${world.hosts.length - 1}`)
  joinAtOnce(world)
  return () => spread
}

/** Until 96 s of time, a node ends every two seconds, killed or by its leave, and starts again soon after. */
export function churn(world: GossipWorld): () => undefined {
  const random = new Random('churn')
  for (let time = 5 * SECOND; time < 90 * SECOND; time += 2 * SECOND) {
    const index = 3 + random.below(world.hosts.length - 3)
    world.at(time, () => {
      if (!world.hosts[index]!.isUp) return
      if (random.below(2) === 0) world.kill(index)
      else world.leave(index)
    })
    world.at(time + 6 * SECOND, () => {
      if (!world.hosts[index]!.isUp) world.start(index, [0, 1, 2])
    })
  }
  return NOTHING
}

/** When both halves are one again after the way between them is open. */
export function partitionInHalves(forMs: number): NonNullable<GossipScenario['befall']> {
  return (world) => {
    world.at(10 * SECOND, () => {
      world.partition(
        world.hosts.map(({ index }) => index).filter((index) => index >= world.hosts.length / 2),
        forMs,
      )
    })
    return NOTHING
  }
}

export const GOSSIP_SCENARIOS: readonly GossipScenario[] = [
  {
    name: 'idle-64',
    what: '64 nodes join one by one and then do nothing for a minute',
    nodes: 64,
    runMs: 90 * SECOND,
    measureFromMs: 30 * SECOND,
    isEstablished: false,
    befall: (world) => {
      for (const { index } of world.hosts) world.at(index * 100, () => world.start(index, seedsOf(index)))
      return NOTHING
    },
  },
  { name: 'idle-1000', what: '1,000 nodes that know each other do nothing', nodes: 1000, runMs: MINUTE },
  { name: 'idle-10000', what: '10,000 nodes that know each other do nothing, for 10 s', nodes: 10_000, runMs: 10 * SECOND },
  {
    name: 'idle-10000-full',
    what: '10,000 nodes that know each other do nothing, for 60 s',
    nodes: 10_000,
    runMs: MINUTE,
    isByHand: true,
  },
  {
    name: 'crash-10000',
    what: 'one of 10,000 is killed',
    nodes: 10_000,
    runMs: 45 * SECOND,
    isByHand: true,
    befall: killAt(2 * SECOND, 4242),
  },
  { name: 'crash', what: 'one of 64 is killed', nodes: 64, runMs: 30 * SECOND, lastWithinMs: 3 * SECOND, befall: killAt(5 * SECOND, 17) },
  {
    name: 'mass-crash',
    what: '30 of 100 are killed at once',
    nodes: 100,
    runMs: 90 * SECOND,
    lastWithinMs: 10 * SECOND,
    befall: (world) => {
      let spread: Spread | undefined
      world.at(5 * SECOND, () => {
        spread = world.checks.follow('failed', 'n79')
        for (let index = 50; index < 80; index++) world.kill(index)
      })
      return () => spread
    },
  },
  ...([10, 30, 50] as const).map((percent): GossipScenario => ({
    name: `loss-${percent}`,
    what: `${percent} % of all datagrams are lost for two minutes, and one of 64 is killed`,
    nodes: 64,
    runMs: 2 * MINUTE,
    loss: percent / 100,
    befall: killAt(MINUTE, 17),
  })),
  {
    name: 'loss-all-30',
    what: '30 % of all packets are lost for two minutes, those of streams too, and one of 64 is killed',
    nodes: 64,
    runMs: 2 * MINUTE,
    loss: 0.3,
    streamLoss: 0.3,
    endsAsOne: false,
    mostFalseFailures: 8,
    mostHeldDeadMs: MINUTE,
    befall: killAt(MINUTE, 17),
  },
  {
    name: 'bad-links',
    what: 'of 64 nodes four lose 40 % of all packets to and from them, for two minutes',
    mostFalseFailures: 2,
    nodes: 64,
    runMs: 2 * MINUTE,
    endsAsOne: false,
    befall: (world) => {
      for (const index of [5, 21, 37, 53]) world.lose(index, 0.4, 2 * MINUTE)
      return NOTHING
    },
  },
  {
    name: 'pauses',
    what: 'one of 16 stands still for 8 s, twice',
    mostFailedThoughUp: 0,
    nodes: 16,
    runMs: MINUTE,
    befall: (world) => {
      world.at(5 * SECOND, () => world.pause(7, 8 * SECOND))
      world.at(30 * SECOND, () => world.pause(7, 8 * SECOND))
      return NOTHING
    },
  },
  {
    name: 'starved',
    what: '4 of 100 take a third of a second for whatever they do, for a minute',
    nodes: 100,
    // A suspicion of one that was starved lasts for up to 48 s after; who missed that one lives is told by an exchange of everything.
    runMs: 4 * MINUTE,
    recoveryMs: 50 * SECOND,
    mostHeldDeadMs: 90 * SECOND,
    befall: (world) => {
      world.at(5 * SECOND, () => {
        for (const index of [10, 35, 60, 85]) world.starve(index, 333, MINUTE)
      })
      return NOTHING
    },
  },
  {
    name: 'churn',
    what: 'of 100 nodes one ends every two seconds, killed or by its leave, and starts again 6 s later',
    nodes: 100,
    runMs: 150 * SECOND,
    troubleEndsMs: 100 * SECOND,
    befall: churn,
  },
  {
    name: 'partition',
    what: '16 nodes are cut in halves for a minute',
    nodes: 16,
    // After 70 s the way is open; each half tries its dead every 30 s.
    runMs: 130 * SECOND,
    troubleEndsMs: 70 * SECOND,
    oneViewWithinMs: 35 * SECOND,
    befall: partitionInHalves(MINUTE),
  },
  {
    name: 'one-way-block',
    what: 'of 32 nodes one hears nothing from another, in one direction',
    nodes: 32,
    runMs: 2 * MINUTE,
    befall: (world) => {
      world.at(5 * SECOND, () => world.block(3, 9, MINUTE))
      return NOTHING
    },
  },
  {
    name: 'udp-blocked',
    what: 'of 32 nodes one gets its packets neither out nor in; streams work',
    nodes: 32,
    runMs: 2 * MINUTE,
    befall: (world) => {
      world.at(5 * SECOND, () => world.blockPackets(9, MINUTE))
      return NOTHING
    },
  },
  {
    name: 'join-500',
    what: '500 nodes start at once and join by way of the first three',
    nodes: 500,
    runMs: 2 * MINUTE,
    isEstablished: false,
    troubleEndsMs: 0,
    befall: joinsFollowed,
  },
  {
    name: 'restart-storm',
    what: 'half of 200 nodes are killed and start again at once 2 s later',
    nodes: 200,
    runMs: 2 * MINUTE,
    troubleEndsMs: 7 * SECOND,
    befall: (world) => {
      world.at(5 * SECOND, () => {
        for (let index = 100; index < 200; index++) world.kill(index)
      })
      world.at(7 * SECOND, () => {
        for (let index = 100; index < 200; index++) world.start(index, [0, 1, 2])
      })
      return NOTHING
    },
  },
  {
    name: 'leave-and-join',
    what: 'of 64 nodes eight leave, and start again as soon as they have ended',
    nodes: 64,
    runMs: MINUTE,
    troubleEndsMs: 10.1 * SECOND,
    befall: (world) => {
      for (let index = 8; index < 16; index++) {
        world.at(5 * SECOND, () => world.leave(index))
        world.at(10.1 * SECOND, () => world.start(index, [0, 1, 2]))
      }
      return NOTHING
    },
  },
]

/** The scenarios as `main.ts` runs them. */
export const GOSSIP_RUNNABLES: readonly Runnable[] = GOSSIP_SCENARIOS.map((scenario) => ({
  name: `gossip/${scenario.name}`,
  what: scenario.what,
  isByHand: scenario.isByHand === true,
  run: (seed): Outcome => runGossip(scenario, seed),
  describe: (figures: Figures): string => describeRun(figures),
}))

export function runGossip(scenario: GossipScenario, seed: string = scenario.name): Outcome {
  const { nodes, runMs, profile = 'lan', isEstablished = true, loss = 0, streamLoss = 0, recoveryMs, createNode, meta, befall } = scenario
  const options: GossipWorldOptions = {
    seed,
    nodes,
    profile: GOSSIP_PROFILES[profile],
    established: isEstablished ? nodes : 0,
    links: { loss, streamLoss },
    ...(createNode === undefined ? {} : { createNode }),
    ...(meta === undefined ? {} : { meta }),
  }
  const world = new GossipWorld(recoveryMs === undefined ? options : { ...options, recoveryMs })
  const followed = befall?.(world) ?? NOTHING
  if (scenario.measureFromMs !== undefined) world.at(scenario.measureFromMs, () => world.measure())
  if (scenario.mostHeldDeadMs !== undefined) world.checks.mostHeldDeadMs = scenario.mostHeldDeadMs
  const { troubleEndsMs } = scenario
  let oneViewMs = troubleEndsMs === undefined ? undefined : Infinity
  if (troubleEndsMs !== undefined) {
    awaitOneView(world, troubleEndsMs, (now) => {
      oneViewMs = now - troubleEndsMs
    })
  }
  world.run(runMs)
  if (scenario.endsAsOne !== false) world.checks.oneView()
  const spread = followed()
  const figures = figuresOf(world, spread, oneViewMs)
  const violations = [...world.checks.violations]
  const { mostFalseFailures = 0, mostFailedThoughUp = Infinity, lastWithinMs = Infinity } = scenario
  if (world.checks.falseFailures > mostFalseFailures) {
    violations.push(
      `${world.checks.falseFailures} times a node that is well declared one failed that is well; ${mostFalseFailures} are allowed`,
    )
  }
  if (world.checks.failuresOfRunning > mostFailedThoughUp) {
    violations.push(`${world.checks.failuresOfRunning} times one was declared failed that runs; ${mostFailedThoughUp} are allowed`)
  }
  if (spread !== undefined && (spread.times().at(-1) ?? Infinity) > lastWithinMs) {
    violations.push(`the last one knew after ${Math.round(spread.times().at(-1) ?? Infinity)} ms; ${lastWithinMs} are the limit`)
  }
  const { oneViewWithinMs = Infinity } = scenario
  if (oneViewMs !== undefined && oneViewMs > oneViewWithinMs) {
    violations.push(`all had one view after ${Math.round(oneViewMs)} ms; ${oneViewWithinMs} are the limit`)
  }
  return { figures, violations }
}

/** Looks from a time on whether all see those that run and nobody else, and says when they did first. */
function awaitOneView(world: GossipWorld, from: number, isThere: (now: number) => void): void {
  world.at(from, (now) => {
    if (world.checks.isOne()) isThere(now)
    else awaitOneView(world, now + ONE_VIEW_LOOK_MS, isThere)
  })
}
