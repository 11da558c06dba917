/**
 * One measured delivery of a file from h0 to h1..hN with real agents on the testbed; prints a JSON line per run, with the
 * fields of the peers' bench (README.md beside this file).
 *
 *   node bench/deliver/run.mjs N F RATE [--reps R] [--loss PCT] [--tree FILES] [--warm] [--dir DIR] [--node BINARY] [--set FLAG]
 */
import { execFileSync, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '../..')
const testbed = process.env.TESTBED ?? join(root, '../shared/testbed/testbed')
const prefix = process.env.TESTBED_PREFIX ?? 'bench'
const cli = join(root, 'dist/cli/main.js')
const ACQUAINTANCE_MS = 5000
const TICKS_PER_SEC = 100

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
  },
})
const [count, size, rate] = positionals
if (rate === undefined) {
  process.stderr.write(
    'usage: run.mjs N F RATE [--reps R] [--loss PCT] [--tree FILES] [--warm] [--dir DIR]; F as 64M, RATE as 50mbit or none\n',
  )
  process.exit(2)
}
const n = Number(count)
const bytes = Math.round(Number.parseFloat(size) * (size.endsWith('G') ? 1e9 : size.endsWith('K') ? 1e3 : 1e6))
const bitsPerSec = rate === 'none' ? 0 : Number.parseFloat(rate) * (rate.endsWith('gbit') ? 1e9 : 1e6)

for (let rep = 0; rep < Number(values.reps); rep++) process.stdout.write(`${JSON.stringify(await measure())}\n`)

async function measure() {
  bed('up', String(n), '--rate', rate, ...(values.loss === '0' ? [] : ['--loss', values.loss]))
  const directory = mkdtempSync(join(values.dir, 'polycast-bench-'))
  const agents = []
  try {
    const addresses = new Map(
      bed('hosts')
        .trim()
        .split('\n')
        .map((line) => line.split(/\s+/))
        .map(([host, address]) => [host, address]),
    )
    const source = values.tree === '0' ? makeFile(directory) : makeTree(directory, Number(values.tree))
    for (let k = 0; k <= n; k++) agents.push(startAgent(directory, k, addresses))
    await Promise.all(agents.map((agent) => agent.ready))
    const order = onHost(0, [process.execPath, join(here, 'order.mjs'), 'http://127.0.0.1:7948', source, 'role=receiver'])
    const lines = reader(order.stdout)
    await lines.next()
    await settled(n)
    // Agents that have just met still get acquainted; an operator's have been running for long.
    await new Promise((resolve) => setTimeout(resolve, ACQUAINTANCE_MS))
    if (values.warm) await warmUp(directory)
    const before = { cpu: agents.map(cpuOf), sent: counters(), machine: machineCpu() }
    order.stdin.write('go\n')
    const result = JSON.parse((await lines.next()).value)
    const after = { cpu: agents.map(cpuOf), sent: counters(), machine: machineCpu() }
    const peaks = agents.map(memoryOf)
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
  const wrong = values.tree === '0' ? await wrongCopies(source, directory, done) : 0
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
    net_x: round(all.reduce((sum, host) => sum + sent(host), 0) / (n * bytes), 3),
    cpu_s: round(cpu),
    cpu_gb: round(cpu / ((n * bytes) / 1e9)),
    machine: round((after.machine.busy - before.machine.busy) / (after.machine.total - before.machine.total)),
    rss_mb: round(Math.max(...peaks.map((peak) => peak.rss)) / 1e6, 1),
    anon_mb: round(Math.max(...peaks.map((peak) => peak.anon)) / 1e6, 1),
    failures: n - times.length + wrong,
    errors: [
      ...new Set(result.receipts.filter((receipt) => receipt.status !== 'done').map((receipt) => receipt.error?.code ?? receipt.status)),
    ],
    settings: { loss: values.loss, tree: values.tree, warm: values.warm, node: process.version, set: values.set },
  }
}

