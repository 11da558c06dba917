import assert from 'node:assert/strict'
import { createServer, type AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { isPolycastError } from '../errors.ts'
import { createHttpSource, type HttpSourceOptions } from './http-source.ts'
import { CERTIFICATE } from './testing/certificate.ts'
import { describeSource, readAll, rejectsWith, testBytes } from './testing/source-conformance.ts'
import { answer, inTurn, raw, serve, UnrulyServer, type Handler, type Served } from './testing/unruly-server.ts'

const BYTES = testBytes(300_000)
const OTHER = testBytes(300_000, 'b')
const LONG_AGO = new Date('2020-01-02T03:04:05Z')
const QUICK: HttpSourceOptions = { retryPauseMs: 1, longestPauseMs: 5 }
const PATH = '/content.bin'

async function serverFor(t: TestContext, handler: Handler, scheme: 'http' | 'https' = 'http'): Promise<UnrulyServer> {
  const server = await UnrulyServer.start(scheme)
  t.after(() => server.close())
  server.on(PATH, handler)
  return server
}

async function fetchFrom(server: UnrulyServer, options: HttpSourceOptions = {}): Promise<Buffer> {
  return Buffer.from(await readAll(createHttpSource(server.url(PATH), { ...QUICK, ...options })))
}

for (const [name, validators] of Object.entries({ 'an ETag': { etag: '"v1"' }, 'Last-Modified': { lastModified: LONG_AGO } })) {
  describeSource({
    name: `http with ${name}`,
    codes: { missing: 'source-not-found', changed: 'source-changed' },
    create: async (bytes) => {
      const server = await UnrulyServer.start()
      server.on(PATH, serve({ bytes, ...validators }))
      return {
        source: createHttpSource(server.url(PATH), QUICK),
        name: 'content.bin',
        change: async (other) =>
          server.on(PATH, serve({ bytes: other, ...(name === 'an ETag' ? { etag: '"v2"' } : { lastModified: new Date('2021-01-01') }) })),
        remove: async () => server.on(PATH, answer(404)),
        released: () => server.deserted(),
        close: () => server.close(),
      }
    },
  })
}

// What the network and the server do to one fetch that must come out whole. The first answer breaks off at 30 %.
const cut: Served = { bytes: BYTES, cutAt: 90_000 }
const survived: { name: string; handler: Handler; ranges: (string | undefined)[] }[] = [
  { name: '500, then 200', handler: inTurn(answer(500), answer(503), serve({ bytes: BYTES })), ranges: [undefined, undefined, undefined] },
  {
    name: '429 with Retry-After',
    handler: inTurn(answer(429, { 'retry-after': '0' }), serve({ bytes: BYTES })),
    ranges: [undefined, undefined],
  },
  {
    name: 'a reset, then the rest by Range',
    handler: inTurn(serve({ ...cut, etag: '"v1"' }), serve({ bytes: BYTES, etag: '"v1"' })),
    ranges: [undefined, 'bytes'],
  },
  {
    name: 'a close in the middle, then the rest by the date',
    handler: inTurn(serve({ ...cut, ending: 'close', lastModified: LONG_AGO }), serve({ bytes: BYTES, lastModified: LONG_AGO })),
    ranges: [undefined, 'bytes'],
  },
  {
    name: 'a reset and 500 before the rest',
    handler: inTurn(serve({ ...cut, etag: '"v1"' }), answer(500), serve({ bytes: BYTES, etag: '"v1"' })),
    ranges: [undefined, 'bytes', 'bytes'],
  },
  {
    name: 'a reset by a server that ignores Range',
    handler: inTurn(serve({ ...cut, etag: '"v1"', knowsRange: false }), serve({ bytes: BYTES, etag: '"v1"', knowsRange: false })),
    ranges: [undefined, 'bytes'],
  },
  {
    name: 'a reset by a server that refuses every Range',
    handler: inTurn(serve({ ...cut, etag: '"v1"' }), answer(416), serve({ bytes: BYTES, etag: '"v1"' })),
    ranges: [undefined, 'bytes', undefined],
  },
  {
    name: 'a range that begins elsewhere',
    handler: inTurn(
      serve({ ...cut, etag: '"v1"' }),
      answer(206, { 'content-range': 'bytes 0-9/300000', etag: '"v1"' }),
      serve({ bytes: BYTES, etag: '"v1"' }),
    ),
    ranges: [undefined, 'bytes', undefined],
  },
  {
    name: 'a reset by a server that tells no version: read again and compared',
    handler: inTurn(serve(cut), serve({ ...cut, cutAt: 50_000 }), serve({ ...cut, cutAt: 200_000 }), serve({ bytes: BYTES })),
    ranges: [undefined, undefined, undefined, undefined],
  },
  {
    name: 'a reset by a server with a weak ETag: read again and compared',
    handler: inTurn(serve({ ...cut, etag: 'W/"v1"' }), serve({ bytes: BYTES, etag: 'W/"v1"' })),
    ranges: [undefined, undefined],
  },
  {
    name: 'a reset within the second of the last change: read again and compared',
    handler: inTurn(
      serve({ ...cut, lastModified: new Date(Date.now() + 60_000) }),
      serve({ bytes: BYTES, lastModified: new Date(Date.now() + 60_000) }),
    ),
    ranges: [undefined, undefined],
  },
  {
    name: 'ranges that end before the end',
    handler: (request, response, count) => {
      const first = Number(/\d+/.exec(request.headers.range ?? '')?.[0])
      if (count === 1) return serve({ ...cut, etag: '"v1"' })(request, response, count)
      const end = Math.min(first + 100_000, BYTES.length)
      response.writeHead(206, { 'content-range': `bytes ${first}-${end - 1}/300000`, etag: '"v1"' }).end(BYTES.subarray(first, end))
    },
    ranges: [undefined, 'bytes', 'bytes', 'bytes'],
  },
  { name: 'bytes that trickle', handler: serve({ bytes: testBytes(300), writeBytes: 1 }), ranges: [undefined] },
  { name: 'no announced length', handler: serve({ bytes: BYTES, announced: 'none' }), ranges: [undefined] },
  {
    name: 'a reset without an announced length',
    handler: inTurn(serve({ ...cut, announced: 'none', etag: '"v1"' }), serve({ bytes: BYTES, etag: '"v1"' })),
    ranges: [undefined, 'bytes'],
  },
  {
    name: 'more resets than tries, each after some new bytes',
    handler: (request, response, count) =>
      serve({ bytes: BYTES, etag: '"v1"', ...(count <= 8 ? { cutAt: count * 30_000 } : {}) })(request, response, count),
    ranges: [undefined, ...Array<string>(8).fill('bytes')],
  },
]

for (const { name, handler, ranges } of survived) {
  test(`survives ${name}`, async (t) => {
    const server = await serverFor(t, handler)
    const got = await fetchFrom(server)
    assert.deepEqual(got, Buffer.from(name === 'bytes that trickle' ? testBytes(300) : BYTES))
    assert.deepEqual(
      server.requestsFor(PATH).map((headers) => headers.range?.split('=')[0]),
      ranges,
    )
  })
}

test('the rest is asked for from exactly the byte where it stopped, and only of the same version', async (t) => {
  const server = await serverFor(t, inTurn(serve({ ...cut, etag: '"v1"' }), serve({ bytes: BYTES, etag: '"v1"' })))
  const { chunks } = await createHttpSource(server.url(PATH), QUICK).open({ signal: new AbortController().signal })
  let position = 0
  let before = 0
  for await (const chunk of chunks) {
    if (server.requestsFor(PATH).length === 1) before = position + chunk.length
    position += chunk.length
  }
  const again = server.requestsFor(PATH)[1]
  assert.equal(again?.range, `bytes=${before}-`)
  assert.equal(again?.['if-range'], '"v1"')
})

// The source has another version at the second request: an error, and never a file of both.
const changed: Record<string, Handler> = {
  'and honours If-Range': inTurn(serve({ ...cut, etag: '"v1"' }), serve({ bytes: OTHER, etag: '"v2"' })),
  'and ignores If-Range': inTurn(serve({ ...cut, etag: '"v1"' }), serve({ bytes: OTHER, etag: '"v2"', honoursIfRange: false })),
  'and ignores Range': inTurn(serve({ ...cut, etag: '"v1"' }), serve({ bytes: OTHER, etag: '"v2"', knowsRange: false })),
  'and forgets its ETag': inTurn(serve({ ...cut, etag: '"v1"' }), serve({ bytes: OTHER })),
  'by date': inTurn(
    serve({ ...cut, lastModified: LONG_AGO }),
    serve({ bytes: OTHER, lastModified: new Date('2021-01-01'), honoursIfRange: false }),
  ),
  'by length': inTurn(serve(cut), serve({ bytes: testBytes(299_999) })),
  'and tells nothing': inTurn(serve(cut), serve({ bytes: OTHER })),
  'and tells nothing, not even a length': inTurn(
    serve({ ...cut, announced: 'none' }),
    serve({ bytes: testBytes(1000), announced: 'none' }),
  ),
}

for (const [name, handler] of Object.entries(changed)) {
  test(`a source that changes half-way ${name} is an error`, async (t) => {
    await rejectsWith(fetchFrom(await serverFor(t, handler)), 'source-changed')
  })
}

for (const [status, code] of [
  [404, 'source-not-found'],
  [410, 'source-not-found'],
  [401, 'source-forbidden'],
  [403, 'source-forbidden'],
  [400, 'source-failed'],
  [204, 'source-failed'],
] as const) {
  test(`HTTP ${status} is ${code} at once`, async (t) => {
    const server = await serverFor(t, answer(status))
    await rejectsWith(fetchFrom(server), code)
    assert.equal(server.requests.length, 1)
  })
}

test('HTTP 500 for ever is an error that says so, after the tries', async (t) => {
  const server = await serverFor(t, answer(500))
  await assert.rejects(fetchFrom(server, { retries: 2 }), (error) => {
    assert.ok(isPolycastError(error, 'source-failed'))
    assert.match(error.message, /HTTP 500 \(3 tries\)/)
    return true
  })
  assert.equal(server.requests.length, 3)
})

test('a server that is not there is an error that says so', async () => {
  const server = await UnrulyServer.start()
  const url = server.url(PATH)
  await server.close()
  await assert.rejects(
    readAll(createHttpSource(url, QUICK)),
    (error) => isPolycastError(error, 'source-failed') && /connection refused/.test(error.message),
  )
})

test('fewer bytes than announced, each time, is an error that tells both numbers', async (t) => {
  const short: Served = { bytes: testBytes(1000), announced: 1500, ending: 'close', etag: '"v1"', knowsRange: false }
  await assert.rejects(fetchFrom(await serverFor(t, serve(short))), (error) => {
    assert.ok(isPolycastError(error, 'source-short'))
    assert.deepEqual([error.params['expected'], error.params['received']], [1500, 1000])
    return true
  })
})

test('more bytes than announced is an error', async (t) => {
  const body = 'x'.repeat(1000)
  await rejectsWith(fetchFrom(await serverFor(t, raw(`HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n${body}`))), 'source-short')
})

test('a range that goes on after the end of the content is an error', async (t) => {
  const tooMuch: Handler = (request, response) => {
    const first = /\d+/.exec(request.headers.range ?? '')?.[0] ?? 'none'
    response.writeHead(206, { 'content-range': `bytes ${first}-299999/300000`, etag: '"v1"' }).end(testBytes(300_001))
  }
  await rejectsWith(fetchFrom(await serverFor(t, inTurn(serve({ ...cut, etag: '"v1"' }), tooMuch))), 'source-short')
})

test('what is not HTTP is an error at once', async (t) => {
  const server = await serverFor(t, raw('SSH-2.0-OpenSSH_9.2\r\n'))
  await assert.rejects(fetchFrom(server), (error) => isPolycastError(error, 'source-failed') && /does not speak HTTP/.test(error.message))
  assert.equal(server.requests.length, 1)
})

test('a content coding is asked against, and refused where it comes all the same', async (t) => {
  const server = await serverFor(t, serve({ bytes: BYTES, headers: { 'content-encoding': 'gzip' } }))
  await assert.rejects(fetchFrom(server), (error) => isPolycastError(error, 'source-failed') && /encoded as gzip/.test(error.message))
  assert.equal(server.requestsFor(PATH)[0]?.['accept-encoding'], 'identity')
})

test('a source that stalls is left and asked again', async (t) => {
  const server = await serverFor(t, inTurn(serve({ ...cut, ending: 'stall', etag: '"v1"' }), serve({ bytes: BYTES, etag: '"v1"' })))
  assert.deepEqual(await fetchFrom(server, { idleTimeoutMs: 50 }), Buffer.from(BYTES))
})

test('a source that never answers is an error', async (t) => {
  const server = await serverFor(t, () => undefined)
  await assert.rejects(
    fetchFrom(server, { idleTimeoutMs: 50, retries: 1 }),
    (error) => isPolycastError(error, 'source-failed') && /did not answer/.test(error.message),
  )
})

test('a source that takes a connection and never says hello is an error', async (t) => {
  const silent = createServer()
  t.after(() => silent.close())
  silent.on('connection', (socket) => t.after(() => socket.destroy()))
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  const source = createHttpSource(new URL(`https://127.0.0.1:${(silent.address() as AddressInfo).port}/`), {
    ...QUICK,
    retries: 1,
    connectTimeoutMs: 50,
  })
  await assert.rejects(
    readAll(source),
    (error) => isPolycastError(error, 'source-failed') && /could not be connected to/.test(error.message),
  )
})

test('a reader that takes its time is no stalled source', async (t) => {
  const server = await serverFor(t, serve({ bytes: BYTES }))
  const { chunks } = await createHttpSource(server.url(PATH), { idleTimeoutMs: 20, retries: 0 }).open({
    signal: new AbortController().signal,
  })
  let bytes = 0
  for await (const chunk of chunks) {
    if (bytes === 0) await new Promise((resolve) => setTimeout(resolve, 60)) // three times as long as the source may take
    bytes += chunk.length
  }
  assert.equal(bytes, BYTES.length)
})

test('a pause between tries ends when the fetch is cancelled', async (t) => {
  const abort = new AbortController()
  const server = await serverFor(t, (_, response) => {
    response.writeHead(503).end()
    response.once('close', () => abort.abort())
  })
  const source = createHttpSource(server.url(PATH), { retryPauseMs: 3_600_000, longestPauseMs: 3_600_000 })
  await rejectsWith(readAll(source, { signal: abort.signal }), 'cancelled')
})

test('authorization: headers and the user of the URL are sent, and shown nowhere', async (t) => {
  const server = await serverFor(t, (request, response, count) => {
    const isRight = request.headers.authorization === `Basic ${Buffer.from('me:s3cr%t').toString('base64')}`
    return (isRight ? serve({ bytes: BYTES }) : answer(401))(request, response, count)
  })
  const url = server.url(PATH)
  url.username = 'me'
  url.password = 's3cr%25t'
  const source = createHttpSource(url, QUICK)
  assert.deepEqual(Buffer.from(await readAll(source)), Buffer.from(BYTES))
  assert.equal(source.location, server.url(PATH).href)

  url.password = 'wr0ng'
  url.search = '?signature=s3cr3t'
  server.on(`${PATH}?signature=s3cr3t`, answer(401))
  await assert.rejects(
    readAll(createHttpSource(url, QUICK)),
    (error) => isPolycastError(error, 'source-forbidden') && !/wr0ng|s3cr3t/.test(JSON.stringify([error.message, error.params])),
  )
})

test('redirects are followed, relative ones too, with the headers as long as the origin stays', async (t) => {
  const server = await serverFor(t, answer(302, { location: '/there' }))
  server.on('/there', answer(307, { location: server.url('/at/last').href }))
  server.on('/at/last', serve({ bytes: BYTES }))
  assert.deepEqual(await fetchFrom(server, { headers: { 'X-Token': 's3cr3t' } }), Buffer.from(BYTES))
  assert.deepEqual(
    server.requests.map(({ headers }) => headers['x-token']),
    ['s3cr3t', 's3cr3t', 's3cr3t'],
  )
})

test('credentials do not follow a redirect to another origin, and the name stays', async (t) => {
  const other = await serverFor(t, serve({ bytes: BYTES }))
  other.on('/elsewhere', serve({ bytes: BYTES }))
  const server = await serverFor(t, answer(302, { location: other.url('/elsewhere').href }))
  const source = createHttpSource(server.url(PATH), {
    ...QUICK,
    headers: { Authorization: 'Bearer s3cr3t', Cookie: 'a=b', 'X-Token': 's3cr3t' },
  })
  const { name, chunks } = await source.open({ signal: new AbortController().signal })
  for await (const _ of chunks) continue
  assert.equal(name, 'content.bin')
  assert.equal(server.requests[0]?.headers.authorization, 'Bearer s3cr3t')
  const { authorization, cookie, 'x-token': token } = other.requests[0]!.headers
  assert.deepEqual([authorization, cookie, token], [undefined, undefined, undefined])
})

test('no redirect is followed where none is allowed', async (t) => {
  const server = await serverFor(t, answer(302, { location: '/there' }))
  await rejectsWith(fetchFrom(server, { maxRedirects: 0 }), 'source-failed')
  assert.equal(server.requests.length, 1)
})

test('a loop of redirects is an error', async (t) => {
  const server = await serverFor(t, answer(302, { location: PATH }))
  await assert.rejects(
    fetchFrom(server),
    (error) => isPolycastError(error, 'source-failed') && /redirects more than 10 times/.test(error.message),
  )
  assert.equal(server.requests.length, 11)
})

for (const target of ['file:///etc/passwd', 'ftp://127.0.0.1/', 'http://']) {
  test(`a redirect to ${target} is refused`, async (t) => {
    await rejectsWith(fetchFrom(await serverFor(t, answer(302, { location: target }))), 'source-failed')
  })
}

test('a redirect to a metadata service is refused before anything is sent', async (t) => {
  await rejectsWith(fetchFrom(await serverFor(t, answer(302, { location: 'http://169.254.169.254/latest/meta-data/' }))), 'source-refused')
})

test('a name that resolves to addresses that are not allowed is refused', async (t) => {
  const server = await serverFor(t, serve({ bytes: BYTES }))
  const url = server.url(PATH)
  url.hostname = 'localhost'
  const asked: string[] = []
  const allowAddress = (address: string): boolean => {
    asked.push(address)
    return false
  }
  await rejectsWith(readAll(createHttpSource(url, { ...QUICK, allowAddress })), 'source-refused')
  assert.ok(asked.includes('127.0.0.1') || asked.includes('::1'))
  assert.equal(server.requests.length, 0)
})

test('https: a certificate that nobody vouches for is an error at once, one of a given authority is taken', async (t) => {
  const server = await serverFor(t, serve({ bytes: BYTES }), 'https')
  await assert.rejects(fetchFrom(server), (error) => isPolycastError(error, 'source-failed') && /certificate/.test(error.message))
  assert.equal(server.requests.length, 0)
  assert.deepEqual(await fetchFrom(server, { authorities: [CERTIFICATE] }), Buffer.from(BYTES))
})

test('https: a redirect to plain http is refused', async (t) => {
  const plain = await serverFor(t, serve({ bytes: BYTES }))
  const server = await serverFor(t, answer(302, { location: plain.url(PATH).href }), 'https')
  await rejectsWith(fetchFrom(server, { authorities: [CERTIFICATE] }), 'source-failed')
  assert.equal(plain.requests.length, 0)
})

test('a validator of another kind of source is of no use', async (t) => {
  const source = createHttpSource((await serverFor(t, serve({ bytes: BYTES, etag: '"v1"' }))).url(PATH), QUICK)
  await rejectsWith(readAll(source, { offset: 10, validator: 'torn{' }), 'source-range-unsupported')
})
