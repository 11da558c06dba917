import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { connect, createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import test from 'node:test'
import { KIB, URL_A } from '../deliveries/test-bed.ts'
import { until } from '../deliveries/test-time.ts'
import { isPolycastError } from '../errors.ts'
import { isLoopbackHost } from './guard.ts'
import { MAX_BODY_BYTES } from './request-body.ts'
import { startHttpServer } from './server.ts'
import { TestApi } from './test-api.ts'
import type { Answer } from './test-api.ts'

function codeOf(answer: Answer): string {
  return (answer.json() as { error: { code: string } }).error.code
}

test('a delivery as a stream of events', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2', 'n3'])
  const bytes = randomBytes(10 * KIB)
  const answer = await api.ask('POST', '/v1/deliveries', { body: { source: await api.bed.file('f', bytes), selector: 'all', dest: 'f' } })
  assert.equal(answer.headers['content-type'], 'application/x-ndjson')
  const events = answer.lines().map(({ event }) => event)
  assert.equal(events[0], 'started')
  assert.equal(events.at(-1), 'done')
  assert.equal(events.filter((event) => event === 'receipt').length, 2)
  const again = await api.ask('GET', `/v1/deliveries/${api.bed.of('n1').list()[0]?.id}/events`)
  assert.deepEqual(
    again.lines().map(({ event }) => event),
    ['started', 'receipt', 'receipt', 'done'],
    'one that follows late gets every receipt too',
  )
  assert.deepEqual(await api.bed.delivered('n3', 'f'), bytes)
})

test('a delivery goes on when its client leaves; DELETE ends it', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  let release = (): void => undefined
  api.bed.cluster.source(
    URL_A,
    randomBytes(KIB),
    new Promise((resolve) => {
      release = resolve
    }),
  )
  await api.askAndLeave('POST', '/v1/deliveries', { source: URL_A, selector: 'all', id: 'left-alone' })
  await until(() => api.requests.some(({ route }) => route === '/v1/deliveries'))
  release()
  await until(() => api.bed.of('n1').find('left-alone')?.info().state === 'done')

  api.bed.cluster.source(`${URL_A}2`, randomBytes(KIB), new Promise(() => undefined))
  const started = await api.ask('POST', '/v1/deliveries?reply=start', { body: { source: `${URL_A}2`, selector: 'all', id: 'cancelled' } })
  assert.equal(started.status, 202)
  const cancelled = await api.ask('DELETE', '/v1/deliveries/cancelled')
  assert.equal((cancelled.json() as { state: string }).state, 'cancelled')
})

test('a client that leaves before its answer begins is noticed, whatever way it wanted to be answered', async (t) => {
  const api = await TestApi.open(t, ['n1', 'seed1'])
  api.bed.cluster.source(URL_A, randomBytes(8 * KIB))
  for (const reply of ['stream', 'end']) {
    let release = (): void => undefined
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const seed = api.bed.node('seed1')
    const opened = seed.handlers.get('content.open')
    assert.ok(opened)
    seed.onCall('content.open', async (params, from) => {
      await held
      return opened(params, from)
    })
    const calls = api.bed.cluster.calls.length
    const request = httpRequest({
      port: api.port,
      host: '127.0.0.1',
      method: 'POST',
      path: `/v1/deliveries?reply=${reply}`,
      headers: { 'content-type': 'application/json' },
    })
    request.on('error', () => undefined)
    request.end(JSON.stringify({ source: URL_A, selector: 'all', id: `left-${reply}` }))
    await until(() => api.bed.cluster.calls.slice(calls).includes('n1>seed1 content.open'))
    request.destroy()
    // Loopback keeps the order: by the second answer the server has seen the first connection's end.
    for (let round = 0; round < 2; round++) await api.ask('GET', '/healthz')
    release()
    await until(() => api.requests.filter(({ route }) => route === '/v1/deliveries').length === (reply === 'stream' ? 1 : 2))
    seed.onCall('content.open', opened)
    await until(() => api.bed.of('n1').find(`left-${reply}`)?.info().state === 'done')
  }
})

