/** A network that falls apart in the middle of a delivery and comes together again. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import path from 'node:path'
import { test } from 'node:test'
import { Cluster, eventsOf, hashOf, MIB, receiptOf, sampleBytes, sha256, until, type Agent } from '../cluster.ts'

const TESTBED = path.resolve(import.meta.dirname, '../../../../shared/testbed/testbed')
const PREFIX = 'partition'
const RECEIVERS = 6
const PARTITION_MS = 10_000

function testbed(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync(TESTBED, ['--prefix', PREFIX, ...args], { encoding: 'utf8' })
  assert.equal(status, 0, `testbed ${args.join(' ')}: ${stderr}`)
  return stdout
}

test('half of the nodes cut off for ten seconds get the file all the same', async (t) => {
  testbed('up', String(RECEIVERS), '--rate', '20mbit')
  const cluster = await Cluster.open(t)
  t.after(() => testbed('down'))
  const agents: Agent[] = []
  for (let k = 0; k <= RECEIVERS; k++) {
    agents.push(
      await cluster.start(`h${k}`, {
        address: k === 0 ? '10.77.0.1' : `10.77.1.${k}`,
        launcher: ['nsenter', `--net=/run/netns/tb-${PREFIX}-h${k}`],
        flags: ['--insecure', '--http-bind', '127.0.0.1'],
        join: agents.slice(0, 1),
      }),
    )
  }
  const [sender, ...receivers] = agents
  await until('all are members', async () => {
    const { stdout } = await sender!.cli('members', '--json')
    const { members } = JSON.parse(stdout) as { members: { status: string }[] }
    return members.filter(({ status }) => status === 'alive').length === agents.length
  })
  const bytes = sampleBytes('partition', 32 * MIB)
  const sending = sender!.startCli('send', await cluster.file('app.bin', bytes), '--to', 'all', '--dest', 'app.bin', '--json')
  await until('a part is on its way', async () => {
    const { stdout } = await receivers.at(-1)!.cli('content', 'ls', '--json')
    const { contents } = JSON.parse(stdout) as { contents: { haveBytes: number }[] }
    return (contents[0]?.haveBytes ?? 0) > MIB
  })
  testbed('partition', 'h0,h1,h2,h3', 'h4,h5,h6')
  await new Promise((resolve) => setTimeout(resolve, PARTITION_MS))
  testbed('heal')
  const sent = await sending.result
  const last = eventsOf(sent).at(-1)
  assert.ok(last?.event === 'done', `${sent.stdout.trim().split('\n').at(-1)} ${sent.stderr}`)
  for (const receiver of receivers) {
    assert.equal(receiptOf(last.delivery, receiver.name).status, 'done')
    assert.equal(await hashOf(receiver.received('app.bin')), sha256(bytes))
  }
})
