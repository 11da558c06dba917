import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { isPolycastError } from '../errors.ts'
import { digestOfFile, parseDigest } from './digest.ts'

test('digests of a file, of several reads', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'polycast-digest-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const path = join(directory, 'f')
  const bytes = Buffer.alloc(3 * 1024 * 1024 + 17, 'polycast ')
  await writeFile(path, bytes)
  assert.equal(await digestOfFile(path, 'sha256'), createHash('sha256').update(bytes).digest('hex'))
  await writeFile(path, '')
  // The vector of the empty input, from the BLAKE3 specification.
  assert.equal(await digestOfFile(path, 'blake3'), 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262')
  await assert.rejects(digestOfFile(join(directory, 'none'), 'blake3'), (error) => isPolycastError(error, 'path-not-found'))
  await assert.rejects(digestOfFile(path, 'sha256', AbortSignal.abort()), (error) => isPolycastError(error, 'cancelled'))
})

test('digests are parsed', () => {
  assert.equal(parseDigest(`SHA256:${'AB'.repeat(32)}`).text, `sha256:${'ab'.repeat(32)}`)
  assert.equal(parseDigest(`blake3:${'ab'.repeat(32)}`).algorithm, 'blake3')
  for (const text of ['', 'sha256:', `md5:${'ab'.repeat(32)}`, 'sha256:zz', `sha256:${'ab'.repeat(33)}`]) {
    assert.throws(
      () => parseDigest(text),
      (error) => isPolycastError(error, 'usage'),
    )
  }
})
