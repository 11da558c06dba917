/**
 * Several nodes in one cluster that lives in memory, each behind the interface `Gossip`: for tests of what stands on it.
 *
 * What one node does, the others see at once. Queries are answered by listeners alone; the tests say what they answer. Refusals are
 * those that gossip makes: events, queries and tags that are too long, keys where there is no encryption.
 */
import type { Coordinate, QueryFilter } from '../../../core/gossip/serf-messages.ts'
import { compileExpression } from '../../../core/lib/expression.ts'
import { fail } from '../../errors.ts'
import { Listeners } from '../../listeners.ts'
import { tagsProblem, type Member } from '../../membership/member.ts'
import type { EventOptions, EventReport, GossipMember, KeyReport, MemberEvent, QueryOptions, QueryReply } from '../gossip.ts'
import { asMember } from '../gossip-member.ts'
import { FakeNodeGossip, MAX_BYTES, tooLong } from './fake-node.ts'

const MAX_QUERY_BYTES = 1024
const DEFAULT_QUERY_MS = 200
const VERSIONS = [1, 5, 2, 2, 5, 5] as const

type Status = GossipMember['status']

interface Asked {
  readonly origin: ClusterGossip
  readonly onReply: (reply: QueryReply) => void
  readonly answered: Set<string>
  responses: number
  isOver: boolean
}

/** The cluster: makes nodes, and does to them what a network would. */
export class FakeGossipCluster {
  readonly nodes: Map<string, ClusterGossip> = new Map()
  readonly members: Map<string, GossipMember> = new Map()
  readonly asked: Map<number, Asked> = new Map()
  readonly coordinates: Map<string, Coordinate> = new Map()
  /** Base64 of the keys that all members have, the primary one first; undefined where gossip is not encrypted. */
  keys: string[] | undefined
  #eventTime = 0
  #queryTime = 0
  #lastQueryId = 0

  /** A node that is alive from now on. */
  add(name: string, options: { address?: string; tags?: Readonly<Record<string, string>> } = {}): ClusterGossip {
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
    const node = new ClusterGossip(this, name)
    // A node for each ms along one axis.
    this.coordinates.set(name, { vector: [this.nodes.size / 1000, 0, 0, 0, 0, 0, 0, 0], height: 0, error: 0.1, adjustment: 0 })
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
    for (const node of this.alive()) node.changed({ change, member: changed, verdict: undefined })
  }

  alive(): ClusterGossip[] {
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
      if (!name.startsWith('_serf_')) node.incomingQueries.call({ id, name, payload, from: asked.origin.name, time, deadlineAt })
    }
    return id
  }
}

export class ClusterGossip extends FakeNodeGossip {
  readonly name: string
  readonly #cluster: FakeGossipCluster
  readonly #changes: Listeners<Member> = new Listeners()

  constructor(cluster: FakeGossipCluster, name: string) {
    super()
    this.#cluster = cluster
    this.name = name
  }

  override get self(): Member {
    return asMember(this.#own())
  }

  get lastQuery(): QueryOptions | undefined {
    return this.queries.at(-1)?.options
  }

  /** Something became of a member. */
  changed(event: MemberEvent): void {
    this.#changes.call(asMember(event.member))
    this.memberEvents.call(event)
  }

  override members(): Member[] {
    return this.gossipMembers().map(asMember)
  }

  override gossipMembers(): GossipMember[] {
    return [...this.#cluster.members.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  override onChange(listener: (member: Member) => void): () => void {
    return this.#changes.add(listener)
  }

  override async join(addresses: readonly string[]): Promise<number> {
    this.joined.push(...addresses)
    const known = addresses.filter((address) => this.gossipMembers().some((member) => `${member.address}:${member.port}` === address))
    if (known.length === 0) throw fail('join-failed', { reason: `${addresses.join(', ')}: connection refused` })
    return known.length
  }

  override async leave(): Promise<void> {
    this.#cluster.setStatus(this.name, 'leaving', 'leaving')
    this.#cluster.setStatus(this.name, 'left', 'left')
  }

  override async start(): Promise<{ gossipPort: number }> {
    return { gossipPort: this.#own().port }
  }

  override async close(): Promise<void> {
    this.#cluster.crash(this.name)
  }

  override async setTags(tags: Readonly<Record<string, string>>): Promise<void> {
    const reason = tagsProblem(tags)
    if (reason !== undefined) throw fail('bad-request', { reason })
    this.#cluster.set({ ...this.#own(), tags: { ...tags } }, 'updated')
  }

  override async forget(name: string, { isPrune }: { readonly isPrune: boolean }): Promise<void> {
    if (this.#cluster.members.get(name)?.status === 'failed') this.#cluster.setStatus(name, 'left', 'left')
    const member = this.#cluster.members.get(name)
    if (isPrune && member?.status === 'left') this.#cluster.set(member, 'reaped')
  }

  override async event(name: string, payload: Uint8Array, options: EventOptions = {}): Promise<EventReport | undefined> {
    const length = Buffer.byteLength(name) + payload.length
    if (length > MAX_BYTES) throw tooLong('event', length, MAX_BYTES)
    this.#cluster.sendEvent(name, payload, options.canCoalesce ?? false)
    return undefined
  }

  override async query(
    name: string,
    payload: Uint8Array,
    options: QueryOptions,
    onReply: (reply: QueryReply) => void,
    signal?: AbortSignal,
  ): Promise<{ acks: number; responses: number }> {
    const length = Buffer.byteLength(name) + payload.length
    if (length > MAX_QUERY_BYTES) throw tooLong('query', length, MAX_QUERY_BYTES)
    this.queries.push({ name, payload, options })
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

  override async respond(id: number, payload: Uint8Array): Promise<void> {
    const asked = this.#cluster.asked.get(id)
    if (asked === undefined || asked.isOver) throw fail('bad-request', { reason: 'the query is over' })
    if (asked.answered.has(this.name)) throw fail('bad-request', { reason: 'it was answered already' })
    asked.answered.add(this.name)
    asked.responses++
    asked.onReply({ type: 'response', from: this.name, payload })
  }

  override async keys(operation: 'install' | 'use' | 'remove' | 'list', key?: Uint8Array): Promise<KeyReport> {
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

  override async coordinate(name: string = this.name): Promise<Coordinate | undefined> {
    return this.#cluster.coordinates.get(name)
  }

  override async gossipStats(): Promise<Record<string, number>> {
    return { 'serf.memberTime': 7, 'traffic.probes': 3 }
  }

  #own(): GossipMember {
    return this.#cluster.members.get(this.name) as GossipMember
  }
}

function isMeant(member: GossipMember, filter: QueryFilter): boolean {
  if (filter.type === 'nodes') return filter.nodes.includes(member.name)
  if (filter.type === 'unknown') return false
  const expression = compileExpression(filter.expression)
  return typeof expression !== 'string' && expression.matches(member.tags[filter.tag] ?? '')
}
