/**
 * When a receiver asks, so that few do: RFC 5401's (§3.2.2) random back-off with a truncated exponential distribution. Most receivers draw a delay
 * near the longest, few an early one; the first to ask makes the others fall silent. docs/specs/07-multicast.md §7.
 *
 * With λ = ln(group size) + 1 the share of receivers whose delay is below t is F(t) = (e^(λt/T) − 1) / (e^λ − 1).
 */
import type { Random } from '../lib/random.ts'

/** A delay from 0 to `longestMs` for one of `groupSize` receivers. */
export function drawBackoffMs(random: Random, longestMs: number, groupSize: number): number {
  if (longestMs <= 0) return 0
  const lambda = lambdaOf(groupSize)
  return (longestMs / lambda) * Math.log(1 + random.float() * (Math.exp(lambda) - 1))
}

/** The share of receivers that draw a delay below `share` of the longest. */
export function backoffShare(share: number, groupSize: number): number {
  const lambda = lambdaOf(groupSize)
  return (Math.exp(lambda * share) - 1) / (Math.exp(lambda) - 1)
}

function lambdaOf(groupSize: number): number {
  return Math.log(Math.max(1, groupSize)) + 1
}
