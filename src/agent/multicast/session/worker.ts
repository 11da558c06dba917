/** The thread of multicast sessions: its senders wait in it, which nothing else in the process is to notice. */
import { parentPort } from 'node:worker_threads'
import { loadKernel } from '../../../core/multicast/fec/load-kernel.ts'
import type { FromSessionWorker, ToSessionWorker } from './protocol.ts'
import { SessionHost } from './session-host.ts'

const port = parentPort!
const post = (message: FromSessionWorker, transfer: readonly ArrayBuffer[] = []): void => port.postMessage(message, [...transfer])

const { code, sipHash } = loadKernel()
const host = new SessionHost({ code, tagMaker: (key) => (packet) => sipHash(key, packet), post })

port.on('message', (message: ToSessionWorker) => host.handle(message))
