/** Contents by multicast on a switch with faults: who gets it how, that it is right, and how often the sender has to send it. */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import type { Receipt } from '#src/agent/deliveries/delivery-info.js'
import { Cluster, hashOf, MIB, sampleBytes, sha256, until, type Agent } from '../cluster.ts'
import { agentsOn } from './host-agents.ts'
import { Lan } from './lan.ts'
import { Sending } from './sending.ts'

const RECEIVERS = 4
/** Of what a receiver is sent: headers take 1.057 at 1472 bytes; the rest is gossip, manifest and orders. */
const ONE_COPY = 1.2

/** Waits until multicast from an agent reaches so many others, as it says last. */
async function reaches(agent: Agent, count: number): Promise<void> {
  await until(`multicast of ${agent.name} reaches ${count}`, () => {
    return agent.logged('whom multicast reaches has changed').at(-1)?.['reached'] === count
  })
}

/** All but what was sent before it had joined came by multicast: a busy machine may let a receiver join a moment after the others. */
function assertMostly({ member, multicastBytes = 0 }: Receipt, bytes: Uint8Array): void {
  assert.ok(multicastBytes > 0.8 * bytes.length, `${member} got ${multicastBytes} of ${bytes.length} bytes by multicast`)
}

test('files by multicast, with blocked ports, losses and nodes that end', async (t) => {
  const lan = Lan.up({ prefix: 'mcast', hosts: RECEIVERS + 1, rate: '100mbit' })
  t.after(() => lan.down())
  const cluster = await Cluster.open(t)
  const agents = await agentsOn(cluster, lan, [0, 1, 2, 3, 4])
  const [origin, ...receivers] = agents as [Agent, ...Agent[]]
  const [, h2, h3] = receivers as [Agent, Agent, Agent, Agent]
  await reaches(origin, RECEIVERS)

  const sentByOrigin = (): number => lan.counters()['h0']!.tx

  /** Sends a file to all; gives the receipts, and how many copies left the sender. */
  const send = async (
    name: string,
    bytes: Buffer,
    meanwhile: () => Promise<void> = () => Promise.resolve(),
  ): Promise<{ receipts: Map<string, Receipt>; copies: number }> => {
    const before = sentByOrigin()
    const sending = await Sending.begin(cluster, origin, name, bytes)
    await meanwhile()
    await sending.result
    const copies = (sentByOrigin() - before) / bytes.length
    const receipts = await sending.receipts(receivers)
    t.diagnostic(
      `${name}: ${copies.toFixed(2)} copies; ${[...receipts.values()].map(({ member, multicastBytes = 0, durationMs }) => `${member} ${((100 * multicastBytes) / bytes.length).toFixed(0)} % in ${durationMs} ms`).join(', ')}`,
    )
    return { receipts, copies }
  }
  /** Waits until something of a delivery is at an agent. */
  const begun = (agent: Agent, leastBytes: number): Promise<void> =>
    until(`${leastBytes} bytes are at ${agent.name}`, async () =>
      (await agent.contents()).some(({ state, haveBytes }) => state === 'partial' && haveBytes > leastBytes),
    )

  await t.test('a file to four hosts leaves the sender once', async () => {
    const bytes = sampleBytes('four', 16 * MIB)
    const { receipts, copies } = await send('four.bin', bytes)
    for (const receipt of receipts.values()) assertMostly(receipt, bytes)
    assert.ok(copies < ONE_COPY, `${copies} copies`)
  })

  await t.test('what is mostly at the receivers already is sent as far as it is not', async () => {
    const bytes = sampleBytes('four', 16 * MIB)
    sampleBytes('changed', 4 * MIB).copy(bytes, 6 * MIB)
    const { receipts, copies } = await send('changed.bin', bytes)
    for (const receipt of receipts.values()) assert.ok(receipt.receivedBytes < 5 * MIB && receipt.reusedBytes > 11 * MIB)
    assert.ok(copies < 0.9, `${copies} copies`)
  })

  await t.test('one percent in fifty and one in ten lost: all is right, and repair takes little', async () => {
    for (const [percent, most] of [
      [2, 1.35],
      [10, 1.8],
    ] as const) {
      lan.testbed('loss', 'all', String(percent))
      // Long enough that an invitation which TCP has to send again costs a small part: who joins late is sent what it has missed.
      const { copies } = await send(`loss-${percent}.bin`, sampleBytes(`loss ${percent}`, 32 * MIB))
      assert.ok(copies < most, `${copies} copies at ${percent} %`)
    }
    lan.testbed('loss', 'all', '0')
    await reaches(origin, RECEIVERS)
  })

  await t.test('a host whose port passes no multicast gets it from its neighbours, not from the sender', async () => {
    lan.multicastFlood(3, false)
    await reaches(origin, RECEIVERS - 1)
    const bytes = sampleBytes('blocked', 16 * MIB)
    const { receipts, copies } = await send('blocked.bin', bytes)
    for (const [name, receipt] of receipts) {
      if (name === 'h3') assert.equal(receipt.multicastBytes, 0)
      else assertMostly(receipt, bytes)
    }
    assert.ok(copies < 1.4, `${copies} copies`)
    lan.multicastFlood(3, true)
    await reaches(origin, RECEIVERS)
  })

  await t.test('a port that passes no more in the middle: its host goes on by the swarm, the others by multicast', async () => {
    const bytes = sampleBytes('middle', 32 * MIB)
    const { receipts } = await send('middle.bin', bytes, async () => {
      await begun(h3, 2 * MIB)
      lan.multicastFlood(3, false)
    })
    for (const [name, receipt] of receipts) {
      const { multicastBytes = 0 } = receipt
      if (name === 'h3') assert.ok(multicastBytes > 0 && multicastBytes < bytes.length, `${multicastBytes} bytes`)
      else assertMostly(receipt, bytes)
    }
    lan.multicastFlood(3, true)
    await reaches(origin, RECEIVERS)
  })

  await t.test('two senders at once', async () => {
    const [, , , h4] = receivers
    await reaches(h4!, RECEIVERS)
    const bytes = sampleBytes('other sender', 12 * MIB)
    const sending = await Sending.begin(cluster, h4!, 'other.bin', bytes)
    const { receipts } = await send('both.bin', sampleBytes('both', 12 * MIB))
    const others = await sending.receipts(agents.slice(0, -1))
    for (const receipt of [...receipts.values(), ...others.values()]) assertMostly(receipt, bytes)
  })

  await t.test('a content that several nodes get at the same time', async () => {
    const bytes = sampleBytes('got', 16 * MIB)
    const source = await cluster.file('got.bin', bytes)
    const { stdout } = await origin.cli('get', `file://${source}`, '--json')
    const { contentId } = (JSON.parse(stdout.trim().split('\n').at(-1)!) as { result: { contentId: string } }).result
    const before = sentByOrigin()
    const sessions = origin.logged('a multicast session: receivers were invited').length
    const outputs = receivers.map((receiver) => path.join(receiver.dataDirectory, 'got.bin'))
    const gets = await Promise.all(receivers.map((receiver, i) => receiver.cli('get', contentId, '--output', outputs[i]!, '--json')))
    for (const [i, { code, stderr }] of gets.entries()) {
      assert.equal(code, 0, stderr)
      assert.equal(await hashOf(outputs[i]!), sha256(bytes))
    }
    const copies = (sentByOrigin() - before) / bytes.length
    t.diagnostic(`${copies.toFixed(2)} copies`)
    assert.ok(origin.logged('a multicast session: receivers were invited').length > sessions)
  })

  await t.test('a receiver that is killed and starts again keeps what it had', async () => {
    const bytes = sampleBytes('killed', 32 * MIB)
    let had = 0
    const { receipts } = await send('killed.bin', bytes, async () => {
      await begun(h2, 8 * MIB)
      await h2.end('SIGKILL')
      await h2.start()
      had = (await h2.contents()).filter(({ state }) => state === 'partial').reduce((sum, { haveBytes }) => sum + haveBytes, 0)
    })
    t.diagnostic(`it had ${had} bytes`)
    assert.ok(receipts.get('h2')!.receivedBytes < bytes.length - 4 * MIB, `${receipts.get('h2')!.receivedBytes} bytes received again`)
    await reaches(origin, RECEIVERS)
  })

  await t.test('a sender that is killed: what its receivers have together, each of them gets', async () => {
    lan.multicastFlood(3, false)
    await reaches(origin, RECEIVERS - 1)
    const bytes = sampleBytes('orphans', 24 * MIB)
    const sending = await Sending.begin(cluster, origin, 'orphans.bin', bytes)
    await until('those that are reached have it', async () => (await hashOf(h2.received('orphans.bin')).catch(() => '')) === sha256(bytes))
    await origin.end('SIGKILL')
    await sending.result
    for (const receiver of receivers) {
      await until(`${receiver.name} has it`, async () => (await hashOf(receiver.received('orphans.bin')).catch(() => '')) === sha256(bytes))
    }
    lan.multicastFlood(3, true)
  })
})
