/** Faults of members, with agents as processes: who is killed, stopped, restarted, renamed or floods, and what the others make of it. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { connect } from 'node:net'
import { randomBytes } from 'node:crypto'
import { chmod, mkdir } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import { aesGcm, randomNonce } from '#src/agent/gossip/cipher.js'
import type { MemberVerdict } from '#src/agent/http/gossip-api.js'
import { Keyring, type Encryption } from '#src/core/gossip/keyring.js'
import { encodePacketMessage } from '#src/core/gossip/memberlist-codec.js'
import type { PacketMessage } from '#src/core/gossip/messages.js'
import { composePacket } from '#src/core/gossip/packet.js'
import { composeStream } from '#src/core/gossip/stream.js'
import { Cluster, MIB, nextAddress, runMs, sampleBytes, until, type Agent } from './cluster.ts'

const names = (prefix: string, count: number): string[] => Array.from({ length: count }, (_, k) => `${prefix}${k}`)

async function statusOf(agent: Agent, name: string): Promise<string | undefined> {
  return (await agent.members()).find((member) => member.name === name)?.status
}

/** Waits until all of these see that member so. */
async function seen(agents: readonly Agent[], name: string, status: string): Promise<void> {
  for (const agent of agents) await until(`${agent.name} sees ${name} ${status}`, async () => (await statusOf(agent, name)) === status)
}

/** Members that an agent has declared failed since it started. */
function failures(agent: Agent): string[] {
  return agent.log.filter(({ change }) => change === 'failed').map(({ member }) => String(member))
}

/** Waits until each of these sees exactly these alive. */
async function oneView(agents: readonly Agent[]): Promise<void> {
  const all = agents.map(({ name }) => name).toSorted()
  for (const agent of agents) {
    await until(`${agent.name} sees ${all.join(', ')} alive and no other`, async () => {
      const alive = (await agent.members()).filter(({ status }) => status === 'alive').map(({ name }) => name)
      return JSON.stringify(alive.toSorted()) === JSON.stringify(all)
    })
  }
}

