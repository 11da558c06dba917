/**
 * The main thread's end of a worker: its start, calls by method name with an id, their results, and its end. What else the worker says is
 * an event for the owner.
 *
 * A worker that fails at its start, or ends by itself, leaves nobody waiting: calls that run are rejected, and later ones too.
 */
import type { Worker } from 'node:worker_threads'
import { asPolycastError, deserialiseError, fail } from './errors.ts'
import type { ErrorBody, PolycastError } from './errors.ts'

/** Methods of a worker with what they take and give. */
export type MethodTable<Methods> = { readonly [Method in keyof Methods]: { readonly params: unknown; readonly result: unknown } }

/** A call as the worker gets it. */
export interface WorkerCall<Method> {
  readonly type: 'call'
  readonly id: number
  readonly method: Method
  readonly params: unknown
}

/** What every worker says beside its events. */
export type FromAnyWorker<Ready> =
  | ({ readonly type: 'ready' } & Ready)
  | { readonly type: 'failed'; readonly error: ErrorBody }
  | { readonly type: 'result'; readonly id: number; readonly result: unknown }
  | { readonly type: 'error'; readonly id: number; readonly error: ErrorBody }

type Answer = Extract<FromAnyWorker<unknown>, { type: 'failed' | 'result' | 'error' }>

export interface WorkerThreadOptions<Event> {
  /** For the message about its unexpected end: `data`, `gossip`. */
  readonly name: string
  readonly onEvent: (event: Event) => void
  /** It ended by itself after its start: nothing works any more. */
  readonly onCrash: (error: PolycastError) => void
}

/** One worker; `Methods` must have a method `close`, which ends what it does. */
export class WorkerThread<Methods extends MethodTable<Methods>, Ready, Event extends { readonly type: string }> {
  /** What it said when it was ready; rejects with what kept it from starting, once the thread has ended. */
  readonly ready: Promise<Ready>
  readonly #worker: Worker
  readonly #options: WorkerThreadOptions<Event>
  readonly #calls: Map<number, { resolve: (result: never) => void; reject: (error: PolycastError) => void }> = new Map()
  #start: { resolve: (ready: Ready) => void; reject: (error: PolycastError) => void } | undefined
  #nextId = 1
  #isClosed = false

  constructor(worker: Worker, options: WorkerThreadOptions<Event>) {
    this.#worker = worker
    this.#options = options
    this.ready = new Promise<Ready>((resolve, reject) => {
      this.#start = { resolve, reject }
    })
    worker.on('message', (message: FromAnyWorker<Ready> | Event) => this.#receive(message))
    worker.on('error', (error) => this.#ended(asPolycastError(error)))
    worker.on('exit', (code) => this.#ended(fail('internal', { reason: `the ${options.name} worker ended with code ${code}` })))
  }

  /** Whether it can be called: it has not ended. */
  get isRunning(): boolean {
    return !this.#isClosed
  }

  /** Calls a method. Rejects with `shutting-down` where the worker has ended. */
  call<Method extends keyof Methods>(method: Method, params: Methods[Method]['params']): Promise<Methods[Method]['result']> {
    if (this.#isClosed) return Promise.reject(fail('shutting-down', {}))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject })
      this.post({ type: 'call', id, method, params } satisfies WorkerCall<Method>)
    })
  }

  /** Says something that is no call. */
  post(message: unknown): void {
    this.#worker.postMessage(message)
  }

  /** Calls `close` and ends the thread; nothing where it has ended. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    await this.call('close' as keyof Methods, null)
    this.#isClosed = true
    await this.#worker.terminate()
  }

  #receive(message: FromAnyWorker<Ready> | Event): void {
    switch (message.type) {
      case 'ready':
        this.#start?.resolve(message as Ready)
        this.#start = undefined
        return
      case 'failed':
      case 'result':
      case 'error':
        return this.#answered(message as Answer)
      default:
        this.#options.onEvent(message as Event)
    }
  }

  #answered(answer: Answer): void {
    if (answer.type === 'failed') return this.#ended(deserialiseError(answer.error))
    const call = this.#calls.get(answer.id)
    this.#calls.delete(answer.id)
    if (answer.type === 'result') call?.resolve(answer.result as never)
    else call?.reject(deserialiseError(answer.error))
  }

  #ended(error: PolycastError): void {
    if (this.#isClosed) return
    this.#isClosed = true
    const start = this.#start
    for (const { reject } of this.#calls.values()) reject(error)
    if (start === undefined) this.#options.onCrash(error)
    else void this.#failStart(start.reject, error)
  }

  async #failStart(reject: (reason: PolycastError) => void, reason: PolycastError): Promise<void> {
    await this.#worker.terminate()
    reject(reason)
  }
}
