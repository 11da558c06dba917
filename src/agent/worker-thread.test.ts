import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Worker } from 'node:worker_threads'
import { fail, serialiseError, type PolycastError } from './errors.ts'
import { WorkerThread } from './worker-thread.ts'

interface Methods {
  echo: { params: string; result: string }
  refuse: { params: null; result: void }
  die: { params: null; result: void }
  close: { params: null; result: void }
}
interface Said {
  readonly type: 'said'
  readonly what: string
}

const REFUSAL = JSON.stringify(serialiseError(fail('bad-request', { reason: 'it does not want to' })))

/** A worker that runs this after it can be called. */
function threadOf(start: string): { thread: WorkerThread<Methods, { port: number }, Said>; said: string[]; crashes: PolycastError[] } {
  const source = `
    const { parentPort } = require('node:worker_threads')
    parentPort.on('message', ({ id, method, params }) => {
      if (method === 'die') process.exit(3)
      if (method === 'refuse') return parentPort.postMessage({ type: 'error', id, error: ${REFUSAL} })
      parentPort.postMessage({ type: 'result', id, result: params })
    })
    ${start}`
  const said: string[] = []
  const crashes: PolycastError[] = []
  const thread = new WorkerThread<Methods, { port: number }, Said>(new Worker(source, { eval: true }), {
    name: 'test',
    onEvent: ({ what }) => said.push(what),
    onCrash: (error) => crashes.push(error),
  })
  return { thread, said, crashes }
}

const READY = "parentPort.postMessage({ type: 'ready', port: 7 }); parentPort.postMessage({ type: 'said', what: 'hello' })"

test('a worker that is ready answers calls, tells what happens, and is closed', async () => {
  const { thread, said, crashes } = threadOf(READY)
  assert.equal((await thread.ready).port, 7)
  assert.equal(await thread.call('echo', 'one'), 'one')
  await assert.rejects(thread.call('refuse', null), { code: 'bad-request', message: /does not want to/ })
  assert.deepEqual(said, ['hello'])
  await thread.close()
  await thread.close()
  await assert.rejects(thread.call('echo', 'two'), { code: 'shutting-down' })
  assert.deepEqual([thread.isRunning, crashes], [false, []])
})

test('what keeps a worker from starting is the reason, and nobody waits for it afterwards', async () => {
  const reason = JSON.stringify(serialiseError(fail('address-in-use', { address: '127.0.0.1:1', purpose: 'gossip' })))
  const { thread, crashes } = threadOf(`parentPort.postMessage({ type: 'failed', error: ${reason} })`)
  await assert.rejects(thread.ready, { code: 'address-in-use' })
  await assert.rejects(thread.call('echo', 'one'), { code: 'shutting-down' })
  await thread.close()
  assert.deepEqual(crashes, [])
})

test('a worker that breaks before it is ready is a failed start', async () => {
  const { thread, crashes } = threadOf("throw new Error('broken')")
  await assert.rejects(thread.ready, /broken/)
  assert.deepEqual(crashes, [])
})

test('a worker that ends by itself leaves no call waiting, and is reported once', async () => {
  const { thread, crashes } = threadOf(READY)
  await thread.ready
  await assert.rejects(thread.call('die', null), { code: 'internal', message: /test worker ended with code 3/ })
  await assert.rejects(thread.call('echo', 'one'), { code: 'shutting-down' })
  assert.equal(crashes.length, 1)
})
