/**
 * Runs the scenarios of all simulators: `run [NAME …]` prints what comes out, `check` holds it against figures.json, `update` writes that
 * file; `seeds` runs each scenario from ten other seeds, to find what one seed doesn't show. A name is `swarm/loss`, or `swarm` for all
 * of them; without names all run but those that take long.
 *
 * A scenario is exact: the same seed gives the same trace, on every machine and version of Node. A change of the machines that
 * changes a trace is no error in itself, but is to be looked at and committed with the figures. What a scenario must hold to
 * (`world-checks.ts`) is an error in all of them.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { GOSSIP_RUNNABLES } from './gossip/scenarios.ts'
import { TREE_RUNNABLES } from './gossip/tree-scenarios.ts'
import { WHOLE_RUNNABLES } from './gossip/whole-scenarios.ts'
import { MULTICAST_RUNNABLES } from './multicast/scenarios.ts'
import type { Figures, Runnable } from './scenario.ts'
import { SWARM_RUNNABLES } from './simulate.ts'

const FILE = new URL('../../src/sim/figures.json', import.meta.url)

/** Other seeds that `seeds` runs of each scenario. */
const SEEDS = 10

const [command = 'run', ...names] = process.argv.slice(2)
const all = [...SWARM_RUNNABLES, ...GOSSIP_RUNNABLES, ...WHOLE_RUNNABLES, ...TREE_RUNNABLES, ...MULTICAST_RUNNABLES]
const chosen = all.filter(({ name, isByHand }) => names.includes(name) || (!isByHand && isGroup(name)))
if (!['run', 'check', 'update', 'seeds'].includes(command) || chosen.length === 0) {
  process.stderr.write(`usage: main.js run|check|update|seeds [NAME …]; there are ${all.map(({ name }) => name).join(', ')}\n`)
  process.exitCode = 2
} else process.exitCode = command === 'seeds' ? runSeeds() : await main(command)

/** Whether a scenario is one of a simulator that was named, or of any if nothing was. */
function isGroup(name: string): boolean {
  return names.length === 0 || names.includes(name.slice(0, name.indexOf('/')))
}

async function main(what: string): Promise<number> {
  const committed = JSON.parse(await readFile(FILE, 'utf8').catch(() => '{}')) as Record<string, Figures>
  const found: Record<string, Figures> = {}
  let failed = 0
  for (const scenario of chosen) {
    const begun = process.cpuUsage()
    const { figures, violations } = scenario.run()
    const { user, system } = process.cpuUsage(begun)
    process.stdout.write(
      `${scenario.name}: ${scenario.what}\n  ${scenario.describe(figures)}; ${((user + system) / 1e6).toFixed(1)} s of CPU\n`,
    )
    for (const violation of violations) process.stdout.write(`  does not hold: ${violation}\n`)
    found[scenario.name] = figures
    const before = committed[scenario.name]
    const isSame = what !== 'check' || (before !== undefined && JSON.stringify(before) === JSON.stringify(figures))
    if (!isSame) process.stdout.write(`  not as committed: ${before === undefined ? 'nothing' : scenario.describe(before)}\n`)
    if (!isSame || violations.length > 0) failed++
  }
  if (what === 'update') await writeFile(FILE, `${JSON.stringify(inOrder({ ...committed, ...found }), undefined, 2)}\n`)
  process.stdout.write(`${chosen.length - failed} passed, ${failed} failed\n`)
  return failed === 0 ? 0 : 1
}

function runSeeds(): number {
  let failed = 0
  for (const scenario of chosen) {
    for (let at = 0; at < SEEDS; at++) failed += hasFailed(scenario, `${scenario.name.slice(scenario.name.indexOf('/') + 1)} ${at}`) ? 1 : 0
  }
  process.stdout.write(`${SEEDS * chosen.length - failed} passed, ${failed} failed\n`)
  return failed === 0 ? 0 : 1
}

function hasFailed(scenario: Runnable, seed: string): boolean {
  const { figures, violations } = scenario.run(seed)
  process.stdout.write(`${seed}: ${scenario.describe(figures)}\n`)
  for (const violation of violations) process.stdout.write(`  does not hold: ${violation}\n`)
  return violations.length > 0
}

/** The scenarios' figures in the scenarios' order; those of scenarios that are no more are left out. */
function inOrder(figures: Record<string, Figures>): Record<string, Figures> {
  return Object.fromEntries(all.flatMap(({ name }) => (figures[name] === undefined ? [] : [[name, figures[name]]])))
}
