/**
 * What the benches on emulated hosts share: the testbed's commands, processes on a host and what they used, agents that deliver, copies
 * that are compared. TESTBED is the testbed's command (by default beside the project), TESTBED_PREFIX keeps two benches apart.
 */
import { execFileSync, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const root = join(here, '..')
export const testbed = process.env.TESTBED ?? join(root, '../shared/testbed/testbed')
export const prefix = process.env.TESTBED_PREFIX ?? 'bench'
export const cli = join(root, 'dist/cli/main.js')

const TICKS_PER_SEC = 100
/** For so long agents that know each other are left alone; as long again while the machine is as busy as that, of both cores. */
const ACQUAINTANCE_MS = 5000
const BUSY_SHARE = 0.9
/** Agents that are started at the same time: a machine that starts hundreds at once has none that is ready for minutes. */
const STARTED_TOGETHER = 64
const READY_LIMIT_MS = 240_000
const STOP_LIMIT_MS = 5000

// ---- hosts ----------------------------------------------------------------------

/** A command of the testbed; gives its output. */
export function bed(...args) {
  return execFileSync(testbed, ['--prefix', prefix, ...args], { encoding: 'utf8' })
}

/** The address of each host by its name. */
export function addressesOfHosts() {
  const lines = bed('hosts').trim().split('\n')
  return new Map(lines.map((line) => line.split(/\s+/)).map(([host, address]) => [host, address]))
}

/** A program on a host; the process is the program itself, so that its pid tells what it used. */
export function onHost(k, argv, options = {}) {
  return spawn('nsenter', [`--net=/run/netns/tb-${prefix}-h${k}`, ...argv], {
    stdio: ['pipe', 'pipe', process.env.BENCH_LOG === undefined ? 'ignore' : 'inherit'],
    ...options,
  })
}

/** The same, to its end; gives its output. */
export function runOnHost(k, ...argv) {
  return execFileSync('nsenter', [`--net=/run/netns/tb-${prefix}-h${k}`, ...argv], { encoding: 'utf8', timeout: READY_LIMIT_MS })
}

/** Bytes that each host has sent (`tx`) and got (`rx`). */
export function counters() {
  return JSON.parse(bed('counters'))
}

// ---- what it costs --------------------------------------------------------------

/** User and system time of a process and the children it has waited for, seconds; undefined when it is gone. */
export function cpuOf(pid) {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_SEC
  } catch {
    return undefined
  }
}

/** The most memory that a process had, and what of it is its own now. */
export function memoryOf(pid) {
  const status = existsSync(`/proc/${pid}/status`) ? readFileSync(`/proc/${pid}/status`, 'utf8') : ''
  const kib = (key) => Number(new RegExp(`${key}:\\s+(\\d+)`).exec(status)?.[1] ?? 0)
  return { rss: kib('VmHWM') * 1024, anon: kib('RssAnon') * 1024 }
}

/** Ticks of the whole machine, all programs. */
export function machineCpu() {
  const ticks = readFileSync('/proc/stat', 'utf8').split('\n')[0].split(/\s+/).slice(1, 9).map(Number)
  const total = ticks.reduce((a, b) => a + b)
  return { total, busy: total - ticks[3] - ticks[4] }
}

export function machineShare(before, after) {
  return round((after.busy - before.busy) / (after.total - before.total))
}

// ---- agents -----------------------------------------------------------------------

/**
 * An agent on a host: h0, or a receiver that joins it; `flags` without their dashes. `ready` rejects with the agent's last words. `originNice` is the
 * priority of h0: where hundreds of agents share the CPU, an origin with a machine of its own is emulated by one that waits for none of them.
 */
export function startAgent({ k, address, join: seed, directory, flags = [], node = process.execPath, originNice = '0' }) {
  const first = k === 0 && originNice !== '0' ? ['nice', '-n', originNice] : []
  const argv = [
    ...['agent', '--name', `h${k}`, '--bind', address, '--insecure', '--http-bind', '127.0.0.1', '--data', join(directory, `h${k}`)],
    ...(k === 0 ? [] : ['--join', seed, '--tag', 'role=receiver']),
    ...flags.flatMap((flag) => `--${flag}`.split(' ')),
  ]
  const child = onHost(k, [...first, node, cli, ...argv], {
    stdio: ['ignore', 'pipe', process.env.BENCH_LOG === undefined ? 'pipe' : 'inherit'],
  })
  let words = ''
  child.stderr?.setEncoding('utf8').on('data', (part) => (words = (words + part).slice(-1000)))
  const lines = reader(child.stdout)
  const ready = (async () => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done) throw new Error(`the agent of h${k} ended before it was ready: ${words}`)
      if (value.startsWith('ready ')) break
    }
    child.stdout.resume()
  })()
  ready.catch(() => {})
  return { child, ready }
}

/** Agents on h0 to h(n) that know each other, and for long enough to have nothing to say; an operator's have been running for longer. */
export async function startAgents({ n, addresses, directory, flags, node, originNice, agents }) {
  const start = (k) =>
    agents.push(startAgent({ k, address: addresses.get(`h${k}`), join: addresses.get('h0'), directory, flags, node, originNice }))
  for (let k = 0; k <= n;) {
    const together = agents.length
    while (k <= n && agents.length < together + STARTED_TOGETHER) start(k++)
    await within(READY_LIMIT_MS, 'agents did not get ready', Promise.all(agents.slice(together).map((agent) => agent.ready)))
  }
  await settled(n)
  await calm()
}

