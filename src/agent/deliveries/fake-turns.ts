/** Turns of the event loop, and promises that die with their node: see fake-cluster.ts. */
import type { FakeNode } from './fake-node.ts'

/** The next turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** What the promise gives, unless the node has crashed by then: then nothing ever. */
export async function alive<T>(node: FakeNode, promise: Promise<T>): Promise<T> {
  try {
    return await promise
  } finally {
    if (!node.isAlive) await node.cluster.never()
  }
}