test('a member that is killed, taken over, told to stop, and that leaves and joins at once', async (t) => {
  const cluster = await Cluster.open(t)
  const agents = await cluster.startAll(names('k', 5))
  const [k0, k1, k2, k3, k4] = agents as [Agent, Agent, Agent, Agent, Agent]
  await k4.end('SIGKILL')
  const bytes = await cluster.file('app.bin', sampleBytes('killed member', MIB))
  await seen([k0, k1, k2, k3], 'k4', 'dead')
  await t.test('its death is told with evidence', async () => {
    const { verdict } = await k0.api<MemberVerdict>('GET', '/v1/members/k4/verdict')
    assert.equal(verdict?.state, 'dead')
    assert.ok(verdict.accusers.length > 0 || verdict.source !== 'time-out', JSON.stringify(verdict))
    const { stdout } = await k0.cli('members', 'show', 'k4')
    assert.match(stdout, /^k4: failed since .*\n {2}dead by the word of /)
    // One of them must have seen it itself.
    const all = await Promise.all([k0, k1, k2, k3].map((agent) => agent.api<MemberVerdict>('GET', '/v1/members/k4/verdict')))
    const paths = all.flatMap((one) => one.verdict?.probe?.paths ?? [])
    assert.ok(
      paths.some(({ kind, outcome }) => kind === 'direct' && outcome !== 'ack'),
      JSON.stringify(all),
    )
  })
  await t.test('a delivery that means it says so', async () => {
    const sent = await k0.cli('send', bytes, '--to', 'name=k1,name=k4', '--dest', 'app.bin', '--timeout', '4s')
    assert.equal(sent.code, 3, sent.stdout + sent.stderr)
    assert.match(sent.stdout + sent.stderr, /k4.*(dead|failed)/, sent.stdout + sent.stderr)
  })
  await t.test('one that comes by its name at another address takes it over', async () => {
    const again = await cluster.start('k4', { join: [k0], dataDirectory: path.join(cluster.directory, 'data-k4-again') })
    for (const agent of [k0, k1, k2, k3]) {
      await until(`${agent.name} has the new address of k4`, async () =>
        (await agent.members()).some(({ name, status, address }) => name === 'k4' && status === 'alive' && address === again.address),
      )
    }
    assert.ok(again.isRunning)
  })
  await t.test('one that is killed and comes back at another address before anybody has missed it, too', async () => {
    const killed = cluster.agents.findLast(({ name }) => name === 'k4')!
    await killed.end('SIGKILL')
    const again = await cluster.start('k4', { join: [k0], dataDirectory: path.join(cluster.directory, 'data-k4-at-once') })
    assert.notEqual(again.address, killed.address)
    for (const agent of [k0, k1, k2, k3]) {
      await until(`${agent.name} has the newest address of k4`, async () =>
        (await agent.members()).some(({ name, status, address }) => name === 'k4' && status === 'alive' && address === again.address),
      )
    }
    assert.ok(again.isRunning)
    assert.equal(again.logged('name-conflict').length, 0)
  })
  await t.test('one that comes by the name of a live member has to go', async () => {
    const claimant = await cluster.start('k1', { join: [k0], dataDirectory: path.join(cluster.directory, 'data-k1-again') })
    await until('the claimant ends', () => !claimant.isRunning)
    assert.ok(claimant.logged('name-conflict').length + claimant.logged('taken').length > 0)
    assert.ok(k1.isRunning)
    // The one that goes says nothing by the name of the other.
    assert.deepEqual(
      [k0, k2, k3].flatMap((agent) => agent.log.filter(({ member, change }) => member === 'k1' && change === 'left')),
      [],
    )
    await seen([k0, k2, k3], 'k1', 'alive')
    assert.equal((await k0.members()).find(({ name }) => name === 'k1')?.address, k1.address)
  })
  await t.test('SIGTERM and SIGINT leave, and whoever left comes back', async () => {
    await k2.end('SIGTERM')
    await k3.end('SIGINT')
    await seen([k0, k1], 'k2', 'left')
    await seen([k0, k1], 'k3', 'left')
    await Promise.all([k2.start(), k3.start()])
    await seen([k0, k1], 'k2', 'alive')
    await seen([k0, k1], 'k3', 'alive')
  })
  await t.test('one that leaves while another joins', async () => {
    const [joined] = await Promise.all([cluster.start('k5', { join: [k0] }), k3.end('SIGTERM')])
    await seen([k0, k1, k2, joined], 'k5', 'alive')
    await seen([k0, k1, k2], 'k3', 'left')
  })
  await t.test('the first one comes back without an address to join', async () => {
    await k0.end('SIGKILL')
    await k0.start()
    await seen([k0], 'k1', 'alive')
    await seen([k1, k2], 'k0', 'alive')
  })
})

test('of two alone by one name the one that was there first stays', async (t) => {
  const cluster = await Cluster.open(t)
  const first = await cluster.start('twin')
  const second = await cluster.start('twin', { join: [first], dataDirectory: path.join(cluster.directory, 'data-second') })
  await until('the newcomer ends', () => !second.isRunning)
  assert.ok(second.log.some((line) => JSON.stringify(line).includes('name-conflict') || /taken/.test(JSON.stringify(line))))
  assert.ok(first.isRunning)
  assert.deepEqual(
    (await first.members()).map(({ name, status, address }) => [name, status, address]),
    [['twin', 'alive', first.address]],
  )
})

test('islands, names with several addresses, and addresses that answer late', async (t) => {
  const cluster = await Cluster.open(t)
  const addresses = [nextAddress(), nextAddress()] as const
  const join = (address: string): string[] => ['--gossip-port', '7946', '--join', `${address}:7946`]
  const [a, b] = await Promise.all([
    cluster.start('a', { address: addresses[0], flags: join(addresses[1]) }),
    cluster.start('b', { address: addresses[1], flags: join(addresses[0]) }),
  ])
  await oneView([a, b])
  const late = nextAddress()
  const c = await cluster.start('c', { flags: ['--join', `${late}:7946`] })
  await cluster.start('d', { address: late, flags: ['--gossip-port', '7946'], join: [a] })
  await oneView([a, b, c, ...cluster.agents.filter(({ name }) => name === 'd')])
  // localhost is 127.0.0.1, and ::1 where nobody listens.
  const e = await cluster.start('e', { address: '127.0.0.1', join: [a] })
  const port = e.gossip.split(':').at(-1)!
  const f = await cluster.start('f', { flags: ['--join', `localhost:${port}`] })
  await seen([a, f], 'f', 'alive')
})

