/**
 * Selectors: which members a delivery is meant for.
 *
 *     selector = "all" | term *("," term)
 *     term     = key "=" value
 *
 * Terms with different keys must all hold; terms with the same key are alternatives: `role=web,zone=eu,zone=us` means the
 * web members of both zones. The key `name` is the member's name, every other key one of its tags.
 */
import { fail } from '../errors.ts'
import type { Member } from '../membership/member.ts'

/** A parsed selector. */
export interface Selector {
  readonly text: string
  /** Key to the values of which one must hold; empty for `all`. */
  readonly terms: ReadonlyMap<string, ReadonlySet<string>>
}

const MAX_SELECTOR_CHARACTERS = 64 * 1024

/** Parses a selector. Errors: selector-invalid. */
export function parseSelector(text: string): Selector {
  const terms = new Map<string, Set<string>>()
  if (text === 'all') return { text, terms }
  if (text.length > MAX_SELECTOR_CHARACTERS) throw invalid(`${text.slice(0, 40)}…`, MAX_SELECTOR_CHARACTERS, 'it is too long')
  let position = 0
  for (const term of text.split(',')) {
    const equals = term.indexOf('=')
    if (term === '') throw invalid(text, position, 'a term is missing')
    if (term === 'all') throw invalid(text, position, '"all" stands alone')
    if (equals < 0) throw invalid(text, position, `"${term}" has no "="`)
    if (equals === 0) throw invalid(text, position, 'the key before "=" is missing')
    if (equals === term.length - 1) throw invalid(text, position + equals + 1, 'the value after "=" is missing')
    const bad = /[\s=]/.exec(term.slice(0, equals) + term.slice(equals + 1))
    if (bad !== null)
      throw invalid(text, position + bad.index + (bad.index >= equals ? 1 : 0), 'keys and values hold no blanks and no further "="')
    const key = term.slice(0, equals)
    const values = terms.get(key) ?? new Set()
    values.add(term.slice(equals + 1))
    terms.set(key, values)
    position += term.length + 1
  }
  return { text, terms }
}

/** Whether the selector means this member, be it alive or not. */
export function matches(selector: Selector, member: Member): boolean {
  for (const [key, values] of selector.terms) {
    const value = key === 'name' ? member.name : member.tags[key]
    if (value === undefined || !values.has(value)) return false
  }
  return true
}

/**
 * Whether a delivery that `sender` orders is meant for this member. The sender has what it sends: it is a receiver of its
 * own delivery only where the selector says its name. A member without a swarm port is an agent of Serf alone and can take nothing.
 */
export function isReceiver(selector: Selector, member: Member, sender: string): boolean {
  if (member.name === sender && selector.terms.get('name')?.has(sender) !== true) return false
  return member.swarmPort > 0 && matches(selector, member)
}

/** The names that a selector asks for outright: a member of that name is awaited even where it isn't there yet. */
export function namesOf(selector: Selector): string[] {
  return [...(selector.terms.get('name') ?? [])]
}

function invalid(selector: string, position: number, reason: string): Error {
  return fail('selector-invalid', { selector, position, reason })
}
