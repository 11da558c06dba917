/** What is simulated of whole nodes, with all their layers: `GossipMachine`. The scenarios of membership alone are in `scenarios.ts`. */
import { Random } from '../../core/lib/random.ts'
import type { Figures, Outcome, Runnable } from '../scenario.ts'
import type { Spread } from './gossip-checks.ts'
import type { GossipWorld } from './gossip-world.ts'
import { describeRun } from './run-figures.ts'
import { churn, killAt, partitionInHalves, runGossip, type GossipScenario } from './scenarios.ts'
import { GossipNode, WHOLE_META } from './whole-node.ts'
import { WholeRun } from './whole-run.ts'

interface WholeScenario extends Omit<GossipScenario, 'createNode' | 'meta' | 'befall'> {
  /** Arranges what happens; gives what is followed, if anything is. */
  readonly befall?: (run: WholeRun) => () => Spread | undefined
  /** When the last node is to have each event, ms; no limit unless given. */
  readonly eventsWithinMs?: number
  readonly mostCopies?: number
  /** What a node may send per second, in datagrams and on streams; no limit unless given. */
  readonly mostBytesPerSec?: number
}

const SECOND = 1000
const MINUTE = 60 * SECOND
/** What the trees need to form where all nodes start at once, ms, and more. */
const SETTLED_MS = 20 * SECOND
const EVENT_BYTES = 100
const VALUE = new Uint8Array(64).fill(7)
const NOTHING = (): undefined => undefined

/** So many events, evenly in time, each from a node by chance. */
function events(run: WholeRun, count: number, fromMs: number, forMs: number): () => undefined {
  const random = new Random('events')
  for (let event = 0; event < count; event++) {
    run.world.at(fromMs + (event * forMs) / count, () => void run.publish(random.below(run.world.hosts.length), `e${event}`, EVENT_BYTES))
  }
  return NOTHING
}

/** What befalls nodes of any kind, while so many events are sent. */
function withEvents(
  befall: (world: GossipWorld) => () => Spread | undefined,
  count: number,
  fromMs: number,
  forMs: number,
): NonNullable<WholeScenario['befall']> {
  return (run) => {
    const followed = befall(run.world)
    events(run, count, fromMs, forMs)
    return followed
  }
}