test('a get ends when its client leaves, unless another one follows it', async (t) => {
  const api = await TestApi.open(t, ['n1', 'seed1'])
  let release = (): void => undefined
  api.bed.cluster.source(
    URL_A,
    randomBytes(8 * KIB),
    new Promise((resolve) => {
      release = resolve
    }),
  )
  const second = api.ask('POST', '/v1/gets', { body: { source: URL_A, id: 'two' } })
  await until(() => api.bed.of('n1').findGet('two') !== undefined)
  await api.askAndLeave('POST', '/v1/gets', { source: URL_A, id: 'two' })
  await api.askAndLeave('POST', '/v1/gets', { source: URL_A, id: 'one' })
  await until(() => api.bed.of('n1').findGet('one')?.info().state === 'cancelled')
  assert.equal(api.bed.of('n1').findGet('two')?.info().state, 'running')
  release()
  assert.equal((await second).lines().at(-1)?.event, 'done')
})

test('a get to a file, and its data by ranges', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  const bytes = randomBytes(9 * KIB)
  api.bed.cluster.source(URL_A, bytes)
  const output = join(api.bed.directory, 'out')
  const got = await api.ask('POST', '/v1/gets?reply=end', { body: { source: URL_A, output } })
  const { result } = got.json() as { result: { contentId: string; path: string } }
  assert.equal(result.path, output)
  assert.deepEqual(await readFile(output), bytes)

  const path = `/v1/contents/${result.contentId}/data`
  const whole = await api.ask('GET', path)
  assert.deepEqual(whole.bytes, bytes)
  assert.equal(whole.headers.etag, `"${result.contentId}"`)
  assert.match(whole.headers['content-disposition'] ?? '', /^attachment/)
  const part = await api.ask('GET', path, { headers: { range: 'bytes=100-199', 'if-range': `"${result.contentId}"` } })
  assert.equal(part.status, 206)
  assert.equal(part.headers['content-range'], `bytes 100-199/${bytes.length}`)
  assert.deepEqual(part.bytes, bytes.subarray(100, 200))
  assert.equal((await api.ask('GET', path, { headers: { range: 'bytes=100-199', 'if-range': '"other"' } })).bytes.length, bytes.length)
  const beyond = await api.ask('GET', path, { headers: { range: 'bytes=999999-' } })
  assert.equal(beyond.status, 416)
  assert.equal(beyond.headers['content-range'], `bytes */${bytes.length}`)
})

test('an empty content has data too', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  api.bed.cluster.source(URL_A, Buffer.alloc(0))
  const { contentId } = await api.bed.of('n1').get({ source: URL_A }).done
  const answer = await api.ask('GET', `/v1/contents/${contentId}/data`)
  assert.deepEqual([answer.status, answer.bytes.length], [200, 0])
})

test('errors are JSON with their status', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  const cases: [method: string, path: string, body: unknown, status: number, code: string][] = [
    ['GET', '/nothing', undefined, 404, 'route-not-found'],
    ['GET', '/v1/contents/zzzz', undefined, 404, 'content-not-found'],
    ['GET', '/v1/contents/%ff', undefined, 400, 'bad-request'],
    ['GET', '/v1/members?all=yes', undefined, 400, 'bad-request'],
    ['POST', '/v1/deliveries', { source: '/x', selector: 'role' }, 400, 'selector-invalid'],
    ['POST', '/v1/deliveries', { source: '/x', selector: 'role=none' }, 404, 'selector-empty'],
    ['POST', '/v1/deliveries', { source: '/none', selector: 'all' }, 404, 'path-not-found'],
    ['POST', '/v1/deliveries', { source: '/x' }, 400, 'bad-request'],
    ['POST', '/v1/deliveries', { source: '/x', selector: 'all', more: 1 }, 400, 'bad-request'],
    ['POST', '/v1/deliveries', undefined, 400, 'bad-request'],
    ['POST', '/v1/gets', { source: 'x' }, 400, 'source-unsupported'],
    ['POST', '/v1/gets', { source: URL_A, output: 'relative' }, 400, 'usage'],
    ['POST', '/v1/gets?reply=end', { source: URL_A }, 404, 'source-not-found'],
    ['POST', '/v1/gc', { all: true }, 400, 'bad-request'],
  ]
  for (const [method, path, body, status, code] of cases) {
    const answer = await api.ask(method, path, body === undefined ? {} : { body })
    assert.deepEqual([answer.status, codeOf(answer)], [status, code], `${method} ${path} ${JSON.stringify(body)}`)
  }
  const failed = await api.ask('POST', '/v1/gets', { body: { source: URL_A } })
  assert.equal(failed.status, 200)
  assert.equal((failed.lines().at(-1) as { error?: { code: string } }).error?.code, 'source-not-found')
})

