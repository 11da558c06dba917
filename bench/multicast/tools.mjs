/**
 * How each tool brings one file from h0 to h1..hN: all have the same three steps. `prepare` starts what waits on the hosts, `deliver` is
 * what is measured (it resolves when every receiver has the file, hashed, or the time is over), `end` ends all processes, by their pids.
 * `deliver` gives seconds by host, why the others have none, and, where it is known, bytes of the file that each got by multicast.
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cpuOf, onHost, readyOrder, startAgents, stop, warmUp } from '../bed.mjs'

const POLL_MS = 10
const KILL_AFTER_MS = 3000
/** Share of the link that tools with a rate of their own are told to send at: what is left for headers and repairs. */
const SHARE = 0.93

/** Which programs a tool needs; what is missing is named instead of measured. */
export const NEEDS = { polycast: [], uftp: ['uftp', 'uftpd'], 'uftp-tfmcc': ['uftp', 'uftpd'], udpcast: ['udp-sender', 'udp-receiver'] }

/** Makes a tool ready for one run. */
export function toolOf(name, run) {
  if (name === 'polycast') return new Polycast(run)
  if (name === 'uftp' || name === 'uftp-tfmcc') return new Uftp(run, name === 'uftp-tfmcc')
  if (name === 'udpcast') return new Udpcast(run)
  throw new Error(`there is no tool ${name}: ${Object.keys(NEEDS).join(', ')}`)
}

/** Real agents, and a delivery ordered over the API of the one at h0. A receipt is the receiver's word for a verified file at its place. */
class Polycast {
  agents = []

  constructor(run) {
    this.run = run
  }

  async prepare() {
    const { n, addresses, directory, source, mode, flags, isWarm } = this.run
    const wanted = mode === undefined ? flags : [...flags, `multicast-mode ${mode}`]
    await startAgents({ n, addresses, directory, flags: wanted, agents: this.agents })
    this.order = await readyOrder(source)
    if (isWarm) warmUp(directory)
    this.used = this.agents.map(({ child }) => cpuOf(child.pid))
  }

  async deliver() {
    const result = await before(this.run.limitMs, this.order.go())
    const done = (result?.receipts ?? []).filter(({ status }) => status === 'done')
    const failed = (result?.receipts ?? []).filter(({ status }) => status !== 'done')
    return {
      times: new Map(done.map(({ member, seconds }) => [member, seconds])),
      usedBytes: new Map(done.map(({ member, multicastBytes = 0 }) => [member, multicastBytes])),
      errors: result === undefined ? ['timeout'] : failed.map(({ error, status }) => error?.code ?? status),
    }
  }

  /** Seconds of CPU: of the sender, and of each receiver that still runs. */
  cpu() {
    const [sender, ...receivers] = this.agents.map(({ child }, k) => (cpuOf(child.pid) ?? Number.NaN) - this.used[k])
    return { sender, receivers }
  }

  copy(host) {
    return join(this.run.directory, host, 'files/payload.bin')
  }

  async end() {
    await Promise.all([...this.agents, ...(this.order === undefined ? [] : [this.order])].map((one) => stop(one)))
  }
}

/** A program of C on each host. What a receiver has is hashed there before it counts, as the agents do it. */
class Native {
  children = []

  constructor(run) {
    this.run = run
    this.results = join(run.directory, 'results')
    mkdirSync(this.results, { recursive: true })
    this.script = join(run.directory, 'verify.sh')
    // Renamed when it is whole, so that whoever looks sees all or nothing.
    const line = 'sha256sum "$1" >"$2.new" && mv "$2.new" "$2"'
    writeFileSync(this.script, `#!/bin/sh\n${line}\n`, { mode: 0o755 })
  }

  /** Starts a program in a process group of its own, with its CPU written to a file when it ends by itself. */
  start(k, role, argv, env = {}) {
    const file = join(this.results, `h${k}.${role}`)
    const timed = `TIMEFORMAT='%U %S'; { time "$@" >"$0.log" 2>&1; } 2>"$0.cpu"`
    const child = onHost(k, ['bash', '-c', timed, file, ...argv], { stdio: 'ignore', detached: true, env: { ...process.env, ...env } })
    const one = { k, role, child, file, ended: new Promise((resolve) => child.once('exit', resolve)) }
    this.children.push(one)
    return one
  }

  done(host) {
    return join(this.results, `${host}.done`)
  }

  copy(host) {
    return join(this.run.directory, host, 'payload.bin')
  }

  place(host) {
    mkdirSync(join(this.run.directory, host), { recursive: true })
    return join(this.run.directory, host)
  }