const WHOLE_SCENARIOS: readonly WholeScenario[] = [
  {
    name: 'event-64',
    what: 'ten events of 100 bytes, one a second, on 64 whole nodes',
    nodes: 64,
    runMs: 40 * SECOND,
    measureFromMs: SETTLED_MS,
    eventsWithinMs: 100,
    mostCopies: 1.2,
    befall: (run) => events(run, 10, SETTLED_MS, 10 * SECOND),
  },
  {
    name: 'event-64-loss-30',
    what: 'the same, where 30 % of all datagrams are lost',
    nodes: 64,
    runMs: 45 * SECOND,
    measureFromMs: SETTLED_MS,
    loss: 0.3,
    eventsWithinMs: 500,
    befall: (run) => events(run, 10, SETTLED_MS, 10 * SECOND),
  },
  {
    name: 'event-1000',
    what: 'three events of 100 bytes, one a second, on 1,000 whole nodes',
    nodes: 1000,
    runMs: 14 * SECOND,
    measureFromMs: 10 * SECOND,
    isByHand: true,
    eventsWithinMs: 150,
    mostCopies: 1.2,
    befall: (run) => events(run, 3, 10 * SECOND, 3 * SECOND),
  },
  {
    name: 'events-1000-in-10s',
    what: '1,000 events within 10 s on 64 whole nodes',
    nodes: 64,
    runMs: 34 * SECOND,
    measureFromMs: SETTLED_MS,
    eventsWithinMs: 2 * SECOND,
    befall: (run) => events(run, 1000, SETTLED_MS, 10 * SECOND),
  },
  {
    name: 'state-100',
    what: 'one key of 64 bytes changes on one of 100 whole nodes; traffic is of the second from then on',
    nodes: 100,
    runMs: 11 * SECOND,
    measureFromMs: 10 * SECOND,
    lastWithinMs: SECOND,
    mostBytesPerSec: 2000,
    befall: (run) => {
      let spread: Spread | undefined
      run.world.at(10 * SECOND, () => {
        spread = run.set(42, 'load', VALUE)
      })
      return () => spread
    },
  },
  {
    name: 'state-storm',
    what: 'on 64 whole nodes, one of 256 keys is set or removed every 10 ms for 15 s, and tags change every second',
    nodes: 64,
    // Gossip of tags misses somebody now and then, who is told by an exchange of everything.
    runMs: 100 * SECOND,
    befall: (run) => {
      const random = new Random('state-storm')
      for (let time = 5 * SECOND; time < 20 * SECOND; time += 10) {
        run.world.at(time, () => {
          const value = random.below(8) === 0 ? undefined : VALUE.map(() => random.below(256))
          run.set(random.below(64), `k${random.below(4)}`, value)
        })
      }
      for (let time = 5 * SECOND; time < 20 * SECOND; time += SECOND) {
        run.world.at(time, () => void run.tag(random.below(64), `r${time}`))
      }
      return NOTHING
    },
  },
  {
    name: 'tags-storm',
    what: 'all of 100 whole nodes change their tags at once, three times a second apart',
    nodes: 100,
    runMs: 100 * SECOND,
    lastWithinMs: 90 * SECOND,
    befall: (run) => {
      let spread: Spread | undefined
      for (let time = 5; time < 8; time++) {
        run.world.at(time * SECOND, () => {
          for (const { index } of run.world.hosts) run.tag(index, `r${time}`)
          spread = run.world.checks.follow('updated', 'n42')
        })
      }
      return () => spread
    },
  },
  { name: 'idle-64-whole', what: '64 whole nodes do nothing', nodes: 64, runMs: 90 * SECOND, measureFromMs: 30 * SECOND },
  {
    name: 'idle-1000-whole',
    what: '1,000 whole nodes do nothing',
    nodes: 1000,
    runMs: 30 * SECOND,
    measureFromMs: 15 * SECOND,
    isByHand: true,
  },
  {
    name: 'crash-64-whole',
    what: 'one of 64 whole nodes is killed while events are sent',
    nodes: 64,
    runMs: 30 * SECOND,
    lastWithinMs: 15 * SECOND,
    befall: withEvents(killAt(5 * SECOND, 17), 20, 5 * SECOND, 20 * SECOND),
  },
  {
    name: 'partition-16-whole',
    what: '16 whole nodes are cut in halves for a minute, and set keys meanwhile',
    nodes: 16,
    runMs: 100 * SECOND,
    troubleEndsMs: 70 * SECOND,
    oneViewWithinMs: 5 * SECOND,
    befall: withKeys(partitionInHalves(MINUTE), 15 * SECOND, 65 * SECOND),
  },
  {
    name: 'partition-100-whole',
    what: '100 whole nodes are cut in halves for five minutes, and set keys meanwhile',
    nodes: 100,
    runMs: 340 * SECOND,
    troubleEndsMs: 310 * SECOND,
    oneViewWithinMs: 10 * SECOND,
    befall: withKeys(partitionInHalves(5 * MINUTE), 15 * SECOND, 65 * SECOND),
  },
  {
    name: 'churn-whole',
    what: 'of 48 whole nodes one ends every two seconds and starts again 6 s later, while two events a second are sent',
    nodes: 48,
    runMs: 130 * SECOND,
    troubleEndsMs: 100 * SECOND,
    befall: withEvents(churn, 200, 10 * SECOND, 100 * SECOND),
  },
  {
    name: 'restart-storm-whole',
    what: 'half of 100 whole nodes are killed and start again 2 s later, while events are sent',
    nodes: 100,
    runMs: 90 * SECOND,
    troubleEndsMs: 7 * SECOND,
    befall: withEvents(restartStorm, 50, 3 * SECOND, 60 * SECOND),
  },
]

