/** The document against the routes, both ways, by calling each for real. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { z } from 'zod'
import { KIB, URL_A } from '../deliveries/test-bed.ts'
import { until } from '../deliveries/test-time.ts'
import { fail } from '../errors.ts'
import { openapiDocument, openapiReference } from './openapi.ts'
import { ROUTES } from './routes.ts'
import { TestApi } from './test-api.ts'
import type { Answer } from './test-api.ts'

interface Operation {
  operationId: string
  responses: Record<string, { content: Record<string, { schema?: { $ref: string } }> }>
  parameters?: { name: string; in: string }[]
}
type Paths = Record<string, Record<string, Operation>>

const DOCUMENT = openapiDocument('0') as unknown as { paths: Paths; components: { schemas: Record<string, object> } }
const OPERATIONS = Object.entries(DOCUMENT.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), ...operation })),
)

/** Checks an answer against the document: status, content type, and the body against the schema in the document itself. */
function checkAnswer(operation: Operation, answer: Answer, what: string): void {
  const response = operation.responses[answer.status]
  assert.ok(response, `${what}: the document knows no status ${answer.status}: ${answer.bytes.toString().slice(0, 500)}`)
  const type = answer.headers['content-type']?.split(';')[0] ?? ''
  const content = response.content[type]
  assert.ok(content, `${what}: the document knows no ${type} for ${answer.status}`)
  if (content.schema === undefined) return
  const schema = fromDocument(content.schema.$ref)
  for (const body of type === 'application/x-ndjson' ? answer.lines() : [answer.json()]) {
    const parsed = schema.safeParse(body)
    assert.ok(parsed.success, `${what}: ${JSON.stringify(body)}: ${parsed.error?.message}`)
  }
}

/** The schema that the document names, read back from the document. */
function fromDocument($ref: string): z.ZodType {
  const moved = JSON.parse(
    JSON.stringify({ $ref, $defs: DOCUMENT.components.schemas }).replaceAll('#/components/schemas/', '#/$defs/'),
  ) as Parameters<typeof z.fromJSONSchema>[0]
  return z.fromJSONSchema(moved)
}

test('an answer that is not as the document says would be noticed', () => {
  const schema = fromDocument('#/components/schemas/DeliveryEvent')
  const receipt = { member: 'n1', status: 'done', totalBytes: 1, receivedBytes: 1, reusedBytes: 0, durationMs: 1, at: 1 }
  assert.ok(schema.safeParse({ event: 'receipt', id: 'd', receipt }).success)
  assert.ok(!schema.safeParse({ event: 'receipt', id: 'd', receipt: { ...receipt, status: 'well' } }).success)
  assert.ok(!schema.safeParse({ event: 'receipt', id: 'd', receipt: { ...receipt, totalBytes: undefined } }).success)
  assert.ok(!schema.safeParse({ event: 'nothing' }).success)
})