test('twelve members: one is stopped for a while, half are restarted, a thousand events', async (t) => {
  const cluster = await Cluster.open(t)
  const agents = await cluster.startAll(names('m', 12))
  const stopped = agents[11]!
  const others = agents.slice(0, 11)
  await t.test('who is stopped for 8 s is the only one accused, and comes back by itself', async () => {
    stopped.signal('SIGSTOP')
    await new Promise((resolve) => setTimeout(resolve, 8000))
    stopped.signal('SIGCONT')
    await oneView(agents)
    for (const agent of agents) {
      const wrong = failures(agent).filter((name) => name !== stopped.name)
      assert.deepEqual(wrong, [], `${agent.name} declared others failed`)
    }
  })
  await t.test('1000 events from 6 members come once to all', async () => {
    const COUNT = 1000
    const monitors = others.slice(0, 6).map((agent) => agent.startCli('monitor', '--filter', 'user:n', '--count', String(COUNT), '--json'))
    await until('all monitors follow', () => monitors.every((monitor) => monitor.printed().includes('"started"')))
    for (let batch = 0; batch < COUNT / 10; batch++) {
      await Promise.all(
        Array.from({ length: 10 }, (_, k) => others[k % 6]!.api('POST', '/v1/events', { name: 'n', text: String(batch * 10 + k) })),
      )
      await new Promise((resolve) => setTimeout(resolve, 90))
    }
    for (const [k, monitor] of monitors.entries()) {
      let isOver = false
      const over = monitor.result.then((result) => ((isOver = true), result))
      await until(`${others[k]!.name} has ${COUNT} events`, () => isOver)
      const { stdout } = await over
      const texts = stdout.split('\n').flatMap((line) => {
        const parsed = line === '' ? undefined : (JSON.parse(line) as { event: string; text?: string })
        return parsed?.event === 'user' ? [Number(parsed.text)] : []
      })
      assert.equal(new Set(texts).size, COUNT)
      assert.equal(texts.length, COUNT)
    }
  })
  await t.test('half of them are killed and restarted', async () => {
    await Promise.all(agents.slice(6).map((agent) => agent.end('SIGKILL')))
    await Promise.all(agents.slice(6).map((agent) => agent.start()))
    await oneView(agents)
  })
})

test('keys are changed while a member is stopped', async (t) => {
  const cluster = await Cluster.open(t)
  const old = randomBytes(32).toString('base64')
  const agents: Agent[] = []
  for (const name of names('y', 4)) {
    const file = await cluster.file(`key-${name}`, Buffer.from(old))
    agents.push(await cluster.start(name, { flags: ['--gossip-key-file', file], join: agents.slice(0, 1) }))
  }
  await oneView(agents)
  const stopped = agents[3]!
  const file = await cluster.file('new-key', Buffer.from(randomBytes(32).toString('base64')))
  stopped.signal('SIGSTOP')
  await agents[0]!.cli('keys', 'install', file)
  await agents[0]!.cli('keys', 'use', file)
  stopped.signal('SIGCONT')
  await oneView(agents)
  await until('all have the new key as their first', async () => {
    const report = JSON.parse((await agents[0]!.cli('keys', 'list', '--reveal', '--json')).stdout) as {
      primaryKeys?: Record<string, number>
    }
    return Object.values(report.primaryKeys ?? {}).includes(4)
  })
})

test('changed keys that cannot be written are used, and an operator is told', async (t) => {
  const cluster = await Cluster.open(t)
  const base64 = (): Buffer => Buffer.from(`${randomBytes(32).toString('base64')}\n`)
  const keyFile = await cluster.file('keyring', base64())
  await mkdir(`${keyFile}.new`) // where the changed keys are written first
  const agent = await cluster.start('n1', { flags: ['--gossip-key-file', keyFile] })
  const installed = await agent.cli('keys', 'install', await cluster.file('fresh', base64()))
  assert.equal(installed.code, 0, installed.stderr)
  await until('the log tells of it', () =>
    agent.log.some(({ msg, path: file }) => msg.startsWith('the changed keys of gossip cannot be written') && file === keyFile),
  )
  const report = JSON.parse((await agent.cli('keys', 'list', '--json')).stdout) as { keys: Record<string, number> }
  assert.equal(Object.keys(report.keys).length, 2)
  assert.ok(agent.isRunning)
})

