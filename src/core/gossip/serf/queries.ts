/**
 * Queries: a question that one member asks all that its filters match, who acknowledge it and answer, straight to whom it names.
 * docs/specs/04-gossip.md §7.4.
 *
 * Both sides are here. The asker gathers, each ack and each response of a member once, until the time is over. The asked one counts each
 * query once, passes it on, acknowledges where that is wanted, and answers once; with a relay factor, also by way of some others, as the
 * straight way may be the one that loses packets.
 */
import { compileExpression } from '../../lib/expression.ts'
import { copyBytes, utf8Encode } from '../../lib/bytes.ts'
import { isEndpoint } from '../endpoint.ts'
import { MAX_NAME_BYTES } from '../memberlist-codec.ts'
import { encodeSerfMessage, MAX_FILTERS } from '../serf-codec.ts'
import { QUERY_FLAGS, type Query, type QueryFilter, type QueryResponse, type Relay } from '../serf-messages.ts'
import { SeenRing } from './event-buffer.ts'
import { INTERNAL_PREFIX } from './internal-queries.ts'
import { isLamportTime } from './lamport.ts'
import type { SerfState } from './serf-state.ts'
import type { SerfInput } from './serf-types.ts'

/** What is done with what comes for a query of this member's own. */
export interface Gatherer {
  ack(from: string): void
  response(from: string, payload: Uint8Array): void
  done(acks: number, responses: number, now: number): void
}

interface Gathering {
  readonly id: number
  readonly endsAt: number
  readonly gatherer: Gatherer
  readonly acks: Set<string>
  readonly responses: Set<string>
}

interface Request {
  readonly query: Query
  readonly deadlineAt: number
}

type QueryInput = Omit<Extract<SerfInput, { type: 'query' }>, 'type' | 'query'>

/** How the protocol of a member must be at least for it to relay, Serf's. */
const RELAY_DELEGATE = 5
/** No query of this member's own is open for longer. */
const MAX_TIMEOUT_MS = 24 * 3600 * 1000

export class Queries {
  readonly #state: SerfState
  readonly #ring: SeenRing<number>
  readonly #deliver: (request: number, query: Query, deadlineAt: number) => void
  /** By the query's Lamport time, which no other of this member's has. */
  readonly #gatherings: Map<number, Gathering> = new Map()
  /** The oldest first. */
  readonly #requests: Map<number, Request> = new Map()
  #nextRequest = 1
  strayResponses = 0
  droppedRequests = 0

