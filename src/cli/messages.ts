/** `polycast event`, `query`, `monitor`: what members tell each other. */
import type { ClusterEvent, EventOrder, EventSent, QueryEvent, QueryOrder, ShownBytes } from '../agent/http/gossip-api.ts'
import { Context, withContext } from './context.ts'
import type { CommonOptions } from './context.ts'
import { milliseconds } from './duration.ts'
import { Failure, failure, INTERRUPTED } from './failure.ts'
import { formatTime, printable } from './format.ts'
import { givenBytes, MAX_EVENT_BYTES } from './input.ts'

/** The exit code where some members miss what all should have. */
const SOME_FAILED = 3
/** Names of members that a line for people holds. */
const MAX_NAMES = 20

/** The flags of `polycast event`. */
export interface EventOptions extends CommonOptions {
  readonly coalesce?: boolean
  readonly report?: boolean
}

/** Runs `event`. */
export async function event(name: string, payload: string | undefined, options: EventOptions): Promise<number> {
  return withContext(options, async (context) => {
    const body: EventOrder = {
      name,
      ...(await givenBytes(payload, MAX_EVENT_BYTES)),
      ...(options.coalesce === true ? { coalesce: true } : {}),
      ...(options.report === true ? { report: true } : {}),
    }
    const sent = await context.api.json<EventSent>('POST', '/v1/events', { body })
    const { report } = sent
    if (context.isJson) context.printJson(sent)
    else if (report === undefined) context.print(`${printable(name)} is sent\n`)
    else context.print(`${report.reached} of ${report.of} have ${printable(name)}${missingText(report.missing)}\n`)
    return report !== undefined && report.missing.length > 0 ? SOME_FAILED : 0
  })
}

function missingText(missing: readonly string[]): string {
  if (missing.length === 0) return ''
  const more = missing.length > MAX_NAMES ? ` and ${missing.length - MAX_NAMES} more` : ''
  return `; missing: ${missing.slice(0, MAX_NAMES).map(printable).join(', ')}${more}`
}

/** The flags of `polycast query`. */
export interface QueryOptions extends CommonOptions {
  readonly to?: string
  readonly ack: boolean
  readonly timeout?: string
  readonly relayFactor?: string
}

/** Runs `query`: answers as they come, then how many there were. */
export async function query(name: string, payload: string | undefined, options: QueryOptions): Promise<number> {
  const context = await Context.open(options)
  try {
    const body: QueryOrder = {
      name,
      ...(await givenBytes(payload)),
      ...(options.to === undefined ? {} : { to: options.to }),
      ...(options.ack ? {} : { ack: false }),
      ...(options.timeout === undefined ? {} : { timeoutMs: await milliseconds('--timeout', options.timeout) }),
      ...(options.relayFactor === undefined ? {} : { relayFactor: await wholeNumber('--relay-factor', options.relayFactor) }),
    }
    // Closing the connection is what ends a query before its time.
    for await (const line of context.api.lines<QueryEvent>('POST', '/v1/queries', { body, signal: context.interrupted })) {
      if (context.isJson) context.printJson(line)
      if (line.event === 'error') {
        if (context.isJson) return line.error.exitCode ?? 1
        throw new Failure(line.error)
      }
      if (!context.isJson) context.print(replyText(line, options.ack))
      if (line.event === 'done') return options.ack && line.acks < line.of ? SOME_FAILED : 0
    }
    return await endedEarly(context)
  } finally {
    context.close()
  }
}

function replyText(line: Exclude<QueryEvent, { event: 'error' }>, wantsAck: boolean): string {
  if (line.event === 'ack') return `${printable(line.from)} has it\n`
  if (line.event === 'done') return `${wantsAck ? `acks ${line.acks}, ` : ''}responses ${line.responses} of ${line.of}\n`
  const from = printable(line.from)
  return valueText(line)
    .split('\n')
    .map((text) => `${from}: ${text}\n`)
    .join('')
}

/** The flags of `polycast monitor`. */
export interface MonitorOptions extends CommonOptions {
  readonly filter?: string
  readonly count?: string
}

/** Runs `monitor`, until Ctrl-C or as many lines as are wanted. */
export async function monitor(options: MonitorOptions): Promise<number> {
  const query = new URLSearchParams()
  if (options.filter !== undefined) query.set('filter', options.filter)
  return followLines<ClusterEvent>(`/v1/events?${query.toString()}`, options, eventText)
}

/** Shows the lines of a stream that begins with `started` and goes on until Ctrl-C, or as many as `--count` says. */
export async function followLines<Event extends { event: string }>(
  path: string,
  options: CommonOptions & { readonly count?: string },
  text: (event: Event) => string,
): Promise<number> {
  const context = await Context.open(options)
  try {
    const most = options.count === undefined ? Infinity : await wholeNumber('--count', options.count)
    const limit = most === Infinity ? '' : `&limit=${most}`
    let shown = 0
    for await (const event of context.api.lines<Event>('GET', `${path}${limit}`, { signal: context.interrupted })) {
      if (context.isJson) context.printJson(event)
      if (event.event === 'started') continue
      if (!context.isJson) context.print(text(event))
      if (++shown >= most) return 0
    }
    return await endedEarly(context)
  } finally {
    context.close()
  }
}

async function endedEarly(context: Context): Promise<number> {
  if (context.interrupted.aborted) return INTERRUPTED
  throw await failure('api-unreachable', { url: context.api.url, reason: 'it ended in the middle of its answer' })
}

function eventText(line: ClusterEvent): string {
  if (line.event === 'started') return ''
  const time = formatTime(line.at)
  if (line.event === 'member') {
    const { name, address, port, tags } = line.member
    const why = line.verdict === undefined ? '' : ` by the word of ${line.verdict.from}`
    const list = Object.entries(tags).map(([key, value]) => `${key}=${value}`)
    return `${time} ${line.kind} ${printable([name, `${address}:${port}`, list.join(',')].join(' ').trimEnd() + why)}\n`
  }
  if (line.event === 'user-lost') {
    const { name, from, bytes, error } = line
    return `${time} user-lost ${printable(`${name} from ${from}: its payload of ${bytes} bytes did not come: ${error.message}`)}\n`
  }
  const from = line.event === 'query' ? ` from ${printable(line.from)}` : ''
  const value = line.payload === '' ? '' : `: ${valueText(line).replaceAll('\n', String.raw`\n`)}`
  return `${time} ${line.event} ${printable(line.name)}${from}${value}\n`
}

/** Bytes for people: the text without the newline at its end, or base64 where they are none. */
export function valueText({ payload, text }: ShownBytes): string {
  if (text === undefined) return `base64 ${payload}`
  return text.replace(/\n$/, '').split('\n').map(printable).join('\n')
}

async function wholeNumber(flag: string, text: string): Promise<number> {
  if (/^[1-9]\d{0,8}$/.test(text) || text === '0') return Number(text)
  throw await failure('usage', { reason: `${flag} ${text} is not a whole number.` })
}
