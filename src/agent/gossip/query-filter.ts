/** A selector as the filters of a query, so that only the members that it means answer. */
import type { QueryFilter } from '../../core/gossip/serf-messages.ts'
import type { Selector } from '../deliveries/selector.ts'

/** Filters that match what the selector matches: names as they are, the values of a tag as one regular expression. */
export function queryFilters({ terms }: Selector): QueryFilter[] {
  return [...terms].map(([key, values]) =>
    key === 'name'
      ? { type: 'nodes', nodes: [...values] }
      : { type: 'tag', tag: key, expression: `^(?:${[...values].map(quote).join('|')})$` },
  )
}

/** A value as the regular expression (Go's and JavaScript's) that matches it alone. */
function quote(value: string): string {
  return value.replaceAll(/[\\.+*?()|[\]{}^$]/g, String.raw`\$&`)
}
