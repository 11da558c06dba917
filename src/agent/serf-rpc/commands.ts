/** The commands of Serf's RPC, one row each: what its request has, what its response has, and what it does. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Kind } from '../../core/gossip/msgpack-kinds.ts'
import type { QueryFilter } from '../../core/gossip/serf-messages.ts'
import { isWireError, type WireError } from '../../core/wire/wire-error.ts'
import { asPolycastError } from '../errors.ts'
import { parseEventFilter } from './event-filter.ts'
import { keyCommand, listKeys } from './keys.ts'
import { filterMembers } from './member-filter.ts'
import { memberRecord } from './member-record.ts'
import * as messages from './messages.ts'
import { bodyOf, decodeValue, encodeResponse, errorText, ERROR_TEXTS } from './protocol.ts'
import type { Opening, Session } from './session.ts'
import { stats } from './stats.ts'

/** What a command came to. Where responses have a body and it gives none, the body says zero: clients wait for one in any case. */
interface Outcome<Reply> {
  readonly error?: string | undefined
  readonly reply?: Reply
  /** What is to happen once the response was sent. */
  readonly begin?: (() => void) | undefined
}

interface Row<Request, Reply> {
  readonly request?: Kind<Request>
  readonly reply?: Kind<Reply>
  run(session: Session, request: Request, seq: number): Outcome<Reply> | Promise<Outcome<Reply>>
}

/** A response, and what is to happen once it was sent. */
export interface Response {
  readonly bytes: Uint8Array
  readonly begin: (() => void) | undefined
}

export interface Command {
  readonly hasBody: boolean
  /** Decodes the body at once; then carries out the command and makes the response. */
  call(session: Session, seq: number, body: Uint8Array): Promise<Response> | WireError
}

/** What the longest query may take. */
const MAX_QUERY_MS = 3_600_000
const NS_PER_MS = 1_000_000

