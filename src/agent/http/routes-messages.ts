/** Routes of what members tell each other by gossip: events, queries, the state of each node. */
import { z } from 'zod'
import { parseSelector, matches } from '../deliveries/selector.ts'
import { fail, serialiseError } from '../errors.ts'
import { MEMBER_KINDS, matchesEvent, parseEventFilter } from '../gossip/event-filter.ts'
import type { EventFilter } from '../gossip/event-filter.ts'
import type { QueryOptions, QueryReply } from '../gossip/gossip.ts'
import { queryFilters } from '../gossip/query-filter.ts'
import { EventStream } from './event-stream.ts'
import type {
  ClusterEvent,
  EventOrder,
  EventSent,
  NodeState,
  QueryEvent,
  QueryOrder,
  QueryResult,
  StateEvent,
  StateOrder,
} from './gossip-api.ts'
import { MAX_EVENT_BODY_BYTES } from './request-body.ts'
import { bytesOf, shownBytes } from './payload.ts'
import { json, lines, route } from './route.ts'
import type { Route, RouteReply, RouteRequest } from './route.ts'
import { done } from './schemas.ts'
import {
  clusterEvent,
  eventOrder,
  eventSent,
  nodeState,
  queryEvent,
  queryOrder,
  queryResult,
  stateEvent,
  stateOrder,
} from './schemas-gossip.ts'

const limit = z
  .string()
  .regex(/^[1-9]\d{0,8}$/)
  .optional()
  .describe('end after so many lines, not counting the first; by default it goes on')
const eventsQuery = z.strictObject({
  filter: z
    .string()
    .max(4096)
    .optional()
    .describe('which events, as in the option event-handler: member-failed,user:deploy; by default all'),
  limit,
})
const watchQuery = z.strictObject({
  watch: z.enum(['', 'true']).optional().describe('there is nothing else that this does: it may be left out'),
  prefix: z.string().max(1024).optional().describe('only keys that begin so'),
  limit,
})
const queryQuery = z.strictObject({
  reply: z
    .enum(['stream', 'end'])
    .default('stream')
    .describe('stream: JSON lines as answers come; end: one JSON document when the time is over'),
})

/** The rows for events, queries and state. */
export const MESSAGE_ROUTES: readonly Route[] = [
  route<undefined, EventOrder>({
    method: 'POST',
    path: '/v1/events',
    operationId: 'sendEvent',
    tag: 'messages',
    summary: 'Send an event to all members',
    description:
      'Answers once it is on its way; with `report` when all nodes have sent a receipt or are known not to. A payload that is too long for an event (64 KiB) goes through the swarm.',
    body: eventOrder,
    maxBodyBytes: MAX_EVENT_BODY_BYTES,
    responses: { 200: json('It is sent.', eventSent) },
    errors: ['overloaded', 'no-space', 'quota-exceeded'],
    async handle({ parts, body }) {
      const options = { canCoalesce: body.coalesce === true, wantsReport: body.report === true }
      const report = await parts.gossip.event(body.name, bytesOf(body), options)
      const answer: EventSent = { isSent: true, ...(report === undefined ? {} : { report }) }
      return { status: 200, json: answer }
    },
  }),
  route<z.output<typeof eventsQuery>>({
    method: 'GET',
    path: '/v1/events',
    operationId: 'followEvents',
    tag: 'messages',
    summary: 'What happens in the cluster, as it happens',
    description: 'One JSON object per line: what becomes of members, events, and the queries that this node is asked.',
    query: eventsQuery,
    responses: { 200: lines('What happens, until the client closes the connection.', clusterEvent) },
    errors: [],
    handle: (request) => followEvents(request, readFilter(request.query.filter ?? '*')),
  }),
  route<z.output<typeof queryQuery>, QueryOrder>({
    method: 'POST',
    path: '/v1/queries',
    operationId: 'query',
    tag: 'messages',
    summary: 'Ask members, and gather their answers',
    description: 'Closing the connection ends the query.',
    query: queryQuery,
    body: queryOrder,
    responses: { 200: lines('Acknowledgements and answers as they come; with reply=end all of them.', queryEvent, queryResult) },
    errors: ['selector-invalid'],
    handle: ask,
  }),
  route<z.output<typeof watchQuery>>({
    method: 'GET',
    path: '/v1/state',
    operationId: 'watchState',
    tag: 'messages',
    summary: 'Changes of the state of all nodes, as they happen',
    query: watchQuery,
    responses: { 200: lines('A line for each change, until the client closes the connection.', stateEvent) },
    errors: [],
    handle: watchState,
  }),
  route({
    method: 'GET',
    path: '/v1/state/{name}',
    operationId: 'showState',
    tag: 'messages',
    summary: 'The state of a node',
    pathParams: { name: 'the name of a node' },
    responses: { 200: json('Its keys, in order.', nodeState) },
    errors: ['member-not-found'],
    async handle({ parts, path }) {
      const node = path['name'] ?? ''
      const state = await parts.gossip.state(node)
      if (state.size === 0 && !parts.gossip.members().some(({ name }) => name === node)) {
        throw fail('member-not-found', { name: node.slice(0, 200) })
      }
      const entries = [...state].map(([key, value]) => ({ key, ...shownBytes(value) })).toSorted((a, b) => (a.key < b.key ? -1 : 1))
      const answer: NodeState = { node, entries }
      return { status: 200, json: answer }
    },
  }),
  route<undefined, StateOrder>({
    method: 'PUT',
    path: '/v1/state/{name}',
    operationId: 'setState',
    tag: 'messages',
    summary: "Set a key of this node's own state",
    description: 'All nodes see it shortly after.',
    pathParams: { name: "a key of this node's state" },
    body: stateOrder,
    responses: { 200: json('It is set.', done) },
    errors: [],
    async handle({ parts, path, body }) {
      await parts.gossip.setState(path['name'] ?? '', bytesOf(body), body.ttlMs)
      return { status: 200, json: { isDone: true } }
    },
  }),
  route({
    method: 'DELETE',
    path: '/v1/state/{name}',
    operationId: 'removeState',
    tag: 'messages',
    summary: "Remove a key of this node's own state",
    description: 'One that is not there is removed already.',
    pathParams: { name: "a key of this node's state" },
    responses: { 200: json('It is gone here, and shortly after on all nodes.', done) },
    errors: [],
    async handle({ parts, path }) {
      await parts.gossip.removeState(path['name'] ?? '')
      return { status: 200, json: { isDone: true } }
    },
  }),
]

