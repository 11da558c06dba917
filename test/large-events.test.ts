/** Events whose payload is longer than an event may be, between agents as processes. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { test } from 'node:test'
import type { ErrorBody } from '#src/agent/errors.js'
import type { ClusterEvent, EventSent } from '#src/agent/http/gossip-api.js'
import { Cluster, MIB, sampleBytes, sha256, until, type Agent } from './cluster.ts'

type Told = Extract<ClusterEvent, { event: 'user' | 'user-lost' }>

/** What an agent tells of events from now on. */
async function follow(agent: Agent): Promise<Told[]> {
  const told: Told[] = []
  const monitor = agent.startCli('monitor', '--json', '--filter', 'user')
  let read = 0
  let isReady = false
  const look = (): void => {
    const lines = monitor.printed().slice(read).split('\n')
    for (const line of lines.slice(0, -1)) {
      read += line.length + 1
      const event = JSON.parse(line) as ClusterEvent
      if (event.event === 'started') isReady = true
      else told.push(event as Told)
    }
  }
  const timer = setInterval(look, 50)
  timer.unref()
  await until(`${agent.name} is followed`, () => isReady)
  return told
}

async function send(agent: Agent, name: string, payload: Buffer): Promise<EventSent> {
  return await agent.api<EventSent>('POST', '/v1/events', { name, payload: payload.toString('base64'), report: true })
}

test('an event with a large payload comes to all once, whole, and the report counts who has it', async (t) => {
  const cluster = await Cluster.open(t)
  const folder = cluster.directory
  const handler = `user:big=cat > ${folder}/$POLYCAST_SELF_NAME.part && mv ${folder}/$POLYCAST_SELF_NAME.part ${folder}/$POLYCAST_SELF_NAME.in`
  const agents = await cluster.startAll(['a', 'b', 'c', 'd'], (name) => ({
    flags: ['--event-handler', handler, '--event-payload-limit', name === 'd' ? '1536KiB' : '2MiB'],
  }))
  const [a, b, , d] = agents as [Agent, Agent, Agent, Agent]
  const told = new Map<Agent, Told[]>()
  for (const agent of agents) told.set(agent, await follow(agent))
  const last = (agent: Agent): Told | undefined => told.get(agent)?.at(-1)
  const ALL = { isSent: true, report: { reached: 3, of: 3, missing: [] } }

  /** That these were told of the event, as the last one, whole. */
  const heard = async (of: readonly Agent[], name: string, payload: Buffer): Promise<void> => {
    for (const agent of of) {
      await until(`${agent.name} is told of ${name}`, () => last(agent)?.name === name)
      const event = last(agent)
      assert.ok(event?.event === 'user', agent.name)
      assert.equal(sha256(Buffer.from(event.payload, 'base64')), sha256(payload), agent.name)
    }
  }

  await t.test('1 MiB, which handlers have on their standard input', async () => {
    const payload = sampleBytes('large event', MIB - 1)
    assert.deepEqual(await send(a, 'big', payload), ALL)
    await heard(agents, 'big', payload)
    for (const { name } of agents) {
      const file = path.join(folder, `${name}.in`)
      await until(`the handler of ${name} has run`, () => existsSync(file))
      // The newline at the end is what handlers get of any payload.
      assert.equal(sha256(await readFile(file)), sha256(Buffer.concat([payload, Buffer.from('\n')])))
    }
    const [content] = await b.contents()
    assert.deepEqual([content?.totalBytes, content?.pinned], [payload.length, false])
  })
  await t.test('at the limit of an event it goes with the event, and beyond it as a content', async () => {
    const known = (await b.contents()).length
    for (const [name, bytes, contents] of [
      ['edge', 65_535 - 4, known],
      ['over', 65_535 - 3, known + 1],
    ] as const) {
      const payload = sampleBytes(name, bytes)
      assert.deepEqual(await send(b, name, payload), ALL)
      await heard(agents, name, payload)
      assert.equal((await a.contents()).length, contents, name)
    }
  })
  await t.test('a node that takes less is told what it misses, and the sender too', async () => {
    const payload = sampleBytes('too large for d', 2 * MIB)
    assert.deepEqual(await send(a, 'wide', payload), { isSent: true, report: { reached: 2, of: 3, missing: ['d'] } })
    await heard(agents.slice(0, -1), 'wide', payload)
    await until('d is told', () => last(d)?.name === 'wide')
    const event = last(d)
    assert.ok(event?.event === 'user-lost' && event.from === 'a' && event.bytes === payload.length)
    assert.match(event.error.message, /event-payload-limit allows 1572864 here/)
    assert.equal(d.logged('nobody here was told of the event').length, 1)
  })
  await t.test('more than the option says is refused', async () => {
    const answer = await a.api<{ error: ErrorBody }>('POST', '/v1/events', { name: 'more', text: 'x'.repeat(2 * MIB + 1) })
    assert.equal(answer.error.code, 'bad-request')
    assert.match(answer.error.message, /polycast send/)
    const reserved = await a.api<{ error: ErrorBody }>('POST', '/v1/events', { name: '_polycast_payload' })
    assert.equal(reserved.error.code, 'bad-request')
  })
  for (const [agent, events] of told) assert.equal(events.length, 4, `${agent.name} is told of each once`)
})

test('a payload whose sender is killed comes from those that have it', async (t) => {
  const cluster = await Cluster.open(t)
  const agents = await cluster.startAll(['a', 'b', 'c', 'd'])
  const [a, b, c, d] = agents as [Agent, Agent, Agent, Agent]
  const told = new Map<Agent, Told[]>()
  for (const agent of [b, c, d]) told.set(agent, await follow(agent))
  const payload = sampleBytes('orphan', MIB)
  d.signal('SIGSTOP')
  await a.api('POST', '/v1/events', { name: 'orphan', payload: payload.toString('base64') })
  for (const agent of [b, c]) await until(`${agent.name} is told`, () => told.get(agent)?.length === 1)
  await a.end('SIGKILL')
  d.signal('SIGCONT')
  await until('d is told', () => told.get(d)?.length === 1)
  for (const events of told.values()) {
    const [event] = events
    assert.ok(event?.event === 'user')
    assert.equal(sha256(Buffer.from(event.payload, 'base64')), sha256(payload))
  }
})
