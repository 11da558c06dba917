/** What a handler is told of an event: environment and standard input, as Serf's handlers are, with a name of Polycast's for each of Serf's. */
import type { EventKey } from './event-filter.ts'
import type { MemberBurst } from './coalescer.ts'
import type { GossipMember, IncomingQuery, UserEventRecord } from './gossip.ts'
import type { Member } from '../membership/member.ts'

/** Something that handlers are called for. */
export type HandlerEvent =
  | { readonly type: 'member'; readonly burst: MemberBurst }
  | { readonly type: 'user'; readonly event: UserEventRecord }
  | { readonly type: 'query'; readonly query: IncomingQuery }

/** What filters look at. */
export function keyOf(event: HandlerEvent): EventKey {
  switch (event.type) {
    case 'member':
      return { type: 'member', kind: event.burst.kind }
    case 'user':
      return { type: 'user', name: event.event.name }
    case 'query':
      return { type: 'query', name: event.query.name }
  }
}

/** The variables that tell of an event, under both prefixes. */
export function handlerEnvironment(event: HandlerEvent, self: Pick<Member, 'name' | 'tags'>): Record<string, string> {
  const told: Record<string, string> = { SELF_NAME: self.name, SELF_ROLE: self.tags['role'] ?? '' }
  for (const [key, value] of Object.entries(self.tags)) told[`TAG_${key.toUpperCase().replaceAll(/[^A-Z0-9_]/g, '_')}`] = value
  switch (event.type) {
    case 'member':
      told['EVENT'] = event.burst.kind
      break
    case 'user':
      Object.assign(told, { EVENT: 'user', USER_EVENT: event.event.name, USER_LTIME: String(event.event.time) })
      break
    case 'query':
      Object.assign(told, { EVENT: 'query', QUERY_NAME: event.query.name, QUERY_LTIME: String(event.query.time) })
      break
  }
  const environment: Record<string, string> = {}
  for (const [key, value] of Object.entries(told)) {
    // Names come from other nodes, and no variable can hold a NUL.
    const clean = value.replaceAll('\0', '')
    environment[`SERF_${key}`] = clean
    environment[`POLYCAST_${key}`] = clean
  }
  return environment
}

/** Whether a variable of the environment was put there by `handlerEnvironment`. */
export function isHandlerVariable(name: string): boolean {
  return /^POLYCAST_(EVENT|SELF_NAME|SELF_ROLE|TAG_[A-Z0-9_]+|USER_EVENT|USER_LTIME|QUERY_NAME|QUERY_LTIME)$/.test(name)
}

/** The standard input: a line for each member, or the payload, which always ends with a newline. */
export function handlerInput(event: HandlerEvent): Uint8Array {
  if (event.type === 'member') return Buffer.from(event.burst.members.map(memberLine).join(''), 'utf8')
  const { payload } = event.type === 'user' ? event.event : event.query
  return payload.length === 0 || payload.at(-1) === 0x0a ? payload : Buffer.concat([payload, Buffer.from('\n')])
}

function memberLine({ name, address, tags }: GossipMember): string {
  const list = Object.entries(tags)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
  return `${[name, address, tags['role'] ?? '', list].map(clean).join('\t')}\n`
}

/** So that one member is one line of four columns, whatever its tags hold. */
function clean(text: string): string {
  return text.replaceAll('\t', String.raw`\t`).replaceAll('\n', String.raw`\n`)
}

/** What an event is called in the log. */
export function describeEvent(event: HandlerEvent): string {
  switch (event.type) {
    case 'member':
      return `${event.burst.kind} of ${event.burst.members.length}`
    case 'user':
      return `user:${event.event.name}`
    case 'query':
      return `query:${event.query.name}`
  }
}
