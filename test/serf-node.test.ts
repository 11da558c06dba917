/** Members made by `polycast/gossip/node`, among themselves; beside a real agent of Serf: join-serf.test.ts. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { isPolycastError } from '#src/agent/errors.js'
import { startSerfNode, type SerfNodeOptions } from '#src/agent/gossip/node/index.js'
import type { SerfNode } from '#src/agent/gossip/node/index.js'
import { nextAddress, until } from './cluster.ts'

test('nodes of the library are a cluster with keys and a label: events, queries, tags, leaving', async (t) => {
  const key = randomBytes(32)
  const heard: string[] = []
  const start = async (name: string, more: Partial<SerfNodeOptions> = {}): Promise<{ node: SerfNode; address: string }> => {
    const address = nextAddress()
    const node = await startSerfNode({
      name,
      bind: address,
      keys: [key],
      label: 'test',
      profile: 'local',
      onEvent: (event) => heard.push(`${name} ${event.name} ${Buffer.from(event.payload).toString()}`),
      onQuery: (query) => query.respond(Buffer.from(`${query.name} of ${query.from} at ${name}`)),
      ...more,
    })
    t.after(() => node.close())
    return { node, address }
  }
  const unreadable: string[] = []
  const { node: a, address } = await start('a', { tags: { role: 'web' }, onUnreadable: (_from, reason) => unreadable.push(reason) })
  const { node: b } = await start('b')
  const { node: c } = await start('c')
  assert.deepEqual(await Promise.all([b.join(address), c.join(`${address}:7946`, '127.0.0.1:1')]), [1, 1])
  const alive = (node: SerfNode): string[] =>
    node
      .members()
      .filter(({ status }) => status === 'alive')
      .map(({ name }) => name)
      .toSorted()
  for (const node of [a, b, c]) await until('all see all', () => alive(node).join() === 'a,b,c')

  b.event('deploy', Buffer.from('v1'))
  await until('all hear it', () => heard.length === 3)
  assert.deepEqual(heard.toSorted(), ['a deploy v1', 'b deploy v1', 'c deploy v1'])
  assert.throws(
    () => b.event('deploy', new Uint8Array(600)),
    (error) => isPolycastError(error, 'bad-request'),
  )

  const acks: string[] = []
  const answers: string[] = []
  const counts = await a.query('load', new Uint8Array(0), {
    filters: [{ type: 'nodes', nodes: ['b', 'c'] }],
    wantsAck: true,
    timeoutMs: 1000,
    onAck: (from) => acks.push(from),
    onResponse: (from, payload) => answers.push(`${from}: ${Buffer.from(payload).toString()}`),
  })
  assert.deepEqual(counts, { acks: 2, responses: 2 })
  assert.deepEqual(acks.toSorted(), ['b', 'c'])
  assert.deepEqual(answers.toSorted(), ['b: load of a at b', 'c: load of a at c'])
  await assert.rejects(a.query('load', new Uint8Array(2000)), (error) => isPolycastError(error, 'bad-request'))

  c.setTags({ role: 'db' })
  await until(
    'a sees the tags',
    () =>
      a
        .members()
        .find(({ name }) => name === 'c')
        ?.tags.get('role') === 'db',
  )
  await c.leave()
  await until('a sees c leave', () => a.members().find(({ name }) => name === 'c')?.status === 'left')

  const { node: stranger } = await start('stranger', { keys: [randomBytes(32)] })
  await assert.rejects(stranger.join(address), (error) => isPolycastError(error, 'join-failed'))
  assert.ok(unreadable.length > 0)
  await assert.rejects(start('nowhere', { advertise: 'localhost' }), (error) => isPolycastError(error, 'bad-request'))
})

test('whoever waits for a node of the library is told when it is closed', async () => {
  const node = await startSerfNode({ name: 'a', bind: nextAddress(), profile: 'local' })
  const waiting = Promise.allSettled([node.join('127.0.0.1:1'), node.query('load', new Uint8Array(0), { timeoutMs: 60_000 }), node.leave()])
  await node.close()
  const [joined, asked, left] = await waiting
  assert.equal(joined.status, 'rejected')
  assert.deepEqual(asked, { status: 'fulfilled', value: { acks: 0, responses: 0 } })
  assert.equal(left.status, 'fulfilled')
  assert.throws(
    () => node.event('deploy'),
    (error) => isPolycastError(error, 'shutting-down'),
  )
})
