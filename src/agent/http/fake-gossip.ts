/**
 * Gossip for tests, in memory: the members of a fake membership, and a node that hears what it says itself.
 *
 * A query is acknowledged by every live member that it is for, and answered by those that have an answer. Tests say what happens with
 * `tell…`, and look at what was asked of it.
 */
import type { Coordinate } from '../../core/gossip/serf-messages.ts'
import type { Verdict } from '../../core/gossip/verdict.ts'
import { fail } from '../errors.ts'
import type { Finding } from '../gossip/diagnosis.ts'
import type {
  DoctorReport,
  EventOptions,
  EventReport,
  Examination,
  Gossip,
  GossipMember,
  IncomingQuery,
  KeyReport,
  MemberEvent,
  QueryOptions,
  QueryReply,
  StateChange,
  UserEventRecord,
} from '../gossip/gossip.ts'
import type { Member } from '../membership/member.ts'
import type { Membership } from '../membership/membership.ts'

/** More than a node would take in an event or a query. */
const MAX_BYTES = 512

export class FakeGossip implements Gossip {
  readonly verdicts: Map<string, Verdict> = new Map()
  readonly coordinates: Map<string, Coordinate> = new Map()
  /** By member, what it answers to any query. */
  readonly answers: Map<string, Uint8Array> = new Map()
  readonly states: Map<string, Map<string, Uint8Array>> = new Map()
  readonly forgotten: { name: string; isPrune: boolean }[] = []
  readonly joined: string[] = []
  readonly responses: { id: number; payload: Uint8Array }[] = []
  readonly queries: { name: string; payload: Uint8Array; options: QueryOptions }[] = []
  readonly keyCalls: { operation: string; key: string | undefined }[] = []
  /** Members that an event does not reach. */
  missing: string[] = []
  /** Held back until it settles: queries that go on. */
  queryEnd: Promise<void> = Promise.resolve()
  /** Of any target. */
  findings: Finding[] = []
  keyErrors: Record<string, string> = {}
  keyAbsent: string[] = []
  tags: Readonly<Record<string, string>> | undefined
  readonly #membership: Membership
  readonly #memberListeners = new Set<(event: MemberEvent) => void>()
  readonly #eventListeners = new Set<(event: UserEventRecord) => void>()
  readonly #queryListeners = new Set<(query: IncomingQuery) => void>()
  readonly #stateListeners = new Set<(change: StateChange) => void>()
  #time = 0

  constructor(membership: Membership) {
    this.#membership = membership
  }

  /** How many follow what happens. */
  get followers(): number {
    return this.#memberListeners.size + this.#stateListeners.size
  }

  get self(): Member {
    const { self } = this.#membership
    return this.tags === undefined ? self : { ...self, tags: this.tags }
  }

  members(): Member[] {
    return this.#membership.members()
  }

  onChange(listener: (member: Member) => void): () => void {
    return this.#membership.onChange(listener)
  }

  onConflict(): () => void {
    return () => undefined
  }

  join(addresses: readonly string[]): Promise<number> {
    if (addresses.includes('nobody:1')) return Promise.reject(fail('join-failed', { reason: 'nobody is there' }))
    this.joined.push(...addresses)
    return Promise.resolve(addresses.length)
  }

  leave(): Promise<void> {
    return this.#membership.leave()
  }

  start(): Promise<{ gossipPort: number }> {
    return this.#membership.start()
  }

  close(): Promise<void> {
    return this.#membership.close()
  }

  gossipMembers(): GossipMember[] {
    return this.members().map(({ name, address, gossipPort, tags, status, incarnation }) => ({
      name,
      address,
      port: gossipPort,
      tags,
      status: status === 'left' ? 'left' : status === 'dead' ? 'failed' : 'alive',
      isSuspect: status === 'suspect',
      incarnation,
      versions: [1, 5, 2, 2, 5, 4],
      isPolycast: true,
      changedAt: 1_700_000_000_000,
      lastRttMs: name === this.self.name ? undefined : 1.25,
    }))
  }

