/** Events on trees alone, and past them by multicast, up to ten thousand nodes. Those of whole nodes are in `whole-scenarios.ts`. */
import { Random } from '../../core/lib/random.ts'
import { rounded, type Figures, type Outcome, type Runnable } from '../scenario.ts'
import { TreeWorld } from './tree-world.ts'

interface TreeScenario {
  readonly name: string
  readonly what: string
  readonly nodes: number
  readonly loss: number
  /** When the last node is to have each event, ms. */
  readonly withinMs: number
  readonly mostCopies: number
  readonly isByHand: boolean
  /** Whether multicast carries events, and whom it does not reach, one of so many. */
  readonly multicast?: { readonly deafOneIn: number; readonly endsUnnoticed?: boolean }
}

const SECOND = 1000
/** Trees have formed by then. */
const SETTLED_MS = 15 * SECOND
const EVENTS = 10
const EVENT_BYTES = 100
/** What repair gets after the last event. */
const REPAIR_MS = 10 * SECOND

const TREE_SCENARIOS: readonly TreeScenario[] = [
  {
    name: 'trees-1000',
    what: 'ten events of 100 bytes on the trees of 1,000 nodes',
    nodes: 1000,
    loss: 0,
    withinMs: 150,
    mostCopies: 1.2,
    isByHand: false,
  },
  {
    name: 'multicast-1000',
    what: 'ten events on a LAN of 1,000 nodes by multicast, which does not reach every tenth; 5 % of all datagrams are lost',
    nodes: 1000,
    loss: 0.05,
    withinMs: 200,
    mostCopies: 1.05,
    isByHand: false,
    multicast: { deafOneIn: 10 },
  },
  {
    name: 'multicast-1000-ends',
    what: 'the same without losses, but multicast ends before the sixth event and nobody is told',
    nodes: 1000,
    loss: 0,
    withinMs: 500,
    mostCopies: 1.2,
    isByHand: false,
    multicast: { deafOneIn: 10, endsUnnoticed: true },
  },
  {
    name: 'multicast-10000',
    what: 'ten events on a LAN of 10,000 nodes by multicast, which does not reach every tenth; 5 % of all datagrams are lost',
    nodes: 10_000,
    loss: 0.05,
    withinMs: 300,
    mostCopies: 1.05,
    isByHand: true,
    multicast: { deafOneIn: 10 },
  },
  {
    name: 'trees-1000-loss-10',
    what: 'ten events of 100 bytes on the trees of 1,000 nodes, where 10 % of all datagrams are lost',
    nodes: 1000,
    loss: 0.1,
    withinMs: 2 * SECOND,
    mostCopies: 2,
    isByHand: false,
  },
  {
    name: 'event-10000',
    what: 'ten events of 100 bytes on the trees of 10,000 nodes',
    nodes: 10_000,
    loss: 0,
    withinMs: 150,
    mostCopies: 1.2,
    isByHand: true,
  },
  {
    name: 'event-10000-loss-10',
    what: 'the same, where 10 % of all datagrams are lost',
    nodes: 10_000,
    loss: 0.1,
    withinMs: 2 * SECOND,
    mostCopies: 2,
    isByHand: true,
  },
]

/** The scenarios as `main.ts` runs them. */
export const TREE_RUNNABLES: readonly Runnable[] = TREE_SCENARIOS.map((scenario) => ({
  name: `gossip/${scenario.name}`,
  what: scenario.what,
  isByHand: scenario.isByHand,
  run: (seed): Outcome => runTrees(scenario, seed),
  describe: ({ bytesPerSec, events, eventMedianMs, eventLastMs, missed, copies, repaired, multicasts, sent, trace }): string =>
    `a node sends ${bytesPerSec} B/s before the first of ${events} events: all by ${eventMedianMs} ms, at most ${eventLastMs} ms, ` +
    `missed ${missed}, ${copies} copies, ${repaired} repaired, ` +
    (multicasts === undefined ? '' : `${multicasts} multicasts, ${sent} payloads to single nodes, `) +
    `trace ${trace}`,
}))

function runTrees({ name, nodes, loss, withinMs, mostCopies, multicast }: TreeScenario, seed: string = name): Outcome {
  const world = new TreeWorld(seed, nodes, loss)
  const random = new Random(`${seed}/events`)
  const idleFromMs = SETTLED_MS - 5 * SECOND
  world.run(idleFromMs)
  const before = world.sentBytes
  world.run(SETTLED_MS)
  const bytesPerSec = rounded((world.sentBytes - before) / nodes / ((SETTLED_MS - idleFromMs) / SECOND), 1)
  if (multicast !== undefined) {
    world.carryMulticast((index) => index % multicast.deafOneIn !== 0)
    if (multicast.endsUnnoticed === true) world.at(SETTLED_MS + (EVENTS / 2 - 0.5) * SECOND, () => world.carryMulticast(() => false, false))
  }
  for (let event = 0; event < EVENTS; event++) world.at(SETTLED_MS + event * SECOND, () => world.publish(random.below(nodes), EVENT_BYTES))
  world.run(SETTLED_MS + EVENTS * SECOND + REPAIR_MS)
  const lasts = world.events.map(({ heardAt }) => heardAt.reduce((most, at) => Math.max(most, at), 0)).toSorted((a, b) => a - b)
  const missed = world.events.reduce((sum, { heardAt }) => sum + heardAt.filter((at) => at < 0).length, 0)
  const { received, sent, repaired } = world.counts()
  const figures: Figures = {
    bytesPerSec,
    events: EVENTS,
    eventMedianMs: rounded(lasts[EVENTS / 2]!, 0),
    eventLastMs: rounded(lasts.at(-1)!, 0),
    missed,
    copies: rounded(received / (EVENTS * (nodes - 1) - missed), 3),
    repaired,
    ...(multicast === undefined ? {} : { multicasts: world.multicasts, sent }),
    trace: world.traceHash.toString(16),
  }
  const violations = [...world.violations]
  if (missed > 0) violations.push(`${missed} times an event has not come to a node`)
  if (lasts.at(-1)! > withinMs) violations.push(`the last one had an event after ${figures['eventLastMs']} ms; ${withinMs} are the limit`)
  if (Number(figures['copies']) > mostCopies)
    violations.push(`${figures['copies']} copies of an event came to a node; ${mostCopies} are the limit`)
  return { figures, violations }
}
