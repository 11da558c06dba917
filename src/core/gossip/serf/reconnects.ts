/**
 * Failed members are tried again: membership forgets them, so that two halves of a parted cluster would never find each other.
 * docs/specs/04-gossip.md §7.2.
 *
 * From time to time each member tries one, with the probability of failed to alive members: that all of them together make about one attempt
 * for each failed member, however large the cluster. One push/pull that gets through is enough for both halves to hear of each other.
 *
 * Gossip then tells nearly everyone of nearly everyone, and some few are left failed in the eyes of some few. So when one comes back, those
 * that failed about when it did are likely back too, and are tried one after the other for some seconds, once gossip had its time.
 */
import { endpointKey } from '../endpoint.ts'
import type { Endpoint } from '../messages.ts'
import type { Entry, SerfState } from './serf-state.ts'

/** Those count as failed together that failed within this time of each other: what finding out takes. */
const TOGETHER_MS = 30_000
/** For how long they are tried. */
const HEAL_FOR_MS = 10_000
/** Heal intervals that gossip has for telling, after the first that has come back. */
const MAX_QUIET = 4

interface Healing {
  /** When those failed that are tried. */
  from: number
  to: number
  readonly startedAt: number
  endsAt: number
}

export class Reconnects {
  readonly #state: SerfState
  readonly #join: (endpoint: Endpoint, now: number) => void
  /** Attempts by endpoint. */
  readonly #open: Set<string> = new Set()
  #nextAt: number
  #healing: Healing | undefined
  #healAt = Infinity
  failedCount = 0

  constructor(state: SerfState, join: (endpoint: Endpoint, now: number) => void, now: number) {
    this.#state = state
    this.#join = join
    this.#nextAt = now + (0.5 + state.random.float() / 2) * state.times.reconnectIntervalMs
  }

  nextDeadline(): number {
    return Math.min(this.#nextAt, this.#healAt)
  }

  handleTimeout(now: number): void {
    if (now >= this.#healAt) this.#heal(now)
    if (now >= this.#nextAt) this.#reconnect(now)
  }

  /** One that had failed is there again. */
  returned(failedAt: number, now: number): void {
    const { healIntervalMs } = this.#state.times
    if (healIntervalMs === Infinity) return
    this.#healing ??= { from: failedAt, to: failedAt, startedAt: now, endsAt: now }
    const healing = this.#healing
    healing.from = Math.min(healing.from, failedAt)
    healing.to = Math.max(healing.to, failedAt)
    healing.endsAt = now + HEAL_FOR_MS
    this.#healAt = Math.max(now, Math.min(now + healIntervalMs, healing.startedAt + MAX_QUIET * healIntervalMs))
  }

  /** Whether an exchange that has ended was such an attempt. */
  ended(to: Endpoint, error: string | undefined): boolean {
    const isOne = this.#open.delete(endpointKey(to))
    if (isOne && error !== undefined) this.failedCount++
    return isOne
  }

  #reconnect(now: number): void {
    const { members, random, times } = this.#state
    this.#nextAt = now + times.reconnectIntervalMs
    const failed = this.#failed()
    const alive = [...members.values()].filter(({ status }) => status === 'alive' || status === 'leaving').length
    if (failed.length > 0 && random.float() <= failed.length / Math.max(alive, 1)) this.#try(failed, now)
  }

  #heal(now: number): void {
    const { from, to, endsAt } = this.#healing!
    const together = this.#failed().filter(({ changedAt }) => changedAt >= from - TOGETHER_MS && changedAt <= to + TOGETHER_MS)
    if (now >= endsAt || together.length === 0) {
      this.#healing = undefined
      this.#healAt = Infinity
      return
    }
    this.#healAt = now + this.#state.times.healIntervalMs
    this.#try(together, now)
  }

  #try(failed: readonly Entry[], now: number): void {
    const { random, limits, isLeaving } = this.#state
    if (isLeaving || this.#open.size >= limits.maxReconnects) return
    const { address, port } = random.pick(failed)
    this.#open.add(endpointKey({ address, port }))
    this.#join({ address, port }, now)
  }

  #failed(): Entry[] {
    return [...this.#state.members.values()].filter(({ status }) => status === 'failed')
  }
}
