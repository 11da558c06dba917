/**
 * Failed members are tried again: membership forgets them, so that two halves of a parted cluster would never find each other.
 * docs/specs/04-gossip.md §7.2.
 *
 * From time to time each member tries one, with the probability of failed to alive members: that all of them together make about one attempt
 * for each failed member, however large the cluster. One push/pull that gets through is enough for both halves.
 */
import { endpointKey } from '../endpoint.ts'
import type { Endpoint } from '../messages.ts'
import type { SerfState } from './serf-state.ts'

export class Reconnects {
  readonly #state: SerfState
  readonly #join: (endpoint: Endpoint, now: number) => void
  /** Attempts by endpoint. */
  readonly #open: Set<string> = new Set()
  #nextAt: number
  failedCount = 0

  constructor(state: SerfState, join: (endpoint: Endpoint, now: number) => void, now: number) {
    this.#state = state
    this.#join = join
    this.#nextAt = now + (0.5 + state.random.float() / 2) * state.times.reconnectIntervalMs
  }

  nextDeadline(): number {
    return this.#nextAt
  }

  handleTimeout(now: number): void {
    if (now < this.#nextAt) return
    const { members, random, times, limits, isLeaving } = this.#state
    this.#nextAt = now + times.reconnectIntervalMs
    if (isLeaving) return
    const failed = [...members.values()].filter(({ status }) => status === 'failed')
    if (failed.length === 0 || this.#open.size >= limits.maxReconnects) return
    const alive = [...members.values()].filter(({ status }) => status === 'alive' || status === 'leaving').length
    if (random.float() > failed.length / Math.max(alive, 1)) return
    const { address, port } = random.pick(failed)
    this.#open.add(endpointKey({ address, port }))
    this.#join({ address, port }, now)
  }

  /** Whether an exchange that has ended was such an attempt. */
  ended(to: Endpoint, error: string | undefined): boolean {
    const isOne = this.#open.delete(endpointKey(to))
    if (isOne && error !== undefined) this.failedCount++
    return isOne
  }
}