  /** `deliver` takes queries for this member. */
  constructor(state: SerfState, deliver: (request: number, query: Query, deadlineAt: number) => void) {
    this.#state = state
    this.#deliver = deliver
    this.#ring = new SeenRing<number>(state.queryClock, {
      length: state.limits.eventBuffer,
      maxAtOnce: state.limits.maxEventsAtOnce,
      maxBytes: Infinity,
      bytesOf: () => 0,
      isSame: (a, b) => a === b,
    })
  }

  get staleCount(): number {
    return this.#ring.staleCount
  }

  ignoreBefore(time: number): void {
    this.#ring.raiseMinTime(time)
  }

  nextDeadline(): number {
    let earliest = Infinity
    for (const { endsAt } of this.#gatherings.values()) earliest = Math.min(earliest, endsAt)
    return earliest
  }

  handleTimeout(now: number): void {
    for (const [time, { endsAt, gatherer, acks, responses }] of this.#gatherings) {
      if (endsAt > now) continue
      this.#gatherings.delete(time)
      gatherer.done(acks.size, responses.size, now)
    }
  }

  /** How long a query is open unless it says otherwise: by how many there are to hear of it, ms. */
  #defaultTimeoutMs(): number {
    const { times, options, members } = this.#state
    let count = 0
    for (const { status } of members.values()) if (status === 'alive' || status === 'leaving') count++
    return options.profile.gossipIntervalMs * times.queryTimeoutMult * Math.max(1, Math.ceil(Math.log10(count + 1)))
  }

  // ---- asking ----

  /** @returns why it is not asked, or undefined. */
  ask({ name, payload, filters, wantsAck, relayFactor, timeoutMs }: QueryInput, gatherer: Gatherer, now: number): string | undefined {
    const { limits, options, queryClock, random } = this.#state
    const { address, port } = options.endpoint
    const lastsMs = Math.min(timeoutMs !== undefined && timeoutMs > 0 ? timeoutMs : this.#defaultTimeoutMs(), MAX_TIMEOUT_MS)
    const size = utf8Encode(name).length + payload.length + filters.reduce((sum, filter) => sum + filterBytes(filter), 0)
    const tooLarge = `a query may have ${limits.maxQueryBytes} bytes with all its fields`
    if (size > limits.maxQueryBytes || filters.length > MAX_FILTERS) return tooLarge
    const isName = (node: string): boolean => utf8Encode(node).length <= MAX_NAME_BYTES
    if (!filters.every((filter) => filter.type !== 'nodes' || filter.nodes.every(isName)))
      return 'a filter names what is no name of a member'
    if (this.#gatherings.size >= limits.maxOpenQueries) return `${limits.maxOpenQueries} queries are open already`
    const query: Query = {
      type: 'query',
      time: queryClock.time,
      id: random.below(0x80000000),
      address,
      port,
      sourceNode: options.node,
      filters,
      flags: wantsAck ? QUERY_FLAGS.ack : 0,
      relayFactor: Math.max(0, Math.min(Math.trunc(relayFactor) || 0, 255)),
      timeoutNs: Math.round(lastsMs * 1e6),
      name,
      payload: copyBytes(payload),
    }
    const bytes = encodeSerfMessage(query)
    if (bytes.length > limits.maxQueryBytes) return tooLarge
    this.#gatherings.set(query.time, { id: query.id, endsAt: now + lastsMs, gatherer, acks: new Set(), responses: new Set() })
    this.#state.emit({ type: 'spread', bytes })
    this.received(query, bytes, false, now)
    return undefined
  }

  handleResponse({ time, id, from, flags, payload }: QueryResponse): void {
    const gathering = this.#gatherings.get(time)
    const isAck = (flags & QUERY_FLAGS.ack) !== 0
    const known = isAck ? gathering?.acks : gathering?.responses
    if (gathering === undefined || known === undefined || gathering.id !== id || known.has(from)) return void this.strayResponses++
    // No more can honestly answer than there are; with some more who have just come.
    if (known.size >= 2 * this.#state.members.size + 64) return void this.strayResponses++
    known.add(from)
    if (isAck) gathering.gatherer.ack(from)
    else gathering.gatherer.response(from, copyBytes(payload))
  }

  // ---- being asked ----

  /** A query that came by gossip, by another way, or from this member itself. */
  received(query: Query, bytes: Uint8Array, isGossip: boolean, now: number): void {
    const { self, queues, limits } = this.#state
    if (!isLamportTime(query.time)) this.#state.refusedMessages++
    if (this.#ring.admit(query.time, query.id) !== 'new') return
    this.#state.emit({ type: 'snapshot', line: `query-clock: ${query.time}` })
    // Who asks whose its name is may be in no tree, as those are made of names; and a key must not wait for a tree's repair, which comes
    // under the next one.
    const isToSpread =
      (query.flags & QUERY_FLAGS.noBroadcast) === 0 && (isGossip || query.name.startsWith(INTERNAL_PREFIX) || this.#state.hasForeigners())
    if (isToSpread && this.#state.fitsPacket(bytes)) queues.queries.add(undefined, { type: 'user', bytes: copyBytes(bytes) })
    if (!query.filters.every((filter) => matches(filter, self.name, self.tags))) return
    if ((query.flags & QUERY_FLAGS.ack) !== 0) this.#send(query, QUERY_FLAGS.ack, new Uint8Array(0))
    const deadlineAt = now + Math.max(query.timeoutNs, 0) / 1e6
    const request = this.#nextRequest++
    const kept: Query = { ...query, payload: copyBytes(query.payload) }
    this.#requests.set(request, { query: kept, deadlineAt })
    if (this.#requests.size > limits.maxOpenRequests) {
      for (const [oldest] of this.#requests) {
        this.#requests.delete(oldest)
        this.droppedRequests++
        break
      }
    }
    this.#deliver(request, kept, deadlineAt)
  }

  /** @returns why it is not answered, or undefined. */
  respond(request: number, payload: Uint8Array, now: number): string | undefined {
    const known = this.#requests.get(request)
    if (known === undefined) return 'it was answered before, or there was no such query'
    if (now > known.deadlineAt) {
      this.#requests.delete(request)
      return 'its time is over'
    }
    const problem = this.#send(known.query, 0, payload)
    if (problem === undefined) this.#requests.delete(request)
    return problem
  }

  /** Nothing will be answered. */
  ignore(request: number): void {
    this.#requests.delete(request)
  }

  /** Bytes of a response's payload at the most. */
  payloadRoom({ time, id }: Query): number {
    const empty = encodeSerfMessage({ type: 'query-response', time, id, from: this.#state.self.name, flags: 0, payload: new Uint8Array(0) })
    // A payload of that length has three bytes before it, instead of one for none.
    return this.#state.limits.maxQueryBytes - empty.length - 2
  }

  #send({ time, id, address, port, sourceNode, relayFactor }: Query, flags: number, payload: Uint8Array): string | undefined {
    const { self, limits } = this.#state
    const to = { address, port }
    if (!isEndpoint(to)) return 'the query does not say where answers go'
    if (payload.length > limits.maxQueryBytes) return `a response may have ${limits.maxQueryBytes} bytes with all its fields`
    const response: QueryResponse = { type: 'query-response', time, id, from: self.name, flags, payload }
    const bytes = encodeSerfMessage(response)
    if (bytes.length > limits.maxQueryBytes)
      return `a response may have ${limits.maxQueryBytes} bytes with all its fields, it has ${bytes.length}`
    if (this.#state.isOwnEndpoint(to)) {
      this.handleResponse(response)
      return undefined
    }
    this.#state.sendUser(to, sourceNode === '' ? undefined : sourceNode, bytes)
    if (relayFactor > 0) this.#relay(relayFactor, { type: 'relay', address, port, zone: '', node: sourceNode, message: bytes })
    return undefined
  }

  /** Sends it by way of so many others, if there are more than that. */
  #relay(relayFactor: number, relay: Relay): void {
    const { members, self, random, limits } = this.#state
    if (members.size < relayFactor + 1) return
    const bytes = encodeSerfMessage(relay)
    if (bytes.length > limits.maxQueryBytes) return
    const able = [...members.values()].filter(
      (entry) => entry !== self && entry.status === 'alive' && entry.name !== relay.node && (entry.versions?.[4] ?? 0) >= RELAY_DELEGATE,
    )
    for (const { address, port, name } of random.shuffle(able).slice(0, relayFactor)) this.#state.sendUser({ address, port }, name, bytes)
  }

  /** A response that this member is to pass on. Nothing else is relayed: a relay hides who sends. */
  handleRelay({ address, port, node, message }: Relay, isResponse: boolean): void {
    const to = { address, port }
    if (!isResponse || !isEndpoint(to) || message.length > this.#state.limits.maxQueryBytes) return void this.#state.refusedMessages++
    this.#state.sendUser(to, node === '' ? undefined : node, copyBytes(message))
  }
}

/** About what a filter takes; never less than the text in it. */
function filterBytes(filter: QueryFilter): number {
  switch (filter.type) {
    case 'nodes':
      return filter.nodes.reduce((sum, node) => sum + 1 + node.length, 2)
    case 'tag':
      return 12 + filter.tag.length + filter.expression.length
    case 'unknown':
      return filter.bytes.length
  }
}

/** Whether a filter accepts a member; an expression that does not compile accepts nobody. */
export function matches(filter: QueryFilter, name: string, tags: ReadonlyMap<string, string>): boolean {
  switch (filter.type) {
    case 'nodes':
      return filter.nodes.includes(name)
    case 'tag':
      return matchesExpression(filter.expression, tags.get(filter.tag) ?? '')
    case 'unknown':
      return false
  }
}

function matchesExpression(source: string, text: string): boolean {
  const expression = compileExpression(source)
  return typeof expression !== 'string' && expression.matches(text)
}
