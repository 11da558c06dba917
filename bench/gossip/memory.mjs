/**
 * What a member costs in memory: one agent is told of N members by a process that speaks the wire protocol and answers for all of them; the
 * heap of each of its threads after a collection, and its resident memory, minus those of an agent that knows a few. Prints a JSON line per N.
 *
 *   node bench/gossip/memory.mjs [--members 1000,4000] [--settle SECONDS] [--snapshot DIRECTORY]
 */
import { spawn, spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import * as gossip from '../../dist/core/gossip/index.js'

const self = fileURLToPath(import.meta.url)
const root = join(dirname(self), '../..')
const AGENT = '127.0.0.1'
const FEEDER = '127.0.0.2'
const PORT = 7945
const VERSIONS = [1, 5, 2, 2, 5, 5]
const framing = { label: new Uint8Array(0), isCompressing: false, encryption: undefined }

const { values } = parseArgs({
  options: {
    members: { type: 'string', default: '1000,4000' },
    settle: { type: 'string', default: '10' },
    snapshot: { type: 'string' },
    inside: { type: 'boolean', default: false },
  },
})
if (!values.inside) {
  // Addresses of members are all on its loopback, whatever else runs on this machine.
  const script = 'ip link set lo up && exec "$0" "$@" --inside'
  const { status } = spawnSync('unshare', ['--net', 'sh', '-c', script, process.execPath, self, ...process.argv.slice(2)], {
    stdio: 'inherit',
  })
  process.exit(status ?? 1)
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Members that are there: the first is the feeder itself, all others answer at addresses of their own. */
function membersOf(count) {
  return Array.from({ length: count }, (_, k) => ({
    node: k === 0 ? 'feeder' : `node-${String(k).padStart(5, '0')}.rack-${k % 40}`,
    address: k === 0 ? ipOf(FEEDER) : Uint8Array.of(127, 1 + (k >> 16), (k >> 8) & 255, k & 255),
    port: PORT,
    meta: gossip.encodeTags(
      new Map([
        ['role', 'web'],
        ['zone', `eu-${k % 3}`],
        [gossip.POLYCAST_TAG, '7947'],
      ]),
    ),
    incarnation: 1,
    state: 'alive',
    versions: VERSIONS,
  }))
}

function ipOf(text) {
  return Uint8Array.from(text.split('.'), Number)
}

/** Answers every ping, and every exchange with all members. */
async function feed(count) {
  const members = membersOf(count)
  const packets = createSocket('udp4').bind(PORT, '0.0.0.0')
  packets.on('message', (bytes, from) => {
    const content = gossip.peelPacket(bytes, framing)
    if (gossip.isWireError(content)) return
    for (const message of content.messages) {
      if (message.type !== 'ping') continue
      const ack = gossip.encodePacketMessage({ type: 'ack', sequence: message.sequence, payload: undefined })
      packets.send(gossip.composePacket([ack], framing, false), from.port, from.address)
    }
  })
  const userState = new Uint8Array(0)
  const answer = gossip.composeStream({ type: 'push-pull', isJoin: false, members, userState }, framing, false)
  const server = createServer((socket) => {
    const decoder = new gossip.StreamDecoder(framing, true)
    socket
      .on('error', () => undefined)
      .on('data', (bytes) => {
        const message = decoder.push(bytes)
        if (message === undefined || gossip.isWireError(message)) return
        if (message.type === 'push-pull') socket.end(answer)
        else if (message.type === 'ping')
          socket.end(gossip.composeStream({ type: 'ack', sequence: message.sequence, payload: undefined }, framing, false))
        else socket.end()
      })
  })
  await new Promise((resolve) => server.listen(PORT, FEEDER, resolve))
  return () => {
    packets.close()
    server.close()
  }
}

/** An agent whose threads tell their heaps when it gets SIGUSR2. */
async function startAgent(directory) {
  const hook = `data:text/javascript,${encodeURIComponent(HOOK)}`
  const child = spawn(
    process.execPath,
    [
      '--expose-gc',
      '--import',
      hook,
      join(root, 'dist/cli/main.js'),
      'agent',
      ...['--name', 'agent', '--data', directory, '--bind', AGENT, '--advertise', AGENT, '--gossip-port', '7946'],
      ...['--swarm-port', '7947', '--http-bind', AGENT, '--http-port', '7948', '--log-level', 'error'],
    ],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'], env: { ...process.env, MEMORY_SNAPSHOT: values.snapshot ?? '' } },
  )
  const api = async (method, path, body) => {
    const response = await fetch(`http://${AGENT}:7948${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
    })
    return response.json()
  }
  for (;;) {
    if ((await fetch(`http://${AGENT}:7948/readyz`).catch(() => undefined))?.ok) break
    await pause(50)
  }
  return { child, api }
}

/** Loaded into every thread of the agent. */
const HOOK = `
import { isMainThread, threadId } from 'node:worker_threads'
import { writeHeapSnapshot } from 'node:v8'
const channel = new BroadcastChannel('memory')
channel.unref()
const look = () => {
  for (let k = 0; k < 4; k++) gc()
  const { heapUsed, external, arrayBuffers } = process.memoryUsage()
  const directory = process.env.MEMORY_SNAPSHOT
  if (directory) writeHeapSnapshot(directory + '/thread-' + threadId + '.heapsnapshot')
  return { threadId, heapUsed, external, arrayBuffers }
}
if (isMainThread) {
  process.on('SIGUSR2', () => { channel.postMessage('look'); process.send({ heap: look() }) })
  channel.onmessage = ({ data }) => { if (data.heap) process.send(data) }
  process.channel.unref()
} else channel.onmessage = ({ data }) => { if (data === 'look') channel.postMessage({ heap: look() }) }
`

async function measure(count, settleSeconds) {
  const directory = mkdtempSync(join(tmpdir(), 'polycast-memory-'))
  const end = await feed(count)
  const { child, api } = await startAgent(directory)
  try {
    await api('POST', '/v1/join', { addresses: [`${FEEDER}:${PORT}`] })
    // Not by the list of members, which would be most of what the main thread allocates.
    for (;;) {
      const text = await (await fetch(`http://${AGENT}:7948/metrics`)).text()
      if (text.includes(`polycast_members{status="alive"} ${count + 1}\n`)) break
      await pause(500)
    }
    await pause(1000 * settleSeconds)
    const heaps = []
    child.on('message', ({ heap }) => heaps.push(heap))
    child.kill('SIGUSR2')
    while (heaps.length < 3) await pause(50)
    // Once more: what the first collection lets go of, finalizers and the other threads may hold.
    heaps.length = 0
    child.kill('SIGUSR2')
    while (heaps.length < 3) await pause(50)
    const rss = Number(readFileSync(`/proc/${child.pid}/statm`, 'utf8').split(' ')[1]) * 4096
    const threads = Object.fromEntries(heaps.map(({ threadId, ...heap }) => [['main', 'data', 'gossip'][threadId] ?? threadId, heap]))
    return { rss, threads }
  } finally {
    child.kill('SIGKILL')
    await new Promise((resolve) => child.once('exit', resolve))
    end()
    rmSync(directory, { recursive: true, force: true })
  }
}

// Some members, so that what is compiled and made once for any number of them counts for none.
const FEW = 16
const used = (heap) => heap.heapUsed + heap.external
const idle = await measure(FEW, 30)
for (const count of values.members.split(',').map(Number)) {
  const full = await measure(count, Number(values.settle))
  const perMember = (name) => (used(full.threads[name]) - used(idle.threads[name])) / (count - FEW) / 1024
  const round = (kib) => Math.round(kib * 100) / 100
  const main = perMember('main')
  const worker = perMember('gossip')
  process.stdout.write(
    `${JSON.stringify({
      members: count,
      heapKibPerMember: round(main + worker),
      mainKib: round(main),
      gossipKib: round(worker),
      rssKibPerMember: round((full.rss - idle.rss) / (count - FEW) / 1024),
      fewRssMib: round(idle.rss / 1024 / 1024),
      rssMib: round(full.rss / 1024 / 1024),
    })}\n`,
  )
}
