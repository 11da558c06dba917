/** The word that somebody probably meant: for unknown keys, by edit distance with swapped neighbours counted as one. */

/** The candidate nearest to `word`, or undefined where none is near enough to be worth naming. */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined
  let bestDistance = Math.min(10, Math.max(2, Math.floor(word.length / 3))) + 1
  for (const candidate of candidates) {
    const distance = editDistance(word, candidate)
    if (distance < bestDistance) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

/** Insertions, deletions, substitutions and swaps of neighbours that lead from `a` to `b`; words beyond 100 characters count as far away. */
export function editDistance(a: string, b: string): number {
  if (a.length > 100 || b.length > 100) return a === b ? 0 : 100
  let before: number[] = []
  let previous: number[] = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const current = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let distance = Math.min(at(previous, j) + 1, at(current, j - 1) + 1, at(previous, j - 1) + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) distance = Math.min(distance, at(before, j - 2) + 1)
      current.push(distance)
    }
    before = previous
    previous = current
  }
  return at(previous, b.length)
}

function at(row: readonly number[], index: number): number {
  return row[index] ?? Number.POSITIVE_INFINITY
}
