/** Which events a stream of Serf's RPC is for: `member-join,user:deploy,query`, or `*` for all. */

/** What happens in a cluster, as Serf calls it. */
export const EVENT_TYPES = ['member-join', 'member-leave', 'member-failed', 'member-update', 'member-reap', 'user', 'query'] as const

export type EventType = (typeof EVENT_TYPES)[number]

/** Says whether events of a type, and where it is `user` or `query` of a name, are wanted. */
export type EventFilter = (type: EventType, name?: string) => boolean

/** The filter that the text means, empty for all; undefined where Serf has no such type of event. */
export function parseEventFilter(given: string): EventFilter | undefined {
  const rows: { readonly type: string; readonly name: string }[] = (given === '' ? '*' : given).split(',').map((part) => {
    const match = /^(user|query):(.*)$/s.exec(part)
    return match === null ? { type: part, name: '' } : { type: match[1] as string, name: match[2] as string }
  })
  const types: readonly string[] = EVENT_TYPES
  if (!rows.every(({ type }) => type === '*' || types.includes(type))) return undefined
  return (type, name) => rows.some((row) => row.type === '*' || (row.type === type && (row.name === '' || row.name === name)))
}
