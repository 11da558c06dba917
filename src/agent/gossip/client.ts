/**
 * The main thread's end of gossip: starts the worker and turns its messages into the `Gossip` interface. Keeps a copy of the members, so
 * that who asks for them need not wait.
 */
import { Worker } from 'node:worker_threads'
import { systemClock } from '../clock.ts'
import { asPolycastError, deserialiseError, fail, type PolycastError } from '../errors.ts'
import type { Member } from '../membership/member.ts'
import { tagsProblem } from '../membership/member.ts'
import type { Coordinate } from '../../core/gossip/serf-messages.ts'
import type { Verdict } from '../../core/gossip/verdict.ts'
import type {
  DoctorReport,
  EventOptions,
  EventReport,
  Gossip,
  GossipMember,
  IncomingQuery,
  KeyReport,
  MemberEvent,
  QueryOptions,
  QueryReply,
  StateChange,
  UserEventRecord,
} from './gossip.ts'
import { asMember } from './gossip-member.ts'
import { Joiner } from './joiner.ts'
import { changeKeys } from './keys.ts'
import type { FromGossipWorker, GossipMethod, GossipMethods, GossipWorkerOptions, JoinOutcome, ToGossipWorker } from './worker-protocol.ts'

export interface StartGossipOptions {
  readonly worker: GossipWorkerOptions
  readonly retryMinMs: number
  readonly retryMaxMs: number
  readonly log: (level: 'debug' | 'info' | 'warn', message: string, fields: Record<string, unknown>) => void
  /** The worker ended by itself: nothing works any more. */
  readonly onCrash: (error: PolycastError) => void
}

const RECHECK_MS = 30_000

/** Calls back all of a kind; each can be taken out again. */
class Listeners<T> {
  readonly #listeners: Set<(value: T) => void> = new Set()

