/**
 * Which contents have to go so that another one fits. A decision and nothing else: the store carries it out.
 *
 * What may go: a partial content that nobody used for so long that gc would remove it, first; then complete contents, least
 * recently used first. Pinned ones and those in use stay.
 */

/** What the decision needs to know of a content. */
export interface Evictable {
  /** Bytes that it counts for. */
  readonly reservedBytes: number
  readonly usedAt: number
  readonly isPinned: boolean
  readonly isHeld: boolean
  /** Whether it is complete and durable. */
  readonly stamp: unknown
}

/**
 * The contents to remove so that `neededBytes` more become free; undefined when all that may go is not enough, and then
 * nothing should. `expiredBefore`: partial contents last used before that may go.
 */
export function chooseVictims<T extends Evictable>(contents: Iterable<T>, neededBytes: number, expiredBefore: number): T[] | undefined {
  if (neededBytes <= 0) return []
  const candidates = [...contents].filter(
    (content) => !content.isPinned && !content.isHeld && (content.stamp !== undefined || content.usedAt < expiredBefore),
  )
  candidates.sort((a, b) => Number(a.stamp !== undefined) - Number(b.stamp !== undefined) || a.usedAt - b.usedAt)
  const victims: T[] = []
  let freed = 0
  for (const candidate of candidates) {
    if (freed >= neededBytes) break
    victims.push(candidate)
    freed += candidate.reservedBytes
  }
  return freed >= neededBytes ? victims : undefined
}

/** Bytes that could be freed at most. */
export function evictableBytes(contents: Iterable<Evictable>, expiredBefore: number): number {
  let bytes = 0
  for (const content of contents) {
    if (!content.isPinned && !content.isHeld && (content.stamp !== undefined || content.usedAt < expiredBefore))
      bytes += content.reservedBytes
  }
  return bytes
}
