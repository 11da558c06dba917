/**
 * The agent's log: one root logger per process, a child per room (`room: 'swarm'`), to standard error.
 *
 * Whatever is logged goes through `scrub` first. Levels: error for what an operator must act on, warn for what may need it, info
 * for a few lines per delivery and per change of the cluster, debug for decisions, trace for single frames.
 */

import { pino } from 'pino'
import { scrub, scrubText } from './log-scrub.ts'

/** The rooms that log, each with a child of its own. */
export type LogRoom = 'agent' | 'config' | 'data-plane' | 'deliveries' | 'gossip' | 'http' | 'serf-rpc' | 'sources' | 'store' | 'swarm'

/** A pino logger whose fields and messages are freed of secrets. */
export type Logger = pino.Logger

/** How a root logger is made; the values come from the options log-level and log-format. */
export interface LogOptions {
  readonly level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent'
  readonly format: 'json' | 'text'
  /** The node's name, in every line. */
  readonly node?: string
  /** Where lines go; standard error if it isn't given, written at once, so that none is lost when the process dies. */
  readonly destination?: { write(line: string): void }
  /** Called with each line, as JSON. */
  readonly onLine?: (json: string) => void
}

/** Makes the root logger of a process or of a worker thread. */
export function createLogger(options: LogOptions): Logger {
  const lines = options.destination ?? pino.destination({ fd: 2, sync: true })
  const sink = options.format === 'text' ? { write: (line: string) => lines.write(toText(line)) } : lines
  const { onLine } = options
  const destination =
    onLine === undefined
      ? sink
      : {
          write(line: string) {
            onLine(line)
            sink.write(line)
          },
        }
  const root = pino(
    {
      level: options.level,
      base: options.node === undefined ? {} : { node: options.node },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => scrub(fields) as Record<string, unknown>,
      },
      hooks: {
        logMethod(given, method) {
          const [first, ...rest] = given as unknown[]
          // An error on its own: pino would take its message as it is.
          if (first instanceof Error)
            Reflect.apply(method, this, [{ err: first }, scrubText(typeof rest[0] === 'string' ? rest[0] : first.message)])
          else
            Reflect.apply(
              method,
              this,
              [first, ...rest].map((one, index) => (typeof one === 'string' || index > 0 ? scrub(one) : one)),
            )
        },
      },
    },
    destination,
  )
  // Bindings of children go past the formatters above. Children inherit this from the root.
  const makeChild = Reflect.get<object, string>(root, 'child') as (bindings: unknown, options?: object) => Logger
  Object.defineProperty(root, 'child', {
    value: function scrubbedChild(this: Logger, bindings: object, childOptions?: object): Logger {
      return Reflect.apply(makeChild, this, [scrub(bindings), childOptions])
    },
  })
  return root
}

/** The child of a room. */
export function roomLogger(root: Logger, room: LogRoom): Logger {
  return root.child({ room })
}

/** One JSON line as people read it: time, level, room, message, then the other fields. */
function toText(line: string): string {
  const { time, level, room, msg, err, node: _node, ...fields } = JSON.parse(line) as Record<string, unknown>
  const rest = Object.entries(fields).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? quoteIfNeeded(value) : JSON.stringify(value)}`,
  )
  const error = typeof err === 'object' && err !== null ? (err as Record<string, unknown>) : {}
  const stack = typeof error['stack'] === 'string' ? `\n    ${error['stack'].replaceAll('\n', '\n    ')}` : ''
  const head = [
    String(time),
    String(level).toUpperCase().padEnd(5),
    `${typeof room === 'string' ? room : 'agent'}:`,
    printable(typeof msg === 'string' ? msg : ''),
  ]
  return `${[...head, ...rest].join(' ')}${stack}\n`
}

function quoteIfNeeded(text: string): string {
  return /^[^\s"=\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text)
}

/** No control characters from the network on somebody's terminal. */
function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, (character) => JSON.stringify(character).slice(1, -1))
}
