/**
 * The main thread's end of gossip: starts the worker and turns its messages into the `Gossip` interface. Keeps a copy of the members, so
 * that who asks for them need not wait.
 */
import { Worker } from 'node:worker_threads'
import { systemClock } from '../clock.ts'
import { asPolycastError, fail, type PolycastError } from '../errors.ts'
import { Listeners } from '../listeners.ts'
import type { Member } from '../membership/member.ts'
import { tagsProblem } from '../membership/member.ts'
import { WorkerThread } from '../worker-thread.ts'
import { POLYCAST_TAG } from '../../core/gossip/polycast-tag.ts'
import { DEFAULT_SERF_LIMITS } from '../../core/gossip/serf/serf-types.ts'
import type { Coordinate } from '../../core/gossip/serf-messages.ts'
import type { ReachEntry } from '../../core/multicast/reach/reach-types.ts'
import type { Verdict } from '../../core/gossip/verdict.ts'
import type {
  DoctorReport,
  EventOptions,
  EventReport,
  Gossip,
  GossipMember,
  IncomingQuery,
  KeyReport,
  LostEvent,
  MemberEvent,
  QueryOptions,
  QueryReply,
  StateChange,
  UserEventRecord,
} from './gossip.ts'
import { asMember, MemberCopies } from './gossip-member.ts'
import { Joiner } from './joiner.ts'
import { changeKeys } from './keys.ts'
import { LargeEvents, RESERVED_PREFIX, type PayloadCarrier } from './large-events.ts'
import type { GossipMethod, GossipMethods, GossipReady, GossipWorkerEvent, GossipWorkerOptions, JoinOutcome } from './worker-protocol.ts'

export interface StartGossipOptions {
  readonly worker: GossipWorkerOptions
  readonly retryMinMs: number
  readonly retryMaxMs: number
  readonly log: (level: 'debug' | 'info' | 'warn', message: string, fields: Record<string, unknown>) => void
  /** The worker ended by itself: nothing works any more. */
  readonly onCrash: (error: PolycastError) => void
}

const RECHECK_MS = 30_000

/** Gossip of one node, as its main thread has it. */
export class GossipClient implements Gossip {
  readonly #options: StartGossipOptions
  readonly #replies: Map<number, (reply: QueryReply) => void> = new Map()
  readonly #members: Map<string, GossipMember> = new Map()
  readonly #copies: MemberCopies = new MemberCopies()
  readonly #memberEvents: Listeners<MemberEvent> = new Listeners()
  readonly #changes: Listeners<Member> = new Listeners()
  readonly #conflicts: Listeners<PolycastError> = new Listeners()
  readonly #userEvents: Listeners<UserEventRecord> = new Listeners()
  readonly #lostEvents: Listeners<LostEvent> = new Listeners()
  readonly #queries: Listeners<IncomingQuery> = new Listeners()
  readonly #states: Listeners<StateChange> = new Listeners()
  readonly #reachChanges: Listeners<ReadonlyMap<string, readonly ReachEntry[]>> = new Listeners()
  #reach: ReadonlyMap<string, readonly ReachEntry[]> = new Map()
  readonly #joiner: Joiner
  /** Undefined before the start. */
  #thread: WorkerThread<GossipMethods, GossipReady, GossipWorkerEvent> | undefined
  #largeEvents: LargeEvents | undefined
  #nextQuery = 1
  #hasLeft = false

