/** Who is reached by multicast, among agents on the loopback interface: sealed, and told by the doctor. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { DoctorReport } from '#src/agent/gossip/gossip.js'
import { Cluster, freePort, until, type Agent } from './cluster.ts'

/** Who says that multicast of an agent reaches it, and whom the agent hears. */
async function neighboursOf(agent: Agent): Promise<{ readonly reached: string[]; readonly heard: string[] }> {
  const { multicast } = JSON.parse((await agent.cli('doctor', '--json')).stdout) as DoctorReport
  const matrix = multicast!.links
    .flatMap((link) => (link.family === 4 ? link.matrix : []))
    .filter(({ multicastBytes }) => multicastBytes > 0)
  return {
    reached: matrix.flatMap(({ by, of }) => (of === agent.name ? [by] : [])).toSorted(),
    heard: matrix.flatMap(({ by, of }) => (by === agent.name ? [of] : [])).toSorted(),
  }
}

test('agents of one key know whom they reach; one with another key does not disturb them', async (t) => {
  const cluster = await Cluster.open(t)
  const port = String(await freePort())
  const keys = await Promise.all(['key', 'other-key'].map((name) => cluster.file(name, Buffer.from(randomBytes(32).toString('base64')))))
  const flags = (key: string): string[] => ['--multicast', '--multicast-port', port, '--gossip-key-file', key]
  const [a, , c] = (await cluster.startAll(['a', 'b', 'c'], () => ({ flags: flags(keys[0]!) }))) as [Agent, Agent, Agent]
  const stranger = await cluster.start('stranger', { flags: flags(keys[1]!) })
  await until('it reaches both others, and hears them', async () => {
    const { reached, heard } = await neighboursOf(a)
    return reached.join() === 'b,c' && heard.join() === 'b,c'
  })
  assert.deepEqual(await neighboursOf(stranger), { reached: [], heard: [] })
  await c.end('SIGKILL')
  await until('who is gone is forgotten', async () => (await neighboursOf(a)).reached.join() === 'b')
})

test('without multicast nothing of it is there', async (t) => {
  const cluster = await Cluster.open(t)
  const agent = await cluster.start('alone')
  const { multicast } = JSON.parse((await agent.cli('doctor', '--json')).stdout) as DoctorReport
  assert.equal(multicast, undefined)
})
