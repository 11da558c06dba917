/** The gossip worker's thread: answers the main thread's calls with what `GossipNode` does, and carries its events there. */
import { parentPort, workerData } from 'node:worker_threads'
import { serialiseError } from '../errors.ts'
import { GossipNode } from './gossip-node.ts'
import type { FromGossipWorker, GossipWorkerOptions, ToGossipWorker } from './worker-protocol.ts'

const port = parentPort!
const post = (message: FromGossipWorker): void => port.postMessage(message)

async function run(node: GossipNode, { id, method, params }: ToGossipWorker): Promise<void> {
  try {
    post({ type: 'result', id, result: await node.handle(method, params as never) })
  } catch (error) {
    post({ type: 'error', id, error: serialiseError(error) })
  }
}

try {
  const node = new GossipNode(workerData as GossipWorkerOptions, post)
  port.on('message', (call: ToGossipWorker) => void run(node, call))
  await node.start()
} catch (error) {
  post({ type: 'failed', error: serialiseError(error) })
}
