/** Events, queries and state over HTTP, beyond answering as the document says (openapi.test.ts). */
import assert from 'node:assert/strict'
import test from 'node:test'
import { until } from '../deliveries/test-time.ts'
import { TestApi } from './test-api.ts'

const BINARY = Uint8Array.of(0xff, 0x00, 0xfe)

test('an event goes out as bytes or text, and comes back in the stream', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  const streamed = api.ask('GET', '/v1/events?limit=2&filter=user')
  await until(() => api.gossip.followers === 1)
  api.gossip.tellMember('joined', 'n1')
  await api.ask('POST', '/v1/events', { body: { name: 'deploy', text: 'v2 ✓', coalesce: true } })
  await api.ask('POST', '/v1/events', { body: { name: 'bin', payload: Buffer.from(BINARY).toString('base64') } })
  const [started, ...events] = (await streamed).lines().map(({ at: _at, ...line }) => line)
  assert.deepEqual(started, { event: 'started' })
  assert.deepEqual(events, [
    { event: 'user', name: 'deploy', time: 1, canCoalesce: true, payload: Buffer.from('v2 ✓').toString('base64'), text: 'v2 ✓' },
    { event: 'user', name: 'bin', time: 2, canCoalesce: false, payload: '/wD+' },
  ])
  assert.equal((await api.ask('POST', '/v1/events', { body: { name: 'x', text: 'a', payload: 'YQ==' } })).status, 400)
})

test('a client that goes away is followed no more', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  const leaving = api.askAndLeave('GET', '/v1/events', undefined)
  await leaving
  await until(() => api.gossip.followers === 0)
})

test('a filter that is none is refused', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  const answer = await api.ask('GET', '/v1/events?filter=member-joined')
  assert.equal(answer.status, 400)
  assert.match(answer.bytes.toString(), /is no kind of event/)
  assert.equal(api.gossip.followers, 0)
})

test('a query asks the members of the selector and says of how many', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2', 'n3', 'seed1'])
  api.gossip.answers.set('n2', Buffer.from('0.5'))
  api.gossip.answers.set('seed1', Buffer.from('never'))
  api.bed.cluster.setStatus('n3', 'dead')
  const answer = await api.ask('POST', '/v1/queries', {
    body: { name: 'load', text: 'now', to: 'role=web', relayFactor: 2, timeoutMs: 5000 },
  })
  assert.deepEqual(answer.lines(), [
    { event: 'ack', from: 'n1' },
    { event: 'ack', from: 'n2' },
    { event: 'response', from: 'n2', payload: 'MC41', text: '0.5' },
    { event: 'done', acks: 2, responses: 1, of: 2 },
  ])
  const { options, payload } = api.gossip.queries[0] ?? assert.fail()
  assert.equal(Buffer.from(payload).toString(), 'now')
  assert.deepEqual(options, {
    filters: [{ type: 'tag', tag: 'role', expression: '^(?:web)$' }],
    wantsAck: true,
    relayFactor: 2,
    timeoutMs: 5000,
  })

  const end = await api.ask('POST', '/v1/queries?reply=end', { body: { name: 'load', to: 'name=n2', ack: false } })
  assert.deepEqual(end.json(), {
    acks: 0,
    responses: 1,
    of: 1,
    acknowledgedBy: [],
    answers: [{ from: 'n2', payload: 'MC41', text: '0.5' }],
  })
})

test('a query that is refused is answered with a status that says so', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  assert.equal((await api.ask('POST', '/v1/queries', { body: { name: 'x', text: 'y'.repeat(600) } })).status, 400)
  assert.equal((await api.ask('POST', '/v1/queries', { body: { name: 'x', to: 'role' } })).status, 400)
})

test('closing the connection ends a query', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  api.gossip.queryEnd = new Promise(() => undefined)
  await api.askAndLeave('POST', '/v1/queries', { name: 'x' })
  await until(() => api.requests.some(({ route }) => route === '/v1/queries'))
})

test('state is set, seen, watched and removed', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  const watched = api.ask('GET', '/v1/state?watch&prefix=a/&limit=2')
  await until(() => api.gossip.followers === 1)
  await api.ask('PUT', '/v1/state/b', { body: { payload: '/wD+' } })
  await api.ask('PUT', `/v1/state/${encodeURIComponent('a/x')}`, { body: { text: '1', ttlMs: 1000 } })
  assert.deepEqual((await api.ask('GET', '/v1/state/n1')).json(), {
    node: 'n1',
    entries: [
      { key: 'a/x', payload: 'MQ==', text: '1' },
      { key: 'b', payload: '/wD+' },
    ],
  })
  assert.deepEqual((await api.ask('GET', '/v1/state/n2')).json(), { node: 'n2', entries: [] })
  await api.ask('DELETE', `/v1/state/${encodeURIComponent('a/x')}`)
  const [, ...changes] = (await watched).lines()
  assert.deepEqual(changes, [
    { event: 'set', node: 'n1', key: 'a/x', generation: 1, version: 2, payload: 'MQ==', text: '1' },
    { event: 'removed', node: 'n1', key: 'a/x', generation: 1, version: 3 },
  ])
})
