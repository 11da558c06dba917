import assert from 'node:assert/strict'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'node:test'
import { runChild } from './child.ts'

const ROOT = path.resolve(import.meta.dirname, '../../..')

/** What must not be in core, each as a line of code. */
const FORBIDDEN = {
  Date: 'export const a = Date.now()',
  'Math.random': 'export const a = Math.random()',
  performance: 'export const a = performance.now()',
  setTimeout: 'setTimeout(f, 1)',
  setInterval: 'setInterval(f, 1)',
  setImmediate: 'setImmediate(f)',
  queueMicrotask: 'queueMicrotask(f)',
  Promise: 'export const a = Promise.resolve()',
  Buffer: 'export const a = Buffer.alloc(1)',
  process: 'export const a = process.pid',
  crypto: 'export const a = crypto.randomUUID()',
  globalThis: 'export const a = globalThis.f',
}

test('lint refuses clocks, timers, chance and the platform in core, and nowhere else', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'polycast-test-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  await copyFile(path.join(ROOT, '.oxlintrc.json'), path.join(folder, '.oxlintrc.json'))
  for (const room of ['src/core/swarm', 'src/agent']) {
    await mkdir(path.join(folder, room), { recursive: true })
    for (const [name, source] of Object.entries(FORBIDDEN)) await writeFile(path.join(folder, room, `${name}.ts`), `${source}\n`)
  }
  const lint = [path.join(ROOT, 'node_modules/oxlint/bin/oxlint'), '--format=unix']
  const { output } = await runChild(process.execPath, lint, { cwd: folder, limitMs: 60_000 })
  for (const name of Object.keys(FORBIDDEN)) assert.match(output, new RegExp(`src/core/swarm/${name}\\.ts.*restricted`), name)
  assert.doesNotMatch(output, /src\/agent.*restricted/)
})