function readFilter(text: string): EventFilter {
  const filter = parseEventFilter(text)
  if (typeof filter === 'string') throw fail('bad-request', { reason: filter })
  return filter
}

async function followEvents(request: RouteRequest<z.output<typeof eventsQuery>>, filter: EventFilter): Promise<RouteReply> {
  const { gossip } = request.parts
  const follow = new Follow<ClusterEvent>(request, request.query.limit)
  return follow.run([
    gossip.onMemberEvent(({ change, member, verdict }) => {
      const kind = MEMBER_KINDS[change]
      if (!matchesEvent(filter, { type: 'member', kind })) return
      follow.write({ event: 'member', at: Date.now(), kind, member, ...(verdict === undefined ? {} : { verdict }) })
    }),
    gossip.onEvent(({ name, payload, time, canCoalesce }) => {
      if (matchesEvent(filter, { type: 'user', name }))
        follow.write({ event: 'user', at: Date.now(), name, time, canCoalesce, ...shownBytes(payload) })
    }),
    gossip.onLostEvent(({ name, time, from, bytes, error }) => {
      if (matchesEvent(filter, { type: 'user', name }))
        follow.write({ event: 'user-lost', at: Date.now(), name, time, from, bytes, error: serialiseError(error) })
    }),
    gossip.onQuery(({ name, payload, time, from }) => {
      if (matchesEvent(filter, { type: 'query', name }))
        follow.write({ event: 'query', at: Date.now(), name, time, from, ...shownBytes(payload) })
    }),
  ])
}

function watchState(request: RouteRequest<z.output<typeof watchQuery>>): Promise<RouteReply> {
  const { prefix = '' } = request.query
  const follow = new Follow<StateEvent>(request, request.query.limit)
  return follow.run([
    request.parts.gossip.onState(({ value, ...change }) => {
      if (!change.key.startsWith(prefix)) return
      follow.write(value === undefined ? { event: 'removed', ...change } : { event: 'set', ...change, ...shownBytes(value) })
    }),
  ])
}

/** An answer that goes on until the client has gone, or has as many lines as it wants. */
class Follow<Event extends { event: string }> {
  readonly #stream: EventStream
  #left: number

  constructor(request: RouteRequest<unknown>, most: string | undefined) {
    this.#stream = new EventStream(request.response, request.closed)
    this.#left = most === undefined ? Infinity : Number(most)
    this.#stream.write({ event: 'started', at: Date.now() } as { event: string })
  }

  write(event: Event): void {
    if (this.#left <= 0) return
    this.#left--
    this.#stream.write(event)
    if (this.#left <= 0) this.#stream.end()
  }

  async run(ends: readonly (() => void)[]): Promise<undefined> {
    await this.#stream.closed
    for (const end of ends) end()
    return undefined
  }
}

async function ask(request: RouteRequest<z.output<typeof queryQuery>, QueryOrder>): Promise<RouteReply> {
  const { parts, body, closed } = request
  const selector = parseSelector(body.to ?? 'all')
  const of = parts.gossip.members().filter((member) => member.status === 'alive' && matches(selector, member)).length
  const options: QueryOptions = {
    filters: queryFilters(selector),
    wantsAck: body.ack !== false,
    ...(body.relayFactor === undefined ? {} : { relayFactor: body.relayFactor }),
    ...(body.timeoutMs === undefined ? {} : { timeoutMs: body.timeoutMs }),
  }
  const payload = bytesOf(body)
  const run = (onReply: (reply: QueryReply) => void): Promise<{ acks: number; responses: number }> =>
    parts.gossip.query(body.name, payload, options, onReply, closed)
  if (request.query.reply === 'end') return { status: 200, json: await gather(run, of) }

  // Opened by the first line alone, so that a query that is refused is answered with a status that says so.
  let stream: EventStream | undefined
  const write = (event: QueryEvent): void => {
    stream ??= new EventStream(request.response, closed)
    stream.write(event)
  }
  try {
    const { acks, responses } = await run((reply) => {
      write(
        reply.type === 'ack' ? { event: 'ack', from: reply.from } : { event: 'response', from: reply.from, ...shownBytes(reply.payload) },
      )
    })
    write({ event: 'done', acks, responses, of })
  } catch (error) {
    if (stream === undefined) throw error
    write({ event: 'error', error: serialiseError(error) })
  }
  stream?.end()
  return undefined
}

async function gather(
  run: (onReply: (reply: QueryReply) => void) => Promise<{ acks: number; responses: number }>,
  of: number,
): Promise<QueryResult> {
  const acknowledgedBy: string[] = []
  const answers: QueryResult['answers'] = []
  const { acks, responses } = await run((reply) => {
    if (reply.type === 'ack') acknowledgedBy.push(reply.from)
    else answers.push({ from: reply.from, ...shownBytes(reply.payload) })
  })
  return { acks, responses, of, acknowledgedBy, answers }
}