  async deliver() {
    const begunAtMs = Date.now()
    const sender = this.send()
    let senderEndedAtMs
    sender.ended.then(() => (senderEndedAtMs = Date.now()))
    const missing = () => this.run.receivers.filter((host) => !existsSync(this.done(host)))
    for (;;) {
      const overdueMs = Date.now() - begunAtMs - this.run.limitMs
      // A sender that has ended has given up on whoever is not through with it; hashing takes a while.
      const isOver = senderEndedAtMs !== undefined && Date.now() - senderEndedAtMs > KILL_AFTER_MS
      if (missing().length === 0 || overdueMs > 0 || isOver) break
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
    const late = missing()
    const there = this.run.receivers.filter((host) => !late.includes(host))
    if (late.length === 0) await before(KILL_AFTER_MS, sender.ended)
    return {
      times: new Map(there.map((host) => [host, (statSync(this.done(host)).mtimeMs - begunAtMs) / 1000])),
      errors: late.map(() => (senderEndedAtMs === undefined ? 'timeout' : 'given up by the sender')),
    }
  }

  cpu() {
    const used = this.children.map((one) => ({ ...one, seconds: cpuOfEnded(one.file) ?? cpuOfGroup(one.child.pid) }))
    return {
      sender: used.find(({ role }) => role === 'sender')?.seconds ?? Number.NaN,
      receivers: used.filter(({ role }) => role === 'receiver').map(({ seconds }) => seconds ?? Number.NaN),
    }
  }

  async end() {
    for (const { child } of this.children) signalGroup(child, 'SIGTERM')
    await before(KILL_AFTER_MS, Promise.all(this.children.map(({ ended }) => ended)))
    for (const { child } of this.children) signalGroup(child, 'SIGKILL')
  }
}

class Uftp extends Native {
  constructor(run, isTfmcc) {
    super(run)
    this.isTfmcc = isTfmcc
  }

  async prepare() {
    const hook = join(this.run.directory, 'uftp-hook.sh')
    writeFileSync(hook, `#!/bin/sh\nexec ${this.script} "$COPY" "$DONE"\n`, { mode: 0o755 })
    for (const [i, host] of this.run.receivers.entries()) {
      const where = ['-D', this.place(host), '-I', 'eth0', '-U', uftpId(i + 1)]
      const argv = ['uftpd', '-d', ...where, '-B', '4194304', '-c', '1048576', '-s', hook, '-x', '1']
      this.start(i + 1, 'receiver', argv, { COPY: this.copy(host), DONE: this.done(host) })
    }
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }

  send() {
    const { receivers, source, bitsPerSec, mtu } = this.run
    const kbps = Math.floor(((bitsPerSec || 2e9) * SHARE) / 1000)
    const rate = this.isTfmcc ? ['-C', `tfmcc:init=${Math.min(100_000, Math.floor(kbps / 2))}:max=${kbps}`] : ['-R', String(kbps)]
    const ids = receivers.map((_, i) => uftpId(i + 1)).join(',')
    const block = mtu > 1500 ? '8800' : '1400'
    return this.start(0, 'sender', [
      'uftp',
      ...rate,
      '-I',
      'eth0',
      '-H',
      ids,
      '-b',
      block,
      '-B',
      '4194304',
      '-r',
      '0.05:0.01:1',
      '-s',
      '20',
      source,
    ])
  }
}

class Udpcast extends Native {
  async prepare() {
    for (const [i, host] of this.run.receivers.entries()) {
      this.place(host)
      const receive = ['udp-receiver', '--interface', 'eth0', '--file', this.copy(host), '--nokbd', '--no-progress', '--rcvbuf', '4194304']
      const both = `${receive.join(' ')} && ${this.script} ${this.copy(host)} ${this.done(host)}`
      this.start(i + 1, 'receiver', ['sh', '-c', both])
    }
    await new Promise((resolve) => setTimeout(resolve, 1000))
  }

  send() {
    const { n, source, bitsPerSec } = this.run
    const limit = bitsPerSec === 0 ? [] : ['--max-bitrate', `${Math.floor((bitsPerSec * SHARE) / 1000)}k`]
    const how = ['--full-duplex', '--min-receivers', String(n), '--max-wait', '10', '--blocksize', '1456', ...limit]
    return this.start(0, 'sender', ['udp-sender', '--interface', 'eth0', '--file', source, '--nokbd', '--no-progress', ...how])
  }
}

function uftpId(k) {
  return `0x${k.toString(16).toUpperCase().padStart(8, '0')}`
}

function cpuOfEnded(file) {
  if (!existsSync(`${file}.cpu`)) return undefined
  const [user, system] = readFileSync(`${file}.cpu`, 'utf8').trim().split(/\s+/).map(Number)
  return system === undefined ? undefined : user + system
}

/** CPU of all processes of a group that are alive. */
function cpuOfGroup(pgid) {
  let sum
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
      if (Number(fields[2]) === pgid) sum = (sum ?? 0) + (cpuOf(pid) ?? 0)
    } catch {
      // It ended while it was looked at.
    }
  }
  return sum
}

function signalGroup(child, signal) {
  if (child.pid === undefined) return
  try {
    process.kill(-child.pid, signal)
  } catch {
    // The whole group has ended.
  }
}

/** What a promise gives, or undefined when it takes too long. */
async function before(limitMs, promise) {
  let timer
  const limit = new Promise((resolve) => (timer = setTimeout(resolve, limitMs)))
  return await Promise.race([promise, limit]).finally(() => clearTimeout(timer))
}
