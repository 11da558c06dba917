/**
 * How soon everybody knows, and what it costs: events, a killed member, a stopped one, idle traffic, memory; agents of Polycast and of Serf
 * asked in the same way, by Serf's RPC, in a network namespace of their own. Prints one JSON line per tool. README.md beside this file.
 *
 *   node bench/gossip/run.mjs [--tool polycast|serf|both] [--nodes N] [--events E] [--kills K] [--idle SECONDS] [--stop SECONDS] [--loss PCT]
 */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { RpcClient } from '../../dist/agent/serf-rpc/testing/rpc-client.js'

const self = fileURLToPath(import.meta.url)
const cli = join(dirname(self), '../../dist/cli/main.js')
const PATIENCE_MS = 180_000

const { values } = parseArgs({
  options: {
    tool: { type: 'string', default: 'both' },
    nodes: { type: 'string', default: '64' },
    events: { type: 'string', default: '20' },
    kills: { type: 'string', default: '3' },
    idle: { type: 'string', default: '60' },
    stop: { type: 'string', default: '8' },
    loss: { type: 'string', default: '0' },
    inside: { type: 'boolean', default: false },
  },
})
if (!values.inside) {
  const script = 'ip link set lo up && exec "$0" "$@" --inside'
  const { status } = spawnSync('unshare', ['--net', 'sh', '-c', script, process.execPath, self, ...process.argv.slice(2)], {
    stdio: 'inherit',
  })
  process.exit(status ?? 1)
}

class Node {
  failures = new Map()
  heardAt = new Map()
  waiting = []
  isDead = false
  isStopped = false

  constructor(tool, name, address, child) {
    Object.assign(this, { tool, name, address, child })
  }

  async open() {
    this.client = await this.#client()
  }

  async #client() {
    for (const endsAt = performance.now() + PATIENCE_MS; performance.now() < endsAt; await delay(100)) {
      const socket = connect(7373, this.address)
      const isOpen = await new Promise((resolve) => socket.once('connect', () => resolve(true)).once('error', () => resolve(false)))
      if (!isOpen) continue
      const client = new RpcClient(socket)
      await client.ask('handshake', { Version: 1 })
      return client
    }
    throw new Error(`${this.name} never answered`)
  }

  async alive() {
    const { reply } = await this.client.fetch('members-filtered', { Tags: {}, Status: 'alive', Name: '' })
    return reply.Members.length
  }

  send(name, payload) {
    return this.client.ask('event', { Name: name, Payload: payload, Coalesce: false })
  }

  /** Notes events and failures as they are told: failures of Serf by its log, since its stream waits for more of them. */
  async listen() {
    const streams = await this.#client()
    void this.#events(streams, streams.send('stream', { Type: this.tool === 'serf' ? 'user' : 'user,member-failed' }))
    if (this.tool !== 'serf') return
    const monitor = await this.#client()
    void this.#lines(monitor, monitor.send('monitor', { LogLevel: 'INFO' }))
  }

  async #events(client, seq) {
    await client.next()
    for (;;) {
      const record = await client.record(seq).catch(() => 'closed')
      if (record === 'closed') return
      if (record.Event === 'user') this.heardAt.set(record.Name, performance.now())
      else for (const { Name } of record.Members) this.failures.set(Name, performance.now())
    }
  }

  async #lines(client, seq) {
    await client.next()
    for (;;) {
      const record = await client.record(seq).catch(() => 'closed')
      if (record === 'closed') return
      const name = /EventMemberFailed: (\S+)/.exec(record.Log)?.[1]
      if (name !== undefined) this.failures.set(name, performance.now())
    }
  }

  heard(name, mostMs) {
    return appears(this.heardAt, name, mostMs)
  }

  failed(name, mostMs) {
    return appears(this.failures, name, mostMs)
  }

  wronglyFailed(nodes) {
    return [...this.failures.keys()].filter((name) => nodes.some((node) => node.name === name && !node.isDead)).length
  }
}

const count = Number(values.nodes)
const lossShare = Number(values.loss) / 100
for (const tool of values.tool === 'both' ? ['serf', 'polycast'] : [values.tool]) {
  const directory = mkdtempSync('/dev/shm/polycast-bench-')
  const nodes = []
  try {
    console.log(JSON.stringify({ tool, nodes: count, loss: Number(values.loss), ...(await measure(tool, nodes, directory)) }))
  } finally {
    // The next tool's agents have the same addresses: nobody may answer there any more.
    await Promise.all(nodes.map(({ child }) => ended(child)))
    rmSync(directory, { recursive: true, force: true })
    if (lossShare > 0) spawnSync('nft', ['flush', 'ruleset'])
  }
}

async function measure(tool, nodes, directory) {
  for (let index = 0; index < count; index++) {
    nodes.push(await start(tool, index, directory))
    // One after the other: the machine has fewer cores than nodes.
    if (index % 8 === 7) await delay(500)
  }
  const joinMs = await timed(() => everybody(nodes, (node) => node.alive().then((alive) => alive === count)))
  await delay(5000)
  const result = { join_s: seconds(joinMs) }
  const before = trafficBytes()
  const cpuBefore = cpuSeconds(nodes)
  await delay(Number(values.idle) * 1000)
  result.idle_bytes_per_node_s = Math.round((trafficBytes() - before) / count / Number(values.idle))
  result.idle_cpu_share_per_node = (cpuSeconds(nodes) - cpuBefore) / count / Number(values.idle)
  result.rss_mb = median(nodes.map(({ child }) => rssMb(child.pid)))
  for (const node of nodes) await node.listen()
  if (lossShare > 0) dropPackets(lossShare)
  result.event_ms = await events(nodes, Number(values.events))
  if (Number(values.stop) > 0) result.stopped = await stopped(nodes, Number(values.stop))
  result.kill_s = await kills(nodes, Number(values.kills))
  result.false_failures = nodes.filter(({ isDead }) => !isDead).reduce((sum, node) => sum + node.wronglyFailed(nodes), 0)
  return result
}

