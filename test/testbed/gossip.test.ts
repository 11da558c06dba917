/** Faults of the network below gossip: partitions, UDP that does not get through, loss. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cluster, until, type Agent } from '../cluster.ts'
import { agentsOn } from './host-agents.ts'
import { Lan } from './lan.ts'

const PARTITION_MS = 20_000
const LOSS_MS = 30_000
const BLOCK_MS = 8_000

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function aliveAt(agent: Agent): Promise<string[]> {
  return (await agent.members()).filter(({ status }) => status === 'alive').map(({ name }) => name)
}

/** Who was declared failed by whom since the mark. */
function failures(agents: readonly Agent[], marks: readonly number[]): string[] {
  return agents.flatMap((agent, k) =>
    agent.log
      .slice(marks[k])
      .filter(({ change }) => change === 'failed')
      .map(({ member }) => `${agent.name}: ${String(member)}`),
  )
}

test('gossip through blocked UDP, loss and a partition', async (t) => {
  const lan = Lan.up({ prefix: 'gossip', hosts: 8 })
  t.after(() => lan.down())
  const cluster = await Cluster.open(t)
  const agents = await agentsOn(cluster, lan, [0, 1, 2, 3, 4, 5, 6, 7], { flags: ['--log-level', 'debug'] })
  const mark = (): number[] => agents.map(({ log }) => log.length)

  await t.test('one whose UDP is blocked both ways stays, by TCP', async () => {
    const marks = mark()
    const unblock = lan.drop(3, 'meta l4proto udp', ['input', 'output'])
    await pause(BLOCK_MS)
    assert.deepEqual(failures(agents, marks), [])
    assert.ok(agents.some((agent) => agent.log.slice(marks[agents.indexOf(agent)]).some(({ msg }) => msg.includes('answers over TCP'))))
    unblock()
  })
  await t.test('30 % of all packets lost: nobody is declared failed', async () => {
    const marks = mark()
    lan.testbed('loss', 'all', '30')
    await pause(LOSS_MS)
    assert.deepEqual(failures(agents, marks), [])
    lan.testbed('loss', 'all', '0')
  })
  await t.test('after a partition into halves there is one view again', async () => {
    lan.testbed('partition', 'h0,h1,h2,h3', 'h4,h5,h6,h7')
    await pause(PARTITION_MS)
    const marks = agents.map(() => 0)
    assert.ok(failures(agents, marks).length > 0, 'a failure is logged where there is one')
    for (const [k, agent] of agents.entries()) {
      const half = agents.filter((_, other) => other < 4 === k < 4).map(({ name }) => name)
      await until(
        `${agent.name} sees its half alone`,
        async () => JSON.stringify((await aliveAt(agent)).toSorted()) === JSON.stringify(half),
      )
    }
    lan.testbed('heal')
    await cluster.acquainted(...agents)
  })
})
