/**
 * Rendezvous hashing (Thaler and Ravishankar, 1998): every node that sees the same members puts them into the same order
 * for a key, without asking anybody; when one goes, only what it owned moves, to the next in its order.
 */
import { createHash } from 'node:crypto'

/** The candidates in order of ownership of `key`: the first is the owner, the others its heirs. Cost: one SHA-256 each. */
export function rendezvousOrder<T extends { readonly name: string }>(candidates: readonly T[], key: string): T[] {
  return candidates
    .map((candidate) => ({ candidate, weight: weightOf(candidate.name, key) }))
    .toSorted((a, b) => (a.weight < b.weight ? 1 : a.weight > b.weight ? -1 : a.candidate.name < b.candidate.name ? -1 : 1))
    .map(({ candidate }) => candidate)
}

function weightOf(name: string, key: string): bigint {
  return createHash('sha256').update(`${name.length}:${name}${key}`).digest().readBigUInt64BE()
}
