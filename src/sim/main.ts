/**
 * Runs the scenarios: `run [NAME …]` prints what comes out, `check` holds it against figures.json, `update` writes that file.
 *
 * A scenario is exact: the same seed gives the same trace, on every machine and version of Node. A change of the machines that
 * changes a trace is no error in itself, but is to be looked at and committed with the figures.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { SCENARIOS, type Scenario } from './scenarios.ts'
import { SwarmWorld } from './swarm-world.ts'

interface Figures {
  /** Times from joining to the last chunk, over F/B. */
  readonly median: number
  readonly last: number
  /** What the origin sent, over F. */
  readonly originSent: number
  /** The most that any zone's link to the core carried, one way, over F. */
  readonly zoneLink: number
  readonly unfinished: number
  readonly dropped: number
  readonly trace: string
}

const FILE = new URL('../../src/sim/figures.json', import.meta.url)
/** A run that takes this many times the bound has failed. */
const LIMIT = 1.5

const [command = 'run', ...names] = process.argv.slice(2)
const chosen = names.length === 0 ? SCENARIOS : SCENARIOS.filter(({ name }) => names.includes(name))
if (!['run', 'check', 'update'].includes(command) || chosen.length === 0) {
  process.stderr.write(`usage: main.js run|check|update [NAME …]; there are ${SCENARIOS.map(({ name }) => name).join(', ')}\n`)
  process.exitCode = 2
} else process.exitCode = await main(command)

async function main(what: string): Promise<number> {
  const committed = JSON.parse(await readFile(FILE, 'utf8').catch(() => '{}')) as Record<string, Figures>
  let different = 0
  for (const scenario of chosen) {
    const begun = process.cpuUsage()
    const figures = simulate(scenario)
    const { user, system } = process.cpuUsage(begun)
    process.stdout.write(`${scenario.name}: ${scenario.what}\n  ${describe(figures)}; ${((user + system) / 1e6).toFixed(1)} s of CPU\n`)
    const before = committed[scenario.name]
    committed[scenario.name] = figures
    if (what !== 'check' || (before !== undefined && JSON.stringify(before) === JSON.stringify(figures))) continue
    different++
    process.stdout.write(`  not as committed: ${before === undefined ? 'nothing' : describe(before)}\n`)
  }
  if (what === 'update') await writeFile(FILE, `${JSON.stringify(committed, undefined, 2)}\n`)
  if (what === 'check') process.stdout.write(`${chosen.length - different} passed, ${different} failed\n`)
  return different === 0 ? 0 : 1
}

function simulate({ options, counted }: Scenario): Figures {
  const world = new SwarmWorld(options)
  const boundMs = (options.contentBytes / options.origin.upBytesPerSec) * 1000
  world.run(LIMIT * boundMs)
  const times = world.hosts
    .slice(1)
    .filter((_, peer) => counted(peer))
    .map((host) => (host.doneAt - host.joinedAt) / boundMs)
    .sort((a, b) => a - b)
  const zones = [...new Set(options.peers.map((peer) => peer.zone ?? ''))].map((zone) => world.network.zoneBytes(zone))
  return {
    median: round(times[Math.floor(times.length / 2)] ?? Infinity),
    last: round(times.at(-1) ?? Infinity),
    originSent: round((world.network.hosts[0]?.sentBytes ?? 0) / options.contentBytes),
    zoneLink: round(Math.max(...zones.map(({ up, down }) => Math.max(up, down))) / options.contentBytes),
    unfinished: times.filter((time) => time === Infinity).length,
    dropped: world.misbehaviours.length,
    trace: world.network.traceHash.toString(16),
  }
}

function describe(figures: Figures): string {
  const { median, last, originSent, zoneLink, unfinished, dropped, trace } = figures
  return `median ${median} × F/B, last ${last} × F/B, origin ${originSent} F, busiest zone link ${zoneLink} F, unfinished ${unfinished}, dropped ${dropped}, trace ${trace}`
}

function round(value: number): number {
  return Number.isFinite(value) ? Math.round(value * 10_000) / 10_000 : -1
}