/** From the order at one node to the last one's word of it; ms, each event by itself. */
async function events(nodes, times) {
  const last = []
  let missing = 0
  for (let time = 0; time < times; time++) {
    const name = `e${time}`
    const startedAt = performance.now()
    const heard = nodes.map((node) => node.heard(name, 30_000))
    await nodes[(time * 7) % nodes.length].send(name, 'x'.repeat(100 - name.length))
    const at = await Promise.all(heard)
    missing += at.filter((one) => one === undefined).length
    last.push(Math.max(...at.map((one) => one ?? 0)) - startedAt)
    await delay(500)
  }
  return { median: Math.round(median(last)), worst: Math.round(Math.max(...last)), missing }
}

/** From the signal until all others say that it failed, s. */
async function kills(nodes, times) {
  const last = []
  for (let time = 0; time < times; time++) {
    const victim = nodes[nodes.length - 1 - time * 3]
    const startedAt = performance.now()
    victim.isDead = true
    victim.child.kill('SIGKILL')
    const others = nodes.filter(({ isDead }) => !isDead)
    const at = await Promise.all(others.map((node) => node.failed(victim.name, 60_000)))
    last.push(at.includes(undefined) ? 'not by all' : seconds(Math.max(...at) - startedAt))
    await delay(2000)
  }
  return last
}

/** How many others say that a member which stands still for a while has failed; it goes on afterwards. */
async function stopped(nodes, forSeconds) {
  const victim = nodes[Math.floor(nodes.length / 2)]
  victim.isStopped = true
  victim.child.kill('SIGSTOP')
  await delay(forSeconds * 1000)
  victim.child.kill('SIGCONT')
  await delay(10_000)
  const observers = nodes.filter((node) => node !== victim && node.failures.has(victim.name)).length
  await everybody(nodes, (node) => node.alive().then((alive) => alive === count))
  for (const node of nodes) node.failures.delete(victim.name)
  victim.isStopped = false
  return { seconds: forSeconds, observers }
}

// ---- one node ----

async function start(tool, index, directory) {
  const address = `127.30.${Math.floor(index / 200)}.${1 + (index % 200)}`
  const seed = '127.30.0.1'
  const name = `n${index}`
  const rpc = `${address}:7373`
  const join_ = index === 0 ? [] : tool === 'serf' ? [`-retry-join=${seed}`, '-retry-interval=1s'] : ['--join', seed]
  const args =
    tool === 'serf'
      ? ['agent', `-node=${name}`, `-bind=${address}`, `-rpc-addr=${rpc}`, ...join_]
      : [
          cli,
          'agent',
          '--name',
          name,
          '--bind',
          address,
          '--data',
          join(directory, name),
          '--serf-rpc',
          rpc,
          '--log-level',
          'warn',
          ...join_,
        ]
  const child = spawn(tool === 'serf' ? 'serf' : process.execPath, args, { stdio: 'ignore' })
  const node = new Node(tool, name, address, child)
  try {
    await node.open()
  } catch (error) {
    await ended(child)
    throw error
  }
  return node
}

async function ended(child) {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await exit
}

// ---- small things ----

/** When the key came into the map; undefined when it does not. */
async function appears(map, key, mostMs) {
  for (const endsAt = performance.now() + mostMs; performance.now() < endsAt; await delay(5)) if (map.has(key)) return map.get(key)
  return undefined
}

async function everybody(nodes, condition) {
  const endsAt = performance.now() + PATIENCE_MS
  for (const node of nodes) {
    while (!(await condition(node))) {
      if (performance.now() > endsAt) throw new Error(`${node.name} does not see everybody`)
      await delay(200)
    }
  }
}

/** All that went over the namespace's only interface, with the headers. */
function trafficBytes() {
  const line = readFileSync('/proc/net/dev', 'utf8')
    .split('\n')
    .find((one) => one.trim().startsWith('lo:'))
  return Number(line.trim().split(/[\s:]+/)[1])
}

function cpuSeconds(nodes) {
  return nodes.reduce((sum, { child }) => {
    const fields = readFileSync(`/proc/${child.pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ')
    return sum + (Number(fields[11]) + Number(fields[12])) / 100
  }, 0)
}

function rssMb(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024
}

/** Datagrams get lost, streams don't. */
function dropPackets(share) {
  const rule = [
    'table inet bench {',
    'chain in {',
    'type filter hook input priority 0',
    `meta l4proto udp numgen random mod 1000 < ${Math.round(share * 1000)} drop`,
    '}',
    '}',
  ].join('\n')
  const { status, stderr } = spawnSync('nft', ['-f', '-'], { input: rule, encoding: 'utf8' })
  if (status !== 0) throw new Error(`nft: ${stderr}`)
}

async function timed(work) {
  const startedAt = performance.now()
  await work()
  return performance.now() - startedAt
}

function median(list) {
  const sorted = [...list].sort((a, b) => a - b)
  return Math.round(10 * sorted[Math.floor(sorted.length / 2)]) / 10
}

function seconds(ms) {
  return Math.round(ms / 10) / 100
}

function delay(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
