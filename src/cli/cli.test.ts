/** The commands as processes of their own, against the API of a node on the fake cluster. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'

const { TestApi } = await import('../agent/http/test-api.ts')
const { jsonLines, run, start } = await import('./test-cli.ts')
const { until } = await import('../agent/deliveries/test-time.ts')
const { URL_A } = await import('../agent/deliveries/test-bed.ts')

const KIB = 1024

test('get writes a URL to a file, to standard output, or keeps it', async (t) => {
  const api = await TestApi.open(t, ['n1', 'seed1'])
  const bytes = randomBytes(7 * KIB)
  api.bed.cluster.source(URL_A, bytes)
  const output = join(api.bed.directory, 'out.bin')
  const first = await run(api, 'get', URL_A, '-o', output)
  assert.equal(first.code, 0, first.stderr)
  assert.match(first.stdout, /out\.bin: 7\.0 KiB in .*from the cluster/)
  assert.equal(first.stderr, '', 'no progress without a terminal')
  assert.deepEqual(await readFile(output), bytes)

  const piped = start(api, ['get', URL_A, '-o', '-'])
  const pieces: Buffer[] = []
  piped.child.stdout?.on('data', (piece: Buffer) => pieces.push(piece))
  assert.equal((await piped.result).code, 0)
  assert.deepEqual(Buffer.concat(pieces), bytes)

  const kept = await run(api, 'get', URL_A, '--json')
  const events = jsonLines(kept.stdout)
  assert.deepEqual([events[0]?.event, events.at(-1)?.event], ['started', 'done'])
})

test('send shows a receipt of each member, and ends with the exit code that fits', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2', 'n3'])
  const file = await api.bed.file('app.bin', randomBytes(5 * KIB))
  const sent = await run(api, 'send', file, '--to', 'all', '--dest', 'app.bin')
  assert.equal(sent.code, 0, sent.stderr)
  assert.match(sent.stdout, /^n2: done {2}5\.0 KiB/m)
  assert.match(sent.stdout, /^n3: done {2}5\.0 KiB/m)
  assert.match(sent.stdout, /^2 of 2 members have app\.bin/m)

  const partial = await run(api, 'send', file, '--to', 'all', '--dest', '../x')
  assert.equal(partial.code, 3)
  assert.match(partial.stdout, /^n2: failed {2}dest-outside-root: /m)
  assert.match(partial.stderr, /2 of 2 members do not have it/)

  const json = await run(api, 'send', file, '--to', 'name=n2', '--json')
  assert.deepEqual(
    jsonLines(json.stdout)
      .map(({ event }) => event)
      .filter((event) => event !== 'progress'),
    ['started', 'receipt', 'done'],
  )
})

test('send --detach, delivery ls, show, follow and cancel', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  let release = (): void => undefined
  api.bed.cluster.source(
    URL_A,
    randomBytes(2 * KIB),
    new Promise((resolve) => {
      release = resolve
    }),
  )
  const detached = await run(api, 'send', URL_A, '--to', 'all', '--detach')
  assert.equal(detached.code, 0, detached.stderr)
  const id = detached.stdout.trim()
  assert.match((await run(api, 'delivery', 'ls')).stdout, new RegExp(`^${id} +running +0/1`, 'm'))
  const following = start(api, ['delivery', 'follow', id])
  release()
  assert.equal((await following.result).code, 0)
  assert.match((await run(api, 'delivery', 'show', id)).stdout, /^n2: done/m)

  api.bed.cluster.source(`${URL_A}2`, randomBytes(KIB), new Promise(() => undefined))
  const second = (await run(api, 'send', `${URL_A}2`, '--to', 'all', '--detach')).stdout.trim()
  assert.match((await run(api, 'delivery', 'cancel', second)).stdout, /^cancelled/)
  assert.equal((await run(api, 'delivery', 'show', second)).code, 1)
  assert.equal((await run(api, 'delivery', 'show', 'none')).code, 1)
})

test('members and contents', async (t) => {
  const api = await TestApi.open(t, ['n1', 'seed1'])
  api.bed.cluster.source(URL_A, randomBytes(2 * KIB))
  const { contentId } = await api.bed.of('n1').get({ source: URL_A }).done
  assert.match((await run(api, 'members')).stdout, /^seed1 +alive .*role=seed$/m)
  assert.equal((JSON.parse((await run(api, 'members', '--json')).stdout) as { members: unknown[] }).members.length, 2)
  assert.match((await run(api, 'content', 'ls')).stdout, new RegExp(`^${contentId.slice(0, 16)} +complete +2\\.0 KiB .*a\\.bin$`, 'm'))
  const short = contentId.slice(0, 12)
  assert.match((await run(api, 'content', 'show', short)).stdout, new RegExp(`^content +${contentId}$`, 'm'))
  assert.equal((await run(api, 'content', 'pin', short)).code, 0)
  const refused = await run(api, 'content', 'rm', short)
  assert.equal(refused.code, 1)
  assert.match(refused.stderr, /is pinned/)
  assert.match((await run(api, 'content', 'verify')).stdout, /good, 2 chunks/)
  assert.equal((await run(api, 'content', 'unpin', short)).code, 0)
  assert.equal((await run(api, 'content', 'rm', short)).code, 0)
  assert.match((await run(api, 'content', 'gc')).stdout, /^0 contents removed, 0 B freed/)
  assert.deepEqual(JSON.parse((await run(api, 'content', 'show', short, '--json')).stdout), {
    error: {
      code: 'content-not-found',
      message: `There is no content ${short} here.`,
      advice: 'List what a node holds with: polycast content ls; see who is alive with: polycast members',
      exitCode: 1,
      isRetryable: false,
      params: { id: short, where: 'here' },
    },
  })
})

test('exit codes', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  const cases: [args: string[], code: number, stderr: RegExp][] = [
    [['get', URL_A], 1, /does not exist \(HTTP 404\)/],
    [['get', 'nonsense'], 2, /neither a URL nor a content id/],
    [['get', URL_A, '--digest', 'md5:1'], 2, /is not sha256: or blake3:/],
    [['get', URL_A, '--header', 'nonsense'], 2, /not of the form/],
    [['get', URL_A, '--header', '@/nothing/there'], 1, /no file or directory/],
    [['get'], 2, /missing required argument/],
    [['get', URL_A, '--unknown'], 2, /unknown option/],
    [['send', '/none'], 2, /--to/],
    [['send', '/none', '--to', 'all'], 1, /no file or directory \/none/],
    [['send', '/none', '--to', 'role'], 2, /selector/],
    [['send', '/none', '--to', 'all', '--timeout', 'soon'], 2, /--timeout soon/],
    [['members', '--api', '127.0.0.1:1'], 4, /No agent answers at http:\/\/127\.0\.0\.1:1: connection refused/],
    [['members', '--api', 'ftp://x'], 2, /is not an address/],
    [['unknown'], 2, /unknown command/],
    [['content'], 2, /Usage: polycast content/],
    [[], 2, /Usage: polycast/],
  ]
  for (const [args, code, stderr] of cases) {
    const result = await run(api, ...args)
    assert.equal(result.code, code, `${args.join(' ')}: ${result.stderr}`)
    assert.match(result.stderr, stderr)
  }
  assert.equal((await run(api, '--help')).code, 0)
  assert.equal((await run(api, 'send', '--help')).code, 0)
  assert.match((await run(api, '--version')).stdout, /^\d+\.\d+\.\d+/)
})

test('what answers and is no agent is not taken for one', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  const { createServer } = await import('node:http')
  const other = createServer((_request, response) => response.writeHead(404).end('<html>'))
  await new Promise<void>((resolve) => {
    other.listen(0, '127.0.0.1', resolve)
  })
  t.after(() => {
    other.close()
  })
  const { port } = other.address() as { port: number }
  const result = await run(api, 'members', '--api', `http://127.0.0.1:${port}`)
  assert.equal(result.code, 4)
  assert.match(result.stderr, /no agent \(HTTP 404\)/)
})

test('headers from a file reach the source', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  const source = api.bed.cluster.source(URL_A, randomBytes(KIB))
  const file = join(api.bed.directory, 'headers')
  await writeFile(file, '# for the mirror\nAuthorization: Bearer abc\n\n')
  assert.equal((await run(api, 'get', URL_A, '--header', `@${file}`, '--header', 'X-A: b')).code, 0)
  assert.deepEqual(source.headers, { authorization: 'Bearer abc', 'x-a': 'b' })
})

test('Ctrl-C ends a get, and the agent lets it go', async (t) => {
  const api = await TestApi.open(t, ['n1', 'seed1'])
  api.bed.cluster.source(URL_A, randomBytes(8 * KIB), new Promise(() => undefined))
  const output = join(api.bed.directory, 'never')
  const getting = start(api, ['get', URL_A, '-o', output])
  await until(() => api.bed.of('n1').gets()[0]?.haveBytes === 3 * KIB)
  getting.child.kill('SIGINT')
  const result = await getting.result
  assert.equal(result.code, 130)
  assert.match(result.stderr, /interrupted; what arrived is kept/)
  await until(() => api.bed.of('n1').gets()[0]?.state === 'cancelled')
  await assert.rejects(readFile(output))
})

test('Ctrl-C ends a delivery; a CLI that is killed leaves it running', async (t) => {
  const api = await TestApi.open(t, ['n1', 'n2'])
  api.bed.cluster.source(URL_A, randomBytes(8 * KIB), new Promise(() => undefined))
  const stateOf = (id: string): string | undefined => api.bed.of('n1').find(id)?.info().state
  const interrupted = start(api, ['send', URL_A, '--to', 'all', '--id', 'interrupted'])
  await until(() => stateOf('interrupted') === 'running')
  // The command knows its delivery from the first event on.
  await until(() => api.bed.node('n2').transfers.size > 0)
  interrupted.child.kill('SIGINT')
  const result = await interrupted.result
  assert.equal(result.code, 130, result.stderr)
  await until(() => stateOf('interrupted') === 'cancelled')

  const killed = start(api, ['send', URL_A, '--to', 'all', '--id', 'killed'])
  await until(() => stateOf('killed') === 'running')
  killed.child.kill('SIGKILL')
  await killed.result
  await until(() => api.requests.filter(({ route }) => route === '/v1/deliveries').length === 2)
  assert.equal(stateOf('killed'), 'running')
})

test('a reader that stops reading is no failure', async (t) => {
  const api = await TestApi.open(t, ['n1'])
  const listing = start(api, ['content', 'ls'])
  listing.child.stdout?.destroy()
  assert.equal((await listing.result).stderr, '')
})

test('no command but agent loads anything of the agent before something failed', async () => {
  const seen = new Set<string>()
  const walk = async (file: string): Promise<void> => {
    if (seen.has(file)) return
    seen.add(file)
    const text = await readFile(file, 'utf8')
    for (const [, specifier = ''] of text.matchAll(/^(?:import|export) [^'"\n(]*['"](\.[^'"]+)['"]/gm))
      await walk(join(file, '..', specifier))
  }
  for (const name of ['main', 'get', 'send', 'content', 'delivery', 'members', 'cluster', 'messages', 'state', 'keys'])
    await walk(join(import.meta.dirname, `${name}.js`))
  assert.deepEqual(
    [...seen].filter((file) => !file.startsWith(import.meta.dirname)),
    [],
  )
  assert.ok(seen.size > 8, 'the walk found what is there')
})
