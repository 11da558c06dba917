/** Events, queries and keys between agents of Polycast and of Serf. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { describe, test } from 'node:test'
import { until } from './cluster.ts'
import { MixedCluster, serfMissing, untilAcquainted, type Heard, type PolycastAgent, type SerfAgent } from './serf-agents.ts'

const EVENTS_OF_EACH = 20
/** What both kinds say to a stream that is not encrypted, and what is read of it. */
const REFUSED = /encrypt/i

describe('messages between both kinds', { skip: serfMissing, concurrency: 3 }, () => {
  test('each event reaches each agent once', async (t) => {
    const mixed = await MixedCluster.open(t)
    const s1 = await mixed.startSerf('s1')
    const p1 = await mixed.startPolycast('p1', { join: [s1] })
    const s2 = await mixed.startSerf('s2', { join: [p1], flags: ['-disable-compression'] })
    const p2 = await mixed.startPolycast('p2', { join: [s1], flags: ['--no-gossip-compression'] })
    const all = [s1, s2, p1, p2]
    await untilAcquainted(all)
    const heard = await Promise.all(all.map((agent) => agent.follow()))
    const sent: string[] = []
    for (let k = 0; k < EVENTS_OF_EACH; k++) {
      for (const agent of all) {
        const payload = `${agent.name}-${k} ${'x'.repeat(k * 15)}`
        sent.push(`${agent.name}: ${payload}`)
        await sendEvent(agent, agent.name, payload)
      }
    }
    for (const [k, list] of heard.entries()) {
      const told = (): string[] => list.filter(({ kind }) => kind === 'user').map(({ name, text }) => `${name}: ${text}`)
      await until(`${all[k]!.name} hears all events`, () => told().length >= sent.length)
      assert.deepEqual(told().toSorted(), sent.toSorted(), all[k]!.name)
    }
  })

  test('a query goes to those that its filters match; all acknowledge it, and answer', async (t) => {
    const mixed = await MixedCluster.open(t)
    const handler = (name: string): string => `query:load=echo "${name} has $(cat)"`
    const serf = (name: string, role: string): Promise<SerfAgent> =>
      mixed.startSerf(name, { flags: ['-tag', `role=${role}`, `-event-handler=${handler(name)}`], join: mixed.serfs.slice(0, 1) })
    const polycast = (name: string, role: string): Promise<PolycastAgent> =>
      mixed.startPolycast(name, { flags: ['--tag', `role=${role}`, '--event-handler', handler(name)], join: mixed.serfs.slice(0, 1) })
    const s1 = await serf('s1', 'web')
    const all = [s1, ...(await Promise.all([serf('s2', 'db'), polycast('p1', 'web'), polycast('p2', 'db')]))]
    const [, s2, p1, p2] = all as [SerfAgent, SerfAgent, PolycastAgent, PolycastAgent]
    await untilAcquainted(all)
    await askBoth(s1, p1, [], [s1, s2, p1, p2])
    await askBoth(s1, p1, [['node', 's2,p2']], [s2, p2])
    await askBoth(s1, p1, [['tag', 'role=web']], [s1, p1])
    // By way of all others as well, and counted once all the same.
    await askBoth(s1, p1, [['relay', '3']], [s1, s2, p1, p2])
    assert.match(await s1.output('reachability'), /Successfully contacted all live nodes/)
    assert.match(await s1.output('rtt', 'p1'), /Estimated p1 <-> s1 rtt/)
    assert.match(await p1.output('rtt', 's2'), /ms/)
  })

  test('keys are changed on all while events flow; who was away comes back', async (t) => {
    const mixed = await MixedCluster.open(t)
    const [old, fresh] = [randomBytes(32).toString('base64'), randomBytes(16).toString('base64')]
    const key = async (name: string, text: string): Promise<string> => {
      const file = path.join(mixed.directory, name)
      await writeFile(file, text, { mode: 0o600 })
      return file
    }
    const freshFile = await key('fresh', fresh)
    const oldFile = await key('old', old)
    const startSerf = async (name: string): Promise<SerfAgent> =>
      mixed.startSerf(name, { flags: [`-keyring-file=${await key(`${name}.keys`, JSON.stringify([old]))}`], join: mixed.serfs.slice(0, 1) })
    const startPolycast = async (name: string): Promise<PolycastAgent> =>
      mixed.startPolycast(name, { flags: ['--gossip-key-file', await key(`${name}.keys`, `${old}\n`)], join: mixed.serfs.slice(0, 1) })
    const s1 = await startSerf('s1')
    const [p1, p2, s2, s3] = await Promise.all([startPolycast('p1'), startPolycast('p2'), startSerf('s2'), startSerf('s3')])
    const all = [s1, s2, s3, p1, p2]
    await untilAcquainted(all)
    const heard = await Promise.all(all.map((agent) => agent.follow()))
    let sent = 0
    let isRotating = true
    const flow = (async () => {
      while (isRotating) {
        await sendEvent(sent % 2 === 0 ? s1 : p1, `e${sent}`, 'x')
        sent++
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    })()
    await p1.output('keys', 'install', freshFile)
    const list = await s1.output('keys', '-list')
    for (const one of [old, fresh]) assert.ok(list.replaceAll(/ +/g, ' ').includes(`${one} [5/5]`), list)
    await s1.output('keys', '-use', fresh)
    await p2.output('keys', 'remove', oldFile)
    isRotating = false
    await flow
    for (const [k, agent] of all.entries()) {
      await until(`${agent.name} hears all ${sent} events`, () => usersOf(heard[k]!).length >= sent)
      assert.equal(new Set(usersOf(heard[k]!)).size, sent, agent.name)
      assert.equal(usersOf(heard[k]!).length, sent, agent.name)
      assert.ok(!heard[k]!.some(({ kind }) => kind === 'member-failed'), agent.name)
    }
    for (const name of ['p1', 'p2', 's1', 's2', 's3']) {
      const kept = await readFile(path.join(mixed.directory, `${name}.keys`), 'utf8')
      assert.ok(kept.includes(fresh) && !kept.includes(old), `${name} keeps ${kept}`)
    }
    // One of each is not there when the next key comes into use: it has both, and comes back by the old one.
    const third = randomBytes(24).toString('base64')
    const thirdFile = await key('third', third)
    await s1.output('keys', '-install', third)
    await Promise.all([s3.end('SIGKILL'), p2.agent.end('SIGKILL')])
    // Those that do not answer are told as a failure, by both kinds; the others have done it.
    const used = await p1.agent.cli('keys', 'use', thirdFile)
    assert.notEqual(used.code, 0, used.stdout)
    await until('all that are there use the third key', async () => {
      const kept = await Promise.all(['p1', 's1', 's2'].map((name) => readFile(path.join(mixed.directory, `${name}.keys`), 'utf8')))
      return kept.every((text) => text.includes(third) && text.indexOf(third) < text.indexOf(fresh))
    })
    await Promise.all([s3.start(), p2.agent.start()])
    await untilAcquainted(all)
    // That they were down may still be going round when they are back: who is taken for failed at that moment is told, and asked again.
    await until('all use the third key', async () => (await s1.run('keys', '-use', third)).code === 0)
    await until('all forget the second key', async () => (await p1.agent.cli('keys', 'remove', freshFile)).code === 0)
    for (const name of ['p1', 'p2', 's1', 's2', 's3']) {
      const kept = await readFile(path.join(mixed.directory, `${name}.keys`), 'utf8')
      assert.ok(kept.includes(third) && !kept.includes(fresh), `${name} keeps ${kept}`)
    }
  })

  test('who does not encrypt is refused by who does, and is told why', async (t) => {
    const mixed = await MixedCluster.open(t)
    const text = randomBytes(32).toString('base64')
    const file = path.join(mixed.directory, 'key')
    await writeFile(file, text, { mode: 0o600 })
    const plainSerf = await mixed.startSerf('plain-s')
    const plainPolycast = await mixed.startPolycast('plain-p', { join: [plainSerf] })
    const keyedSerf = await mixed.startSerf('keyed-s', { flags: [`-encrypt=${text}`] })
    const keyedPolycast = await mixed.startPolycast('keyed-p', { flags: ['--gossip-key-file', file], join: [keyedSerf] })
    await untilAcquainted([plainSerf, plainPolycast])
    await untilAcquainted([keyedSerf, keyedPolycast])
    // Who encrypts does not read the plain answer, whatever it says; who does not is told.
    const unread = /Encryption is configured but remote state is not encrypted/
    for (const [from, to] of [
      [keyedSerf, plainPolycast],
      [plainSerf, keyedPolycast],
    ] as const) {
      const { code, text: said } = await from.run('join', to.gossip)
      assert.equal(code, 1, said)
      assert.match(said, from === keyedSerf ? unread : REFUSED, `${from.name} to ${to.name}`)
    }
    for (const [from, to] of [
      [keyedPolycast, plainSerf],
      [plainPolycast, keyedSerf],
    ] as const) {
      const { code, stderr } = await from.agent.cli('join', to.gossip)
      assert.notEqual(code, 0)
      assert.match(stderr, from === keyedPolycast ? unread : REFUSED, `${from.name} to ${to.name}`)
    }
    assert.deepEqual(Object.keys(await plainPolycast.statuses()).toSorted(), ['plain-p', 'plain-s'])
    assert.deepEqual(Object.keys(await keyedPolycast.statuses()).toSorted(), ['keyed-p', 'keyed-s'])
  })
})

function usersOf(heard: readonly Heard[]): string[] {
  return heard.filter(({ kind }) => kind === 'user').map(({ name }) => name)
}

async function sendEvent(agent: SerfAgent | PolycastAgent, name: string, payload: string): Promise<void> {
  if ('agent' in agent) assert.deepEqual(await agent.agent.api('POST', '/v1/events', { name, text: payload }), { isSent: true })
  else await agent.output('event', '-coalesce=false', name, payload)
}

/** Asks from one agent of each kind; `wanted` are the ones that are to answer. */
async function askBoth(
  serf: SerfAgent,
  polycast: PolycastAgent,
  filters: readonly (readonly ['node' | 'tag' | 'relay', string])[],
  wanted: readonly (SerfAgent | PolycastAgent)[],
): Promise<void> {
  const names = wanted.map(({ name }) => name).toSorted()
  const answers = Object.fromEntries(names.map((name) => [name, `${name} has 5`]))
  const flags = filters.flatMap(([kind, value]) => {
    if (kind === 'relay') return [`-relay-factor=${value}`]
    return value.split(',').flatMap((one) => (kind === 'node' ? [`-node=${one}`] : ['-tag', one]))
  })
  const asked = JSON.parse(await serf.output('query', '-format=json', '-timeout=1s', ...flags, 'load', '5')) as {
    Acks: string[]
    Responses: Record<string, string>
  }
  assert.deepEqual(asked.Acks.toSorted(), names)
  assert.deepEqual(Object.fromEntries(Object.entries(asked.Responses).map(([name, text]) => [name, text.trim()])), answers)
  const to = filters
    .filter(([kind]) => kind !== 'relay')
    .flatMap(([kind, value]) => (kind === 'tag' ? [value] : value.split(',').map((one) => `name=${one}`)))
  const relay = filters.find(([kind]) => kind === 'relay')?.[1]
  const result = await polycast.agent.api<{ acks: number; acknowledgedBy: string[]; answers: { from: string; text: string }[] }>(
    'POST',
    '/v1/queries?reply=end',
    {
      name: 'load',
      text: '5',
      timeoutMs: 1000,
      ...(to.length === 0 ? {} : { to: to.join(',') }),
      ...(relay === undefined ? {} : { relayFactor: Number(relay) }),
    },
  )
  assert.deepEqual(result.acknowledgedBy.toSorted(), names)
  assert.deepEqual(Object.fromEntries(result.answers.map(({ from, text }) => [from, text.trim()])), answers)
}
