/** `polycast sim`: what clusters of some sizes will be like, simulated on this machine. */
import { writeFile } from 'node:fs/promises'
import { MAX_SIZED_NODES, MIN_SIZED_NODES, sizeCluster, type Sizing } from '../sim/gossip/sizing.ts'
import { failure } from './failure.ts'
import { formatDuration, formatTable } from './format.ts'
import { LiveLines } from './live-lines.ts'
import { sizingChart } from './sim-chart.ts'

export interface SimOptions {
  readonly nodes: string
  readonly loss: string
  readonly profile: string
  readonly idle: string
  readonly seed: string
  readonly svg?: string
  readonly json?: boolean
}

/** Above this share hardly anything comes through, and what is simulated says nothing any more. */
const MOST_LOSS = 0.9
const MOST_IDLE_MS = 60 * 60_000
/** Clusters of one run: the product of the lists. */
const MOST_CLUSTERS = 64

/** Runs the command; gives its exit code. */
export async function sim(options: SimOptions): Promise<number> {
  const { profile, seed, svg } = options
  if (!isProfile(profile)) throw await wrong(`--profile ${profile}: lan, wan, local or serf`)
  const sizes = await numbers('--nodes', options.nodes, parseNodes)
  const losses = await numbers('--loss', options.loss, parseLoss)
  const idleMs = await parseIdle(options.idle)
  if (sizes.length * losses.length > MOST_CLUSTERS) throw await wrong(`--nodes times --loss: at most ${MOST_CLUSTERS} clusters`)
  const live = new LiveLines(process.stderr)
  const results: Sizing[] = []
  for (const loss of losses) {
    for (const nodes of sizes) {
      const place = `${results.length + 1} of ${sizes.length * losses.length}`
      live.draw(() => [`simulating ${nodes} nodes at ${percent(loss)} loss, ${place}`])
      results.push(sizeCluster({ nodes, loss, profile, seed, idleMs }))
    }
  }
  live.clear()
  if (svg !== undefined) await writeChart(svg, results)
  process.stdout.write(options.json === true ? `${JSON.stringify({ clusters: results })}\n` : table(results))
  return 0
}

async function writeChart(file: string, results: readonly Sizing[]): Promise<void> {
  try {
    await writeFile(file, sizingChart(results))
  } catch (error) {
    throw await wrong(`--svg ${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function table(results: readonly Sizing[]): string {
  const headings = [
    '>NODES',
    '>LOSS',
    '>CRASH FIRST',
    '>CRASH ALL',
    '>JOIN',
    '>TAGS',
    '>EVENT',
    '>PACKETS',
    '>STREAMS',
    '>ALL LAYERS',
    '>ACCUSED',
    '>FAILED',
  ]
  const rows = results.map((one) => [
    String(one.nodes),
    percent(one.loss),
    duration(one.crashFirstMs),
    duration(one.crashAllMs),
    duration(one.joinAllMs),
    duration(one.changeAllMs),
    one.whole === undefined ? '-' : duration(one.whole.eventAllMs),
    `${Math.round(one.packetBytesPerSec)} B/s`,
    `${Math.round(one.streamBytesPerSec)} B/s`,
    one.whole === undefined ? '-' : `${Math.round(one.whole.wholeBytesPerSec)} B/s`,
    String(one.falselyAccused),
    String(one.falselyFailed),
  ])
  const idle = formatDuration((results[0]?.idleSec ?? 0) * 1000)
  return (
    formatTable(headings, rows) +
    '\nCRASH: a node is killed; when the first one declares it failed, and when all have. JOIN, TAGS: a node joins, or changes its tags;\n' +
    'when all know. EVENT: one of 100 bytes is sent; when all have it. PACKETS, STREAMS: what a node sends for membership when nothing\n' +
    'happens; ALL LAYERS: what it sends with events and state, both ways. ACCUSED, FAILED: within ' +
    `${idle} of that, how often a node\ngot no answer from one that was well, and how many were declared failed by any.\n`
  )
}

function duration(ms: number): string {
  return ms < 0 ? 'never' : formatDuration(ms)
}

function percent(share: number): string {
  return `${Number((share * 100).toFixed(3))} %`
}

async function numbers(flag: string, text: string, parse: (item: string) => number | string): Promise<number[]> {
  const values: number[] = []
  for (const item of text.split(',')) {
    const value = parse(item.trim())
    if (typeof value === 'string') throw await wrong(`${flag} ${text}: ${value}`)
    if (!values.includes(value)) values.push(value)
  }
  return values.sort((a, b) => a - b)
}

/** A value, or what is wrong with it. */
function parseNodes(text: string): number | string {
  const nodes = Number(text)
  if (/^\d+$/.test(text) && nodes >= MIN_SIZED_NODES && nodes <= MAX_SIZED_NODES) return nodes
  return `write numbers from ${MIN_SIZED_NODES} to ${MAX_SIZED_NODES}, such as 64 or 64,256,1024`
}

function parseLoss(text: string): number | string {
  const match = /^(?<number>\d+(?:\.\d+)?)(?<percent>\s?%)?$/.exec(text)
  const share = match === null ? NaN : Number(match.groups!['number']) / (match.groups!['percent'] === undefined ? 1 : 100)
  return share <= MOST_LOSS ? share : `write shares up to ${percent(MOST_LOSS)}, such as 1% or 0,0.01,0.1`
}

async function parseIdle(text: string): Promise<number> {
  const { parseDuration } = await import('../agent/config/units.ts')
  const ms = parseDuration(/^\d+(\.\d+)?$/.test(text) ? `${text}s` : text)
  if (typeof ms === 'string') throw await wrong(`--idle ${text}: ${ms}`)
  if (ms < 1000 || ms > MOST_IDLE_MS) throw await wrong(`--idle ${text}: from 1s to 1h`)
  return ms
}

async function wrong(reason: string): Promise<Error> {
  return await failure('usage', { reason: `${reason}.` })
}

function isProfile(name: string): name is Sizing['profile'] {
  return name === 'lan' || name === 'wan' || name === 'local' || name === 'serf'
}
