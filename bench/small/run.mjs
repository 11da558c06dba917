/**
 * How long an agent takes to be ready, and a small content to come from another node; real agents on loopback. Prints one JSON
 * line per question. README.md beside this file.
 *
 *   node bench/small/run.mjs [--starts N] [--gets N] [--bytes B]
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const cli = join(dirname(fileURLToPath(import.meta.url)), '../../dist/cli/main.js')
/** An agent that has just become ready still finishes what nobody waits for. */
const IDLE_MS = 2_000

const { values } = parseArgs({
  options: {
    starts: { type: 'string', default: '10' },
    gets: { type: 'string', default: '30' },
    bytes: { type: 'string', default: '1024' },
  },
})
const directory = mkdtempSync('/dev/shm/polycast-bench-')
const agents = []
try {
  print('start', await starts(Number(values.starts)))
  print('get', await gets(Number(values.gets), Number(values.bytes)))
} finally {
  for (const agent of agents) agent.child.kill('SIGKILL')
  rmSync(directory, { recursive: true, force: true })
}

/** From the call to the line `ready`, one agent after the other, each on a new data directory. */
async function starts(count) {
  const ms = []
  let rss = 0
  for (let i = 0; i < count; i++) {
    const agent = await start(`start-${i}`, 2 + i)
    ms.push(agent.ms)
    await pause(IDLE_MS / count)
    rss = Math.max(rss, rssOf(agent))
    await stop(agent)
  }
  return { ...spread(ms), idle_rss_mb: Math.round(rss / 1e6) }
}

/** From the call of `POST /v1/gets` to its last event, for contents that another node holds and this one has never seen. */
async function gets(count, bytes) {
  const holder = await start('holder', 1)
  const taker = await start('taker', 2, holder)
  await pause(IDLE_MS)
  const ms = []
  for (let i = 0; i < count; i++) {
    const path = join(directory, `content-${i}`)
    writeFileSync(path, randomBytes(bytes))
    const { result } = await ask(holder, '/v1/gets', { source: `file://${path}` })
    const begun = performance.now()
    const got = await ask(taker, '/v1/gets', { source: result.contentId })
    ms.push(performance.now() - begun)
    if (got.event !== 'done' || got.result.receivedBytes !== bytes) throw new Error(`not brought: ${JSON.stringify(got)}`)
  }
  return { bytes, first_ms: round(ms[0]), ...spread(ms) }
}

async function start(name, host, join_) {
  const begun = performance.now()
  const ports = ['--gossip-port', '0', '--swarm-port', '0', '--http-port', '0']
  const flags = ['agent', '--name', name, '--bind', `127.88.0.${host}`, '--data', join(directory, name), ...ports]
  if (join_ !== undefined) flags.push('--join', join_.gossip)
  const child = spawn(process.execPath, [cli, ...flags, '--log-level', 'error'], { stdio: ['ignore', 'pipe', 'inherit'] })
  const agent = { child }
  agents.push(agent)
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('ready ')) continue
    const field = (key) => new RegExp(` ${key}=(\\S+)`).exec(line)?.[1]
    Object.assign(agent, { ms: performance.now() - begun, gossip: field('gossip'), http: field('http') })
    break
  }
  return agent
}

/** The last event of an order. */
function ask(agent, path, body) {
  return new Promise((resolve, reject) => {
    const call = request(`${agent.http}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' } }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part) => (text += part))
      answer.on('end', () => resolve(JSON.parse(text.trim().split('\n').at(-1))))
    })
    call.on('error', reject)
    call.end(JSON.stringify(body))
  })
}

async function stop(agent) {
  const ended = new Promise((resolve) => agent.child.once('exit', resolve))
  agent.child.kill('SIGTERM')
  await ended
}

function rssOf({ child }) {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]) * 1024
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function spread(ms) {
  const sorted = ms.toSorted((a, b) => a - b)
  return { runs: ms.length, median_ms: round(sorted[sorted.length >> 1]), least_ms: round(sorted[0]), greatest_ms: round(sorted.at(-1)) }
}

function round(value) {
  return Number(value.toFixed(1))
}

function print(question, answer) {
  process.stdout.write(`${JSON.stringify({ question, node: process.version, ...answer })}\n`)
}
