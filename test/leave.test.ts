/** An agent that is told to leave by its API, as a process: it answers, and then it ends in order. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cluster, until } from './cluster.ts'

test('polycast leave is answered, and the agent ends', async (t) => {
  const cluster = await Cluster.open(t)
  const agent = await cluster.start('n1')
  const left = await agent.cli('leave', '--json')
  assert.deepEqual([left.code, left.stdout], [0, '{"isDone":true}\n'], left.stderr)
  await until('the agent ends', () => !agent.isRunning)
  assert.ok(agent.log.some(({ msg, reason }) => msg === 'stopping' && reason === 'leave'))
  assert.ok(!agent.log.some(({ level }) => level === 'error'))
})
