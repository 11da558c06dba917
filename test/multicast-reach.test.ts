/** Who is reached by multicast, among agents on the loopback interface: sealed, told by the doctor, and used for events. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { DoctorReport } from '#src/agent/gossip/gossip.js'
import { Cluster, until, type Agent } from './cluster.ts'

/** A port that was free a moment ago. */
async function freePort(): Promise<string> {
  const socket = createSocket('udp4')
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve))
  const { port } = socket.address()
  await new Promise<void>((resolve) => socket.close(resolve))
  return String(port)
}

async function reached(agent: Agent): Promise<number> {
  return agent.metric('polycast_multicast_reached_members')
}

test('agents of one key know whom they reach, and send an event as one datagram; others do not disturb them', async (t) => {
  const cluster = await Cluster.open(t)
  const port = await freePort()
  const keys = await Promise.all(['key', 'other-key'].map((name) => cluster.file(name, Buffer.from(randomBytes(32).toString('base64')))))
  const flags = (key: string): string[] => ['--multicast', '--multicast-port', port, '--gossip-key-file', key]
  const agents = await cluster.startAll(['a', 'b', 'c'], () => ({ flags: flags(keys[0]!) }))
  const [a, b, c] = agents as [Agent, Agent, Agent]
  const stranger = await cluster.start('stranger', { flags: flags(keys[1]!) })
  for (const agent of agents) await until(`${agent.name} reaches both others`, async () => (await reached(agent)) === 2)

  const received = 'polycast_multicast_events_received_total'
  const before = await Promise.all([b, c].map((agent) => agent.metric(received)))
  assert.equal((await a.cli('event', 'hello', 'all')).code, 0)
  for (const [index, agent] of [b, c].entries()) await until('the event comes', async () => (await agent.metric(received)) > before[index]!)

  const { multicast } = JSON.parse((await a.cli('doctor', '--json')).stdout) as DoctorReport
  const link = multicast?.links.find(({ family }) => family === 4)
  assert.deepEqual([link?.interface, link?.state, new Set(link?.matrix.map(({ by }) => by)).size], ['lo', 'open', 3])
  assert.equal(await reached(stranger), 0)

  await c.end('SIGKILL')
  await until('the table forgets who is gone', async () => (await reached(a)) === 1)
})

test('without multicast nothing of it is there', async (t) => {
  const cluster = await Cluster.open(t)
  const agent = await cluster.start('alone')
  const { multicast } = JSON.parse((await agent.cli('doctor', '--json')).stdout) as DoctorReport
  assert.equal(multicast, undefined)
})