  onMemberEvent(listener: (event: MemberEvent) => void): () => void {
    return listen(this.#memberListeners, listener)
  }

  tellMember(change: MemberEvent['change'], name: string): void {
    const member = this.gossipMembers().find((one) => one.name === name)
    if (member !== undefined) tell(this.#memberListeners, { change, member, verdict: this.verdicts.get(name) })
  }

  setTags(tags: Readonly<Record<string, string>>): Promise<void> {
    this.tags = tags
    return Promise.resolve()
  }

  forget(name: string, { isPrune }: { readonly isPrune: boolean }): Promise<void> {
    this.forgotten.push({ name, isPrune })
    return Promise.resolve()
  }

  explain(name: string): Promise<Verdict | undefined> {
    return Promise.resolve(this.verdicts.get(name))
  }

  event(name: string, payload: Uint8Array, options: EventOptions = {}): Promise<EventReport | undefined> {
    if (payload.length > MAX_BYTES) return Promise.reject(tooLong('event', payload))
    this.tellEvent({ name, payload, time: ++this.#time, canCoalesce: options.canCoalesce === true })
    const of = this.members().length
    const report = { reached: of - this.missing.length, of, missing: this.missing }
    return Promise.resolve(options.wantsReport === true ? report : undefined)
  }

  onEvent(listener: (event: UserEventRecord) => void): () => void {
    return listen(this.#eventListeners, listener)
  }

  tellEvent(event: UserEventRecord): void {
    tell(this.#eventListeners, event)
  }

  async query(
    name: string,
    payload: Uint8Array,
    options: QueryOptions,
    onReply: (reply: QueryReply) => void,
    signal?: AbortSignal,
  ): Promise<{ acks: number; responses: number }> {
    if (payload.length > MAX_BYTES) throw tooLong('query', payload)
    this.queries.push({ name, payload, options })
    const meant = this.members().filter((member) => member.status === 'alive' && isMeant(options, member))
    const answering = meant.filter((member) => this.answers.has(member.name))
    if (options.wantsAck === true) for (const member of meant) onReply({ type: 'ack', from: member.name })
    for (const member of answering)
      onReply({ type: 'response', from: member.name, payload: this.answers.get(member.name) ?? new Uint8Array() })
    await Promise.race([this.queryEnd, new Promise((resolve) => signal?.addEventListener('abort', resolve))])
    return { acks: options.wantsAck === true ? meant.length : 0, responses: answering.length }
  }

  onQuery(listener: (query: IncomingQuery) => void): () => void {
    return listen(this.#queryListeners, listener)
  }

  tellQuery(query: IncomingQuery): void {
    tell(this.#queryListeners, query)
  }

  respond(id: number, payload: Uint8Array): Promise<void> {
    this.responses.push({ id, payload })
    return Promise.resolve()
  }

  state(node: string): Promise<ReadonlyMap<string, Uint8Array>> {
    return Promise.resolve(this.states.get(node) ?? new Map<string, Uint8Array>())
  }

  setState(key: string, value: Uint8Array, _ttlMs?: number): Promise<void> {
    if (value.length > MAX_BYTES) return Promise.reject(tooLong('value', value))
    const own = this.states.get(this.self.name) ?? new Map<string, Uint8Array>()
    this.states.set(this.self.name, own.set(key, value))
    this.tellState({ node: this.self.name, key, value, generation: 1, version: ++this.#time })
    return Promise.resolve()
  }

  removeState(key: string): Promise<void> {
    this.states.get(this.self.name)?.delete(key)
    this.tellState({ node: this.self.name, key, value: undefined, generation: 1, version: ++this.#time })
    return Promise.resolve()
  }

  onState(listener: (change: StateChange) => void): () => void {
    return listen(this.#stateListeners, listener)
  }

  tellState(change: StateChange): void {
    tell(this.#stateListeners, change)
  }

  keys(operation: 'install' | 'use' | 'remove' | 'list', key?: Uint8Array): Promise<KeyReport> {
    const text = key === undefined ? undefined : Buffer.from(key).toString('base64')
    this.keyCalls.push({ operation, key: text })
    const members = this.members().length
    const errors = Object.keys(this.keyErrors).length
    const known = { [Buffer.alloc(32, 1).toString('base64')]: members }
    return Promise.resolve({
      members,
      responses: members,
      errors,
      absent: this.keyAbsent,
      messages: this.keyErrors,
      keys: known,
      primaryKeys: known,
    })
  }

  coordinate(name: string = this.self.name): Promise<Coordinate | undefined> {
    return Promise.resolve(this.coordinates.get(name))
  }

  doctor(target?: string): Promise<DoctorReport> {
    const { name, address, gossipPort } = this.self
    const examined: Examination[] = [{ name, address: `${address}:${gossipPort}`, status: 'self', findings: [] }]
    if (target !== undefined) examined.push({ name: target, address: target, status: 'unknown', findings: this.findings })
    return Promise.resolve({ node: name, examined, skipped: 0, multicast: undefined })
  }

  gossipStats(): Promise<Record<string, number>> {
    return Promise.resolve({})
  }
}

function isMeant({ filters = [] }: QueryOptions, { name, tags }: Member): boolean {
  return filters.every((filter) => {
    if (filter.type === 'nodes') return filter.nodes.includes(name)
    return filter.type === 'tag' && new RegExp(filter.expression).test(tags[filter.tag] ?? '')
  })
}

function listen<Event>(listeners: Set<(event: Event) => void>, listener: (event: Event) => void): () => void {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

function tell<Event>(listeners: ReadonlySet<(event: Event) => void>, event: Event): void {
  for (const listener of listeners) listener(event)
}

function tooLong(what: string, bytes: Uint8Array): Error {
  return fail('bad-request', { reason: `the ${what} has ${bytes.length} bytes, and ${MAX_BYTES} is the most` })
}
