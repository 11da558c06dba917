/**
 * What a client of Serf's RPC has under way: its streams, its monitor, its queries, and the queries of others that it may answer.
 *
 * A stream sends records under the number of the request that opened it, until the client stops it or goes. What is opened here begins to
 * send when the response to its request has been sent (`begin`), so that the response comes first.
 */
import { asPolycastError } from '../errors.ts'
import type { IncomingQuery, MemberEvent, QueryOptions } from '../gossip/gossip.ts'
import type { EventFilter, EventType } from './event-filter.ts'
import { serfLevel } from './log-tap.ts'
import { memberRecord } from './member-record.ts'
import { LOG_RECORD, MEMBER_EVENT_RECORD, QUERY_EVENT_RECORD, QUERY_REPLY_RECORD, USER_EVENT_RECORD } from './messages.ts'
import type { RpcParts } from './parts.ts'
import { bodyOf, encodeResponse, errorText, ERROR_TEXTS, type Body } from './protocol.ts'

/** Streams, monitors and queries that one client has under way; more are refused. */
export const MAX_STREAMS = 64
/** Queries that one client may still answer; the oldest one is forgotten. */
const MAX_PENDING_QUERIES = 1024

/** What opening something came to: why not, or how it begins. */
export type Opening = { readonly error: string } | { readonly error: undefined; readonly begin: () => void }

export class Session {
  /** The version of the protocol that was agreed on; 0 before that. */
  version = 0
  isAuthenticated: boolean
  readonly parts: RpcParts
  readonly #write: (bytes: Uint8Array) => void
  /** How each stream is ended, by its number. */
  readonly #streams: Map<number, () => void> = new Map()
  #monitor: { readonly seq: number; readonly end: () => void } | undefined
  readonly #queries: Set<AbortController> = new Set()
  /** By the number that the client knows it by. */
  readonly #pending: Map<number, IncomingQuery> = new Map()
  #lastQueryId = 0
  #isClosed = false

  constructor(parts: RpcParts, write: (bytes: Uint8Array) => void) {
    this.parts = parts
    this.isAuthenticated = parts.authKey === undefined
    this.#write = write
  }

