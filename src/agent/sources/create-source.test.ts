import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { isPolycastError } from '../errors.ts'
import { createSource } from './create-source.ts'

test('the scheme chooses the kind of source', () => {
  assert.equal(createSource(pathToFileURL('/tmp/a b').href).location, '/tmp/a b')
  assert.equal(createSource('http://host/a').location, 'http://host/a')
  assert.equal(createSource('HTTPS://me:pw@Host/a?b').location, 'https://host/a?…')
})

for (const location of ['ftp://host/a', 'host/a', '', 'file://host/a', 'javascript:alert(1)']) {
  test(`no kind of source knows "${location}"`, () => {
    assert.throws(
      () => createSource(location),
      (error) => isPolycastError(error, 'source-unsupported'),
    )
  })
}
