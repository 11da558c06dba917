/**
 * Multicast among hosts that mean harm, clusters that share a LAN, interfaces that go and come, and small buffers: whatever happens there, the
 * delivery ends well, and by multicast where multicast can do it.
 */
import assert from 'node:assert/strict'
import path from 'node:path'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { isSessionGroup } from '#src/agent/multicast/session/groups.js'
import { Cluster, MIB, until, type Agent } from '../cluster.ts'
import { agentsOn, keyFlags, startOn } from './host-agents.ts'
import { HostProgram } from './host-program.ts'
import type { HostileAnswer, HostileOrder, Malice } from './hostile-host.ts'
import { Lan } from './lan.ts'
import { reachable, sessionAt } from './multicast-agents.ts'
import { Sending } from './sending.ts'

const SMALL_BUFFERS = path.join(import.meta.dirname, 'small-buffers.js')
const SIZE = 32 * MIB
const DOWN_MS = 1500
const HELD_UP_MS = 20
const MALICES: readonly Malice[] = ['garbage', 'replay', 'mutated', 'header']

/** What one host does to the others. */
class Mallory {
  readonly #program: HostProgram<HostileOrder, HostileAnswer>
  readonly #address: string

  constructor(lan: Lan, host: number) {
    this.#address = lan.address(host)
    this.#program = new HostProgram(lan, host, 'hostile-host')
  }

  async listen(group: string, port: number): Promise<void> {
    await this.#program.do({ do: 'listen', group, port, at: this.#address })
  }

