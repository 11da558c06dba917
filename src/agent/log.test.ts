import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fail } from './errors.ts'
import { createLogger, roomLogger } from './log.ts'
import { scrub, scrubText } from './log-scrub.ts'
import type { LogOptions, Logger } from './log.ts'

function capture(options: Partial<LogOptions> = {}): { log: Logger; lines: string[] } {
  const lines: string[] = []
  return {
    log: createLogger({ level: 'trace', format: 'json', node: 'n1', ...options, destination: { write: (line) => lines.push(line) } }),
    lines,
  }
}

test('a line is JSON with time, level, node, room, fields and message', () => {
  const { log, lines } = capture()
  roomLogger(log, 'swarm').info({ peer: 'n2', bytes: 7 }, 'peer %s joined', 'n2')
  const { time, ...rest } = JSON.parse(lines[0] ?? '') as Record<string, unknown>
  assert.match(String(time), /^\d{4}-\d\d-\d\dT.*Z$/)
  assert.deepEqual(rest, { level: 'info', node: 'n1', room: 'swarm', peer: 'n2', bytes: 7, msg: 'peer n2 joined' })
})

test('what is below the level is not logged', () => {
  const { log, lines } = capture({ level: 'warn' })
  roomLogger(log, 'store').info('no')
  log.warn('yes')
  assert.equal(lines.length, 1)
})

test('text lines have the same, with errors and without control characters', () => {
  const { log, lines } = capture({ format: 'text' })
  roomLogger(log, 'http').warn({ path: '/a b', err: new Error('broken') }, 'odd\u001b[2J name')
  assert.match(lines[0] ?? '', /^\S+Z WARN {2}http: odd\\u001b\[2J name path="\/a b"\n {4}Error: broken\n/)
  assert.ok(lines[0]?.endsWith('\n'))
})

test('no way of logging lets a secret through', () => {
  const secret = 'hunter2hunter2'
  const url = `https://ann:${secret}@files.example/a?X-Amz-Signature=${secret}&part=1`
  const error = fail('source-failed', { url, reason: `Authorization: Bearer ${secret}` }, new Error(`fetching ${url}`))
  const headers = { Authorization: `Bearer ${secret}`, 'X-Own-Way': secret, 'Content-Length': '7' }
  const ways: ((log: Logger) => void)[] = [
    (log) => log.info(`get ${url}`),
    (log) => log.info('get %s', url),
    (log) => log.info({ url }, 'get'),
    (log) => log.info({ url: new URL(url) }, 'get'),
    (log) => log.info('get %o', { headers }),
    (log) => log.info({ request: { headers } }, 'get'),
    (log) => log.info({ rawHeaders: ['Accept', 'x', 'Authorization', `Own ${secret}`] }, 'get'),
    (log) => log.info({ deep: { list: [{ password: secret }] } }, 'get'),
    (log) => log.info({ token: secret, cookie: [secret] }, 'get'),
    (log) => log.child({ url, apiKey: secret }).info('get'),
    (log) => log.error(error),
    (log) => log.error(error, `failed: ${url}`),
    (log) => log.error({ err: error }, 'failed'),
    (log) => log.error({ error }, 'failed'),
    (log) => log.error({ err: new Error('outer', { cause: error }) }, 'failed'),
    (log) => log.error({ results: new Map([['a', new Set([url])]]) }, 'failed'),
  ]
  for (const format of ['json', 'text'] as const) {
    for (const way of ways) {
      const { log, lines } = capture({ format })
      way(log)
      assert.equal(lines.length, 1, String(way))
      assert.ok(!lines[0]?.includes(secret), `${String(way)} wrote ${lines[0]}`)
    }
  }
})

test('what is no secret stays readable', () => {
  assert.equal(scrubText('GET https://files.example:8080/a@b?part=1#top'), 'GET https://files.example:8080/a@b?part=1#top')
  assert.equal(scrubText('https://ann@x/a?X-Amz-Signature=abc&part=1'), 'https://[secret]@x/a?X-Amz-Signature=[secret]&part=1')
  assert.equal(scrubText('Cookie: a=b; c=d'), 'Cookie: [secret]')
  assert.deepEqual(scrub({ headers: { ETag: '"x"', Cookie: 'y' } }), { headers: { ETag: '"x"', Cookie: '[secret]' } })
})

test('an error keeps its code, params, stack and cause', () => {
  const logged = scrub(fail('no-space', { path: '/d' }, new Error('ENOSPC'))) as Record<string, unknown>
  assert.equal(logged['type'], 'PolycastError')
  assert.equal(logged['code'], 'no-space')
  assert.deepEqual(logged['params'], { path: '/d' })
  assert.match(String(logged['stack']), /^PolycastError: The disk/)
  assert.equal((logged['cause'] as Record<string, unknown>)['message'], 'ENOSPC')
})

test('one line is bounded, and cycles end', () => {
  const cycle: Record<string, unknown> = {
    bytes: new Uint8Array(1000),
    many: Array.from({ length: 5000 }, (_, index) => index),
    text: 'x'.repeat(1_000_000),
  }
  cycle['self'] = cycle
  const { log, lines } = capture()
  log.info(cycle, 'y'.repeat(1_000_000))
  assert.ok((lines[0]?.length ?? 0) < 100_000)
  assert.match(lines[0] ?? '', /\[1000 bytes\]/)
})
