/**
 * Events whose payload is longer than an event may be: the payload goes as a content, by the swarm, and the event only names it.
 *
 * Who sends one shares its payload and sends an event under a name of Polycast's own (docs/specs/06-broadcast.md §12). Who gets that fetches
 * the payload and only then tells of the event, with its own name, as if it had come whole: each once, in the order in which they are
 * ready. One that cannot be fetched is told of as lost. Where a report is wanted, each receiver tells the sender when it has the payload.
 *
 * Not here: how payloads travel. The delivery service does that, behind `PayloadCarrier`.
 */
import { randomBytes } from 'node:crypto'
import { z } from 'zod'
import type { Clock } from '../clock.ts'
import { asPolycastError, fail } from '../errors.ts'
import type { EventOptions, EventReport, LostEvent, UserEventRecord } from './gossip.ts'
import { PayloadReports } from './payload-reports.ts'

/** Names of events that begin so are Polycast's own. */
export const RESERVED_PREFIX = '_polycast_'
/** The event that names a payload. */
export const PAYLOAD_EVENT = '_polycast_payload'
/** Payloads that are shared, and that are fetched, at a time. */
const MAX_SHARING = 4
const MAX_FETCHING = 4
/** Events that wait for their turn to be fetched; a further one is lost. */
const MAX_WAITING = 256

/** All that a node needs in order to fetch a payload. */
export interface PayloadReference {
  /** Hex. */
  readonly contentId: string
  readonly bytes: number
  /** The node that shared it, and its swarm addresses. */
  readonly node: string
  readonly trackers: readonly string[]
}

/** What a receiver tells the node that shared a payload. */
export interface PayloadReceipt {
  /** The sender's own number for the report. */
  readonly report: string
  /** Whether the payload is here now; it will not be where not. */
  readonly isHere: boolean
}

/** Brings payloads from node to node. */
export interface PayloadCarrier {
  /** Makes a payload one that others can fetch. Errors: no-space, quota-exceeded, data-dir-unusable. */
  share(payload: Uint8Array): Promise<PayloadReference>
  /** Errors: transfer-stalled, content-not-found, content-damaged, no-space, quota-exceeded, cancelled. */
  fetch(reference: PayloadReference, signal: AbortSignal): Promise<Uint8Array>
  /** Sends a receipt; never rejects. */
  acknowledge(node: string, receipt: PayloadReceipt): Promise<void>
  /** Calls back with the receipts of others. */
  onReceipt(listener: (from: string, receipt: PayloadReceipt) => void): void
}

export interface LargeEventsOptions {
  readonly carrier: PayloadCarrier
  readonly clock: Clock
  /** The longest payload that is sent or fetched, bytes. */
  readonly maxBytes: number
  /** This node. */
  readonly self: string
  /** Other nodes of Polycast that are alive. */
  readonly receivers: () => string[]
  /** Sends an event that is short enough. */
  readonly send: (name: string, payload: Uint8Array, options: EventOptions) => Promise<EventReport | undefined>
  readonly deliver: (event: UserEventRecord) => void
  readonly lose: (event: LostEvent) => void
  readonly log: (level: 'debug' | 'warn', message: string, fields: Record<string, unknown>) => void
}

interface Announced extends PayloadReference {
  readonly name: string
  readonly report?: string
}

/** The content of a payload event, as JSON; unknown keys are dropped, so that a later version may add some. */
const announced: z.ZodType<Announced> = z.object({
  name: z.string().max(4096),
  contentId: z.string().regex(/^[0-9a-f]{64}$/),
  bytes: z.int().min(0),
  node: z.string().min(1).max(255),
  trackers: z.array(z.string().min(1).max(300)).min(1).max(16),
  report: z.exactOptional(z.string().max(64)),
})

/** The large events of one node, both ways. */
export class LargeEvents {
  readonly #options: LargeEventsOptions
  readonly #reports: PayloadReports
  readonly #waiting: { readonly event: UserEventRecord; readonly content: Announced }[] = []
  readonly #closing = new AbortController()
  #sharing = 0
  #fetching = 0

