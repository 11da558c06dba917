/** The data plane's thread: answers the main thread's calls with what `Node` does, and carries the node's events to it. */
import { parentPort, workerData } from 'node:worker_threads'
import { deserialiseError, serialiseError } from '../errors.ts'
import { DataNode } from './data-node.ts'
import type { FromWorker, ToWorker, WorkerMethod, WorkerMethods, WorkerOptions } from './worker-protocol.ts'

const port = parentPort!
const post = (message: FromWorker): void => port.postMessage(message)

const answers: Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }> = new Map()
let nextCall = 1

const node = new DataNode(workerData as WorkerOptions, {
  post,
  incomingCall: (method, params, from) =>
    new Promise((resolve, reject) => {
      const id = nextCall++
      answers.set(id, { resolve, reject })
      post({ type: 'incoming-call', id, method, params, from })
    }),
})

port.on('message', (message: ToWorker) => {
  if (message.type === 'answer') {
    const waiting = answers.get(message.id)
    answers.delete(message.id)
    if (message.error === undefined) waiting?.resolve(message.result)
    else waiting?.reject(deserialiseError(message.error))
    return
  }
  void run(message.id, message.method, message.params)
})

async function run(id: number, method: WorkerMethod, params: unknown): Promise<void> {
  try {
    const result = await node.handle(method, params as WorkerMethods[WorkerMethod]['params'])
    post({ type: 'result', id, result })
  } catch (error) {
    post({ type: 'error', id, error: serialiseError(error) })
  }
}

try {
  post({ type: 'ready', swarmPort: await node.start() })
} catch (error) {
  post({ type: 'failed', error: serialiseError(error) })
}
