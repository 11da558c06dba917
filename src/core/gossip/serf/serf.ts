/**
 * The machine of a Serf member: membership with tags and clean leaving, events to all, queries, keys, and a coordinate. It owns a
 * `SwimMachine`, which finds out who is there, and speaks with Serf's own agents as one of them. docs/specs/04-gossip.md §7.
 *
 * The layer puts its messages (intents, queries, events) on the packets that membership sends anyway, its state on the push/pulls, and
 * its coordinate on the acks. What comes is handed to the part that it concerns: `member-rules.ts` for who is in which status, `events.ts`,
 * `queries.ts` with `internal-queries.ts` and `name-vote.ts`, `user-state.ts`, `reconnects.ts`, `leaving.ts`. This file takes inputs and hands them on.
 */
import { assert } from '../../lib/assert.ts'
import { concatBytes, copyBytes, utf8Decode, utf8Encode } from '../../lib/bytes.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { endpointKey, sameEndpoint } from '../endpoint.ts'
import { MAX_META_BYTES, MAX_NAME_BYTES } from '../memberlist-codec.ts'
import type { Endpoint } from '../messages.ts'
import { decodeCoordinate, decodeSerfMessage, encodeCoordinate, encodeTags, SERF_TYPES } from '../serf-codec.ts'
import type { Coordinate } from '../serf-messages.ts'
import { SwimMachine } from '../swim.ts'
import type { SwimOutput, SwimStatus } from '../swim-types.ts'
import type { Verdict } from '../verdict.ts'
import { Events } from './events.ts'
import { answerInternal, INTERNAL_PREFIX } from './internal-queries.ts'
import { Leaving } from './leaving.ts'
import { MemberRules } from './member-rules.ts'
import { NameVote, type ClaimSource } from './name-vote.ts'
import { Queries } from './queries.ts'
import { Reconnects } from './reconnects.ts'
import { memberOf, SerfState } from './serf-state.ts'
import type { SerfInput, SerfMember, SerfOptions, SerfOutput, SerfStats } from './serf-types.ts'
import { aliveLine, isLineSafe, readSnapshot } from './snapshot.ts'
import { encodeUserState, mergeUserState } from './user-state.ts'
import { Vivaldi } from './vivaldi.ts'

/** Before the bytes of the layer above; Serf's agents know no message of that type, and leave it alone. */
const EXTENSION_TYPE = 0x50
const MAX_TAGS = 256
/** Of a coordinate: relative, 1.5 at the start. */
const SURE_ERROR = 0.3
const PROBES_PER_COORDINATE = 10

export class SerfMachine {
  readonly #state: SerfState
  readonly #swim: SwimMachine
  readonly #rules: MemberRules
  readonly #events: Events
  readonly #queries: Queries
  readonly #vote: NameVote
  readonly #reconnects: Reconnects
  readonly #leaving: Leaving
  readonly #vivaldi: Vivaldi
  /** Of other members, as they said last. */
  readonly #coordinates: Map<string, Coordinate> = new Map()
  /** Joins under way by endpoint, and whether old events count for nothing. */
  readonly #joins: Map<string, boolean> = new Map()
  readonly #rejoinEndpoints: readonly Endpoint[]
  #probes = 0
  #notedTime = 1
  #noteAt = Infinity
  /** When this machine was called last. */
  #now: number
  #claimSource: ClaimSource = 'packet'
  /** Another one by this member's name, until it is voted on. */
  #claim: Endpoint | undefined

