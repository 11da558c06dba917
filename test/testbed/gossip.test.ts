/** Faults of the network below gossip: partitions, UDP that does not get through, loss. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { test } from 'node:test'
import { Cluster, until, type Agent } from '../cluster.ts'

const TESTBED = path.resolve(import.meta.dirname, '../../../../shared/testbed/testbed')
const PREFIX = 'gossip'
const HOSTS = 8
const PARTITION_MS = 20_000
const LOSS_MS = 30_000
const BLOCK_MS = 8_000

function run(command: string, ...args: string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' })
  assert.equal(status, 0, `${command} ${args.join(' ')}: ${stderr}`)
}

const testbed = (...args: string[]): void => run(TESTBED, '--prefix', PREFIX, ...args)
const onHost = (k: number, ...args: string[]): void => run('nsenter', `--net=/run/netns/tb-${PREFIX}-h${k}`, ...args)
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
  testbed('up', String(HOSTS - 1), '--rate', 'none')
  t.after(() => testbed('down'))
  const cluster = await Cluster.open(t)
  const agents: Agent[] = []
  for (let k = 0; k < HOSTS; k++) {
    agents.push(
      await cluster.start(`h${k}`, {
        address: k === 0 ? '10.77.0.1' : `10.77.1.${k}`,
        launcher: ['nsenter', `--net=/run/netns/tb-${PREFIX}-h${k}`],
        flags: ['--insecure', '--http-bind', '127.0.0.1', '--log-level', 'debug'],
        join: agents.slice(0, 1),
      }),
    )
  }
  await cluster.acquainted(...agents)
  const mark = (): number[] => agents.map(({ log }) => log.length)

  await t.test('one whose UDP is blocked both ways stays, by TCP', async () => {
    const marks = mark()
    onHost(3, 'nft', 'add table inet fault')
    for (const hook of ['input', 'output']) {
      onHost(3, 'nft', `add chain inet fault ${hook} { type filter hook ${hook} priority 0 ; }`)
      onHost(3, 'nft', `add rule inet fault ${hook} meta l4proto udp drop`)
    }
    await pause(BLOCK_MS)
    assert.deepEqual(failures(agents, marks), [])
    assert.ok(agents.some((agent) => agent.log.slice(marks[agents.indexOf(agent)]).some(({ msg }) => msg.includes('answers over TCP'))))
    onHost(3, 'nft', 'delete table inet fault')
  })
  await t.test('30 % of all packets lost: nobody is declared failed', async () => {
    const marks = mark()
    testbed('loss', 'all', '30')
    await pause(LOSS_MS)
    assert.deepEqual(failures(agents, marks), [])
    testbed('loss', 'all', '0')
  })
  await t.test('after a partition into halves there is one view again', async () => {
    testbed('partition', 'h0,h1,h2,h3', 'h4,h5,h6,h7')
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
    testbed('heal')
    await cluster.acquainted(...agents)
  })
})
