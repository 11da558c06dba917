/**
 * Joins the addresses that a node was told, and goes on doing so: those that don't answer are tried again in growing, jittered pauses; those
 * that did are looked at now and then, by name, so that two halves of a cluster that were started apart, or were cut off from each other
 * for longer than anybody is remembered, become one by themselves.
 */
import type { Clock } from '../clock.ts'
import type { JoinOutcome } from './worker-protocol.ts'

export interface JoinerOptions {
  readonly clock: Clock
  /** At least 0 and less than 1. */
  readonly random: () => number
  /** The first pause after a failure, ms; each further one is twice as long, up to the last. */
  readonly retryMinMs: number
  readonly retryMaxMs: number
  /** How often addresses that answered are looked at again, ms. */
  readonly recheckMs: number
  readonly attempt: (address: string, onlyMissing: boolean) => Promise<JoinOutcome>
  readonly onFailure: (outcome: JoinOutcome) => void
}

export class Joiner {
  readonly #options: JoinerOptions
  /** By address: how often it has failed since it answered last. */
  readonly #failures: Map<string, number> = new Map()
  readonly #timers: Map<string, () => void> = new Map()
  #isStopped = false

  constructor(options: JoinerOptions) {
    this.#options = options
  }

  /** Tries all addresses once and tells how that ended; goes on with them afterwards. */
  join(addresses: readonly string[]): Promise<JoinOutcome[]> {
    return Promise.all(addresses.map((address) => this.#try(address, false)))
  }

  stop(): void {
    this.#isStopped = true
    for (const cancel of this.#timers.values()) cancel()
    this.#timers.clear()
  }

  async #try(address: string, onlyMissing: boolean): Promise<JoinOutcome> {
    this.#timers.get(address)?.()
    const outcome = await this.#options.attempt(address, onlyMissing)
    if (this.#isStopped) return outcome
    const failures = outcome.error === undefined ? 0 : (this.#failures.get(address) ?? 0) + 1
    this.#failures.set(address, failures)
    if (failures > 0) this.#options.onFailure(outcome)
    const { retryMinMs, retryMaxMs, recheckMs, random, clock } = this.#options
    const pauseMs = failures === 0 ? recheckMs : Math.min(retryMaxMs, retryMinMs * 2 ** Math.min(failures - 1, 20))
    this.#timers.set(
      address,
      clock.schedule(pauseMs * (0.75 + random() / 2), () => void this.#try(address, true)),
    )
    return outcome
  }
}
