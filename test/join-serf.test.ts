/** The example that joins a Serf cluster by the library alone, against a real one. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { test } from 'node:test'
import { nextAddress, until } from './cluster.ts'
import { MixedCluster, serfMissing } from './serf-agents.ts'

test('examples/join-serf.mjs is a member like any other', { skip: serfMissing }, async (t) => {
  const mixed = await MixedCluster.open(t)
  const s1 = await mixed.startSerf('s1')
  const s2 = await mixed.startSerf('s2', { join: [s1] })
  const script = path.resolve(import.meta.dirname, '../../examples/join-serf.mjs')
  const child = spawn(process.execPath, [script, nextAddress(), s1.gossip], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  let printed = ''
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (printed += piece))
  for (const serf of [s1, s2]) {
    await until(`${serf.name} sees it`, async () => {
      const member = (await serf.members()).find(({ name }) => name === 'example')
      return member?.status === 'alive' && member.tags['role'] === 'example'
    })
  }
  await until('it knows both', () => ['member s1 joined alive', 'member s2 joined alive'].every((line) => printed.includes(line)))
  await s2.output('event', '-coalesce=false', 'deploy', 'v1')
  await until('it hears the event', () => printed.includes('event deploy v1'))
  await until('it acknowledges a query', async () => {
    const { Acks: acks } = JSON.parse(await s1.output('query', '-format=json', '-timeout=1s', 'load')) as { Acks: string[] }
    return acks.includes('example')
  })
  assert.match(await s1.output('query', '-timeout=1s', 'uptime'), /Response from 'example': \d+ s/)
  await s2.end('SIGKILL')
  await until('it sees who died', () => printed.includes('member s2 failed failed'))
  assert.equal(printed.split('event deploy').length, 2, 'once')
  child.kill('SIGINT')
  await until('s1 sees it leave', async () => (await s1.members()).find(({ name }) => name === 'example')?.status === 'left')
  if (child.exitCode === null) await once(child, 'exit')
  assert.equal(child.exitCode, 0)
})
