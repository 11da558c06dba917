/**
 * Several nodes in one cluster that lives in memory, each behind the interface `Gossip`: for tests of what stands on it.
 *
 * What one node does, the others see at once. Queries are answered by listeners alone; the tests say what they answer. Refusals are
 * those that gossip makes: events, queries and tags that are too long, keys where there is no encryption.
 */
import type { Coordinate, QueryFilter } from '../../../core/gossip/serf-messages.ts'
import { compileExpression } from '../../../core/lib/expression.ts'
import type { Verdict } from '../../../core/gossip/verdict.ts'
import { fail } from '../../errors.ts'
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
} from '../../gossip/gossip.ts'
import type { Member } from '../../membership/membership.ts'
import { tagsProblem } from '../../membership/member.ts'

const MAX_EVENT_BYTES = 512
const MAX_QUERY_BYTES = 1024
const DEFAULT_QUERY_MS = 200
const VERSIONS = [1, 5, 2, 2, 5, 5] as const

type Status = GossipMember['status']

/** One listener list. */
class Listeners<T> {
  readonly #all: Set<(value: T) => void> = new Set()

  get count(): number {
    return this.#all.size
  }

  add(listener: (value: T) => void): () => void {
    this.#all.add(listener)
    return () => {
      this.#all.delete(listener)
    }
  }

