/**
 * Those that were discovered and are no members yet: who of them is joined, and when. docs/specs/09-discovery.md §5.
 *
 * One join brings two clusters together, so few are enough. Who hears of a stranger waits a random time that grows with its own cluster:
 * of a thousand that hear one beacon, the first joins within a tenth of a second, and nearly all others learn of the new member before
 * their turn comes. Those that don't answer are tried again in growing pauses until they are lost.
 */
import type { Random } from '../../lib/random.ts'
import type { Discovered, DiscoveredEndpoint } from './membership-proof.ts'

/** How somebody was discovered. */
export type DiscoveredBy = 'dns-sd' | 'beacon' | 'serf'

export interface JoinCandidatesOptions {
  readonly random: Random
  /** Whether it is a live member by this name, or at one of these addresses. */
  readonly isMember: (found: Discovered) => boolean
  /** Members of this node's cluster that live, itself among them. */
  readonly memberCount: () => number
}

export type CandidateInput =
  | { readonly type: 'found'; readonly by: DiscoveredBy; readonly found: Discovered }
  /** It says no more that it is there. */
  | { readonly type: 'lost'; readonly by: DiscoveredBy; readonly node: string }
  /** How a join that was wanted has ended. */
  | { readonly type: 'outcome'; readonly node: string; readonly isJoined: boolean }

export type CandidateOutput = {
  readonly type: 'join'
  readonly node: string
  readonly by: DiscoveredBy
  readonly endpoint: DiscoveredEndpoint
  /** From 1. */
  readonly attempt: number
}

const MAX_CANDIDATES = 1024
const MAX_ENDPOINTS = 4
const MAX_IN_FLIGHT = 4
/** At least so long between two joins. */
const JOIN_INTERVAL_MS = 250
const DELAY_PER_MEMBER_MS = 50
const MAX_DELAY_MS = 60_000
const RETRY_MIN_MS = 1000
const RETRY_MAX_MS = 60_000
/** One that let itself be joined and is no member yet: its name may be another one, or news are slow. */
const RECHECK_MS = 30_000
/** Who sends no beacon any more is forgotten after this: beacons have no word for going away. */
const KEEP_MS = 600_000

interface Candidate {
  readonly node: string
  by: DiscoveredBy
  endpoints: readonly DiscoveredEndpoint[]
  attempts: number
  failures: number
  heardAt: number
  dueAt: number
  isInFlight: boolean
}

export class JoinCandidates {
  /** Discovered nodes left out for want of room. */
  dropped = 0
  readonly #options: JoinCandidatesOptions
  readonly #candidates: Map<string, Candidate> = new Map()
  #nextJoinAt = -Infinity
  #inFlight = 0
  #outputs: CandidateOutput[] = []

  constructor(options: JoinCandidatesOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#candidates.size
  }

  handle(input: CandidateInput, now: number): void {
    switch (input.type) {
      case 'found':
        return this.#found(input.found, input.by, now)
      case 'lost': {
        const candidate = this.#candidates.get(input.node)
        if (candidate?.by === input.by) this.#candidates.delete(input.node)
        return
      }
      case 'outcome': {
        this.#inFlight--
        const candidate = this.#candidates.get(input.node)
        if (candidate === undefined) return
        candidate.isInFlight = false
        candidate.failures = input.isJoined ? 0 : candidate.failures + 1
        const pauseMs = input.isJoined ? RECHECK_MS : Math.min(RETRY_MAX_MS, RETRY_MIN_MS * 2 ** (candidate.failures - 1))
        candidate.dueAt = now + pauseMs * (0.75 + this.#options.random.float() / 2)
      }
    }
  }

  handleTimeout(now: number): void {
    for (const [node, candidate] of this.#candidates) {
      if (!candidate.isInFlight && now >= forgetAt(candidate)) this.#candidates.delete(node)
    }
    while (now >= this.#nextJoinAt && this.#inFlight < MAX_IN_FLIGHT) {
      const due = [...this.#candidates.values()].filter(({ dueAt, isInFlight }) => !isInFlight && now >= dueAt)
      const strangers = due.filter((candidate) => !this.#options.isMember(candidate))
      for (const candidate of due) if (!strangers.includes(candidate)) this.#candidates.delete(candidate.node)
      if (strangers.length === 0) return
      this.#join(this.#options.random.pick(strangers), now)
    }
  }

  nextDeadline(): number {
    let deadline = Infinity
    for (const candidate of this.#candidates.values()) {
      if (candidate.isInFlight) continue
      const joinAt = this.#inFlight < MAX_IN_FLIGHT ? Math.max(candidate.dueAt, this.#nextJoinAt) : Infinity
      deadline = Math.min(deadline, joinAt, forgetAt(candidate))
    }
    return deadline
  }

  drain(): CandidateOutput[] {
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  #found(found: Discovered, by: DiscoveredBy, now: number): void {
    if (this.#options.isMember(found)) return
    const endpoints = found.endpoints.slice(0, MAX_ENDPOINTS)
    const known = this.#candidates.get(found.node)
    if (known !== undefined) {
      known.heardAt = now
      // One that DNS-SD has named is there until DNS-SD takes it back.
      if (known.by === 'beacon') known.by = by
      known.endpoints = endpoints
      return
    }
    if (this.#candidates.size >= MAX_CANDIDATES) {
      this.dropped++
      return
    }
    const delayMs = Math.min(MAX_DELAY_MS, DELAY_PER_MEMBER_MS * this.#options.memberCount()) * this.#options.random.float()
    const dueAt = now + delayMs
    this.#candidates.set(found.node, { node: found.node, by, endpoints, attempts: 0, failures: 0, heardAt: now, dueAt, isInFlight: false })
  }

  #join(candidate: Candidate, now: number): void {
    const endpoint = candidate.endpoints[candidate.attempts % candidate.endpoints.length]!
    candidate.attempts++
    candidate.isInFlight = true
    this.#inFlight++
    this.#nextJoinAt = now + JOIN_INTERVAL_MS
    this.#outputs.push({ type: 'join', node: candidate.node, by: candidate.by, endpoint, attempt: candidate.attempts })
  }
}

function forgetAt({ by, heardAt }: Candidate): number {
  return by === 'beacon' ? heardAt + KEEP_MS : Infinity
}