  constructor(options: SerfOptions, now: number) {
    const state = new SerfState(options, now)
    this.#state = state
    this.#rules = new MemberRules(
      state,
      { forgotten: (name) => this.#forget(name), returned: (failedAt, at) => this.#reconnects.returned(failedAt, at) },
      now,
    )
    this.#events = new Events(state)
    this.#queries = new Queries(state, (request, query, deadlineAt) => {
      if (query.name.startsWith(INTERNAL_PREFIX)) return answerInternal(state, this.#queries, request, query, this.#now)
      state.emit({ type: 'query', request, query, deadlineAt })
    })
    this.#vote = new NameVote(
      state,
      this.#queries,
      {
        check: (endpoints, at) => this.#swim.handle({ type: 'check-claimants', endpoints }, at),
        announce: (at) => this.#announce(at),
      },
      now,
    )
    this.#reconnects = new Reconnects(state, (endpoint, at) => this.#swim.handle({ type: 'join', endpoints: [endpoint] }, at), now)
    this.#leaving = new Leaving(state, this.#rules, (at) => this.#swim.handle({ type: 'leave' }, at))
    this.#vivaldi = new Vivaldi(options.random.fork('vivaldi'))
    this.#now = now
    this.#rejoinEndpoints = this.#restore()
    assert(tagsProblem(options.tags) === undefined, 'no more tags than the others take')
    this.#swim = new SwimMachine(
      {
        ...options,
        meta: encodeTags(options.tags),
        reclaimAfterMs: options.reclaimAfterMs ?? 0,
        isPeer: (name) => state.isPeer(name),
        layer: {
          broadcasts: (freeBytes, sendLimit) => state.queues.take(freeBytes, sendLimit),
          hasBroadcasts: () => !state.queues.isEmpty,
          ackPayload: () => encodeCoordinate(this.#vivaldi.own),
          wantsPayload: () => this.#wantsCoordinate(),
          localState: () => encodeUserState(state, this.#events),
        },
      },
      now,
    )
    state.self.incarnation = this.#swim.status().incarnation
    state.changed('joined', state.self)
  }

  // ---- what is known ----

  /** All members, those that are gone since not long with them. */
  members(): SerfMember[] {
    return [...this.#state.members.values()].map(memberOf)
  }

  /** Whether a member is alive: the one of this name, or whoever is at one of these endpoints. */
  isAlive(name: string, endpoints: readonly Endpoint[]): boolean {
    const { members } = this.#state
    if (members.get(name)?.status === 'alive') return true
    if (endpoints.length === 0) return false
    for (const member of members.values()) {
      if (member.status === 'alive' && endpoints.some((endpoint) => sameEndpoint(member, endpoint))) return true
    }
    return false
  }

  member(name: string): SerfMember | undefined {
    const entry = this.#state.members.get(name)
    return entry && memberOf(entry)
  }

  self(): SerfMember {
    return memberOf(this.#state.self)
  }

  /** Why a member is thought to be gone; undefined for one that is not, or is not known. */
  verdict(name: string): Verdict | undefined {
    return this.#swim.verdict(name) ?? this.#state.members.get(name)?.verdict
  }

  /** Where a member is among the round-trip times, as it said last; this one itself without a name. */
  coordinate(name: string = this.#state.self.name): Coordinate | undefined {
    return name === this.#state.self.name ? this.#vivaldi.own : this.#coordinates.get(name)
  }

  /** Where to look for the cluster after a restart, in an order by chance. */
  rejoinEndpoints(): readonly Endpoint[] {
    return this.#rejoinEndpoints
  }

  /** The snapshot as it is, to write a file anew that has grown long. */
  snapshotLines(): string[] {
    const { members, self, memberClock, eventClock, queryClock, isLeaving } = this.#state
    const alive = [...members.values()].filter((entry) => entry !== self && entry.status === 'alive' && isLineSafe(entry.name))
    return [
      ...alive.map((entry) => aliveLine(entry.name, entry)),
      `clock: ${memberClock.time - 1}`,
      `event-clock: ${eventClock.time - 1}`,
      `query-clock: ${queryClock.time - 1}`,
      ...(isLeaving ? ['leave'] : []),
    ]
  }

  /** How membership stands, without what this layer makes of it. */
  status(): SwimStatus {
    return this.#swim.status()
  }

  /** How many messages of this layer wait for being spread. */
  get queues(): { readonly intents: number; readonly events: number; readonly queries: number } {
    const { intents, events, queries } = this.#state.queues
    return { intents: intents.length, events: events.length, queries: queries.length }
  }

  stats(): SerfStats {
    const { members, queues, memberClock, eventClock, queryClock, options, refusedMessages } = this.#state
    const statuses = [...members.values()].map(({ status }) => status)
    return {
      members: statuses.length,
      failed: statuses.filter((status) => status === 'failed').length,
      left: statuses.filter((status) => status === 'left').length,
      memberTime: memberClock.time,
      eventTime: eventClock.time,
      queryTime: queryClock.time,
      intentQueue: queues.intents.length,
      eventQueue: queues.events.length,
      queryQueue: queues.queries.length,
      droppedIntents: queues.intents.droppedCount,
      droppedEvents: queues.events.droppedCount,
      droppedQueries: queues.queries.droppedCount,
      refusedMessages,
      staleMessages: this.#events.staleCount + this.#queries.staleCount,
      strayResponses: this.#queries.strayResponses,
      droppedRequests: this.#queries.droppedRequests,
      healthScore: this.#swim.status().healthScore,
      isEncrypted: options.keyring !== undefined,
      coordinateResets: this.#vivaldi.resetCount,
      failedReconnects: this.#reconnects.failedCount,
    }
  }

  // ---- the machine ----

  /** Takes what is to be done; the caller owns the list. */
  drain(): SerfOutput[] {
    return this.#state.drain()
  }

  /** When to call `handleTimeout`, ms; Infinity for never. */
  nextDeadline(): number {
    return Math.min(
      this.#swim.nextDeadline(),
      this.#rules.nextDeadline(),
      this.#queries.nextDeadline(),
      this.#reconnects.nextDeadline(),
      this.#leaving.nextDeadline(),
      this.#vote.nextDeadline(),
      this.#noteAt,
    )
  }

  handle(input: SerfInput, now: number): void {
    this.#now = now
    this.#claimSource = input.type === 'stream-answered' ? 'answer' : input.type === 'stream-opened' ? 'request' : 'packet'
    const problem = this.#input(input, now)
    if (problem !== undefined) {
      this.#state.emit({ type: 'rejected', input: input.type, reason: problem, query: input.type === 'query' ? input.query : undefined })
    }
    this.#settle(now)
  }

  handleTimeout(now: number): void {
    this.#now = now
    this.#swim.handleTimeout(now)
    this.#settle(now)
    this.#rules.handleTimeout(now)
    this.#queries.handleTimeout(now)
    this.#reconnects.handleTimeout(now)
    this.#leaving.handleTimeout(now)
    this.#vote.handleTimeout(now)
    if (now >= this.#noteAt) this.#noteTime()
    this.#settle(now)
  }

  /** @returns why the input is not carried out, or undefined. */
  #input(input: SerfInput, now: number): string | undefined {
    switch (input.type) {
      case 'packet':
      case 'send-failed':
      case 'stream-opened':
      case 'stream-answered':
      case 'stream-failed':
        this.#swim.handle(input, now)
        return undefined
      case 'join':
        for (const endpoint of input.endpoints) this.#joins.set(endpointKey(endpoint), input.ignoreOldEvents)
        this.#swim.handle({ type: 'join', endpoints: input.endpoints }, now)
        return undefined
      case 'leave':
        this.#leaving.start(now)
        return undefined
      case 'tags':
        return this.#setTags(input.tags, now)
      case 'event':
        return this.#events.publish(input)
      case 'query':
        return this.#ask(input, now)
      case 'respond':
        return this.#queries.respond(input.request, input.payload, now)
      case 'force-leave':
        if (input.node === this.#state.self.name) return 'a member leaves by leaving'
        if (input.node === '' || utf8Encode(input.node).length > MAX_NAME_BYTES) return 'this is no name of a member'
        this.#rules.forceLeave(input.node, input.isPrune, now)
        return undefined
      case 'spread':
        return this.#spread(input.bytes, now)
      case 'send-extension':
        return this.#sendExtension(input.to, input.bytes)
    }
  }

  #ask(input: Extract<SerfInput, { type: 'query' }>, now: number): string | undefined {
    const { query } = input
    const gatherer = {
      ack: (from: string): void => this.#state.emit({ type: 'query-ack', query, from }),
      response: (from: string, payload: Uint8Array): void => this.#state.emit({ type: 'query-response', query, from, payload }),
      done: (acks: number, responses: number): void => this.#state.emit({ type: 'query-done', query, acks, responses }),
    }
    return this.#queries.ask(input, gatherer, now)
  }

  #setTags(tags: ReadonlyMap<string, string>, now: number): string | undefined {
    const problem = tagsProblem(tags)
    if (problem !== undefined) return problem
    const { self } = this.#state
    self.tags = new Map(tags)
    this.#announce(now)
    this.#state.changed('updated', self)
    return undefined
  }

  /** Tells all what this member is, by a new incarnation. */
  #announce(now: number): void {
    const { self } = this.#state
    this.#swim.handle({ type: 'meta', meta: encodeTags(self.tags) }, now)
    self.incarnation = this.#swim.member(self.name)?.incarnation ?? self.incarnation
  }

  #sendExtension(to: string, bytes: Uint8Array): string | undefined {
    const entry = this.#state.members.get(to)
    if (entry === undefined) return `no member is known by the name ${to}`
    const name = utf8Encode(this.#state.self.name)
    if (name.length > 0xff) return 'the name of this member is too long for that'
    const { address, port } = entry
    const message = concatBytes([Uint8Array.of(EXTENSION_TYPE, name.length), name, bytes])
    this.#state.sendUser({ address, port }, to, message)
    return undefined
  }

  // ---- what comes ----

  #settle(now: number): void {
    for (let outputs = this.#swim.drain(); outputs.length > 0; outputs = this.#swim.drain()) {
      for (const output of outputs) this.#swimOutput(output, now)
    }
    // Only now: with the rest of an exchange come those who can be asked, and the time that the question is to have.
    const claim = this.#claim
    this.#claim = undefined
    if (claim !== undefined) this.#vote.start(claim, this.#claimSource, now)
    if (this.#leaving.goOn(now)) return this.#settle(now)
    if (this.#noteAt === Infinity && this.#state.memberClock.time !== this.#notedTime) {
      this.#noteAt = now + this.#state.times.snapshotClockIntervalMs
    }
  }

  #swimOutput(output: SwimOutput, now: number): void {
    switch (output.type) {
      case 'send':
      case 'open-stream':
      case 'close-stream':
      case 'answer':
      case 'refuse':
      case 'packets-lost':
        return this.#state.emit(output)
      case 'held-up':
        // It may have contradicted before anybody accused it.
        this.#state.self.incarnation = this.#swim.member(this.#state.self.name)?.incarnation ?? this.#state.self.incarnation
        return this.#state.emit(output)
      case 'refuted':
        this.#state.self.incarnation = output.incarnation
        return this.#state.emit(output)
      case 'joined':
        return this.#rules.joined(output.member, now)
      case 'updated':
        return this.#rules.updated(output.member)
      case 'suspected':
        return this.#rules.suspected(output.member, true, output.verdict)
      case 'cleared':
        return this.#rules.suspected(output.member, false, undefined)
      case 'failed':
      case 'left':
        return this.#rules.gone(output.member, output.type === 'left', output.verdict, now)
      case 'forgotten':
        // Serf remembers for longer.
        return
      case 'conflict':
        this.#state.emit(output)
        if (output.member.node === this.#state.self.name) this.#claim = output.other
        return
      case 'claimants-checked':
        return this.#vote.checked(output.answering, now)
      case 'probed':
        return this.#probed(output.node, output.rttMs, output.payload)
      case 'exchanged':
        return this.#exchanged(output, now)
      case 'user':
        return this.#user(output.bytes, now)
      case 'user-state': {
        const ignoresOldEvents = output.isJoin && this.#joins.get(endpointKey(output.from)) === true
        return mergeUserState(this.#state, this.#rules, this.#events, output.bytes, ignoresOldEvents, now)
      }
      case 'departed':
        return this.#leaving.departed(output.isTold, now)
    }
  }

  #exchanged(output: Extract<SwimOutput, { type: 'exchanged' }>, now: number): void {
    const key = endpointKey(output.to)
    if (output.isJoin && this.#joins.delete(key)) {
      if (output.error === undefined && !this.#state.isLeaving) this.#rules.announceJoin(now)
    } else if (output.isJoin && this.#reconnects.ended(output.to, output.error) && output.error !== undefined) return
    this.#state.emit(output)
  }

  #probed(node: string, rttMs: number | undefined, payload: Uint8Array | undefined): void {
    const entry = this.#state.members.get(node)
    if (entry === undefined) return
    entry.lastRttMs = rttMs ?? entry.lastRttMs
    if (payload === undefined || payload.length === 0 || rttMs === undefined) return
    const coordinate = decodeCoordinate(payload)
    if (isWireError(coordinate)) return void this.#state.refusedMessages++
    if (this.#vivaldi.update(node, coordinate, rttMs)) this.#coordinates.set(node, coordinate)
  }

  /** Each, until this member knows well where it is; then some, as a coordinate is most of what an idle member would send. */
  #wantsCoordinate(): boolean {
    this.#probes++
    return this.#vivaldi.own.error > SURE_ERROR || this.#probes % PROBES_PER_COORDINATE === 0
  }

  /** A message of this layer, by packet or stream. */
  #user(bytes: Uint8Array, now: number): void {
    if (bytes[0] === EXTENSION_TYPE) return this.#extension(bytes)
    const message = decodeSerfMessage(bytes)
    if (isWireError(message)) return void this.#state.refusedMessages++
    switch (message.type) {
      case 'join':
        if (this.#rules.join(message, now)) this.#state.spreadIntent(message.node, message)
        return
      case 'leave':
        if (this.#rules.leave(message, now)) this.#state.spreadIntent(message.node, message)
        return
      case 'user-event':
        return this.#events.received(message, bytes, true)
      case 'query':
        return this.#queries.received(message, bytes, true, now)
      case 'query-response':
        return this.#queries.handleResponse(message)
      case 'relay':
        return this.#queries.handleRelay(message, message.message[0] === SERF_TYPES.queryResponse)
      case 'push-pull':
      case 'conflict-response':
      case 'key-request':
      case 'key-response':
        return void this.#state.refusedMessages++
    }
  }

  #extension(bytes: Uint8Array): void {
    const end = 2 + (bytes[1] ?? 0)
    const from = bytes.length >= Math.max(end, 2) ? utf8Decode(bytes.subarray(2, end)) : undefined
    if (from === undefined || from === '') return void this.#state.refusedMessages++
    this.#state.emit({ type: 'extension', from, bytes: copyBytes(bytes.subarray(end)) })
  }

  #spread(bytes: Uint8Array, now: number): string | undefined {
    const message = decodeSerfMessage(bytes)
    if (isWireError(message)) return message.message
    if (message.type === 'user-event') this.#events.received(message, bytes, false)
    else if (message.type === 'query') this.#queries.received(message, bytes, false, now)
    else return `a message of type ${message.type} is not spread`
    return undefined
  }

  // ---- keeping and forgetting ----

  #forget(name: string): void {
    this.#coordinates.delete(name)
    this.#vivaldi.forget(name)
  }

  #noteTime(): void {
    const { time } = this.#state.memberClock
    this.#noteAt = Infinity
    this.#notedTime = time
    this.#state.emit({ type: 'snapshot', line: `clock: ${time - 1}` })
  }

  /** Takes over an earlier run's clocks, that this one does not begin in the others' past. */
  #restore(): Endpoint[] {
    const { options, memberClock, eventClock, queryClock, random, self } = this.#state
    const { alive, memberTime, eventTime, queryTime } = readSnapshot(options.snapshot ?? [], options.rejoinsAfterLeave ?? false)
    memberClock.witness(memberTime)
    eventClock.witness(eventTime)
    queryClock.witness(queryTime)
    if (eventTime > 0) this.#events.ignoreBefore(eventTime + 1)
    if (queryTime > 0) this.#queries.ignoreBefore(queryTime + 1)
    return random.shuffle([...alive].flatMap(([name, endpoint]) => (name === self.name ? [] : [endpoint])))
  }
}

/** What keeps tags from being a member's meta. */
function tagsProblem(tags: ReadonlyMap<string, string>): string | undefined {
  const tooLarge = `the tags of a member may have ${MAX_META_BYTES} bytes`
  if (tags.size > MAX_TAGS) return tooLarge
  let bytes = 0
  for (const [name, value] of tags) bytes += utf8Encode(name).length + utf8Encode(value).length
  return bytes > MAX_META_BYTES || encodeTags(tags).length > MAX_META_BYTES ? tooLarge : undefined
}