  call(value: T): void {
    for (const listener of [...this.#all]) listener(value)
  }
}

interface Asked {
  readonly origin: FakeGossip
  readonly onReply: (reply: QueryReply) => void
  readonly answered: Set<string>
  responses: number
  isOver: boolean
}

/** The cluster: makes nodes, and does to them what a network would. */
export class FakeCluster {
  readonly nodes: Map<string, FakeGossip> = new Map()
  readonly members: Map<string, GossipMember> = new Map()
  readonly asked: Map<number, Asked> = new Map()
  /** Base64 of the keys that all members have, the primary one first; undefined where gossip is not encrypted. */
  keys: string[] | undefined
  #eventTime = 0
  #queryTime = 0
  #lastQueryId = 0

  /** A node that is alive from now on. */
  add(name: string, options: { address?: string; tags?: Readonly<Record<string, string>> } = {}): FakeGossip {
    const member: GossipMember = {
      name,
      address: options.address ?? `127.0.0.${this.nodes.size + 1}`,
      port: 7946,
      tags: { ...options.tags },
      status: 'alive',
      isSuspect: false,
      incarnation: 1,
      versions: VERSIONS,
      isPolycast: true,
      changedAt: Date.now(),
      lastRttMs: undefined,
    }
    const node = new FakeGossip(this, name)
    this.nodes.set(name, node)
    this.set(member, 'joined')
    return node
  }

  /** The node is gone without a word. */
  crash(name: string): void {
    this.setStatus(name, 'failed', 'failed')
  }

  setStatus(name: string, status: Status, change: MemberEvent['change']): void {
    const member = this.members.get(name)
    if (member !== undefined) this.set({ ...member, status }, change)
  }

  set(member: GossipMember, change: MemberEvent['change']): void {
    const changed = { ...member, changedAt: Date.now() }
    if (change === 'reaped') this.members.delete(member.name)
    else this.members.set(member.name, changed)
    for (const node of this.alive()) node.memberEvents.call({ change, member: changed, verdict: undefined })
  }

  alive(): FakeGossip[] {
    return [...this.nodes.values()].filter(({ name }) => this.members.get(name)?.status === 'alive')
  }

  sendEvent(name: string, payload: Uint8Array, canCoalesce: boolean): void {
    const time = ++this.#eventTime
    for (const node of this.alive()) node.events.call({ name, payload, time, canCoalesce })
  }

  /** Gives the number of the query. */
  sendQuery(asked: Asked, name: string, payload: Uint8Array, options: QueryOptions, deadlineAt: number): number {
    const id = ++this.#lastQueryId
    const time = ++this.#queryTime
    this.asked.set(id, asked)
    for (const node of this.alive()) {
      const member = this.members.get(node.name) as GossipMember
      if (!(options.filters ?? []).every((filter) => isMeant(member, filter))) continue
      if (options.wantsAck === true) asked.onReply({ type: 'ack', from: node.name })
      if (!name.startsWith('_serf_')) node.queries.call({ id, name, payload, from: asked.origin.name, time, deadlineAt })
    }
    return id
  }
}

export class FakeGossip implements Gossip {
  readonly name: string
  readonly memberEvents: Listeners<MemberEvent> = new Listeners()
  readonly events: Listeners<UserEventRecord> = new Listeners()
  readonly queries: Listeners<IncomingQuery> = new Listeners()
  /** What was asked for, for tests to look at. */
  readonly joined: string[] = []
  lastQuery: QueryOptions | undefined
  readonly #cluster: FakeCluster
  readonly #changes: Listeners<Member> = new Listeners()
  readonly #states: Listeners<StateChange> = new Listeners()
  readonly #state: Map<string, Uint8Array> = new Map()

  constructor(cluster: FakeCluster, name: string) {
    this.#cluster = cluster
    this.name = name
    this.memberEvents.add(({ member }) => this.#changes.call(toMember(member)))
  }

  get self(): Member {
    return toMember(this.#own())
  }

  /** Listeners of all kinds: whether those that went away are gone. */
  get listenerCount(): number {
    // One is this node's own.
    return this.memberEvents.count + this.events.count + this.queries.count - 1
  }

  members(): Member[] {
    return this.gossipMembers().map(toMember)
  }

  gossipMembers(): GossipMember[] {
    return [...this.#cluster.members.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  onChange(listener: (member: Member) => void): () => void {
    return this.#changes.add(listener)
  }

  onMemberEvent(listener: (event: MemberEvent) => void): () => void {
    return this.memberEvents.add(listener)
  }

  onConflict(): () => void {
    return () => undefined
  }

  async join(addresses: readonly string[]): Promise<number> {
    this.joined.push(...addresses)
    const known = addresses.filter((address) => this.gossipMembers().some((member) => `${member.address}:${member.port}` === address))
    if (known.length === 0) throw fail('join-failed', { reason: `${addresses.join(', ')}: connection refused` })
    return known.length
  }

  async leave(): Promise<void> {
    this.#cluster.setStatus(this.name, 'leaving', 'leaving')
    this.#cluster.setStatus(this.name, 'left', 'left')
  }

  async start(): Promise<{ gossipPort: number }> {
    return { gossipPort: this.#own().port }
  }

  async close(): Promise<void> {
    this.#cluster.crash(this.name)
  }

  async setTags(tags: Readonly<Record<string, string>>): Promise<void> {
    const reason = tagsProblem(tags)
    if (reason !== undefined) throw fail('bad-request', { reason })
    this.#cluster.set({ ...this.#own(), tags: { ...tags } }, 'updated')
  }

  async forget(name: string, { isPrune }: { readonly isPrune: boolean }): Promise<void> {
    if (this.#cluster.members.get(name)?.status === 'failed') this.#cluster.setStatus(name, 'left', 'left')
    const member = this.#cluster.members.get(name)
    if (isPrune && member?.status === 'left') this.#cluster.set(member, 'reaped')
  }

  async explain(): Promise<Verdict | undefined> {
    return undefined
  }

  async event(name: string, payload: Uint8Array, options: EventOptions = {}): Promise<EventReport | undefined> {
    const length = Buffer.byteLength(name) + payload.length
    if (length > MAX_EVENT_BYTES) throw fail('bad-request', { reason: `an event of ${length} bytes; ${MAX_EVENT_BYTES} is the most` })
    this.#cluster.sendEvent(name, payload, options.canCoalesce ?? false)
    return undefined
  }

  onEvent(listener: (event: UserEventRecord) => void): () => void {
    return this.events.add(listener)
  }

  async query(
    name: string,
    payload: Uint8Array,
    options: QueryOptions,
    onReply: (reply: QueryReply) => void,
    signal?: AbortSignal,
  ): Promise<{ acks: number; responses: number }> {
    const length = Buffer.byteLength(name) + payload.length
    if (length > MAX_QUERY_BYTES) throw fail('bad-request', { reason: `a query of ${length} bytes; ${MAX_QUERY_BYTES} is the most` })
    this.lastQuery = options
    const timeoutMs = options.timeoutMs ?? DEFAULT_QUERY_MS
    let acks = 0
    const asked: Asked = {
      origin: this,
      onReply: (reply) => {
        if (reply.type === 'ack') acks++
        onReply(reply)
      },
      answered: new Set(),
      responses: 0,
      isOver: false,
    }
    const id = this.#cluster.sendQuery(asked, name, payload, options, Date.now() + timeoutMs)
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs)
      signal?.addEventListener('abort', () => {
        clearTimeout(timer)
        resolve()
      })
    })
    asked.isOver = true
    this.#cluster.asked.delete(id)
    return { acks, responses: asked.responses }
  }

  onQuery(listener: (query: IncomingQuery) => void): () => void {
    return this.queries.add(listener)
  }

  async respond(id: number, payload: Uint8Array): Promise<void> {
    const asked = this.#cluster.asked.get(id)
    if (asked === undefined || asked.isOver) throw fail('bad-request', { reason: 'the query is over' })
    if (asked.answered.has(this.name)) throw fail('bad-request', { reason: 'it was answered already' })
    asked.answered.add(this.name)
    asked.responses++
    asked.onReply({ type: 'response', from: this.name, payload })
  }

  async state(node: string): Promise<ReadonlyMap<string, Uint8Array>> {
    return this.#cluster.nodes.get(node)?.ownState() ?? new Map()
  }

  async setState(key: string, value: Uint8Array): Promise<void> {
    this.#state.set(key, value)
    this.#states.call({ node: this.name, key, value, generation: 1, version: 1 })
  }

  async removeState(key: string): Promise<void> {
    this.#state.delete(key)
    this.#states.call({ node: this.name, key, value: undefined, generation: 1, version: 2 })
  }

  onState(listener: (change: StateChange) => void): () => void {
    return this.#states.add(listener)
  }

  ownState(): ReadonlyMap<string, Uint8Array> {
    return new Map(this.#state)
  }

  async keys(operation: 'install' | 'use' | 'remove' | 'list', key?: Uint8Array): Promise<KeyReport> {
    const { keys } = this.#cluster
    if (keys === undefined) throw fail('bad-request', { reason: 'gossip is not encrypted' })
    const text = Buffer.from(key ?? []).toString('base64')
    let problem: string | undefined
    if (operation === 'install' && !keys.includes(text)) keys.push(text)
    else if (operation === 'use') {
      if (!keys.includes(text)) problem = 'Requested key is not in the keyring'
      else keys.sort((a, b) => Number(b === text) - Number(a === text))
    } else if (operation === 'remove') {
      if (keys[0] === text) problem = 'Removing the primary key is not allowed'
      else this.#cluster.keys = keys.filter((one) => one !== text)
    }
    const alive = this.#cluster.alive()
    const count = alive.length
    return {
      members: count,
      responses: count,
      errors: problem === undefined ? 0 : count,
      absent: [],
      messages: problem === undefined ? {} : Object.fromEntries(alive.map(({ name }) => [name, problem])),
      keys: operation === 'list' ? Object.fromEntries(keys.map((one) => [one, count])) : {},
      primaryKeys: operation === 'list' ? { [keys[0] as string]: count } : {},
    }
  }

  async coordinate(name: string = this.name): Promise<Coordinate | undefined> {
    const index = [...this.#cluster.nodes.keys()].indexOf(name)
    if (index < 0) return undefined
    // A node for each ms along one axis.
    return { vector: [index / 1000, 0, 0, 0, 0, 0, 0, 0], height: 0, error: 0.1, adjustment: 0 }
  }

  doctor(): Promise<DoctorReport> {
    return Promise.resolve({ node: this.#own().name, examined: [], skipped: 0, multicast: undefined })
  }

  async gossipStats(): Promise<Record<string, number>> {
    return { 'serf.memberTime': 7, 'traffic.probes': 3 }
  }

  #own(): GossipMember {
    return this.#cluster.members.get(this.name) as GossipMember
  }
}

function toMember({ name, address, port, status, isSuspect, tags, incarnation }: GossipMember): Member {
  return {
    name,
    address,
    gossipPort: port,
    swarmPort: 0,
    status: status === 'failed' ? 'dead' : status === 'left' ? 'left' : isSuspect ? 'suspect' : 'alive',
    tags,
    incarnation,
    isSeed: tags['role'] === 'seed',
  }
}

function isMeant(member: GossipMember, filter: QueryFilter): boolean {
  if (filter.type === 'nodes') return filter.nodes.includes(member.name)
  if (filter.type === 'unknown') return false
  const expression = compileExpression(filter.expression)
  return typeof expression !== 'string' && expression.matches(member.tags[filter.tag] ?? '')
}
