/** How many nodes a link has, as far as one of them hears, and which of them beat fast. docs/specs/10-reach.md §3. */
import type { HeardPeer } from './heard-peer.ts'

export interface Census {
  /** Nodes that are heard, by whichever path. */
  readonly count: number
  /** The most that one of them says to hear. */
  readonly told: number
  /** Of those with the lowest hashes, how many are lower than this node. */
  readonly lower: number
  /** The last of those that should beat fast, this node left out; Infinity where all should. */
  readonly highestBeater: number
}

/** Counts those that were heard lately; goes over all of them once. */
export function takeCensus(peers: Iterable<HeardPeer>, node: number, fastNodes: number, now: number): Census {
  let count = 0
  let told = 0
  const lowest: number[] = []
  for (const peer of peers) {
    if (!peer.isFresh(now)) continue
    count++
    told = Math.max(told, peer.beacon.peers)
    if (lowest.length === fastNodes && peer.node > lowest.at(-1)!) continue
    lowest.push(peer.node)
    lowest.sort((a, b) => a - b)
    lowest.length = Math.min(lowest.length, fastNodes)
  }
  return {
    count,
    told,
    lower: lowest.filter((other) => other < node).length,
    highestBeater: lowest.length < fastNodes ? Infinity : lowest.at(-1)!,
  }
}