test('a member with the right key that floods: memory and CPU stay bounded, the cluster stays', async (t) => {
  const cluster = await Cluster.open(t)
  const key = randomBytes(32)
  const keyFile = await cluster.file('keys', Buffer.from(key.toString('base64')))
  await chmod(keyFile, 0o600)
  const agents = await cluster.startAll(names('f', 3), () => ({ flags: ['--gossip-key-file', keyFile] }))
  const [victim] = agents as [Agent]
  const [host, port] = [victim.gossip.split(':')[0]!, Number(victim.gossip.split(':').at(-1))]
  const before = victim.rssBytes()
  const socket = createSocket('udp4')
  t.after(() => socket.close())
  const encryption: Encryption = {
    keyring: new Keyring([key]),
    cipher: aesGcm,
    nonce: randomNonce,
    version: 1,
    isSending: true,
    isRequired: true,
  }
  const framing = { label: new Uint8Array(0), isCompressing: false, encryption }
  const packet = (...messages: PacketMessage[]): Uint8Array => composePacket(messages.map(encodePacketMessage), framing, false)
  const fake = (k: number): PacketMessage => ({
    type: 'alive',
    incarnation: 1,
    node: `fake-${k}`,
    address: Uint8Array.of(127, 1, (k >> 8) & 255, k & 255),
    port: 7946,
    meta: randomBytes(200),
    versions: [1, 5, 2, 2, 5, 5],
  })
  const user = (first: readonly number[]): PacketMessage => ({ type: 'user', bytes: Uint8Array.from([...first, ...randomBytes(600)]) })
  const kinds: readonly ((k: number) => Uint8Array)[] = [
    () => randomBytes(1400),
    (k) => packet({ type: 'ping', sequence: k, node: victim.name }),
    (k) => packet({ type: 'indirect-ping', sequence: k, target: Uint8Array.of(127, 9, 9, 9), port: 9, node: 'x', nack: true }),
    () => packet(user([3])),
    // State and trees, in the name of f1.
    () => packet(user([0x50, 2, 0x66, 0x31, 0x50, 1])),
    () => packet(user([0x50, 2, 0x66, 0x31, 0x50, 2])),
    (k) => packet(fake(k % 2000)),
    (k) => packet({ type: 'suspect', incarnation: 1, node: victim.name, from: `fake-${k % 50}` }),
    (k) => packet({ type: 'ack', sequence: k, payload: randomBytes(100) }),
  ]
  const pushPull = composeStream({ type: 'push-pull', isJoin: true, members: [], userState: randomBytes(4096) }, framing, true)
  const flood = async (): Promise<void> => {
    const streams = Array.from({ length: 200 }, () => connect(port, host).on('error', () => undefined))
    for (const stream of streams) stream.write(pushPull)
    for (let k = 0; k < 10_000; k++) {
      const bytes = kinds[k % kinds.length]!(k)
      socket.send(bytes, port, host)
      if (k % 200 === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    for (const stream of streams) stream.destroy()
  }
  const endsAt = performance.now() + runMs(3)
  let rounds = 0
  let mostBytes = 0
  for (; rounds < 3 || performance.now() < endsAt; rounds++) {
    await flood()
    mostBytes = Math.max(mostBytes, victim.rssBytes())
  }
  assert.ok((await victim.members()).length > 100, 'the flood arrived')
  const grown = mostBytes - before
  t.diagnostic(`${rounds} rounds of 10,000 packets; it grew by ${Math.round(grown / MIB)} MiB`)
  assert.ok(grown < 150 * MIB, `it grew by ${Math.round(grown / MIB)} MiB`)
  for (const agent of agents) {
    assert.ok(agent.isRunning)
    await until(`${agent.name} sees all three alive`, async () => {
      const alive = (await agent.members()).filter(({ status }) => status === 'alive').map(({ name }) => name)
      return agents.every(({ name }) => alive.includes(name))
    })
  }
})
