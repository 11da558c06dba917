/**
 * How an event handler is written, as Serf's are: what it is for, and the command that a shell runs then.
 *
 *     handler = [filter "="] command
 *
 * The filter is that of event-filter.ts; without one the handler is for everything.
 */
import { parseEventFilter } from './event-filter.ts'
import type { EventFilter } from './event-filter.ts'

/** A handler that was understood. */
export interface HandlerSpec {
  readonly filter: EventFilter
  /** For `/bin/sh -c`. */
  readonly script: string
}

/** Reads a handler; a string says what is wrong with it. */
export function parseHandler(text: string): HandlerSpec | string {
  const equals = text.indexOf('=')
  const script = text.slice(equals + 1).trim()
  if (script === '') return 'a command is missing behind the equals sign'
  if (text.includes('\0')) return 'a command has no NUL'
  const filter = parseEventFilter(equals < 0 ? '*' : text.slice(0, equals))
  return typeof filter === 'string' ? filter : { filter, script }
}
