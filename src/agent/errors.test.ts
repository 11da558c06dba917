import assert from 'node:assert/strict'
import { mkdtemp, open, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  ERRORS,
  PolycastError,
  asPolycastError,
  deserialiseError,
  errnoOf,
  fail,
  fromErrno,
  isPolycastError,
  placeholders,
  serialiseError,
} from './errors.ts'
import type { ErrnoContext, ErrorCode, ErrorRow } from './errors.ts'

const codes = Object.keys(ERRORS) as ErrorCode[]

function example(code: ErrorCode): PolycastError {
  const row: ErrorRow = ERRORS[code]
  const names = placeholders(row.message + row.advice)
  return new PolycastError(code, Object.fromEntries(names.map((name, index) => [name, index === 0 ? `the-${name}` : index])))
}

test('every row is a sentence with an advice, a status and an exit code', () => {
  for (const code of codes) {
    const row: ErrorRow = ERRORS[code]
    assert.match(code, /^[a-z]+(-[a-z]+)*$/)
    if (code !== 'usage') assert.match(row.message, /^[A-Z{].*\.$/, code)
    assert.match(row.advice, /^[A-Za-z{]/, code)
    assert.ok(row.status >= 400 && row.status < 600, code)
    assert.ok([1, 2, 3, 4].includes(row.exitCode), code)
  }
})

test('an error is filled from its params and carries what the table says', () => {
  const cause = new Error('disk')
  const error = fail('content-pinned', { id: 'abcd' }, cause)
  assert.equal(error.message, 'The content abcd is pinned, so it is not removed.')
  assert.equal(error.advice, 'Unpin it with: polycast content unpin abcd — or remove it all the same with --force.')
  assert.deepEqual(
    [error.code, error.status, error.exitCode, error.isRetryable, error.name],
    ['content-pinned', 409, 1, false, 'PolycastError'],
  )
  assert.equal(error.cause, cause)
  assert.ok(isPolycastError(error) && isPolycastError(error, 'content-pinned') && !isPolycastError(error, 'usage'))
})

test('a param that looks like a placeholder or a pattern is put in as it is', () => {
  assert.equal(fail('path-not-found', { path: '/a/{path}/$&' }).message, 'There is no file or directory /a/{path}/$&.')
})

test('every code survives the way to another node', () => {
  for (const code of codes) {
    const error = example(code)
    const back = deserialiseError(JSON.parse(JSON.stringify(serialiseError(error))))
    assert.deepEqual(serialiseError(back), serialiseError(error))
    assert.doesNotMatch(back.message + back.advice, /\{\w+\}/, code)
  }
})

test('what is sent holds neither stack nor cause', () => {
  const body = serialiseError(fail('no-space', { path: '/d' }, new Error('secret')))
  assert.deepEqual(Object.keys(body).sort(), ['advice', 'code', 'exitCode', 'isRetryable', 'message', 'params'])
  assert.ok(!JSON.stringify(body).includes('secret'))
})

test('an error that is not of the table is internal', () => {
  const error = asPolycastError(new TypeError('x is undefined'))
  assert.equal(error.code, 'internal')
  assert.match(error.message, /x is undefined/)
  assert.equal(asPolycastError('text').message, 'This should not have happened: text.')
})

test('what another node sends is never believed beyond its bounds', () => {
  for (const body of [
    undefined,
    null,
    7,
    'x',
    [],
    {},
    { code: 7 },
    { code: 'constructor' },
    { code: '__proto__' },
    { code: 'no-space' },
    { code: 'no-space', params: { path: {} } },
  ]) {
    assert.equal(deserialiseError(body).code, 'internal')
  }
  assert.match(deserialiseError({ code: 'from-the-future', message: 'The moon is full.' }).message, /from-the-future: The moon is full/)
  const long = deserialiseError({ code: 'no-space', params: { path: `\u001b[2J${'x'.repeat(100_000)}` } })
  assert.equal(long.code, 'no-space')
  assert.ok(long.message.length < 5000)
  assert.ok(!long.message.includes('\u001b'))
})

test('an errno is named by what was being done', () => {
  const path = '/data/in/file'
  const cases: [string, ErrnoContext, ErrorCode][] = [
    ['ENOSPC', { doing: 'write-dest', path }, 'no-space'],
    ['EDQUOT', { doing: 'data-dir', path }, 'no-space'],
    ['EACCES', { doing: 'write-dest', path }, 'dest-not-writable'],
    ['EROFS', { doing: 'write-dest', path }, 'dest-not-writable'],
    ['ENOENT', { doing: 'write-dest', path }, 'dest-missing-directory'],
    ['ENOTDIR', { doing: 'write-dest', path }, 'dest-missing-directory'],
    ['EISDIR', { doing: 'write-dest', path }, 'dest-exists-as-directory'],
    ['EEXIST', { doing: 'write-dest', path }, 'dest-exists'],
    ['ENOENT', { doing: 'read-path', path }, 'path-not-found'],
    ['ENOTDIR', { doing: 'read-path', path }, 'path-not-found'],
    ['EACCES', { doing: 'read-path', path }, 'path-not-readable'],
    ['EACCES', { doing: 'data-dir', path }, 'data-dir-unusable'],
    ['ENOTDIR', { doing: 'data-dir', path }, 'data-dir-unusable'],
    ['EADDRINUSE', { doing: 'listen', address: '127.0.0.1:1', purpose: 'gossip' }, 'address-in-use'],
    ['EADDRNOTAVAIL', { doing: 'listen', address: '127.0.0.1:1', purpose: 'gossip' }, 'address-unusable'],
    ['ECONNREFUSED', { doing: 'call-member', address: '127.0.0.1:1' }, 'member-unreachable'],
    ['ECONNREFUSED', { doing: 'call-api', url: 'http://127.0.0.1:1' }, 'api-unreachable'],
    ['ECONNRESET', { doing: 'fetch-source', url: 'http://127.0.0.1:1' }, 'source-failed'],
    ['EMFILE', { doing: 'read-path', path }, 'too-many-open-files'],
  ]
  for (const [errno, context, code] of cases) {
    const error = fromErrno(Object.assign(new Error('from Node'), { code: errno }), context)
    assert.equal(error.code, code, `${errno} while ${context.doing}`)
  }
  assert.equal(fromErrno(Object.assign(new Error('x'), { code: 'ENOENT' }), { doing: 'write-dest', path }).params['path'], '/data/in')
  assert.equal(fromErrno(Object.assign(new Error('x'), { code: 'ERR_ASSERTION' }), { doing: 'read-path', path }).code, 'internal')
  const own = fail('cancelled', { reason: 'Ctrl-C' })
  assert.equal(fromErrno(own, { doing: 'read-path', path }), own)
})

test('the errnos of a real file system and a real socket are recognised', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'polycast-errors-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const missing = join(directory, 'missing')
  const readError = await readFile(missing).catch((error: unknown) => error)
  assert.equal(fromErrno(readError, { doing: 'read-path', path: missing }).code, 'path-not-found')
  const writeError = await open(directory, 'w').catch((error: unknown) => error)
  assert.equal(fromErrno(writeError, { doing: 'write-dest', path: directory }).code, 'dest-exists-as-directory')

  const first = createServer()
  await new Promise<void>((resolve) => first.listen(0, '127.0.0.1', resolve))
  t.after(() => first.close())
  const address = first.address()
  assert.ok(address !== null && typeof address === 'object')
  const second = createServer()
  const listenError = await new Promise((resolve) => second.once('error', resolve).listen(address.port, '127.0.0.1'))
  const error = fromErrno(listenError, { doing: 'listen', address: `127.0.0.1:${address.port}`, purpose: 'gossip' })
  assert.equal(error.code, 'address-in-use')
})

test('an errno is found in causes and in aggregated errors', () => {
  const inner = Object.assign(new Error('inner'), { code: 'ECONNREFUSED' })
  assert.equal(errnoOf(new Error('outer', { cause: inner })), 'ECONNREFUSED')
  assert.equal(errnoOf(new AggregateError([inner])), 'ECONNREFUSED')
  assert.equal(errnoOf(new Error('none')), undefined)
  const loop: { cause?: unknown } = {}
  loop.cause = loop
  assert.equal(errnoOf(loop), undefined)
})
