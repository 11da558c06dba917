/** Which members `serf members -status … -name … -tag …` shows. */
import { compileExpression, type Expression } from '../../core/lib/expression.ts'
import type { GossipMember } from '../gossip/gossip.ts'

export interface MemberFilter {
  /** By tag: an expression for its value; a member without the tag has an empty one. */
  readonly tags: ReadonlyMap<string, string>
  /** Expressions; empty for any. */
  readonly status: string
  readonly name: string
}

/** The members that all parts of the filter match; a text that says which expression is wrong. */
export function filterMembers(members: readonly GossipMember[], filter: MemberFilter): GossipMember[] | string {
  const conditions: { readonly expression: Expression; readonly valueOf: (member: GossipMember) => string }[] = []
  const wanted: [source: string, valueOf: (member: GossipMember) => string][] = [...filter.tags].map(([tag, source]) => [
    source,
    ({ tags }) => (Object.hasOwn(tags, tag) ? (tags[tag] as string) : ''),
  ])
  if (filter.status !== '') wanted.push([filter.status, ({ status }) => status])
  if (filter.name !== '') wanted.push([filter.name, ({ name }) => name])
  for (const [source, valueOf] of wanted) {
    // As Serf does it: the anchors belong to the first and the last of alternatives.
    const expression = compileExpression(`^${source}$`)
    if (typeof expression === 'string') return `Failed to compile regex: ${expression}`
    conditions.push({ expression, valueOf })
  }
  return members.filter((member) => conditions.every(({ expression, valueOf }) => expression.matches(valueOf(member))))
}
