/** What routes of gossip do beyond answering as the document says (openapi.test.ts). */
import assert from 'node:assert/strict'
import test from 'node:test'
import { until } from '../deliveries/test-time.ts'
import type { MemberList } from './api.ts'
import { TestApi } from './test-api.ts'

test('members show what gossip knows of them', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  api.bed.cluster.setStatus('n2', 'suspect')
  const { members } = (await api.ask('GET', '/v1/members')).json() as MemberList
  assert.deepEqual(
    members.map(({ name, status, isSuspect, isPolycast, lastRttMs }) => [name, status, isSuspect, isPolycast, lastRttMs]),
    [
      ['n1', 'alive', false, true, undefined],
      ['n2', 'suspect', true, true, 1.25],
    ],
  )
})

test('tags are changed one by one, within the rules', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  const changed = await api.ask('PUT', '/v1/tags', { body: { set: { zone: 'eu', rack: 'r1' }, remove: ['role'] } })
  assert.deepEqual(changed.json(), { tags: { zone: 'eu', rack: 'r1' } })
  assert.deepEqual((await api.ask('PUT', '/v1/tags', { body: { remove: ['rack', 'none'] } })).json(), { tags: { zone: 'eu' } })
  assert.deepEqual((await api.ask('GET', '/v1/tags')).json(), { tags: { zone: 'eu' } })
  assert.equal((await api.ask('PUT', '/v1/tags', { body: { set: { zone: 'a b' } } })).status, 400)
  assert.deepEqual(api.gossip.tags, { zone: 'eu' })
})

test('the agent leaves once it has answered', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  assert.equal((await api.ask('POST', '/v1/leave')).status, 200)
  await until(() => api.leaves === 1)
})

test('forgetting is told what to do', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  await api.ask('POST', '/v1/members/n2/forget', { body: {} })
  await api.ask('POST', '/v1/members/n2/forget', { body: { prune: true } })
  assert.deepEqual(api.gossip.forgotten, [
    { name: 'n2', isPrune: false },
    { name: 'n2', isPrune: true },
  ])
})

test('no key is said back in an error', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  for (const key of [Buffer.alloc(15, 7).toString('base64'), 'secret!', 'A'.repeat(500)]) {
    const answer = await api.ask('POST', '/v1/keys', { body: { operation: 'install', key } })
    assert.equal(answer.status, 400)
    assert.ok(!answer.bytes.toString().includes(key), answer.bytes.toString())
  }
  assert.deepEqual(api.gossip.keyCalls, [])
})

test('the round-trip time needs both coordinates', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  const codeOf = async (path: string): Promise<unknown> =>
    ((await api.ask('GET', path)).json() as { error: { code: string; params: object } }).error.params
  assert.deepEqual(await codeOf('/v1/rtt?to=n2'), { name: 'n1' })
  api.gossip.coordinates.set('n1', { vector: [0], height: 0.001, error: 1, adjustment: 0 })
  assert.deepEqual(await codeOf('/v1/rtt?to=n2'), { name: 'n2' })
  api.gossip.coordinates.set('n2', { vector: [0.003], height: 0.001, error: 1, adjustment: 0 })
  assert.deepEqual((await api.ask('GET', '/v1/rtt?to=n2')).json(), { from: 'n1', to: 'n2', rttMs: 5 })
  assert.deepEqual((await api.ask('GET', '/v1/rtt?from=n2&to=n2')).json(), { from: 'n2', to: 'n2', rttMs: 0 })
})
