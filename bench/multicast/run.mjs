/**
 * One file to many hosts of one LAN, by one tool, measured; prints one JSON line per run (README.md beside this file).
 *
 *   node bench/multicast/run.mjs TOOL [--receivers N] [--size F] [--rate R] [--mtu BYTES] [--loss PCT | --burst B/OF] [--case CASE]
 *        [--mode fair|scavenger|fixed] [--set FLAG] [--warm] [--reps R] [--limit SECONDS] [--buffer-ms MS] [--dir DIR]
 *
 * TOOL is polycast, uftp, uftp-tfmcc or udpcast. CASE is
 *   transfer  nothing else happens
 *   tcp       a TCP flow from h0 to h1 runs before and meanwhile: how the link is shared
 *   blocked   the switch keeps multicast from h1 in mid-transfer, and lets it through again later
 *   slow      h1 is on a port of a tenth of the rate
 */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Lan } from '../../dist/test/testbed/lan.js'
import { Meter } from '../../dist/test/testbed/meter.js'
import { machineCpu, machineShare, makeFile, parseBits, parseBytes, prefix, round, within, wrongCopies } from '../bed.mjs'
import { BESIDE, TCP_PORT } from './beside.mjs'
import { NEEDS, toolOf } from './tools.mjs'

/** What a run takes beside the transfer itself: agents start and get acquainted, copies are compared. */
const SETUP_LIMIT_MS = 120_000

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    receivers: { type: 'string', default: '3' },
    size: { type: 'string', default: '50M' },
    rate: { type: 'string', default: '1gbit' },
    mtu: { type: 'string', default: '1500' },
    'buffer-ms': { type: 'string', default: '8' },
    loss: { type: 'string', default: '0' },
    burst: { type: 'string' },
    case: { type: 'string', default: 'transfer' },
    mode: { type: 'string' },
    set: { type: 'string', multiple: true, default: [] },
    warm: { type: 'boolean', default: false },
    reps: { type: 'string', default: '1' },
    limit: { type: 'string', default: '60' },
    dir: { type: 'string', default: '/dev/shm' },
  },
})
const [tool] = positionals
if (!(tool in NEEDS) || !(values.case in BESIDE)) {
  process.stderr.write(
    `usage: run.mjs ${Object.keys(NEEDS).join('|')} [--case ${Object.keys(BESIDE).join('|')}] …; README.md has the options\n`,
  )
  process.exit(2)
}
const n = Number(values.receivers)
const bytes = parseBytes(values.size)
const bitsPerSec = parseBits(values.rate)
const limitMs = Number(values.limit) * 1000

/** What is to be undone, latest first, whatever ends the run. */
const undo = []
let cleaning = Promise.resolve()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    void cleanUp().finally(() => process.exit(1))
  })
}

let isFailed = false
for (let rep = 0; rep < Number(values.reps); rep++) {
  const outcome = await within(limitMs + SETUP_LIMIT_MS, 'the run did not end', measure()).catch((error) => {
    isFailed = true
    return { failures: n, errors: [error.message.trim().replaceAll(/\s+/g, ' ').slice(0, 400)] }
  })
  await cleanUp()
  process.stdout.write(`${JSON.stringify({ ...head(), ...outcome })}\n`)
}
// A run that hangs in spite of its limits has left something that keeps this process.
process.exit(isFailed ? 1 : 0)

function head() {
  const { case: what, mtu, loss, burst = null, mode = null, rate, warm, set } = values
  return {
    ...{ tool, case: what, n, f: bytes, rate, mtu: Number(mtu), loss: Number(loss), burst, mode },
    settings: { warm, set, node: process.version, load_before: round(loadavg()[0], 1) },
  }
}

/** Undoes what there is to undo; whoever calls it meanwhile waits, too. */
function cleanUp() {
  cleaning = cleaning.then(async () => {
    for (const one of undo.splice(0).toReversed()) {
      try {
        await one()
      } catch (error) {
        process.stderr.write(`clean-up: ${error.message}\n`)
      }
    }
  })
  return cleaning
}

