import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { hostFacts, loadConfig } from './load.ts'
import type { TestContext } from 'node:test'

function load(file: string): Promise<unknown> {
  return loadConfig({ file, flags: {}, environment: {} })
}

async function writeConfig(t: TestContext, content: string | Uint8Array): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'polycast-config-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const path = join(directory, 'agent.yaml')
  await writeFile(path, content)
  return path
}

test('the file is named by the argument, or by POLYCAST_CONFIG', async (t) => {
  const path = await writeConfig(t, 'name: from-file\ndata: data\n')
  const byArgument = await loadConfig({ file: path, flags: {}, environment: {} })
  assert.equal(byArgument.config.name, 'from-file')
  assert.equal(byArgument.config.dataDirectory, join(path, '../data'))
  const byVariable = await loadConfig({ flags: { name: 'from-flag' }, environment: { POLYCAST_CONFIG: path } })
  assert.equal(byVariable.config.name, 'from-flag')
  assert.equal(byVariable.origins.dataDirectory.where, `${path}:2`)
  assert.equal((await loadConfig({ flags: { name: 'n' }, environment: {} })).origins.dataDirectory.source, 'default')
})

test('a file that cannot be read or is no text is an error that says why', async (t) => {
  const path = await writeConfig(t, new Uint8Array([0x6e, 0x3a, 0xff, 0xfe]))
  await assert.rejects(load(path), { code: 'config-unreadable', message: /not UTF-8/ })
  await assert.rejects(load(join(path, '../missing')), { code: 'config-unreadable', message: /does not exist/ })
  await assert.rejects(load(join(path, '..')), { code: 'config-unreadable', message: /is a directory/ })
  await assert.rejects(load(await writeConfig(t, `# ${'x'.repeat(2_000_000)}`)), {
    code: 'config-unreadable',
    message: /more than 1048576 bytes/,
  })
})

test('the state directory follows XDG_STATE_HOME where that is absolute', () => {
  assert.equal(hostFacts({ XDG_STATE_HOME: '/var/state' }).stateDirectory, '/var/state')
  assert.match(hostFacts({ XDG_STATE_HOME: 'state' }).stateDirectory, /\/\.local\/state$/)
  assert.match(hostFacts({}).stateDirectory, /\/\.local\/state$/)
})
