/** Commands of event handlers for real: what they are given, what is kept of them, and how they end. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { systemClock } from '#src/agent/clock.js'
import { FakeCluster } from '#src/agent/deliveries/fake-cluster.js'
import { until } from '#src/agent/deliveries/test-time.js'
import { parseHandler } from '#src/agent/gossip/handler-spec.js'
import { EventHandlers } from '#src/agent/gossip/handlers.js'
import { FakeGossip } from '#src/agent/gossip/testing/fake-gossip.js'
import { MAX_OUTPUT_BYTES, runScript } from '#src/agent/gossip/script.js'
import type { ScriptEnd, ScriptRun } from '#src/agent/gossip/script.js'

function run(script: string, more: Partial<ScriptRun> = {}): Promise<ScriptEnd & { text: string }> {
  const environment = { PATH: process.env['PATH'] }
  const signal = new AbortController().signal
  const started = runScript({ script, environment, input: new Uint8Array(), timeoutMs: 30_000, signal, ...more })
  return started.then((end) => ({ ...end, text: Buffer.from(end.output).toString() }))
}

/** Whether a process is there, a dead one that nobody has waited for not counted. */
async function isRunning(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return stat !== '' && !/\) [ZX] /.test(stat)
}

test('a command has its arguments, environment and input; both outputs are kept', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'polycast-script-'))
  t.after(() => rm(directory, { recursive: true }))
  const path = join(directory, 'handler.sh')
  await writeFile(path, 'echo "$1 $SERF_EVENT"; cat; echo problem >&2\n')
  const end = await run(`sh ${path} one`, { input: Buffer.from('in\n'), environment: { PATH: process.env['PATH'], SERF_EVENT: 'user' } })
  assert.deepEqual([end.result, end.text, end.isCut], ['done', 'one user\nin\nproblem\n', false])
})

test('of a long output the end is kept', async () => {
  const end = await run(`head -c 20000 /dev/zero | tr '\\0' a; echo end`)
  assert.deepEqual([end.output.length, end.isCut, end.text.slice(-5)], [MAX_OUTPUT_BYTES, true, 'aend\n'])
})

test('failures say how', async () => {
  assert.equal((await run('exit 3')).reason, 'its exit code is 3')
  assert.equal((await run('kill -9 $$')).reason, 'it was ended by SIGKILL')
  assert.equal((await run('/no/such/thing')).result, 'failed')
  assert.equal((await run('x', { environment: { A: 'a\0b' } })).result, 'failed')
})

test('a command that reads nothing is no failure, however much it is given', async () => {
  assert.equal((await run('exit 0', { input: new Uint8Array(1_000_000) })).result, 'done')
})

test('a command whose time is over ends with all that it started', async () => {
  const end = await run('sleep 60 & echo $!; wait', { timeoutMs: 100 })
  assert.deepEqual([end.result, end.reason], ['timed-out', 'its time was over'])
  assert.equal(await isRunning(Number(end.text)), false)
})

test('what its agent stops ends too, even where it does not want to', async () => {
  const stopping = new AbortController()
  const running = run('trap "" TERM; echo $$; while :; do sleep 0.1; done', { signal: stopping.signal })
  setTimeout(() => {
    stopping.abort()
  }, 50)
  const end = await running
  assert.equal(end.result, 'stopped')
  assert.equal(await isRunning(Number(end.text)), false)
  assert.equal((await run('sleep 60', { signal: AbortSignal.abort() })).result, 'stopped')
})

test('a handler is called with the event, and what it prints answers the query', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'polycast-handlers-'))
  t.after(() => rm(directory, { recursive: true }))
  const node = await new FakeCluster(directory).start('n1', { role: 'web' })
  const gossip = new FakeGossip(node.membership)
  const warnings: unknown[] = []
  const results: string[] = []
  const handlers = [
    `user:deploy=cat > ${directory}/deployed; echo "$SERF_USER_EVENT" >> ${directory}/deployed`,
    'query:load=read ask; echo "$POLYCAST_SELF_ROLE $ask"',
  ]
    .map(parseHandler)
    .filter((handler) => typeof handler !== 'string')
  const running = new EventHandlers({
    handlers,
    gossip,
    clock: systemClock,
    timeoutMs: 30_000,
    environment: process.env,
    run: runScript,
    log: { debug: () => undefined, warn: (fields) => warnings.push(fields) },
    onCall: (result) => results.push(result),
  })
  await gossip.event('deploy', Buffer.from('v2'))
  gossip.incomingQueries.call({ id: 5, name: 'load', payload: Buffer.from('now'), from: 'n2', time: 1, deadlineAt: Date.now() + 30_000 })
  await until(() => results.length === 2 && gossip.responses.length === 1)
  await running.close()
  assert.deepEqual([gossip.responses[0]?.id, Buffer.from(gossip.responses[0]?.payload ?? []).toString()], [5, 'web now\n'])
  assert.equal(await readFile(join(directory, 'deployed'), 'utf8'), 'v2\ndeploy\n')
  assert.deepEqual(warnings, [])
})
