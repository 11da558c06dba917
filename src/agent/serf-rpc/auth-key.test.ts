import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { isPolycastError } from '../errors.ts'
import { readAuthKey } from './auth-key.ts'

test('a key is read from its file, and what is none is refused without being said', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'polycast-auth-key-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = path.join(folder, 'key')
  await writeFile(file, '  s3cret with spaces \n')
  assert.equal(await readAuthKey(file), 's3cret with spaces')
  for (const [text, reason] of [
    [' \n', /empty/],
    ['x'.repeat(5000), /more than 4096/],
  ] as const) {
    await writeFile(file, text)
    await assert.rejects(
      readAuthKey(file),
      (error) => isPolycastError(error, 'config-invalid') && reason.test(error.message) && !error.message.includes('xxx'),
    )
  }
  await assert.rejects(
    readAuthKey(path.join(folder, 'none')),
    (error) => isPolycastError(error, 'config-invalid') && /ENOENT/.test(error.message),
  )
})
