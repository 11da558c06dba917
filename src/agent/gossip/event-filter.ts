/**
 * Which events are meant: by stream and by handlers alike, in the terms of Serf's handlers.
 *
 *     filter = term *("," term)
 *     term   = "*" | "member" | MEMBER-KIND | "user" [":" NAME] | "query" [":" NAME]
 *
 * The kinds of member events are Serf's (join, leave, failed, update, reap), and three that only Polycast tells: `member-suspect`,
 * `member-cleared` and `member-leaving`.
 */
import type { MemberEvent } from './gossip.ts'

/** The kind of a member event, as Serf calls it. */
export const MEMBER_KINDS: Readonly<Record<MemberEvent['change'], string>> = {
  joined: 'member-join',
  updated: 'member-update',
  suspected: 'member-suspect',
  cleared: 'member-cleared',
  failed: 'member-failed',
  left: 'member-leave',
  leaving: 'member-leaving',
  reaped: 'member-reap',
}

/** One thing that a filter may match: a member event by its kind, or a user event or a query by its name. */
export type EventKey = { readonly type: 'member'; readonly kind: string } | { readonly type: 'user' | 'query'; readonly name: string }

/** A filter that was understood. */
export type EventFilter = readonly string[]

const KINDS: ReadonlySet<string> = new Set(['*', 'member', 'user', 'query', ...Object.values(MEMBER_KINDS)])

/** Reads a filter; a string says what is wrong with it. */
export function parseEventFilter(text: string): EventFilter | string {
  const terms = text.split(',').map((term) => term.trim())
  for (const term of terms) {
    const isNamed = /^(user|query):./.test(term)
    if (!isNamed && !KINDS.has(term)) return `"${term}" is no kind of event: there are ${[...KINDS].join(', ')}, user:NAME and query:NAME`
  }
  return terms
}

/** Whether the filter means it. */
export function matchesEvent(filter: EventFilter, key: EventKey): boolean {
  const whole = key.type === 'member' ? key.kind : `${key.type}:${key.name}`
  return filter.some((term) => term === '*' || term === key.type || term === whole)
}