/** By name. */
export const COMMANDS: ReadonlyMap<string, Command> = new Map([
  [
    'handshake',
    command({
      request: messages.HANDSHAKE,
      run(session, { Version }) {
        if (Version !== 1) return { error: ERROR_TEXTS.unsupportedVersion }
        if (session.version !== 0) return { error: ERROR_TEXTS.duplicateHandshake }
        session.version = Version
        return {}
      },
    }),
  ],
  [
    'auth',
    command({
      request: messages.AUTH,
      run(session, { AuthKey }) {
        if (!isSameSecret(AuthKey, session.parts.authKey ?? '')) return { error: ERROR_TEXTS.invalidAuthToken }
        session.isAuthenticated = true
        return {}
      },
    }),
  ],
  [
    'event',
    command({
      request: messages.EVENT_REQUEST,
      async run({ parts }, { Name, Payload, Coalesce }) {
        await parts.gossip.event(Name, Payload, { canCoalesce: Coalesce })
        return {}
      },
    }),
  ],
  [
    'force-leave',
    command({
      request: messages.FORCE_LEAVE,
      async run({ parts }, { Node, Prune }) {
        // As with Serf, a member that is not known is no error; others may know one that is to be forgotten.
        const isKnown = parts.gossip.gossipMembers().some(({ name }) => name === Node)
        if (isKnown || Prune) await parts.gossip.forget(Node, { isPrune: Prune })
        return {}
      },
    }),
  ],
  [
    'join',
    command({
      request: messages.JOIN_REQUEST,
      reply: messages.JOINED,
      async run({ parts }, { Existing }) {
        return { reply: { Num: Existing.length === 0 ? 0 : await parts.gossip.join(Existing) } }
      },
    }),
  ],
  [
    'members',
    command({
      reply: messages.MEMBERS,
      run: ({ parts }) => ({ reply: { Members: parts.gossip.gossipMembers().map(memberRecord) } }),
    }),
  ],
  [
    'members-filtered',
    command({
      request: messages.MEMBERS_FILTERED,
      reply: messages.MEMBERS,
      run({ parts }, { Tags, Status, Name }) {
        const members = filterMembers(parts.gossip.gossipMembers(), { tags: Tags, status: Status, name: Name })
        return typeof members === 'string' ? { error: members } : { reply: { Members: members.map(memberRecord) } }
      },
    }),
  ],
  [
    'tags',
    command({
      request: messages.TAGS_REQUEST,
      async run({ parts }, { Tags, DeleteTags }) {
        const tags = new Map(Object.entries(parts.gossip.self.tags))
        for (const key of DeleteTags) tags.delete(key)
        for (const [key, value] of Tags) tags.set(key, value)
        await parts.gossip.setTags(Object.fromEntries(tags))
        return {}
      },
    }),
  ],
  [
    'stream',
    command({
      request: messages.STREAM_REQUEST,
      run(session, { Type }, seq) {
        const filter = parseEventFilter(Type)
        return filter === undefined ? { error: ERROR_TEXTS.invalidFilter } : outcomeOf(session.openStream(seq, filter))
      },
    }),
  ],
  [
    'monitor',
    command({
      request: messages.MONITOR_REQUEST,
      run: (session, { LogLevel }, seq) => outcomeOf(session.openMonitor(seq, LogLevel)),
    }),
  ],
  [
    'stop',
    command({
      request: messages.STOP_REQUEST,
      run(session, { Stop }) {
        session.stop(Stop)
        return {}
      },
    }),
  ],
  [
    'query',
    command({
      request: messages.QUERY_REQUEST,
      async run(session, request, seq) {
        const { Name, Payload } = request
        // The one query of Serf's own that clients may send: `serf reachability` counts who acknowledges it.
        const isPing = Name === '_serf_ping' && Payload.length === 0
        if (Name.startsWith('_serf_') && !isPing) return { error: ERROR_TEXTS.internalQuery }
        const opening = await session.openQuery(seq, Name, Payload, {
          filters: queryFilters(request),
          wantsAck: request.RequestAck,
          relayFactor: request.RelayFactor,
          ...(request.Timeout === 0 ? {} : { timeoutMs: Math.min(Math.max(1, Math.ceil(request.Timeout / NS_PER_MS)), MAX_QUERY_MS) }),
        })
        return outcomeOf(opening)
      },
    }),
  ],
  [
    'respond',
    command({
      request: messages.RESPOND_REQUEST,
      run: async (session, { ID, Payload }) => ({ error: await session.respond(ID, Payload) }),
    }),
  ],
  ['install-key', command({ request: messages.KEY_REQUEST, reply: messages.KEYS_REPLY, run: keyCommand('install') })],
  ['use-key', command({ request: messages.KEY_REQUEST, reply: messages.KEYS_REPLY, run: keyCommand('use') })],
  ['remove-key', command({ request: messages.KEY_REQUEST, reply: messages.KEYS_REPLY, run: keyCommand('remove') })],
  ['list-keys', command({ reply: messages.KEYS_REPLY, run: listKeys })],
  ['stats', command({ reply: messages.STATS, run: async ({ parts }) => ({ reply: await stats(parts) }) })],
  [
    'get-coordinate',
    command({
      request: messages.COORDINATE_REQUEST,
      reply: messages.COORDINATE_REPLY,
      async run({ parts }, { Node }) {
        const found = await parts.gossip.coordinate(Node)
        if (found === undefined) return {}
        const { adjustment, error, height, vector } = found
        return { reply: { Coord: { Adjustment: adjustment, Error: error, Height: height, Vec: vector }, Ok: true } }
      },
    }),
  ],
  [
    'leave',
    command({
      async run({ parts }) {
        parts.log.info({}, 'a client of the Serf RPC makes this node leave')
        await parts.gossip.leave()
        return { begin: parts.onLeft }
      },
    }),
  ],
])

function command<Request, Reply>(row: Row<Request, Reply>): Command {
  const { request, reply } = row
  return {
    hasBody: request !== undefined,
    call(session, seq, body) {
      const value = request === undefined ? undefined : decodeValue(request, body)
      return isWireError(value) ? value : carryOut(session, seq, reply, () => row.run(session, value as Request, seq))
    },
  }
}

async function carryOut<Reply>(
  session: Session,
  seq: number,
  kind: Kind<Reply> | undefined,
  run: () => Outcome<Reply> | Promise<Outcome<Reply>>,
): Promise<Response> {
  let outcome: Outcome<Reply>
  try {
    outcome = await run()
  } catch (raw) {
    const error = asPolycastError(raw)
    if (error.code === 'internal') session.parts.log.error({ err: raw }, 'a request of the Serf RPC met a fault of Polycast')
    outcome = { error: errorText(error) }
  }
  const body = kind === undefined ? undefined : bodyOf(kind, outcome.reply ?? kind.zero)
  return { bytes: encodeResponse(seq, outcome.error ?? '', body), begin: outcome.begin }
}

function outcomeOf(opening: Opening): Outcome<never> {
  return opening.error === undefined ? { begin: opening.begin } : { error: opening.error }
}

function queryFilters({ FilterNodes, FilterTags }: messages.QueryRequest): QueryFilter[] {
  const filters: QueryFilter[] = FilterNodes.length === 0 ? [] : [{ type: 'nodes', nodes: FilterNodes }]
  for (const [tag, expression] of FilterTags) filters.push({ type: 'tag', tag, expression })
  return filters
}

/** Takes the same time whatever is given. */
function isSameSecret(given: string, secret: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(secret))
}
