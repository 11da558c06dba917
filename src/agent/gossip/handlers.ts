/**
 * Event handlers: commands that the node runs on member events, user events and queries, in the way of Serf's.
 *
 * A handler is called for one event at a time, in the order in which they came: a script that keeps a list of members must not be
 * overtaken by itself. Different handlers run side by side. Bursts of members and of events that may be coalesced are one call
 * (coalescer.ts). What a handler prints for a query is the answer, if it ends well and in time.
 */
import type { Clock } from '../clock.ts'
import { asPolycastError } from '../errors.ts'
import { MemberCoalescer, UserEventCoalescer } from './coalescer.ts'
import { matchesEvent } from './event-filter.ts'
import type { Gossip } from './gossip.ts'
import { describeEvent, handlerEnvironment, handlerInput, keyOf } from './handler-call.ts'
import type { HandlerEvent } from './handler-call.ts'
import type { HandlerSpec } from './handler-spec.ts'
import type { ScriptEnd, ScriptRun } from './script.ts'

/** What became of a call: it ran, its queue was full, or the time for the answer was over before its turn came. */
export type CallResult = ScriptEnd['result'] | 'dropped' | 'late'

/** What handlers are made with. */
export interface HandlersOptions {
  readonly handlers: readonly HandlerSpec[]
  readonly gossip: Pick<Gossip, 'self' | 'onMemberEvent' | 'onEvent' | 'onQuery' | 'respond'>
  readonly clock: Clock
  /** 0 is no limit. */
  readonly timeoutMs: number
  /** What commands see beside the event. */
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly run: (run: ScriptRun) => Promise<ScriptEnd>
  readonly log: {
    debug(fields: object, message: string): void
    warn(fields: object, message: string): void
  }
  /** Told of each call, for the metrics. */
  readonly onCall?: (result: CallResult) => void
}

/** Commands that run at the same time, of all handlers together. */
export const MAX_RUNNING: number = 8
/** Calls that wait for one handler. Beyond it the oldest is dropped: the later ones tell what is true now. */
export const MAX_WAITING: number = 256
/** Payload of the calls that wait for one handler, bytes. Beyond it the oldest is dropped as well, but never the last one. */
export const MAX_WAITING_BYTES: number = 64 * 1024 * 1024
/** What is logged of a command's output, characters. */
const MAX_LOGGED = 1024

interface Lane {
  readonly spec: HandlerSpec
  readonly waiting: HandlerEvent[]
  waitingBytes: number
  isRunning: boolean
  /** When it ran last, as a count of all runs: who waited longest is next. */
  turn: number
}

/** The handlers of a node; they are called from their making on. */
export class EventHandlers {
  readonly #options: HandlersOptions
  readonly #lanes: readonly Lane[]
  readonly #members: MemberCoalescer
  readonly #events: UserEventCoalescer
  readonly #stopping = new AbortController()
  readonly #ends: readonly (() => void)[]
  readonly #running = new Set<Promise<void>>()
  #turns = 0

  constructor(options: HandlersOptions) {
    const { handlers, gossip, clock } = options
    this.#options = options
    this.#lanes = handlers.map((spec) => ({ spec, waiting: [], waitingBytes: 0, isRunning: false, turn: 0 }))
    this.#members = new MemberCoalescer(clock, (burst) => {
      this.#call({ type: 'member', burst })
    })
    this.#events = new UserEventCoalescer(clock, (event) => {
      this.#call({ type: 'user', event })
    })
    this.#ends = [
      gossip.onMemberEvent((event) => {
        this.#members.add(event)
      }),
      gossip.onEvent((event) => {
        if (event.canCoalesce) this.#events.add(event)
        else this.#call({ type: 'user', event })
      }),
      gossip.onQuery((query) => {
        this.#call({ type: 'query', query })
      }),
    ]
  }

  /** Calls no more; ends the commands that run with all that they started, and waits for that. */
  async close(): Promise<void> {
    for (const end of this.#ends) end()
    this.#members.close()
    this.#events.close()
    for (const lane of this.#lanes) while (takeFirst(lane) !== undefined);
    this.#stopping.abort()
    await Promise.all(this.#running)
  }

  #call(event: HandlerEvent): void {
    const key = keyOf(event)
    for (const lane of this.#lanes) {
      if (!matchesEvent(lane.spec.filter, key)) continue
      lane.waiting.push(event)
      lane.waitingBytes += payloadBytes(event)
      while (lane.waiting.length > MAX_WAITING || (lane.waitingBytes > MAX_WAITING_BYTES && lane.waiting.length > 1)) {
        this.#skip(lane, takeFirst(lane), 'dropped')
      }
    }
    this.#runNext()
  }

  #runNext(): void {
    for (const lane of this.#lanes.toSorted((a, b) => a.turn - b.turn)) {
      while (!lane.isRunning && lane.waiting.length > 0 && this.#running.size < MAX_RUNNING) {
        const event = takeFirst(lane)
        if (event === undefined) break
        if (event.type === 'query' && event.query.deadlineAt <= this.#options.clock.now()) {
          this.#skip(lane, event, 'late')
          continue
        }
        lane.isRunning = true
        lane.turn = ++this.#turns
        const run = this.#run(lane.spec, event).finally(() => {
          lane.isRunning = false
          this.#running.delete(run)
          this.#runNext()
        })
        this.#running.add(run)
      }
    }
  }

  async #run(spec: HandlerSpec, event: HandlerEvent): Promise<void> {
    const { gossip, environment, timeoutMs, run, log, onCall } = this.#options
    const fields = { event: describeEvent(event), script: spec.script }
    const end = await run({
      script: spec.script,
      environment: { ...environment, ...handlerEnvironment(event, gossip.self) },
      input: handlerInput(event),
      timeoutMs,
      signal: this.#stopping.signal,
    })
    onCall?.(end.result)
    const output = Buffer.from(end.output).toString('utf8').slice(-MAX_LOGGED)
    if (end.result !== 'done') {
      log.warn({ ...fields, result: end.result, reason: end.reason, output }, 'an event handler failed')
      return
    }
    log.debug({ ...fields, output }, 'an event handler ran')
    if (event.type !== 'query' || end.output.length === 0) return
    if (end.isCut) log.warn(fields, 'an event handler printed more than an answer holds; its end is sent')
    await gossip.respond(event.query.id, end.output).catch((error: unknown) => {
      log.warn({ ...fields, reason: asPolycastError(error).message }, 'the answer of an event handler was not sent')
    })
  }

  #skip(lane: Lane, event: HandlerEvent | undefined, result: 'dropped' | 'late'): void {
    if (event === undefined) return
    this.#options.onCall?.(result)
    const fields = { event: describeEvent(event), script: lane.spec.script }
    if (result === 'dropped') this.#options.log.warn(fields, 'an event handler is too slow: a call that waited longest is left out')
    else this.#options.log.warn(fields, 'an event handler is too slow: the time for this answer is over')
  }
}

function takeFirst(lane: Lane): HandlerEvent | undefined {
  const event = lane.waiting.shift()
  if (event !== undefined) lane.waitingBytes -= payloadBytes(event)
  return event
}

function payloadBytes(event: HandlerEvent): number {
  return event.type === 'user' ? event.event.payload.length : 0
}