function startAgent(directory, k, addresses) {
  const seedAddress = addresses.get('h0')
  const flags = [
    'agent',
    '--name',
    `h${k}`,
    '--bind',
    addresses.get(`h${k}`),
    '--insecure',
    '--http-bind',
    '127.0.0.1',
    '--data',
    join(directory, `h${k}`),
  ]
  if (k > 0) flags.push('--join', seedAddress, '--tag', 'role=receiver')
  for (const setting of values.set) flags.push(`--${setting}`)
  const child = onHost(k, [values.node, cli, ...flags], 'ignore')
  const lines = reader(child.stdout)
  const ready = (async () => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done) throw new Error(`the agent of h${k} ended before it was ready`)
      if (value.startsWith('ready ')) break
    }
    child.stdout.resume()
  })()
  return { child, ready }
}

/** Waits until the origin sees all members. */
async function settled(members) {
  for (let tries = 0; tries < 300; tries++) {
    const text = execFileSync('nsenter', [`--net=/run/netns/tb-${prefix}-h0`, process.execPath, cli, 'members', '--json'], {
      encoding: 'utf8',
    })
    const list = JSON.parse(text).members
    if (list.filter((member) => member.status === 'alive').length > members) return
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error('not all members were seen within a minute')
}

/** A delivery before the measured one, so that the code is compiled; the peers measured beside are compiled ahead of time. */
async function warmUp(directory) {
  const path = join(directory, 'warm.bin')
  writeFileSync(path, randomBytes(8_000_000))
  execFileSync('nsenter', [`--net=/run/netns/tb-${prefix}-h0`, process.execPath, cli, 'send', path, '--to', 'role=receiver'], {
    stdio: 'ignore',
  })
}

function onHost(k, argv, stdin = 'pipe') {
  return spawn('nsenter', [`--net=/run/netns/tb-${prefix}-h${k}`, ...argv], {
    stdio: [stdin, 'pipe', process.env.BENCH_LOG === undefined ? 'ignore' : 'inherit'],
  })
}

async function stop({ child }) {
  if (child.exitCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
  await ended
  clearTimeout(timer)
}

function bed(...args) {
  return execFileSync(testbed, ['--prefix', prefix, ...args], { encoding: 'utf8' })
}

function counters() {
  const hosts = JSON.parse(bed('counters'))
  for (const host of Object.values(hosts)) host.tx = typeof host.tx === 'number' ? host.tx : host.tx.bytes
  return hosts
}

/** User and system time of an agent, seconds. `nsenter` replaces itself by the agent, so the pid is the agent's. */
function cpuOf({ child }) {
  const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(') ')[1].split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SEC
}

function memoryOf({ child }) {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  const kib = (key) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1] ?? 0)
  return { rss: kib('VmHWM') * 1024, anon: kib('RssAnon') * 1024 }
}

function machineCpu() {
  const ticks = readFileSync('/proc/stat', 'utf8').split('\n')[0].split(/\s+/).slice(1, 9).map(Number)
  const total = ticks.reduce((a, b) => a + b)
  return { total, busy: total - ticks[3] - ticks[4] }
}

function makeFile(directory) {
  const path = join(directory, 'payload.bin')
  for (let left = bytes; left > 0; left -= 1 << 20) writeFileSync(path, randomBytes(Math.min(left, 1 << 20)), { flag: 'a' })
  return path
}

function makeTree(directory, files) {
  const path = join(directory, 'tree')
  mkdirSync(path)
  for (let i = 0; i < files; i++) writeFileSync(join(path, `file-${i}`), randomBytes(Math.round(bytes / files)))
  return path
}

async function wrongCopies(source, directory, done) {
  const wanted = await digest(source)
  let wrong = 0
  for (const { member } of done) {
    const copy = join(directory, member, 'files/payload.bin')
    if (!existsSync(copy) || (await digest(copy)) !== wanted) wrong++
  }
  return wrong
}

async function digest(path) {
  const hash = createHash('sha256')
  for await (const part of createReadStream(path)) hash.update(part)
  return hash.digest('hex')
}

async function* reader(stream) {
  let text = ''
  for await (const part of stream.setEncoding('utf8')) {
    text += part
    const lines = text.split('\n')
    text = lines.pop()
    yield* lines
  }
}

function round(value, digits = 2) {
  return value === undefined || !Number.isFinite(value) ? null : Number(value.toFixed(digits))
}