/** What befalls nodes of any kind, while one of them sets a key every second. */
function withKeys(
  befall: (world: GossipWorld) => () => Spread | undefined,
  from: number,
  to: number,
): NonNullable<WholeScenario['befall']> {
  return (run) => {
    const random = new Random('keys')
    const followed = befall(run.world)
    for (let time = from; time < to; time += SECOND) {
      run.world.at(
        time,
        () =>
          void run.set(
            random.below(run.world.hosts.length),
            `k${random.below(2)}`,
            VALUE.map(() => random.below(256)),
          ),
      )
    }
    return followed
  }
}

function restartStorm(world: GossipWorld): () => undefined {
  const half = world.hosts.length / 2
  world.at(5 * SECOND, () => {
    for (let index = half; index < world.hosts.length; index++) world.kill(index)
  })
  world.at(7 * SECOND, () => {
    for (let index = half; index < world.hosts.length; index++) world.start(index, [0, 1, 2])
  })
  return NOTHING
}

/** The scenarios as `main.ts` runs them. */
export const WHOLE_RUNNABLES: readonly Runnable[] = WHOLE_SCENARIOS.map((scenario) => ({
  name: `gossip/${scenario.name}`,
  what: scenario.what,
  isByHand: scenario.isByHand === true,
  run: (seed): Outcome => runWhole(scenario, seed),
  describe: describeWhole,
}))

function runWhole(scenario: WholeScenario, seed?: string): Outcome {
  const { befall, eventsWithinMs = Infinity, mostCopies = Infinity, mostBytesPerSec = Infinity, ...given } = scenario
  let run: WholeRun | undefined
  const outcome = runGossip(
    {
      ...given,
      createNode: (options, now) => new GossipNode(options, now),
      meta: WHOLE_META,
      befall: (world) => {
        run = new WholeRun(world)
        return befall?.(run) ?? NOTHING
      },
    },
    seed,
  )
  const { trace = '', ...figures } = outcome.figures
  const whole: Figures = { ...figures, ...run!.figures(), trace }
  const violations = [...outcome.violations, ...run!.violations()]
  const { eventLastMs = 0, copies = 0 } = whole
  if (Number(eventLastMs) > eventsWithinMs)
    violations.push(`the last one had an event after ${eventLastMs} ms; ${eventsWithinMs} are the limit`)
  if (Number(copies) > mostCopies) violations.push(`${copies} copies of an event came to a node; ${mostCopies} are the limit`)
  const bytesPerSec = Number(whole['packetBytesPerSec']) + Number(whole['streamBytesPerSec'])
  if (bytesPerSec > mostBytesPerSec) violations.push(`a node sends ${bytesPerSec} B/s; ${mostBytesPerSec} are the limit`)
  return { figures: whole, violations }
}

function describeWhole(figures: Figures): string {
  const { membershipBytesPerSec, serfBytesPerSec, stateBytesPerSec, treesBytesPerSec } = figures
  const { events: sent, eventMedianMs, eventLastMs, copies, repaired, keys, stateLastMs } = figures
  const layers = `membership ${membershipBytesPerSec}, serf ${serfBytesPerSec}, state ${stateBytesPerSec}, trees ${treesBytesPerSec} B/s`
  const much = copies === undefined ? '' : `, ${copies} copies, ${repaired} repaired`
  const told = sent === undefined ? '' : `; ${sent} events: all by ${eventMedianMs} ms, at most ${eventLastMs} ms${much}`
  const said = keys === undefined ? '' : `; ${keys} keys: all by ${stateLastMs} ms`
  return `${describeRun(figures)}; of these ${layers}${told}${said}`
}
