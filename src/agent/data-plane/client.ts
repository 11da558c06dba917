/**
 * The main thread's end of the data plane: starts the worker and turns its messages into the `DataPlane` interface.
 */
import { EventEmitter, once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { deserialiseError, fail, serialiseError, type PolycastError } from '../errors.ts'
import { WorkerThread } from '../worker-thread.ts'
import type {
  Caller,
  ContentInfo,
  DataPlane,
  PublishedContent,
  PublishInput,
  ReachedNode,
  SwarmPeerProgress,
  Ticket,
  Transfer,
  TransferProgress,
} from './data-plane.ts'
import type { CompletedTransfer, DataPlaneEvent, ToWorker, WorkerMethods, WorkerOptions } from './worker-protocol.ts'

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

/** The data plane of a running agent. */
export interface AgentDataPlane extends DataPlane {
  /** Whom multicast reaches from here, and the keys of the group, the primary one first; none where gossip is not encrypted. */
  setMulticast(reached: readonly ReachedNode[], keys: readonly Uint8Array[]): void
}

/** Starts the data plane; rejects with what keeps it from starting (`data-dir-locked`, `address-in-use`, …). */
export async function startDataPlane(options: StartOptions): Promise<AgentDataPlane> {
  const dataPlane = new WorkerDataPlane(options)
  await dataPlane.start()
  return dataPlane
}

class WorkerDataPlane implements AgentDataPlane {
  swarmPort = 0
  readonly #thread: WorkerThread<WorkerMethods, { readonly swarmPort: number }, DataPlaneEvent>
  readonly #options: StartOptions
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

  constructor(options: StartOptions) {
    this.#options = options
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      name: 'data',
      workerData: options.worker,
      resourceLimits: { maxYoungGenerationSizeMb: Math.max(1, Math.round((3 * options.semiSpaceBytes) / 2 ** 20)) },
    })
    this.#thread = new WorkerThread(worker, {
      name: 'data',
      onEvent: (event) => this.#receive(event),
      onCrash: (error) => this.#crashed(error),
    })
  }

  async start(): Promise<void> {
    this.swarmPort = (await this.#thread.ready).swarmPort
  }

  async publish(input: PublishInput, options: { name?: string }): Promise<PublishedContent> {
    const publishId = this.#nextId++
    const sealed = new Promise<{ contentId: string; totalBytes: number }>((resolve, reject) =>
      this.#publishes.set(publishId, { resolve, reject }),
    )
    // Who does not ask how it ended is not to bring the agent down by that.
    sealed.catch(() => undefined)
    try {
      const ticket = await this.#thread.call('publish', { input, publishId, ...options })
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
    const done: Promise<CompletedTransfer> = this.#thread
      .call('fetch', { ticket, transferId })
      .finally(() => this.#transfers.delete(transferId))
    done.catch(() => undefined)
    return {
      done,
      onProgress: (listener) => {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
      cancel: () => void this.#thread.call('cancelFetch', { transferId }).catch(() => undefined),
    }
  }

  watchSwarm(swarmId: string, listener: (progress: { sentBytes: number; peers: SwarmPeerProgress[] }) => void): () => void {
    const watchId = this.#nextId++
    this.#watches.set(watchId, listener)
    void this.#thread.call('watchSwarm', { swarmId, watchId }).catch(() => undefined)
    return () => {
      this.#watches.delete(watchId)
      void this.#thread.call('unwatchSwarm', { watchId }).catch(() => undefined)
    }
  }

  output(contentId: string, dest: string, options: { allowHardLink?: boolean; overwrite?: boolean }): Promise<{ method: string }> {
    return this.#thread.call('output', {
      contentId,
      dest,
      allowHardLink: options.allowHardLink === true,
      overwrite: options.overwrite === true,
    })
  }

  contents(): Promise<ContentInfo[]> {
    return this.#thread.call('contents', null)
  }

  content(id: string): Promise<ContentInfo | undefined> {
    return this.#thread.call('content', { id })
  }

  pin(id: string): Promise<void> {
    return this.#thread.call('pin', { id })
  }

  unpin(id: string): Promise<void> {
    return this.#thread.call('unpin', { id })
  }

  remove(id: string, options: { force?: boolean } = {}): Promise<void> {
    return this.#thread.call('remove', { id, force: options.force === true })
  }

  gc(): Promise<{ removed: number; bytes: number }> {
    return this.#thread.call('gc', null)
  }

  verify(id: string): Promise<{ chunks: number; bad: number[] }> {
    return this.#thread.call('verify', { id })
  }

  async call(address: string, method: string, params: unknown, options: { timeoutMs: number; signal?: AbortSignal }): Promise<unknown> {
    const callId = this.#nextId++
    const abort = (): void => void this.#thread.call('cancelCall', { callId }).catch(() => undefined)
    options.signal?.throwIfAborted()
    options.signal?.addEventListener('abort', abort, { once: true })
    try {
      return await this.#thread.call('call', { address, method, params, timeoutMs: options.timeoutMs, callId })
    } finally {
      options.signal?.removeEventListener('abort', abort)
    }
  }

  onCall(method: string, handler: Handler): void {
    this.#handlers.set(method, handler)
    this.#declared.emit(method)
  }

  setMulticast(reached: readonly ReachedNode[], keys: readonly Uint8Array[]): void {
    // Where the worker has ended, that is said by `onCrash`.
    this.#thread.call('setMulticast', { reached, keys }).catch(() => undefined)
  }

  stats(): Promise<Record<string, number>> {
    return this.#thread.call('stats', null)
  }

  close(): Promise<void> {
    return this.#thread.close()
  }

  #receive(message: DataPlaneEvent): void {
    switch (message.type) {
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
    }
  }

  async #serve(id: number, method: string, params: unknown, from: Caller): Promise<void> {
    try {
      const handler = this.#handlers.get(method) ?? (await this.#handlerSoon(method))
      if (handler === undefined) throw fail('bad-request', { reason: `this node has no method ${method}` })
      this.#thread.post({ type: 'answer', id, result: await handler(params, from) } satisfies ToWorker)
    } catch (error) {
      this.#thread.post({ type: 'answer', id, result: null, error: serialiseError(error) } satisfies ToWorker)
    }
  }

  /** The handler of a method that is not declared yet: other nodes may call as soon as the port is open, before this one has started. */
  async #handlerSoon(method: string): Promise<Handler | undefined> {
    const waitMs = this.#startedAt + START_MS - performance.now()
    if (waitMs > 0) await once(this.#declared, method, { signal: AbortSignal.timeout(waitMs) }).catch(() => undefined)
    return this.#handlers.get(method)
  }

  #crashed(error: PolycastError): void {
    for (const { reject } of this.#publishes.values()) reject(error)
    this.#options.onCrash(error)
  }
}
