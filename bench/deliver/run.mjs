/**
 * One measured delivery of a file from h0 to h1..hN with real agents on the testbed; prints a JSON line per run, with the
 * fields of the peers' bench (README.md beside this file).
 *
 *   node bench/deliver/run.mjs N F RATE [--reps R] [--loss PCT] [--tree FILES] [--warm] [--dir DIR] [--node BINARY] [--set FLAG]
 *     [--origin-nice=N]
 */
import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import {
  addressesOfHosts,
  bed,
  counters,
  cpuOf,
  machineCpu,
  machineShare,
  makeFile,
  memoryOf,
  parseBits,
  parseBytes,
  readyOrder,
  round,
  startAgents,
  stop,
  warmUp,
  wrongCopies,
} from '../bed.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    reps: { type: 'string', default: '1' },
    loss: { type: 'string', default: '0' },
    tree: { type: 'string', default: '0' },
    warm: { type: 'boolean', default: false },
    dir: { type: 'string', default: '/dev/shm' },
    node: { type: 'string', default: process.execPath },
    set: { type: 'string', multiple: true, default: [] },
    'origin-nice': { type: 'string', default: '0' },
  },
})
const [count, size, rate] = positionals
if (rate === undefined) {
  process.stderr.write(
    'usage: run.mjs N F RATE [--reps R] [--loss PCT] [--tree FILES] [--warm] [--dir DIR] [--origin-nice=N]; F as 64M, RATE as 50mbit or none\n',
  )
  process.exit(2)
}
const n = Number(count)
const bytes = parseBytes(size)
const bitsPerSec = parseBits(rate)

for (let rep = 0; rep < Number(values.reps); rep++) process.stdout.write(`${JSON.stringify(await measure())}\n`)

async function measure() {
  bed('up', String(n), '--rate', rate, ...(values.loss === '0' ? [] : ['--loss', values.loss]))
  const directory = mkdtempSync(join(values.dir, 'polycast-bench-'))
  const agents = []
  try {
    const source = values.tree === '0' ? makeFile(join(directory, 'payload.bin'), bytes) : makeTree(directory, Number(values.tree))
    // What multicast does on one LAN is bench/multicast's question.
    await startAgents({
      ...{ n, addresses: addressesOfHosts(), directory, agents, node: values.node, originNice: values['origin-nice'] },
      flags: ['no-multicast', ...values.set],
    })
    const order = await readyOrder(source)
    if (values.warm) warmUp(directory)
    const before = { cpu: cpus(agents), sent: counters(), machine: machineCpu() }
    const result = await order.go()
    const after = { cpu: cpus(agents), sent: counters(), machine: machineCpu() }
    const peaks = agents.map(({ child }) => memoryOf(child.pid))
    return await summary({ result, before, after, peaks, source, directory })
  } finally {
    await Promise.all(agents.map((agent) => stop(agent)))
    bed('down')
    rmSync(directory, { recursive: true, force: true })
  }
}

async function summary({ result, before, after, peaks, source, directory }) {
  const done = result.receipts.filter((receipt) => receipt.status === 'done')
  const times = done.map((receipt) => receipt.seconds).sort((a, b) => a - b)
  const copies = values.tree === '0' ? done.map(({ member }) => join(directory, member, 'files/payload.bin')) : []
  const wrong = (await wrongCopies(source, copies)).length
  const cpu = after.cpu.reduce((sum, value, i) => sum + value - before.cpu[i], 0)
  const bound = bitsPerSec === 0 ? undefined : (bytes * 8) / bitsPerSec
  const makespan = times.at(-1) ?? Number.NaN
  const sent = (host) => after.sent[host].tx - before.sent[host].tx
  const all = Object.keys(after.sent).filter((host) => host.startsWith('h'))
  return {
    tool: 'polycast',
    n,
    f: bytes,
    rate,
    makespan: round(makespan),
    median: round(times[Math.floor(times.length / 2)]),
    first: round(times[0]),
    bound: round(bound),
    ratio: bound === undefined ? null : round(makespan / bound, 3),
    ratio_log: bound === undefined ? null : round(makespan / (bound * (1 + Math.ceil(Math.log2(n + 1)) / (bytes / 262144))), 3),
    origin_x: round(sent('h0') / bytes, 3),
    // What of it was content; the rest is headers, acknowledgements, gossip and plans, which cost by time and not by bytes.
    origin_content_x: round(result.sentBytes / bytes, 3),
    net_x: round(all.reduce((sum, host) => sum + sent(host), 0) / (n * bytes), 3),
    cpu_s: round(cpu),
    cpu_gb: round(cpu / ((n * bytes) / 1e9)),
    machine: machineShare(before.machine, after.machine),
    rss_mb: round(Math.max(...peaks.map((peak) => peak.rss)) / 1e6, 1),
    anon_mb: round(Math.max(...peaks.map((peak) => peak.anon)) / 1e6, 1),
    failures: n - times.length + wrong,
    errors: [
      ...new Set(result.receipts.filter((receipt) => receipt.status !== 'done').map((receipt) => receipt.error?.code ?? receipt.status)),
    ],
    settings: {
      ...{ loss: values.loss, tree: values.tree, warm: values.warm, node: process.version, set: values.set },
      origin_nice: values['origin-nice'],
    },
  }
}

function cpus(agents) {
  return agents.map(({ child }) => cpuOf(child.pid))
}

function makeTree(directory, files) {
  const path = join(directory, 'tree')
  mkdirSync(path)
  for (let i = 0; i < files; i++) writeFileSync(join(path, `file-${i}`), randomBytes(Math.round(bytes / files)))
  return path
}