/** One real call of each operation that succeeds, and one that fails where it can. */
const CALLS: Record<string, (api: TestApi, ids: { content: string; source: string }) => Promise<Answer[]>> = {
  async send(api, { source }) {
    const body = { source, selector: 'all', dest: 'x' }
    await api.bed.nodes.get('n3')?.membership.leave()
    return [
      await api.ask('POST', '/v1/deliveries', { body: { ...body, id: 'd-1' } }),
      await api.ask('POST', '/v1/deliveries?reply=end', { body }),
      await api.ask('POST', '/v1/deliveries?reply=start', { body }),
      await api.ask('POST', '/v1/deliveries?reply=end', { body: { ...body, dest: '../x' } }),
      await api.ask('POST', '/v1/deliveries', { body: { ...body, dest: '../x' } }),
      await api.ask('POST', '/v1/deliveries', { body: { ...body, selector: 'x' } }),
      await api.ask('POST', '/v1/deliveries', { body: { ...body, source: '/none' } }),
      await api.ask('POST', '/v1/deliveries', { body: { selektor: 'all' } }),
    ]
  },
  listDeliveries: async (api) => [await api.ask('GET', '/v1/deliveries')],
  showDelivery: async (api) => [await api.ask('GET', '/v1/deliveries/d-1'), await api.ask('GET', '/v1/deliveries/none')],
  followDelivery: async (api) => [await api.ask('GET', '/v1/deliveries/d-1/events'), await api.ask('GET', '/v1/deliveries/none/events')],
  cancelDelivery: async (api) => [await api.ask('DELETE', '/v1/deliveries/d-1'), await api.ask('DELETE', '/v1/deliveries/none')],
  get: async (api) => [
    await api.ask('POST', '/v1/gets', { body: { source: URL_A, id: 'g-1', output: join(api.bed.directory, 'out') } }),
    await api.ask('POST', '/v1/gets?reply=end', { body: { source: URL_A } }),
    await api.ask('POST', '/v1/gets?reply=start', { body: { source: URL_A } }),
    await api.ask('POST', '/v1/gets', { body: { source: 'http://none/' } }),
    await api.ask('POST', '/v1/gets?reply=end', { body: { source: 'http://none/' } }),
    await api.ask('POST', '/v1/gets', { body: { source: 'nonsense' } }),
  ],
  listGets: async (api) => [await api.ask('GET', '/v1/gets')],
  showGet: async (api) => [await api.ask('GET', '/v1/gets/g-1'), await api.ask('GET', '/v1/gets/none')],
  cancelGet: async (api) => [await api.ask('DELETE', '/v1/gets/g-1'), await api.ask('DELETE', '/v1/gets/none')],
  listContents: async (api) => [await api.ask('GET', '/v1/contents')],
  showContent: async (api, { content }) => [await api.ask('GET', `/v1/contents/${content}`), await api.ask('GET', '/v1/contents/00000000')],
  readContent: async (api, { content }) => [
    await api.ask('GET', `/v1/contents/${content}/data`),
    await api.ask('GET', `/v1/contents/${content}/data`, { headers: { range: 'bytes=0-9' } }),
    await api.ask('GET', `/v1/contents/${content}/data`, { headers: { range: 'bytes=99999999-' } }),
    await api.ask('GET', '/v1/contents/00000000/data'),
  ],
  pinContent: async (api, { content }) => [
    await api.ask('PUT', `/v1/contents/${content}/pin`),
    await api.ask('PUT', '/v1/contents/00000000/pin'),
  ],
  verifyContent: async (api, { content }) => [
    await api.ask('POST', `/v1/contents/${content}/verify`),
    await api.ask('POST', '/v1/contents/zz/verify'),
  ],
  unpinContent: async (api, { content }) => [
    await api.ask('DELETE', `/v1/contents/${content}/pin`),
    await api.ask('DELETE', '/v1/contents/00000000/pin'),
  ],
  removeContent: async (api, { content }) => {
    await api.ask('PUT', `/v1/contents/${content}/pin`)
    return [
      await api.ask('DELETE', `/v1/contents/${content}`),
      await api.ask('DELETE', `/v1/contents/${content}?force=true`),
      await api.ask('DELETE', `/v1/contents/${content}?force=maybe`),
    ]
  },
  collectGarbage: async (api) => [await api.ask('POST', '/v1/gc')],
  listMembers: async (api) => [await api.ask('GET', '/v1/members')],
  async explainMember(api) {
    const path = { kind: 'indirect', via: 'n3', sentAt: 2, outcome: 'nack', afterMs: 3, reason: undefined } as const
    const probe = { by: 'n1', about: 'n2', startedAt: 1, endedAt: 9, healthScore: 0, lastRttMs: 1, paths: [path] }
    const accusers = [{ by: 'n3', at: 5 }]
    const verdict = {
      about: 'n2',
      state: 'dead',
      incarnation: 4,
      from: 'n1',
      source: 'time-out',
      at: 10,
      accusers,
      grounds: 'silent',
      timeoutMs: 7,
      probe,
    } as const
    api.gossip.verdicts.set('n2', verdict)
    return [
      await api.ask('GET', '/v1/members/n1/verdict'),
      await api.ask('GET', '/v1/members/n2/verdict'),
      await api.ask('GET', '/v1/members/none/verdict'),
    ]
  },
  forgetMember: async (api) => [
    await api.ask('POST', '/v1/members/n2/forget', { body: { prune: true } }),
    await api.ask('POST', '/v1/members/none/forget', { body: {} }),
    await api.ask('POST', '/v1/members/n2/forget'),
  ],
  join: async (api) => [
    await api.ask('POST', '/v1/join', { body: { addresses: ['10.0.0.1', 'a:7946'] } }),
    await api.ask('POST', '/v1/join', { body: { addresses: ['nobody:1'] } }),
    await api.ask('POST', '/v1/join', { body: { addresses: [] } }),
    await api.ask('POST', '/v1/join', { body: { addresses: ['10.0.0.1:port'] } }),
  ],
  leave: async (api) => [await api.ask('POST', '/v1/leave')],
  showTags: async (api) => [await api.ask('GET', '/v1/tags')],
  changeTags: async (api) => [
    await api.ask('PUT', '/v1/tags', { body: { set: { zone: 'eu' }, remove: ['role'] } }),
    await api.ask('PUT', '/v1/tags', { body: { set: { name: 'x' } } }),
  ],
  listKeys: async (api) => [await api.ask('GET', '/v1/keys')],
  async changeKeys(api) {
    const key = Buffer.alloc(32, 1).toString('base64')
    return [
      await api.ask('POST', '/v1/keys', { body: { operation: 'install', key } }),
      await api.ask('POST', '/v1/keys', { body: { operation: 'list', key } }),
    ]
  },
  async examine(api) {
    api.gossip.findings = [{ code: 'host-gone', severity: 'problem', sentence: 'It is gone.', evidence: ['silence'], advice: 'Wait.' }]
    return [await api.ask('POST', '/v1/doctor', { body: { target: 'n2' } }), await api.ask('POST', '/v1/doctor', { body: { whom: 'n2' } })]
  },
  async estimateRtt(api) {
    const unknown = await api.ask('GET', '/v1/rtt?to=n2')
    for (const name of ['n1', 'n2']) api.gossip.coordinates.set(name, { vector: [0], height: 0.001, error: 1, adjustment: 0 })
    return [unknown, await api.ask('GET', '/v1/rtt?from=n1&to=n2'), await api.ask('GET', '/v1/rtt?from=none')]
  },
  sendEvent: async (api) => [
    await api.ask('POST', '/v1/events', { body: { name: 'deploy', text: 'v2', coalesce: true } }),
    await api.ask('POST', '/v1/events', { body: { name: 'deploy', payload: '/wD+', report: true } }),
    await api.ask('POST', '/v1/events', { body: { name: 'deploy', payload: 'no base64' } }),
  ],
  async followEvents(api) {
    const streamed = api.ask('GET', '/v1/events?limit=5')
    await until(() => api.gossip.followers > 0)
    api.gossip.tellMember('joined', 'n1')
    api.gossip.tellMember('failed', 'n2')
    api.gossip.events.call({ name: 'deploy', payload: Buffer.from('v2'), time: 1, canCoalesce: true })
    const error = fail('content-not-found', { id: 'f'.repeat(64), where: 'on any live member' })
    api.gossip.lostEvents.call({ name: 'deploy', time: 2, from: 'n2', bytes: 1_000_000, error })
    api.gossip.incomingQueries.call({ id: 1, name: 'load', payload: Uint8Array.of(0xff), from: 'n2', time: 2, deadlineAt: 3 })
    const answer = await streamed
    assert.equal(answer.lines().length, 6)
    return [answer, await api.ask('GET', '/v1/events?filter=nothing')]
  },
  async query(api) {
    api.gossip.answers.set('n1', Buffer.from('0.5'))
    return [
      await api.ask('POST', '/v1/queries', { body: { name: 'load' } }),
      await api.ask('POST', '/v1/queries?reply=end', { body: { name: 'load', to: 'name=n1' } }),
      await api.ask('POST', '/v1/queries', { body: { name: 'load', to: 'role' } }),
    ]
  },
  setState: async (api) => [
    await api.ask('PUT', '/v1/state/load', { body: { text: '0.5', ttlMs: 1000 } }),
    await api.ask('PUT', '/v1/state/load', { body: { text: 'x'.repeat(600) } }),
  ],
  showState: async (api) => [await api.ask('GET', '/v1/state/n1'), await api.ask('GET', '/v1/state/none')],
  removeState: async (api) => [await api.ask('DELETE', '/v1/state/load')],
  async watchState(api) {
    const streamed = api.ask('GET', '/v1/state?watch=true&limit=2')
    await until(() => api.gossip.followers > 0)
    await api.gossip.setState('load', Uint8Array.of(0xff))
    await api.gossip.removeState('load')
    const answer = await streamed
    assert.equal(answer.lines().length, 3)
    return [answer]
  },
  showAgent: async (api) => [await api.ask('GET', '/v1/agent')],
  showApi: async (api) => [await api.ask('GET', '/v1/openapi.json')],
  showMetrics: async (api) => [await api.ask('GET', '/metrics')],
  checkHealth: async (api) => [await api.ask('GET', '/healthz')],
  checkReadiness: async (api) => {
    const ready = await api.ask('GET', '/readyz')
    api.isReady = false
    return [ready, await api.ask('GET', '/readyz')]
  },
}

