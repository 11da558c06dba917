/**
 * The round-trip time between two members, from their coordinates alone (docs/specs/04-gossip.md; Dabek et al., Vivaldi, SIGCOMM 2004):
 * the distance of the vectors, the height of both above that space, and what both add to make up for what it can't express.
 */
import type { Coordinate } from '../../core/gossip/serf-messages.ts'

/** Estimated round-trip time, ms; undefined for coordinates of different spaces. As Serf's: adjustments that would make it negative don't count. */
export function distanceMs(a: Coordinate, b: Coordinate): number | undefined {
  if (a.vector.length !== b.vector.length) return undefined
  const squares = a.vector.map((value, index) => (value - (b.vector[index] ?? 0)) ** 2)
  const seconds = Math.sqrt(squares.reduce((sum, square) => sum + square, 0)) + a.height + b.height
  const adjusted = seconds + a.adjustment + b.adjustment
  return (adjusted > 0 ? adjusted : seconds) * 1000
}
