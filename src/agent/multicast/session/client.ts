/**
 * The data plane's end of the thread of multicast sessions: started with the first one, ended when there was none for a while.
 */
import { Worker } from 'node:worker_threads'
import { asPolycastError, deserialiseError, fail, type PolycastError } from '../../errors.ts'
import type { FromSessionWorker, ReceiverSettings, SenderSettings, ToSessionWorker } from './protocol.ts'

/** MiB for young objects of the thread; with 2 collecting costs more, with V8's 48 it comes too late. */
const YOUNG_GENERATION_MB = 4

/** What comes of a session, by kind, without the session's number. */
export type SenderEvent = Extract<
  FromSessionWorker,
  { readonly type: 'open' | 'want-blocks' | 'joined' | 'reached' | 'gone' | 'sent' | 'finished' }
>
export type ReceiverEvent = Extract<
  FromSessionWorker,
  { readonly type: 'heard' | 'welcomed' | 'received' | 'given-up' | 'complete' | 'ended' }
>

/** Told of what happens; after `failed`, `finished` or `ended` nothing more comes. */
export interface SenderListener {
  event(event: SenderEvent): void
  failed(error: PolycastError): void
}
export interface ReceiverListener {
  event(event: ReceiverEvent): void
  failed(error: PolycastError): void
}

/** A session that this node sends. */
export interface SenderHandle {
  invited(names: readonly string[]): void
  /** The next block; its buffer belongs to the session from here on. */
  block(payload: Uint8Array): void
  end(): void
  stop(): void
}

/** A session that this node receives. */
export interface ReceiverHandle {
  leave(): void
}

/** Sessions of this node: the thread that runs them, or a fake of it. */
export interface MulticastSessions {
  /** Starts the thread, so that a session soon after does not wait for it. */
  prepare(): void
  send(settings: SenderSettings, listener: SenderListener): SenderHandle
  receive(settings: ReceiverSettings, listener: ReceiverListener): ReceiverHandle
  /** Groups of all sessions that this node sends and receives now: another one keeps away from their Ethernet addresses. */
  groups(): Iterable<string>
  close(): Promise<void>
}

/** The thread ends when there was no session for so long, ms. */
const IDLE_MS = 600_000

export class SessionThread implements MulticastSessions {
  #worker: Worker | undefined
  #nextId = 1
  readonly #senders: Map<number, SenderListener> = new Map()
  readonly #receivers: Map<number, ReceiverListener> = new Map()
  /** By the session's number. */
  readonly #groups: Map<number, string> = new Map()
  #idleTimer: NodeJS.Timeout | undefined
  #isClosed = false

  prepare(): void {
    if (this.#isClosed) return
    this.#thread()
    this.#idle()
  }

  send(settings: SenderSettings, listener: SenderListener): SenderHandle {
    const id = this.#nextId++
    this.#senders.set(id, listener)
    this.#groups.set(id, settings.group)
    this.#say({ type: 'send', id, settings })
    return {
      invited: (names) => this.#say({ type: 'invited', id, names }),
      block: (payload) => this.#say({ type: 'block', id, payload }, [payload.buffer as ArrayBuffer]),
      end: () => this.#say({ type: 'end', id }),
      stop: () => this.#say({ type: 'stop', id }),
    }
  }

  receive(settings: ReceiverSettings, listener: ReceiverListener): ReceiverHandle {
    const id = this.#nextId++
    this.#receivers.set(id, listener)
    this.#groups.set(id, settings.group)
    this.#say({ type: 'receive', id, settings })
    return { leave: () => this.#say({ type: 'leave', id }) }
  }

  groups(): Iterable<string> {
    return this.#groups.values()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#idleTimer)
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }

  #say(message: ToSessionWorker, transfer: readonly ArrayBuffer[] = []): void {
    if (this.#isClosed) return
    clearTimeout(this.#idleTimer)
    this.#thread().postMessage(message, transfer)
  }

  #thread(): Worker {
    if (this.#worker !== undefined) return this.#worker
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      name: 'multicast',
      // Each datagram is a buffer of its own until young objects are collected: seldom, and they make it look as if memory were short.
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    })
    this.#worker = worker
    worker.on('message', (message: FromSessionWorker) => this.#receive(message))
    worker.on('error', (error) => this.#ended(worker, asPolycastError(error)))
    worker.on('exit', (code) => this.#ended(worker, fail('internal', { reason: `the multicast worker ended with code ${code}` })))
    return worker
  }

  /** It ended by itself: its sessions are over, deliveries go on by the swarm, and the next session starts it anew. */
  #ended(worker: Worker, error: PolycastError): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    const listeners = [...this.#senders.values(), ...this.#receivers.values()]
    this.#senders.clear()
    this.#receivers.clear()
    this.#groups.clear()
    for (const listener of listeners) listener.failed(error)
  }

  #receive(message: FromSessionWorker): void {
    switch (message.type) {
      case 'failed': {
        const listener = this.#senders.get(message.id) ?? this.#receivers.get(message.id)
        this.#forget(message.id)
        return listener?.failed(deserialiseError(message.error))
      }
      case 'open':
      case 'want-blocks':
      case 'joined':
      case 'reached':
      case 'gone':
      case 'sent':
        return this.#senders.get(message.id)?.event(message)
      case 'finished': {
        const listener = this.#senders.get(message.id)
        this.#forget(message.id)
        return listener?.event(message)
      }
      case 'heard':
      case 'welcomed':
      case 'received':
      case 'given-up':
      case 'complete':
        return this.#receivers.get(message.id)?.event(message)
      case 'ended': {
        const listener = this.#receivers.get(message.id)
        this.#forget(message.id)
        return listener?.event(message)
      }
    }
  }

  #forget(id: number): void {
    this.#senders.delete(id)
    this.#receivers.delete(id)
    this.#groups.delete(id)
    this.#idle()
  }

  #idle(): void {
    if (this.#senders.size + this.#receivers.size > 0 || this.#isClosed) return
    clearTimeout(this.#idleTimer)
    this.#idleTimer = setTimeout(() => {
      const worker = this.#worker
      this.#worker = undefined
      void worker?.terminate()
    }, IDLE_MS)
    this.#idleTimer.unref()
  }
}