  add(listener: (value: T) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  call(value: T): void {
    for (const listener of this.#listeners) listener(value)
  }
}

/** Gossip of one node, as its main thread has it. */
export class GossipClient implements Gossip {
  readonly #options: StartGossipOptions
  readonly #calls: Map<number, { resolve: (result: never) => void; reject: (error: PolycastError) => void }> = new Map()
  readonly #replies: Map<number, (reply: QueryReply) => void> = new Map()
  readonly #members: Map<string, GossipMember> = new Map()
  readonly #memberEvents: Listeners<MemberEvent> = new Listeners()
  readonly #changes: Listeners<Member> = new Listeners()
  readonly #conflicts: Listeners<PolycastError> = new Listeners()
  readonly #userEvents: Listeners<UserEventRecord> = new Listeners()
  readonly #queries: Listeners<IncomingQuery> = new Listeners()
  readonly #states: Listeners<StateChange> = new Listeners()
  readonly #joiner: Joiner
  #worker: Worker | undefined
  #started: { resolve: (port: number) => void; reject: (error: PolycastError) => void } | undefined
  #nextId = 1
  #hasLeft = false
  #isClosed = false

  constructor(options: StartGossipOptions) {
    this.#options = options
    const { name, advertise, port, tags } = options.worker
    this.#members.set(name, {
      name,
      address: advertise,
      port,
      tags: { ...tags, polycast: String(options.worker.swarmPort) },
      status: 'alive',
      isSuspect: false,
      incarnation: 1,
      versions: [],
      isPolycast: true,
      changedAt: Date.now(),
      lastRttMs: undefined,
    })
    this.#joiner = new Joiner({
      clock: systemClock,
      random: Math.random,
      retryMinMs: options.retryMinMs,
      retryMaxMs: options.retryMaxMs,
      recheckMs: RECHECK_MS,
      attempt: (address, onlyMissing) => this.#attempt(address, onlyMissing),
      onFailure: ({ address, error }) => this.#options.log('debug', 'an address to join does not answer', { address, reason: error }),
    })
  }

  // ---- membership ----

  get self(): Member {
    return asMember(this.#members.get(this.#options.worker.name)!)
  }

  members(): Member[] {
    return this.gossipMembers().map(asMember)
  }

  gossipMembers(): GossipMember[] {
    return [...this.#members.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  onChange(listener: (member: Member) => void): () => void {
    return this.#changes.add(listener)
  }

  onConflict(listener: (error: PolycastError) => void): () => void {
    return this.#conflicts.add(listener)
  }

  onMemberEvent(listener: (event: MemberEvent) => void): () => void {
    return this.#memberEvents.add(listener)
  }

  async start(): Promise<{ gossipPort: number }> {
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      name: 'gossip',
      workerData: this.#options.worker,
      // What it holds is the table of members, which is old; what it makes anew is small and short-lived.
      resourceLimits: { maxYoungGenerationSizeMb: 2 },
    })
    this.#worker = worker
    worker.on('message', (message: FromGossipWorker) => this.#receive(message))
    worker.on('error', (error) => this.#crashed(asPolycastError(error)))
    worker.on('exit', (code) => this.#crashed(fail('internal', { reason: `the gossip worker ended with code ${code}` })))
    const gossipPort = await new Promise<number>((resolve, reject) => {
      this.#started = { resolve, reject }
    })
    return { gossipPort }
  }

  async join(addresses: readonly string[]): Promise<number> {
    const outcomes = await this.#joiner.join(addresses)
    const joined = outcomes.filter(({ error, isSelf }) => error === undefined && !isSelf).length
    const failures = outcomes.filter(({ error }) => error !== undefined)
    if (joined === 0 && failures.length > 0) {
      throw fail('join-failed', { reason: failures.map(({ address, error }) => `${address}: ${error ?? ''}`).join('; ') })
    }
    return joined
  }

  async leave(): Promise<void> {
    if (this.#worker === undefined || this.#isClosed || this.#hasLeft) return this.close()
    this.#hasLeft = true
    this.#joiner.stop()
    await this.#call('leave', null)
    await this.close()
  }

  async close(): Promise<void> {
    this.#joiner.stop()
    if (this.#worker === undefined || this.#isClosed) return
    await this.#call('close', null)
    this.#isClosed = true
    await this.#worker.terminate()
  }

  async setTags(tags: Readonly<Record<string, string>>): Promise<void> {
    const problem = tagsProblem(tags)
    if (problem !== undefined) throw fail('bad-request', { reason: problem })
    await this.#call('setTags', { tags })
  }

  async forget(name: string, { isPrune }: { isPrune: boolean }): Promise<void> {
    // What is forgotten here already, others may not have heard of: it is said again.
    if (!isPrune && !this.#members.has(name)) throw fail('member-not-found', { name })
    await this.#call('forget', { name, isPrune })
  }

  explain(name: string): Promise<Verdict | undefined> {
    return this.#call('explain', { name })
  }

  // ---- events and queries ----

  async event(name: string, payload: Uint8Array, options: EventOptions = {}): Promise<EventReport | undefined> {
    return this.#call('event', { name, payload, canCoalesce: options.canCoalesce === true, wantsReport: options.wantsReport === true })
  }

  onEvent(listener: (event: UserEventRecord) => void): () => void {
    return this.#userEvents.add(listener)
  }

  async query(
    name: string,
    payload: Uint8Array,
    { filters = [], wantsAck = false, relayFactor = 0, timeoutMs }: QueryOptions,
    onReply: (reply: QueryReply) => void,
    signal?: AbortSignal,
  ): Promise<{ acks: number; responses: number }> {
    const queryId = this.#nextId++
    let acks = 0
    let responses = 0
    this.#replies.set(queryId, (reply) => {
      if (reply.type === 'ack') acks++
      else responses++
      onReply(reply)
    })
    const cancel = (): void => void this.#call('cancelQuery', { queryId }).catch(() => undefined)
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      await this.#call('query', { queryId, name, payload, filters, wantsAck, relayFactor, timeoutMs })
      return { acks, responses }
    } finally {
      signal?.removeEventListener('abort', cancel)
      this.#replies.delete(queryId)
    }
  }

  onQuery(listener: (query: IncomingQuery) => void): () => void {
    return this.#queries.add(listener)
  }

  respond(id: number, payload: Uint8Array): Promise<void> {
    return this.#call('respond', { id, payload })
  }

  keys(operation: 'install' | 'use' | 'remove' | 'list', key?: Uint8Array): Promise<KeyReport> {
    if (this.#options.worker.keyFile === undefined) {
      return Promise.reject(fail('bad-request', { reason: 'gossip is not encrypted here: the option gossip-key-file says where keys are' }))
    }
    const alive = this.gossipMembers().filter(({ status }) => status === 'alive').length
    return changeKeys(operation, key, alive, (name, payload, onReply, signal) => this.query(name, payload, {}, onReply, signal))
  }

  // ---- state ----

  state(node: string): Promise<ReadonlyMap<string, Uint8Array>> {
    return this.#call('state', { node })
  }

  setState(key: string, value: Uint8Array, ttlMs?: number): Promise<void> {
    return this.#call('setState', { key, value, ttlMs })
  }

  removeState(key: string): Promise<void> {
    return this.#call('removeState', { key })
  }

  onState(listener: (change: StateChange) => void): () => void {
    return this.#states.add(listener)
  }

  coordinate(name?: string): Promise<Coordinate | undefined> {
    return this.#call('coordinate', { name })
  }

  doctor(target?: string): Promise<DoctorReport> {
    return this.#call('doctor', { target })
  }

  gossipStats(): Promise<Record<string, number>> {
    return this.#call('stats', null)
  }

  // ---- the worker ----

  async #attempt(address: string, onlyMissing: boolean): Promise<JoinOutcome> {
    try {
      const [outcome] = await this.#call('join', { addresses: [address], onlyMissing })
      return outcome!
    } catch (error) {
      return { address, error: asPolycastError(error).message, isSelf: false }
    }
  }

  #call<Method extends GossipMethod>(method: Method, params: GossipMethods[Method]['params']): Promise<GossipMethods[Method]['result']> {
    const worker = this.#worker
    if (worker === undefined || this.#isClosed) return Promise.reject(fail('shutting-down', {}))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject })
      worker.postMessage({ type: 'call', id, method, params } satisfies ToGossipWorker)
    })
  }

  #receive(message: FromGossipWorker): void {
    switch (message.type) {
      case 'ready':
        this.#members.set(message.self.name, message.self)
        this.#started?.resolve(message.port)
        if (message.rejoin.length > 0) void this.#rejoin(message.rejoin)
        return
      case 'failed':
        this.#started?.reject(deserialiseError(message.error))
        return
      case 'result':
        this.#calls.get(message.id)?.resolve(message.result as never)
        this.#calls.delete(message.id)
        return
      case 'error':
        this.#calls.get(message.id)?.reject(deserialiseError(message.error))
        this.#calls.delete(message.id)
        return
      case 'self':
        this.#members.set(message.self.name, message.self)
        return
      case 'member':
        return this.#memberChanged(message.event)
      case 'user-event':
        return this.#userEvents.call(message.event)
      case 'query':
        return this.#queries.call(message.query)
      case 'query-reply':
        return this.#replies.get(message.queryId)?.(message.reply)
      case 'state':
        return this.#states.call(message.change)
      case 'conflict-lost':
        // It goes without a word: a leave by its name would be taken for the other one's.
        this.#hasLeft = true
        return this.#conflicts.call(fail('name-conflict', { name: this.#options.worker.name, address: message.address }))
      case 'log':
        return this.#options.log(message.level, message.message, message.fields)
    }
  }

  /** Those that the snapshot names: one that answers is enough, and none is no fault. */
  async #rejoin(addresses: readonly string[]): Promise<void> {
    const outcomes = await Promise.all(addresses.map((address) => this.#attempt(address, false)))
    const answered = outcomes.filter(({ error, isSelf }) => error === undefined && !isSelf).length
    this.#options.log('info', 'went back to the members that were there before', { asked: addresses.length, answered })
  }

  #memberChanged(event: MemberEvent): void {
    const { member, change } = event
    if (change === 'reaped') this.#members.delete(member.name)
    else this.#members.set(member.name, member)
    this.#changes.call(asMember(member))
    this.#memberEvents.call(event)
  }

  #crashed(error: PolycastError): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#joiner.stop()
    this.#started?.reject(error)
    for (const { reject } of this.#calls.values()) reject(error)
    this.#options.onCrash(error)
  }
}