  openStream(seq: number, filter: EventFilter): Opening {
    if (this.#streams.has(seq)) return { error: ERROR_TEXTS.streamExists }
    if (this.#isFull()) return { error: ERROR_TEXTS.tooManyStreams }
    const ends: (() => void)[] = []
    this.#streams.set(seq, () => {
      for (const end of ends) end()
    })
    const { gossip } = this.parts
    return {
      error: undefined,
      begin: () => {
        if (this.#isClosed) return
        ends.push(
          gossip.onMemberEvent((event) => this.#sendMemberEvent(seq, filter, event)),
          gossip.onEvent(({ name, payload, time, canCoalesce }) => {
            if (!filter('user', name)) return
            this.#send(seq, bodyOf(USER_EVENT_RECORD, { Event: 'user', LTime: time, Name: name, Payload: payload, Coalesce: canCoalesce }))
          }),
          gossip.onQuery((query) => {
            if (!filter('query', query.name)) return
            const { name, payload, time } = query
            this.#send(
              seq,
              bodyOf(QUERY_EVENT_RECORD, { Event: 'query', ID: this.#remember(query), LTime: time, Name: name, Payload: payload }),
            )
          }),
        )
      },
    }
  }

  openMonitor(seq: number, levelName: string): Opening {
    const level = serfLevel(levelName.toUpperCase())
    if (level === undefined) return { error: `Unknown log level: ${levelName.toUpperCase()}` }
    if (this.#monitor !== undefined) return { error: ERROR_TEXTS.monitorExists }
    if (this.#isFull()) return { error: ERROR_TEXTS.tooManyStreams }
    let end: (() => void) | undefined
    this.#monitor = { seq, end: () => end?.() }
    return {
      error: undefined,
      begin: () => {
        if (this.#isClosed) return
        end = this.parts.logTap?.listen(level, (line) => this.#send(seq, bodyOf(LOG_RECORD, { Log: line })))
      },
    }
  }

  /**
   * Asks the members. A query that gossip refuses is an error; to know that before the response, it waits until gossip has answered a
   * question that was put after the query.
   */
  async openQuery(seq: number, name: string, payload: Uint8Array, options: QueryOptions): Promise<Opening> {
    if (this.#isFull()) return { error: ERROR_TEXTS.tooManyStreams }
    const { gossip, log } = this.parts
    const controller = new AbortController()
    this.#queries.add(controller)
    let hasBegun = false
    const early: Body[] = []
    const reply = (type: string, from: string, answer: Uint8Array): void => {
      const body = bodyOf(QUERY_REPLY_RECORD, { Type: type, From: from, Payload: answer })
      if (hasBegun) this.#send(seq, body)
      else early.push(body)
    }
    let failure: unknown
    const ended = gossip
      .query(name, payload, options, (one) => reply(one.type, one.from, one.type === 'response' ? one.payload : NOTHING), controller.signal)
      .catch((error: unknown) => {
        failure = error
        log.debug({ query: name, reason: asPolycastError(error).message }, 'a query failed')
      })
      .then(() => {
        this.#queries.delete(controller)
        reply('done', '', NOTHING)
      })
    await Promise.race([ended, gossip.gossipStats().then(nextTurn, nextTurn)])
    if (failure !== undefined) return { error: errorText(asPolycastError(failure)) }
    return {
      error: undefined,
      begin: () => {
        hasBegun = true
        for (const body of early) this.#send(seq, body)
      },
    }
  }

  /** Answers a query that a stream of this client told of. */
  async respond(id: number, payload: Uint8Array): Promise<string | undefined> {
    const query = this.#pending.get(id)
    if (query === undefined || query.deadlineAt < Date.now()) return ERROR_TEXTS.invalidQueryId
    await this.parts.gossip.respond(query.id, payload)
    return undefined
  }

  /** Ends the streams and the monitor of that number, if there are any. */
  stop(seq: number): void {
    this.#streams.get(seq)?.()
    this.#streams.delete(seq)
    if (this.#monitor?.seq !== seq) return
    this.#monitor.end()
    this.#monitor = undefined
  }

  /** Ends everything: the client has gone. */
  close(): void {
    this.#isClosed = true
    for (const seq of [...this.#streams.keys()]) this.stop(seq)
    this.#monitor?.end()
    this.#monitor = undefined
    for (const controller of this.#queries) controller.abort()
    this.#queries.clear()
    this.#pending.clear()
  }

  #sendMemberEvent(seq: number, filter: EventFilter, { change, member }: MemberEvent): void {
    const type = TYPE_OF_CHANGE[change]
    if (type === undefined || !filter(type)) return
    this.#send(seq, bodyOf(MEMBER_EVENT_RECORD, { Event: type, Members: [memberRecord(member)] }))
  }

  #send(seq: number, body: Body): void {
    if (!this.#isClosed) this.#write(encodeResponse(seq, '', body))
  }

  #remember(query: IncomingQuery): number {
    const now = Date.now()
    for (const [id, { deadlineAt }] of this.#pending) {
      if (deadlineAt < now) this.#pending.delete(id)
    }
    const [oldest] = this.#pending.keys()
    if (this.#pending.size >= MAX_PENDING_QUERIES && oldest !== undefined) {
      this.#pending.delete(oldest)
      this.parts.counters.forgottenQueries++
    }
    this.#lastQueryId++
    this.#pending.set(this.#lastQueryId, query)
    return this.#lastQueryId
  }

  #isFull(): boolean {
    const count = this.#streams.size + this.#queries.size + (this.#monitor === undefined ? 0 : 1)
    if (count < MAX_STREAMS) return false
    this.parts.counters.refusedStreams++
    return true
  }
}

const NOTHING: Uint8Array = new Uint8Array(0)

/** Serf tells nothing of suspicions, nor of a member that is about to leave. */
const TYPE_OF_CHANGE: Readonly<Record<MemberEvent['change'], EventType | undefined>> = {
  joined: 'member-join',
  updated: 'member-update',
  failed: 'member-failed',
  left: 'member-leave',
  reaped: 'member-reap',
  leaving: undefined,
  suspected: undefined,
  cleared: undefined,
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}
