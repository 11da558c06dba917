import assert from 'node:assert/strict'
import test from 'node:test'
import { isPolycastError } from '../errors.ts'
import { loggable, parseGetSource, parseSendSource } from './source-name.ts'

test('what a source may be', () => {
  const id = 'ab'.repeat(32)
  assert.deepEqual(parseGetSource(id.toUpperCase()), { kind: 'id', id })
  assert.deepEqual(parseGetSource('deadbeef'), { kind: 'id', id: 'deadbeef' })
  assert.deepEqual(parseGetSource('http://h/a?b=1#c'), { kind: 'url', url: 'http://h/a?b=1', headers: {} })
  assert.deepEqual(parseGetSource('file:///a%20b'), { kind: 'path', path: '/a b' })
  assert.deepEqual(parseSendSource('/a/../b'), { kind: 'path', path: '/b' })
  assert.deepEqual(parseSendSource('https://h/'), { kind: 'url', url: 'https://h/', headers: {} })
})

test('what it may not be', () => {
  for (const text of ['', 'abc', 'a/b', 'http://', 'http://h:99999/', `http://h/${'x'.repeat(9000)}`, 'file://elsewhere/x']) {
    assert.throws(
      () => parseGetSource(text),
      (error) => isPolycastError(error, 'source-unsupported'),
      text,
    )
  }
})

test('credentials of a URL become a header, those of a malformed one are not shown', () => {
  const { url, headers } = parseGetSource('https://ann:p%40ss%@h/x') as { url: string; headers: Record<string, string> }
  assert.equal(url, 'https://h/x')
  assert.equal(headers['authorization'], `Basic ${Buffer.from('ann:p@ss%').toString('base64')}`)
  assert.equal(
    (parseGetSource('https://ann:x@h/', { Authorization: 'Bearer t' }) as { headers: Record<string, string> }).headers['authorization'],
    'Bearer t',
  )
  assert.throws(
    () => parseGetSource('https://ann:secret@h:99999/'),
    (error) => error instanceof Error && !error.message.includes('secret'),
  )
})

test('headers that HTTP does not allow are refused without being shown', () => {
  for (const headers of [{ 'a b': 'x' }, { a: 'secret\r\nx: y' }, { a: 'secret'.repeat(5000) }]) {
    assert.throws(
      () => parseGetSource('http://h/', headers),
      (error) => isPolycastError(error, 'usage') && !error.message.includes('secret'),
    )
  }
})

test('a query may hold a signature, so it is not logged', () => {
  assert.equal(loggable('https://h/a?X-Amz-Signature=abc'), 'https://h/a?…')
  assert.equal(loggable('/a?b'), '/a?b')
})