test('bodies that are too long, of another type, or no JSON', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  const tooLong = await api.ask('POST', '/v1/gets', { text: `{"source":"${'x'.repeat(MAX_BODY_BYTES)}"}` }).catch(() => undefined)
  // The server may close before all was sent: what matters is that it doesn't take it.
  if (tooLong !== undefined) assert.equal(codeOf(tooLong), 'bad-request')
  const chunked = await api
    .ask('POST', '/v1/gets', { text: '{"source":"x"', headers: { 'transfer-encoding': 'chunked', 'content-length': '' } })
    .catch(() => undefined)
  if (chunked !== undefined) assert.equal(chunked.status, 400)
  assert.equal(codeOf(await api.ask('POST', '/v1/gets', { text: '{', headers: {} })), 'bad-request')
  assert.equal(
    codeOf(await api.ask('POST', '/v1/gets', { body: { source: URL_A }, headers: { 'content-type': 'text/plain' } })),
    'bad-request',
  )
  assert.deepEqual(api.bed.of('n1').gets(), [])
})

test('web pages are refused, by Host, Origin and Sec-Fetch-Site', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  const refused = {
    headers: [
      { host: 'evil.example' },
      { host: `evil.example:${api.port}` },
      { host: '127.0.0.1.evil.example' },
      { origin: 'http://evil.example' },
      { origin: 'null' },
      { 'sec-fetch-site': 'cross-site' },
    ],
  }
  for (const headers of refused.headers) {
    const answer = await api.ask('GET', '/v1/members', { headers: headers as unknown as Record<string, string> })
    assert.deepEqual([answer.status, codeOf(answer)], [403, 'request-refused'], JSON.stringify(headers))
  }
  for (const host of [`127.0.0.1:${api.port}`, 'localhost:1', '127.9.9.9', '[::1]:80']) {
    assert.equal((await api.ask('GET', '/v1/members', { headers: { host, origin: `http://${host}` } })).status, 200, host)
  }
  assert.equal((await api.ask('GET', '/v1/members', { headers: { 'sec-fetch-site': 'same-origin' } })).status, 200)
})

test('hosts that are loopback and hosts that are not', () => {
  for (const host of ['localhost', 'LOCALHOST:1', '127.0.0.1', '127.255.0.1:65535', '[::1]', '[0:0:0:0:0:0:0:1]:1'])
    assert.ok(isLoopbackHost(host), host)
  for (const host of [
    '',
    ':80',
    'localhost.evil',
    '127.0.0.1.evil',
    '127.1',
    '0.0.0.0',
    '[::]',
    '[::ffff:1.2.3.4]',
    '[::11]',
    '10.0.0.1',
    'a@127.0.0.1',
    '127.0.0.1:x',
  ])
    assert.ok(!isLoopbackHost(host), host)
})

test('what is no HTTP gets an answer and a closed connection, and the server goes on', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  for (const text of ['\0\0\0\0\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n', `GET /${'x'.repeat(100_000)} HTTP/1.1\r\nhost: localhost\r\n\r\n`]) {
    const socket = connect(api.port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.end(text)
    const answer = await new Promise<string>((resolve) => {
      const pieces: Buffer[] = []
      socket.on('data', (piece) => pieces.push(piece))
      socket.on('close', () => {
        resolve(Buffer.concat(pieces).toString())
      })
    })
    assert.match(answer, /^HTTP\/1\.1 4\d\d /)
  }
  assert.equal((await api.ask('GET', '/healthz')).status, 200)
})

test('closing ends open streams', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  api.bed.cluster.source(URL_A, randomBytes(KIB), new Promise(() => undefined))
  const answer = api.ask('POST', '/v1/deliveries', { body: { source: URL_A, selector: 'all', id: 'd' } })
  await until(() => api.bed.of('n1').find('d') !== undefined)
  await api.bed.of('n1').close()
  const last = (await answer).lines().at(-1) as { event: string; error?: { code: string } }
  assert.deepEqual([last.event, last.error?.code], ['error', 'shutting-down'])
})

test('a port that is taken is a named error', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  const taken = createServer()
  await new Promise<void>((resolve) => {
    taken.listen(0, '127.0.0.1', resolve)
  })
  t.after(() => {
    taken.close()
  })
  const { port } = taken.address() as AddressInfo
  const parts = undefined as never
  const started = startHttpServer({ host: '127.0.0.1', port, parts, log: { debug: () => undefined, error: () => undefined } })
  await assert.rejects(started, (error) => isPolycastError(error, 'address-in-use'))
  assert.ok(api.port !== port)
})