test('every operation of the document answers as the document says', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2', 'n3'])
  const source = await api.bed.file('f', randomBytes(3 * KIB))
  api.bed.cluster.source(URL_A, randomBytes(2 * KIB))
  const { contentId } = await api.bed.of('n1').get({ source: URL_A }).done
  for (const [operationId, call] of Object.entries(CALLS)) {
    const operation = OPERATIONS.find((candidate) => candidate.operationId === operationId)
    assert.ok(operation, `the document has no ${operationId}`)
    const answers = await call(api, { content: contentId, source })
    assert.ok(
      answers.some(({ status }) => status < 300),
      `${operationId} never succeeds`,
    )
    for (const [index, answer] of answers.entries()) checkAnswer(operation, answer, `${operationId}[${index}]`)
  }
  assert.deepEqual(
    OPERATIONS.map(({ operationId }) => operationId).filter((id) => !(id in CALLS)),
    [],
    'every operation is called',
  )
})

test('the document and the table of routes have the same operations, and nothing else answers', async (t) => {
  const listed = (operations: { method: string; path: string }[]): string[] =>
    operations.map(({ method, path }) => `${method} ${path}`).toSorted()
  assert.deepEqual(listed(OPERATIONS), listed([...ROUTES]))
  const api = await TestApi.open(t, ['n1'])
  for (const path of Object.keys(DOCUMENT.paths)) {
    for (const method of ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      if (DOCUMENT.paths[path]?.[method.toLowerCase()] !== undefined) continue
      const answer = await api.ask(method, path.replace(/\{\w+\}/, '00000000'))
      assert.equal(answer.status, 404, `${method} ${path}`)
      assert.equal((answer.json() as { error: { code: string } }).error.code, 'route-not-found')
    }
  }
})

test('the document refers to nothing that it lacks, and names each operation once', () => {
  const text = JSON.stringify(DOCUMENT)
  for (const [, name] of text.matchAll(/#\/components\/schemas\/(\w+)/g))
    assert.ok(name !== undefined && name in DOCUMENT.components.schemas, name)
  for (const name of Object.keys(DOCUMENT.components.schemas))
    assert.ok(text.includes(`#/components/schemas/${name}"`), `${name} is used by nothing`)
  assert.equal(new Set(OPERATIONS.map(({ operationId }) => operationId)).size, OPERATIONS.length)
  for (const { path, parameters = [] } of OPERATIONS) {
    const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    assert.deepEqual(
      parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name),
      named,
      path,
    )
  }
})

test('docs/reference/openapi.json is the document', async () => {
  const file = join(import.meta.dirname, '../../../docs/reference/openapi.json')
  assert.equal(await readFile(file, 'utf8'), `${openapiReference()}\n`, 'write it anew with: npm run docs')
})