async function measure() {
  const missing = NEEDS[tool].filter((command) => !(process.env.PATH ?? '').split(':').some((folder) => existsSync(join(folder, command))))
  if (missing.length > 0) throw new Error(`not installed: ${missing.join(', ')}`)
  const directory = mkdtempSync(join(values.dir, 'polycast-bench-'))
  undo.push(() => rmSync(directory, { recursive: true, force: true }))
  const lan = Lan.up({ prefix, hosts: n + 1, rate: values.rate, mtuBytes: Number(values.mtu), portBufferMs: Number(values['buffer-ms']) })
  undo.push(() => lan.down())
  for (let k = 1; k <= n; k++) {
    if (values.burst !== undefined) {
      const [burst, outOf] = values.burst.split('/').map(Number)
      lan.loss(k, { burst, outOf })
    } else if (values.loss !== '0') lan.loss(k, { percent: Number(values.loss) })
  }
  if (values.case === 'slow') lan.rate(1, `${Math.round(bitsPerSec / 1e7)}mbit`)
  const receivers = Array.from({ length: n }, (_, i) => `h${i + 1}`)
  const meters = receivers.map((_, i) => new Meter(lan, i + 1, TCP_PORT))
  const source = makeFile(join(directory, 'payload.bin'), bytes)
  const addresses = new Map(Array.from({ length: n + 1 }, (_, k) => [`h${k}`, lan.address(k)]))
  const driver = toolOf(tool, {
    ...{ n, receivers, addresses, directory, source, bitsPerSec, limitMs, mtu: Number(values.mtu) },
    ...{ mode: values.mode, flags: values.set, isWarm: values.warm },
  })
  undo.push(() => driver.end())
  await driver.prepare()
  const beside = await BESIDE[values.case]({ lan, meter: meters[0], bitsPerSec, limitMs, tool, undo })
  undo.push(() => beside.end())

  const before = { sent: lan.counters(), machine: machineCpu(), meters: meters.map((meter) => meter.read()) }
  beside.begun()
  const { times, errors, usedBytes } = await driver.deliver()
  const cpu = driver.cpu()
  const after = { sent: lan.counters(), machine: machineCpu(), meters: meters.map((meter) => meter.read()) }
  const findings = await beside.findings()
  await beside.end()
  await driver.end()

  const wrong = await wrongCopies(
    source,
    [...times.keys()].map((host) => driver.copy(host)),
  )
  const seconds = [...times.values()].toSorted((a, b) => a - b)
  const others = [...times].filter(([host]) => host !== 'h1').map(([, time]) => time)
  const makespan = seconds.at(-1)
  const bound = bitsPerSec === 0 ? undefined : (bytes * 8) / bitsPerSec
  const multicast = meters.map((_, i) => after.meters[i].multicast - before.meters[i].multicast)
  const receiverCpu = cpu.receivers.filter((value) => !Number.isNaN(value))
  const gigabytes = bytes / 1e9
  return {
    makespan: round(makespan),
    median: round(seconds[Math.floor(seconds.length / 2)]),
    others: round(Math.max(...others)),
    h1: round(times.get('h1')),
    bound: round(bound),
    ratio: round(makespan / bound, 3),
    // With a TCP flow beside it, h0 sends and gets that, too.
    origin_x: values.case === 'tcp' ? null : round((after.sent.h0.tx - before.sent.h0.tx) / bytes, 3),
    multicast_x: round(multicast.reduce((sum, value) => sum + value, 0) / n / bytes, 3),
    used_x:
      usedBytes === undefined ? null : round([...usedBytes.values()].reduce((sum, value) => sum + value, 0) / usedBytes.size / bytes, 3),
    h1_used_x: usedBytes === undefined ? null : round((usedBytes.get('h1') ?? 0) / bytes, 3),
    feedback_kb: values.case === 'tcp' ? null : round((after.sent.h0.rx - before.sent.h0.rx) / 1000, 1),
    sender_cpu_gb: round(cpu.sender / gigabytes),
    receiver_cpu_gb: round(receiverCpu.reduce((sum, value) => sum + value, 0) / receiverCpu.length / gigabytes),
    machine: machineShare(before.machine, after.machine),
    failures: n - times.size + wrong.length,
    errors: [...new Set([...errors, ...(wrong.length === 0 ? [] : ['wrong bytes'])])],
    ...findings,
  }
}
