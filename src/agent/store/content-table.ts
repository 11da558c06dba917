/**
 * The contents of a store by their ids: the swarm id that each was created with, and the content id, which a content that was
 * created growing gets when it is sealed.
 */
import { fail } from '../errors.ts'
import type { Content } from './stored-content.ts'

const MIN_PREFIX_DIGITS = 8
const ID_DIGITS = 64

/** All contents that are there. */
export class ContentTable {
  readonly #contents: Map<string, Content> = new Map()
  /** By content id: contents that have another swarm id. */
  readonly #aliases: Map<string, Content> = new Map()

  /** Whether a content of that swarm id is there. */
  has(id: string): boolean {
    return this.#contents.has(id)
  }

  /** All contents, in the order in which they came. */
  values(): MapIterator<Content> {
    return this.#contents.values()
  }

  /** Adds a content. */
  add(content: Content): void {
    this.#contents.set(content.id, content)
    this.addAlias(content)
  }

  /** Makes a content known by its content id. Where two have the same, a complete one keeps it. */
  addAlias(content: Content): void {
    const { contentId } = content
    if (contentId === undefined || contentId === content.id) return
    if (this.#aliases.get(contentId)?.stamp === undefined) this.#aliases.set(contentId, content)
  }

  /** Other complete contents with the same content id. */
  twins(content: Content): Content[] {
    const { contentId } = content
    if (contentId === undefined) return []
    return [...this.#contents.values()].filter((other) => other !== content && other.stamp !== undefined && other.contentId === contentId)
  }

  /** Takes a content out. */
  remove(content: Content): void {
    this.#contents.delete(content.id)
    if (content.contentId === undefined || this.#aliases.get(content.contentId) !== content) return
    this.#aliases.delete(content.contentId)
    for (const other of this.#contents.values()) if (other.contentId === content.contentId) this.addAlias(other)
  }

  /** By an id, or a prefix of at least 8 digits of one; throws `content-ambiguous` for a prefix of several contents' ids. */
  find(idOrPrefix: string): Content | undefined {
    const id = idOrPrefix.toLowerCase()
    const exact = this.#contents.get(id) ?? this.#aliases.get(id)
    if (exact !== undefined || id.length < MIN_PREFIX_DIGITS || id.length >= ID_DIGITS) return exact
    const matches = new Map<string, Content>()
    for (const content of this.#contents.values()) {
      if (!content.id.startsWith(id) && content.contentId?.startsWith(id) !== true) continue
      const same = content.contentId ?? content.id
      if (matches.get(same)?.stamp === undefined) matches.set(same, content)
    }
    if (matches.size > 1) throw fail('content-ambiguous', { id: idOrPrefix, count: matches.size })
    const [match] = matches.values()
    return match
  }
}