  constructor(options: LargeEventsOptions) {
    this.#options = options
    this.#reports = new PayloadReports(options.clock, options.receivers)
    options.carrier.onReceipt((from, receipt) => this.#reports.receipt(from, receipt))
  }

  /** Sends one. Errors: bad-request (longer than this node takes), overloaded, and as `share`. */
  async send(name: string, payload: Uint8Array, options: EventOptions): Promise<EventReport | undefined> {
    const { carrier, maxBytes, send } = this.#options
    if (payload.length > maxBytes) {
      const reason = `a payload of ${payload.length} bytes is longer than the option event-payload-limit allows, ${maxBytes}: send it as a file, with polycast send`
      throw fail('bad-request', { reason })
    }
    if (this.#sharing >= MAX_SHARING)
      throw fail('overloaded', { reason: `${this.#sharing} events with large payloads are being sent already` })
    this.#sharing++
    const reference = await carrier.share(payload).finally(() => {
      this.#sharing--
    })
    if (options.wantsReport !== true) return send(PAYLOAD_EVENT, contentOf({ name, ...reference }), options)
    const number = randomBytes(8).toString('hex')
    // Receipts may come before the event's own report does.
    const report = this.#reports.open(number)
    try {
      const told = await send(PAYLOAD_EVENT, contentOf({ name, ...reference, report: number }), options)
      return await report.ended(told?.missing ?? [])
    } finally {
      report.close()
    }
  }

  /** Takes an event that came if it names a payload; any other one is not for this. */
  take(event: UserEventRecord): boolean {
    if (event.name !== PAYLOAD_EVENT) return false
    const { maxBytes, log } = this.#options
    const content = announcedIn(event.payload)
    if (content === undefined) log('warn', 'an event that names a payload cannot be read', { bytes: event.payload.length })
    else if (content.bytes > maxBytes) {
      const reason = `its payload has ${content.bytes} bytes, and the option event-payload-limit allows ${maxBytes} here`
      this.#lost(event, content, fail('bad-request', { reason }))
    } else if (this.#waiting.length >= MAX_WAITING) {
      this.#lost(event, content, fail('overloaded', { reason: `${MAX_WAITING} payloads of events wait to be fetched` }))
    } else {
      this.#waiting.push({ event, content })
      this.#fetchNext()
    }
    return true
  }

  /** Fetches no more. */
  close(): void {
    this.#waiting.length = 0
    this.#closing.abort()
    this.#reports.close()
  }

  #fetchNext(): void {
    while (this.#fetching < MAX_FETCHING) {
      const next = this.#waiting.shift()
      if (next === undefined) return
      this.#fetching++
      void this.#fetch(next.event, next.content).finally(() => {
        this.#fetching--
        this.#fetchNext()
      })
    }
  }

  async #fetch(event: UserEventRecord, content: Announced): Promise<void> {
    const { carrier, deliver } = this.#options
    let payload: Uint8Array
    try {
      payload = await carrier.fetch(content, this.#closing.signal)
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#lost(event, content, error)
      return
    }
    if (this.#closing.signal.aborted) return
    deliver({ name: content.name, payload, time: event.time, canCoalesce: event.canCoalesce })
    this.#acknowledge(content, true)
  }

  #lost({ time }: UserEventRecord, content: Announced, raw: unknown): void {
    const { lose, log } = this.#options
    const { name, bytes, node, contentId } = content
    const error = asPolycastError(raw)
    log('warn', 'the payload of an event could not be fetched: nobody here was told of the event', {
      event: name,
      bytes,
      from: node,
      content: contentId,
      code: error.code,
      reason: error.message,
    })
    lose({ name, time, from: node, bytes, error })
    this.#acknowledge(content, false)
  }

  #acknowledge({ node, report }: Announced, isHere: boolean): void {
    if (report !== undefined && node !== this.#options.self) void this.#options.carrier.acknowledge(node, { report, isHere })
  }
}

function contentOf(content: Announced): Uint8Array {
  return Buffer.from(JSON.stringify(content))
}

function announcedIn(bytes: Uint8Array): Announced | undefined {
  try {
    return announced.safeParse(JSON.parse(Buffer.from(bytes).toString('utf8'))).data
  } catch {
    // No JSON: no event of Polycast's, whatever its name is.
    return undefined
  }
}