  /** Datagrams to an address; gives how many of others' it had to make them of. */
  async send(how: Malice, to: string, port: number, count: number, perMs: number): Promise<number> {
    return (await this.#program.do({ do: 'send', how, to, port, count, perMs, at: this.#address })).kept
  }
}

/** Ports at which a host takes what is sent to it alone. */
function ownPorts(lan: Lan, host: number): number[] {
  const own = lan.udpSockets(host).filter(({ address }) => !/^2[23]\d\./.test(address))
  return own.map(({ port }) => port)
}

test('garbage, replays and a storm of requests from a host without the key', async (t) => {
  const lan = Lan.up({ prefix: 'mchost', hosts: 4, rate: '200mbit' })
  t.after(() => lan.down())
  const cluster = await Cluster.open(t)
  const [sender, ...receivers] = await agentsOn(cluster, lan, [0, 1, 2], { flags: await keyFlags(cluster) })
  await reachable(cluster, sender!, receivers)
  const mallory = new Mallory(lan, 3)
  const before = lan.counters()
  const quiet = new Set(ownPorts(lan, 0))
  const begun = await Sending.begin(cluster, sender!, 'app.bin', SIZE)
  const { address, port } = await sessionAt(lan, 1)
  // What was not there before are the ports at which the session takes what receivers answer.
  const control = ownPorts(lan, 0).filter((one) => !quiet.has(one))
  assert.ok(control.length > 0, 'the sender listens to what receivers answer')
  await mallory.listen(address, port)
  await until('packets of the session were taken up', async () => (await mallory.send('replay', address, port, 0, 1)) > 50)
  // As the sender, to the group; then as a receiver, to the sender, with what it has taken up and what it makes of it.
  lan.spoof(3, lan.address(0))
  let made = 0
  for (const how of MALICES) made = await mallory.send(how, address, port, 1500, 8)
  assert.ok(made > 0, 'it has taken up packets of the session')
  for (const how of MALICES) for (const to of control) await mallory.send(how, lan.address(0), to, 1500, 8)
  const byMulticast = await begun.delivered(receivers)
  for (const bytes of byMulticast) assert.ok(bytes > 0.8 * SIZE, `${byMulticast.join(', ')} of ${SIZE} bytes came by multicast`)
  const sent = lan.counters()['h0']!.tx - before['h0']!.tx
  assert.ok(sent < 1.4 * SIZE, `the sender sent ${sent} bytes for ${SIZE}`)
  t.diagnostic(`made of ${made} packets; the sender sent ${(sent / SIZE).toFixed(2)} F; by multicast ${byMulticast.join(', ')}`)
})

test('two clusters on one LAN, at the same time, and the packets of one in the group of the other', async (t) => {
  const lan = Lan.up({ prefix: 'mctwo', hosts: 7, rate: '200mbit' })
  t.after(() => lan.down())
  const [one, two] = [await Cluster.open(t), await Cluster.open(t)]
  const first = await agentsOn(one, lan, [0, 1, 2], { flags: [...(await keyFlags(one)), '--gossip-label', 'one'] })
  const second = await agentsOn(two, lan, [3, 4, 5], { flags: [...(await keyFlags(two)), '--gossip-label', 'two'] })
  await reachable(one, first[0]!, first.slice(1))
  await reachable(two, second[0]!, second.slice(1))
  const sendings = [await Sending.begin(one, first[0]!, 'one.bin', SIZE), await Sending.begin(two, second[0]!, 'two.bin', SIZE)] as const
  const [groupOfOne, groupOfTwo] = [await sessionAt(lan, 1), await sessionAt(lan, 4)]
  // One group's packets in the other's, and seemingly from its sender: as if both had taken the same address.
  const mallory = new Mallory(lan, 6)
  await mallory.listen(groupOfOne.address, groupOfOne.port)
  lan.spoof(6, lan.address(3))
  await until(
    'packets of the first were taken up',
    async () => (await mallory.send('replay', groupOfTwo.address, groupOfTwo.port, 1, 1)) > 50,
  )
  await mallory.send('replay', groupOfTwo.address, groupOfTwo.port, 4000, 8)
  for (const bytes of await sendings[0].delivered(first.slice(1))) assert.ok(bytes > 0.8 * SIZE)
  for (const bytes of await sendings[1].delivered(second.slice(1))) assert.ok(bytes > 0.8 * SIZE)
  for (const agents of [first, second]) {
    for (const agent of agents) assert.equal((await agent.members()).length, agents.length, `${agent.name} knows its own cluster alone`)
  }
})

test('an interface goes down and comes up in mid-transfer', async (t) => {
  const lan = Lan.up({ prefix: 'mcdown', hosts: 4, rate: '100mbit' })
  t.after(() => lan.down())
  const cluster = await Cluster.open(t)
  const [sender, ...receivers] = await agentsOn(cluster, lan, [0, 1, 2, 3])
  await reachable(cluster, sender!, receivers)
  const begun = await Sending.begin(cluster, sender!, 'app.bin', SIZE)
  await sessionAt(lan, 1)
  lan.link(1, 'down')
  await new Promise((resolve) => setTimeout(resolve, DOWN_MS))
  lan.link(1, 'up')
  const byMulticast = await begun.delivered(receivers)
  for (const bytes of byMulticast.slice(1)) assert.ok(bytes > 0.8 * SIZE, 'the others have not noticed')
  t.diagnostic(`by multicast: ${byMulticast.join(', ')} of ${SIZE}`)
  await reachable(cluster, sender!, receivers)
})

test('a host loses its address for a while in mid-transfer, another one comes back at a new one', async (t) => {
  const lan = Lan.up({ prefix: 'mcaddr', hosts: 5, rate: '100mbit' })
  t.after(() => lan.down())
  const cluster = await Cluster.open(t)
  const [sender, ...receivers] = await agentsOn(cluster, lan, [0, 1, 2, 3, 4])
  const [h1, h2, h3, h4] = receivers as [Agent, Agent, Agent, Agent]
  await reachable(cluster, sender!, receivers)
  const begun = await Sending.begin(cluster, sender!, 'app.bin', 2 * SIZE)
  await sessionAt(lan, 1)
  const address = lan.address(1)
  lan.readdress(1, '10.77.9.1')
  await h2.end('SIGKILL')
  lan.readdress(2, '10.77.9.2')
  const again = await startOn(cluster, lan, 2, { join: [sender!] })
  await new Promise((resolve) => setTimeout(resolve, DOWN_MS))
  lan.readdress(1, address)
  const byMulticast = await begun.delivered([h1, again, h3, h4])
  for (const bytes of byMulticast.slice(2)) assert.ok(bytes > 1.6 * SIZE, 'the others have not noticed')
  t.diagnostic(`by multicast: ${byMulticast.join(', ')} of ${2 * SIZE}`)
  assert.equal(again.logged('name-conflict').length, 0)
  // An address that fell silent, without a host that refuses, keeps its name for as long as a host that stands still has time.
  await until('the sender knows it at its new address', async () =>
    (await sender!.members()).some(({ name, address, status }) => name === again.name && status === 'alive' && address === lan.address(2)),
  )
  await reachable(cluster, sender!, [h1, again, h3, h4])
})

test('receive buffers of the stock 208 KiB overflow, and the delivery ends by multicast', async (t) => {
  const lan = Lan.up({ prefix: 'mcsmall', hosts: 4, rate: '1gbit', portBufferMs: 8 })
  t.after(() => lan.down())
  const cluster = await Cluster.open(t)
  const small = `NODE_OPTIONS=--import=${pathToFileURL(SMALL_BUFFERS).href}`
  const [sender, ...receivers] = await agentsOn(cluster, lan, [0, 1, 2, 3], { environment: [small] })
  await reachable(cluster, sender!, receivers)
  const begun = await Sending.begin(cluster, sender!, 'app.bin', 2 * SIZE)
  const { port } = await sessionAt(lan, 1)
  let drops = 0
  let isOver = false
  void begun.result.finally(() => (isOver = true))
  // A receiver that gets no CPU for 20 ms now and then: at any rate above some 100 Mbit/s that is more than the buffer holds.
  while (!isOver) {
    receivers[0]!.signal('SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, HELD_UP_MS))
    receivers[0]!.signal('SIGCONT')
    await new Promise((resolve) => setTimeout(resolve, 4 * HELD_UP_MS))
    const sockets = lan.udpSockets(1).filter((socket) => socket.port === port && isSessionGroup(socket.address))
    drops = Math.max(drops, ...sockets.map((socket) => socket.drops))
  }
  const byMulticast = await begun.delivered(receivers)
  assert.ok(drops > 0, 'its buffer overflowed')
  for (const bytes of byMulticast.slice(1)) assert.ok(bytes > 1.6 * SIZE, 'the others got it by multicast')
  t.diagnostic(`${drops} packets dropped at h1; by multicast: ${byMulticast.join(', ')} of ${2 * SIZE}`)
})
