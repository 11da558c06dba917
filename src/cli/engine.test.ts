import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import test from 'node:test'

test('this engine knows all that it is told: it says so where it does not, but goes on', () => {
  const script = `import { tuneEngine } from '${new URL('engine.js', import.meta.url).href}'; tuneEngine()`
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' })
})
