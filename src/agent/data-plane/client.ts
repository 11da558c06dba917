/**
 * The main thread's end of the data plane: starts the worker and turns its messages into the `DataPlane` interface.
 */
import { EventEmitter, once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { asPolycastError, deserialiseError, fail, serialiseError, type PolycastError } from '../errors.ts'
import type {
  Caller,
  ContentInfo,
  DataPlane,
  PublishedContent,
  PublishInput,
  SwarmPeerProgress,
  Ticket,
  Transfer,
  TransferProgress,
} from './data-plane.ts'
import type { CompletedTransfer, FromWorker, ToWorker, WorkerMethod, WorkerMethods, WorkerOptions } from './worker-protocol.ts'

export interface StartOptions {
  readonly worker: WorkerOptions
  /** Half of the young generation of the worker's heap, bytes. */
  readonly semiSpaceBytes: number
  readonly log: (level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>) => void
  /** The worker ended by itself: nothing works any more. */
  readonly onCrash: (error: PolycastError) => void
}

/** For so long after the start a call waits for its method to be declared, ms. */
const START_MS = 5000

type Handler = (params: unknown, from: Caller) => Promise<unknown>

/** Starts the data plane; rejects with what keeps it from starting (`data-dir-locked`, `address-in-use`, …). */
export async function startDataPlane(options: StartOptions): Promise<DataPlane> {
  const worker = new Worker(new URL('./worker.js', import.meta.url), {
    name: 'data',
    workerData: options.worker,
    resourceLimits: { maxYoungGenerationSizeMb: Math.max(1, Math.round((3 * options.semiSpaceBytes) / 2 ** 20)) },
  })
  const swarmPort = await started(worker).catch(async (error: unknown) => {
    await worker.terminate()
    throw error
  })
  return new WorkerDataPlane(worker, swarmPort, options)
}

/** Resolves with the swarm port once the worker is ready. */
function started(worker: Worker): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (error: unknown): void => reject(asPolycastError(error))
    const onMessage = (message: FromWorker): void => {
      if (message.type !== 'ready' && message.type !== 'failed') return
      worker.off('error', onError)
      worker.off('message', onMessage)
      if (message.type === 'ready') resolve(message.swarmPort)
      else reject(deserialiseError(message.error))
    }
    worker.on('error', onError)
    worker.on('message', onMessage)
  })
}

class WorkerDataPlane implements DataPlane {
  readonly swarmPort: number
  readonly #worker: Worker
  readonly #options: StartOptions
  readonly #calls: Map<number, { resolve: (result: never) => void; reject: (error: PolycastError) => void }> = new Map()
  readonly #publishes: Map<
    number,
    { resolve: (sealed: { contentId: string; totalBytes: number }) => void; reject: (error: PolycastError) => void }
  > = new Map()
  readonly #transfers: Map<number, Set<(progress: TransferProgress) => void>> = new Map()
  readonly #watches: Map<number, (progress: { sentBytes: number; peers: SwarmPeerProgress[] }) => void> = new Map()
  readonly #handlers: Map<string, Handler> = new Map()
  /** Emits a method's name when it is declared. */
  readonly #declared: EventEmitter = new EventEmitter()
  readonly #startedAt: number = performance.now()
  #nextId = 1
  #isClosed = false