/** Waits until the machine is not busy with their start any more: hundreds of agents make each other's acquaintance for minutes. */
async function calm() {
  for (const endsAt = performance.now() + READY_LIMIT_MS; performance.now() < endsAt;) {
    const before = machineCpu()
    await new Promise((resolve) => setTimeout(resolve, ACQUAINTANCE_MS))
    if (machineShare(before, machineCpu()) < BUSY_SHARE) return
  }
}

/** Waits until the origin sees all members. */
async function settled(members) {
  for (const endsAt = performance.now() + READY_LIMIT_MS; performance.now() < endsAt;) {
    const list = JSON.parse(runOnHost(0, process.execPath, cli, 'members', '--json')).members
    if (list.filter((member) => member.status === 'alive').length > members) return
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error(`not all members were seen within ${READY_LIMIT_MS / 1000} s`)
}

/**
 * What orders the delivery, on the origin's host: started beforehand, so that no start of a process is in the time. `go` gives the
 * receipts, each with the seconds until it came.
 */
export async function readyOrder(source) {
  const child = onHost(0, [process.execPath, join(here, 'deliver/order.mjs'), 'http://127.0.0.1:7948', source, 'role=receiver'])
  const lines = reader(child.stdout)
  await within(READY_LIMIT_MS, 'the order did not get ready', lines.next())
  return {
    child,
    async go() {
      child.stdin.write('go\n')
      const { value, done } = await lines.next()
      if (done) throw new Error('what ordered the delivery has ended before it')
      return JSON.parse(value)
    },
  }
}

/** A delivery before the measured one, so that the code is compiled; the peers measured beside are compiled ahead of time. */
export function warmUp(directory) {
  const path = join(directory, 'warm.bin')
  writeFileSync(path, randomBytes(8_000_000))
  runOnHost(0, process.execPath, cli, 'send', path, '--to', 'role=receiver')
}

/** Ends a process, by force if it must be. */
export async function stop({ child }) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT_MS)
  await ended
  clearTimeout(timer)
}

// ---- files --------------------------------------------------------------------------

/** Random bytes, which nothing makes less of. */
export function makeFile(path, bytes) {
  for (let left = bytes; left > 0; left -= 1 << 20) writeFileSync(path, randomBytes(Math.min(left, 1 << 20)), { flag: 'a' })
  return path
}

export async function digest(path) {
  const hash = createHash('sha256')
  for await (const part of createReadStream(path)) hash.update(part)
  return hash.digest('hex')
}

/** Paths that do not hold what the source holds. */
export async function wrongCopies(source, copies) {
  if (copies.length === 0) return []
  const wanted = await digest(source)
  const wrong = []
  for (const copy of copies) if (!existsSync(copy) || (await digest(copy)) !== wanted) wrong.push(copy)
  return wrong
}

// ---- words ----------------------------------------------------------------------------

export async function* reader(stream) {
  let text = ''
  for await (const part of stream.setEncoding('utf8')) {
    text += part
    const lines = text.split('\n')
    text = lines.pop()
    yield* lines
  }
}

/** Rejects when it takes too long. */
export async function within(limitMs, what, promise) {
  let timer
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} within ${limitMs / 1000} s`)), limitMs)
  })
  return await Promise.race([promise, limit]).finally(() => clearTimeout(timer))
}

/** `64M` in bytes. */
export function parseBytes(size) {
  return Math.round(Number.parseFloat(size) * (size.endsWith('G') ? 1e9 : size.endsWith('K') ? 1e3 : 1e6))
}

/** `50mbit` in bits per second; 0 is unshaped. */
export function parseBits(rate) {
  return rate === 'none' ? 0 : Number.parseFloat(rate) * (rate.endsWith('gbit') ? 1e9 : rate.endsWith('kbit') ? 1e3 : 1e6)
}

export function round(value, digits = 2) {
  return value === undefined || value === null || !Number.isFinite(value) ? null : Number(value.toFixed(digits))
}

/** The median of a field over runs, with the least and the greatest, as text. */
export function spread(runs, key, digits = 2) {
  const sorted = runs
    .map((run) => run[key])
    .filter((value) => value !== null && value !== undefined)
    .sort((a, b) => a - b)
  if (sorted.length === 0) return '–'
  const middle = sorted[Math.floor(sorted.length / 2)].toFixed(digits)
  const [least, greatest] = [sorted[0].toFixed(digits), sorted.at(-1).toFixed(digits)]
  return least === greatest ? middle : `${middle} (${least}–${greatest})`
}

/** Runs (JSON lines on standard input) by a label, in the order in which the labels came. */
export async function runsBy(label) {
  const groups = new Map()
  for await (const line of reader(process.stdin)) {
    if (!line.startsWith('{')) continue
    const run = JSON.parse(line)
    const key = label(run)
    groups.set(key, [...(groups.get(key) ?? []), run])
  }
  return [...groups.values()]
}

/** A table in Markdown. */
export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |\n`
  return line(head) + `|${' --- |'.repeat(head.length)}\n` + rows.map(line).join('')
}