  constructor(options: StartGossipOptions) {
    this.#options = options
    const { name, advertise, port, tags } = options.worker
    this.#members.set(name, {
      name,
      address: advertise,
      port,
      tags: { ...tags, [POLYCAST_TAG]: String(options.worker.swarmPort) },
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
    this.#thread = new WorkerThread(worker, {
      name: 'gossip',
      onEvent: (event) => this.#receive(event),
      onCrash: (error) => this.#crashed(error),
    })
    const { port, self, rejoin } = await this.#thread.ready
    this.#members.set(self.name, self)
    if (rejoin.length > 0) void this.#rejoin(rejoin)
    return { gossipPort: port }
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
    this.#joiner.stop()
    if (this.#thread?.isRunning === true && !this.#hasLeft) {
      this.#hasLeft = true
      await this.#thread.call('leave', null)
    }
    await this.close()
  }

  async close(): Promise<void> {
    this.#joiner.stop()
    this.#largeEvents?.close()
    await this.#thread?.close()
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

  /** From now on, payloads up to so many bytes that are too long for an event go by this carrier, where all members can take them so. */
  carryPayloads(carrier: PayloadCarrier, maxBytes: number): void {
    this.#largeEvents = new LargeEvents({
      carrier,
      clock: systemClock,
      maxBytes,
      self: this.#options.worker.name,
      receivers: () => this.#others().flatMap(({ name, isPolycast }) => (isPolycast ? [name] : [])),
      send: (name, payload, options) => this.#sendEvent(name, payload, options),
      deliver: (event) => this.#userEvents.call(event),
      lose: (event) => this.#lostEvents.call(event),
      log: this.#options.log,
    })
  }

  async event(name: string, payload: Uint8Array, options: EventOptions = {}): Promise<EventReport | undefined> {
    if (name.startsWith(RESERVED_PREFIX))
      throw fail('bad-request', { reason: `names that begin with ${RESERVED_PREFIX} are Polycast's own` })
    const isLarge = Buffer.byteLength(name) + payload.length > DEFAULT_SERF_LIMITS.maxSpreadEventBytes
    // An agent of Serf could not follow: what it would miss is refused, as any event is that is too long for it.
    if (isLarge && this.#largeEvents !== undefined && this.#others().every(({ isPolycast }) => isPolycast)) {
      return this.#largeEvents.send(name, payload, options)
    }
    return this.#sendEvent(name, payload, options)
  }

  #sendEvent(name: string, payload: Uint8Array, options: EventOptions): Promise<EventReport | undefined> {
    return this.#call('event', { name, payload, canCoalesce: options.canCoalesce === true, wantsReport: options.wantsReport === true })
  }

  onEvent(listener: (event: UserEventRecord) => void): () => void {
    return this.#userEvents.add(listener)
  }

  onLostEvent(listener: (event: LostEvent) => void): () => void {
    return this.#lostEvents.add(listener)
  }

  async query(
    name: string,
    payload: Uint8Array,
    { filters = [], wantsAck = false, relayFactor = 0, timeoutMs }: QueryOptions,
    onReply: (reply: QueryReply) => void,
    signal?: AbortSignal,
  ): Promise<{ acks: number; responses: number }> {
    const queryId = this.#nextQuery++
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
    const members = this.gossipMembers().filter(({ status }) => status !== 'left')
    return changeKeys(operation, key, members, (name, payload, onReply, signal) => this.query(name, payload, {}, onReply, signal))
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

  // ---- multicast ----

  /** By member: how it is reached by multicast and broadcast from this node, an entry per link; members of whom nothing is known are not in it. */
  reach(): ReadonlyMap<string, readonly ReachEntry[]> {
    return this.#reach
  }

  /** Calls back with the whole of it after each change. */
  onReach(listener: (reach: ReadonlyMap<string, readonly ReachEntry[]>) => void): () => void {
    return this.#reachChanges.add(listener)
  }

  /** This node will soon send to many: for some seconds, it is found out as quickly as can be who is reached. */
  async reachWanted(): Promise<void> {
    await this.#call('reachWanted', null)
  }

  /** The keys of gossip, the primary one first; none where it is in the clear. */
  ringKeys(): Promise<readonly Uint8Array[]> {
    return this.#call('ringKeys', null)
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
    return this.#thread === undefined ? Promise.reject(fail('shutting-down', {})) : this.#thread.call(method, params)
  }

  #receive(message: GossipWorkerEvent): void {
    switch (message.type) {
      case 'self':
        this.#members.set(message.self.name, message.self)
        return
      case 'member':
        return this.#memberChanged(message.event)
      case 'user-event':
        if (this.#largeEvents?.take(message.event) !== true) this.#userEvents.call(message.event)
        return
      case 'query':
        return this.#queries.call(message.query)
      case 'query-reply':
        return this.#replies.get(message.queryId)?.(message.reply)
      case 'state':
        return this.#states.call(message.change)
      case 'reach':
        return this.#reachChanged(message.entries)
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

  #reachChanged(entries: readonly ReachEntry[]): void {
    const reach = new Map<string, ReachEntry[]>()
    for (const entry of entries) {
      const others = reach.get(entry.member)
      if (others === undefined) reach.set(entry.member, [entry])
      else others.push(entry)
    }
    this.#reach = reach
    this.#reachChanges.call(reach)
  }

  #memberChanged(event: MemberEvent): void {
    const { change } = event
    const member = this.#copies.keep(event.member)
    if (change === 'reaped') this.#members.delete(member.name)
    else this.#members.set(member.name, member)
    this.#changes.call(asMember(member))
    this.#memberEvents.call({ ...event, member })
  }

  /** Other members that are there. */
  #others(): GossipMember[] {
    const { name: self } = this.#options.worker
    return [...this.#members.values()].filter(({ name, status }) => name !== self && (status === 'alive' || status === 'leaving'))
  }

  #crashed(error: PolycastError): void {
    this.#joiner.stop()
    this.#options.onCrash(error)
  }
}