  constructor(worker: Worker, swarmPort: number, options: StartOptions) {
    this.#worker = worker
    this.swarmPort = swarmPort
    this.#options = options
    worker.on('message', (message: FromWorker) => this.#receive(message))
    worker.on('error', (error) => this.#crashed(asPolycastError(error)))
    worker.on('exit', (code) => this.#crashed(fail('internal', { reason: `the data worker ended with code ${code}` })))
  }

  async publish(input: PublishInput, options: { name?: string }): Promise<PublishedContent> {
    const publishId = this.#nextId++
    const sealed = new Promise<{ contentId: string; totalBytes: number }>((resolve, reject) =>
      this.#publishes.set(publishId, { resolve, reject }),
    )
    // Who does not ask how it ended is not to bring the agent down by that.
    sealed.catch(() => undefined)
    try {
      const ticket = await this.#call('publish', { input, publishId, ...options })
      return { ticket, sealed }
    } catch (error) {
      this.#publishes.delete(publishId)
      throw error
    }
  }

  fetch(ticket: Ticket): Transfer {
    const transferId = this.#nextId++
    const listeners = new Set<(progress: TransferProgress) => void>()
    this.#transfers.set(transferId, listeners)
    const done: Promise<CompletedTransfer> = this.#call('fetch', { ticket, transferId }).finally(() => this.#transfers.delete(transferId))
    done.catch(() => undefined)
    return {
      done,
      onProgress: (listener) => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
      cancel: () => void this.#call('cancelFetch', { transferId }).catch(() => undefined),
    }
  }

  watchSwarm(swarmId: string, listener: (progress: { sentBytes: number; peers: SwarmPeerProgress[] }) => void): () => void {
    const watchId = this.#nextId++
    this.#watches.set(watchId, listener)
    void this.#call('watchSwarm', { swarmId, watchId }).catch(() => undefined)
    return () => {
      this.#watches.delete(watchId)
      void this.#call('unwatchSwarm', { watchId }).catch(() => undefined)
    }
  }

  output(contentId: string, dest: string, options: { allowHardLink?: boolean; overwrite?: boolean }): Promise<{ method: string }> {
    return this.#call('output', { contentId, dest, allowHardLink: options.allowHardLink === true, overwrite: options.overwrite === true })
  }

  contents(): Promise<ContentInfo[]> {
    return this.#call('contents', null)
  }

  content(id: string): Promise<ContentInfo | undefined> {
    return this.#call('content', { id })
  }

  pin(id: string): Promise<void> {
    return this.#call('pin', { id })
  }

  unpin(id: string): Promise<void> {
    return this.#call('unpin', { id })
  }

  remove(id: string, options: { force?: boolean } = {}): Promise<void> {
    return this.#call('remove', { id, force: options.force === true })
  }

  gc(): Promise<{ removed: number; bytes: number }> {
    return this.#call('gc', null)
  }

  verify(id: string): Promise<{ chunks: number; bad: number[] }> {
    return this.#call('verify', { id })
  }

  async call(address: string, method: string, params: unknown, options: { timeoutMs: number; signal?: AbortSignal }): Promise<unknown> {
    const callId = this.#nextId++
    const abort = (): void => void this.#call('cancelCall', { callId }).catch(() => undefined)
    options.signal?.throwIfAborted()
    options.signal?.addEventListener('abort', abort, { once: true })
    try {
      return await this.#call('call', { address, method, params, timeoutMs: options.timeoutMs, callId })
    } finally {
      options.signal?.removeEventListener('abort', abort)
    }
  }

  onCall(method: string, handler: Handler): void {
    this.#handlers.set(method, handler)
    this.#declared.emit(method)
  }

  stats(): Promise<Record<string, number>> {
    return this.#call('stats', null)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    await this.#call('close', null)
    this.#isClosed = true
    await this.#worker.terminate()
  }

  #call<Method extends WorkerMethod>(method: Method, params: WorkerMethods[Method]['params']): Promise<WorkerMethods[Method]['result']> {
    if (this.#isClosed) return Promise.reject(fail('shutting-down', {}))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject })
      this.#post({ type: 'call', id, method, params })
    })
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message)
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case 'result':
        this.#calls.get(message.id)?.resolve(message.result as never)
        this.#calls.delete(message.id)
        return
      case 'error':
        this.#calls.get(message.id)?.reject(deserialiseError(message.error))
        this.#calls.delete(message.id)
        return
      case 'sealed':
        this.#publishes.get(message.publishId)?.resolve({ contentId: message.contentId, totalBytes: message.totalBytes })
        this.#publishes.delete(message.publishId)
        return
      case 'publish-failed':
        this.#publishes.get(message.publishId)?.reject(deserialiseError(message.error))
        this.#publishes.delete(message.publishId)
        return
      case 'progress':
        for (const listener of this.#transfers.get(message.transferId) ?? []) listener(message.progress)
        return
      case 'swarm':
        this.#watches.get(message.watchId)?.({ sentBytes: message.sentBytes, peers: message.peers })
        return
      case 'incoming-call':
        void this.#serve(message.id, message.method, message.params, message.from)
        return
      case 'log':
        this.#options.log(message.level, message.message, message.fields)
        return
      case 'ready':
      case 'failed':
        return
    }
  }

  async #serve(id: number, method: string, params: unknown, from: Caller): Promise<void> {
    try {
      const handler = this.#handlers.get(method) ?? (await this.#handlerSoon(method))
      if (handler === undefined) throw fail('bad-request', { reason: `this node has no method ${method}` })
      this.#post({ type: 'answer', id, result: await handler(params, from) })
    } catch (error) {
      this.#post({ type: 'answer', id, result: null, error: serialiseError(error) })
    }
  }

  /** The handler of a method that is not declared yet: other nodes may call as soon as the port is open, before this one has started. */
  async #handlerSoon(method: string): Promise<Handler | undefined> {
    const waitMs = this.#startedAt + START_MS - performance.now()
    if (waitMs > 0) await once(this.#declared, method, { signal: AbortSignal.timeout(waitMs) }).catch(() => undefined)
    return this.#handlers.get(method)
  }

  #crashed(error: PolycastError): void {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const { reject } of [...this.#calls.values(), ...this.#publishes.values()]) reject(error)
    this.#options.onCrash(error)
  }
}
