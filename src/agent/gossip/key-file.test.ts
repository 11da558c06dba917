import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isPolycastError } from '../errors.ts'
import { readKeyFile, writeKeyFile } from './key-file.ts'

function fileWith(t: TestContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'polycast-keys-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'keys')
  writeFileSync(path, text)
  return path
}

const KEYS = [new Uint8Array(32).fill(1), new Uint8Array(16).fill(2)]
const [FIRST, SECOND] = KEYS.map((key) => Buffer.from(key).toString('base64'))

test("keys are read from lines and from Serf's file, and written as the latter for this user alone", (t) => {
  const path = fileWith(t, `${FIRST}\n${SECOND}\n`)
  assert.deepEqual(readKeyFile(path), KEYS)
  writeKeyFile(path, [...KEYS].reverse())
  assert.deepEqual(readKeyFile(path), [...KEYS].reverse())
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), [SECOND, FIRST])
  assert.equal(statSync(path).mode & 0o777, 0o600)
})

for (const [what, text, reason] of [
  ['nothing', '\n', /holds no keys.*polycast keygen/],
  ['a key of another length', 'c2hvcnQ=', /key 1 has 5 bytes/],
  ['broken JSON', '["a', /holds no keys/],
  ['too many keys', Array.from({ length: 17 }, () => FIRST).join('\n'), /17 keys, and 16/],
] as const) {
  test(`a file with ${what} is refused, and no key is told`, (t) => {
    const path = fileWith(t, text)
    assert.throws(
      () => readKeyFile(path),
      (error) => isPolycastError(error) && reason.test(error.message) && !error.message.includes('c2hvcnQ'),
    )
  })
}
