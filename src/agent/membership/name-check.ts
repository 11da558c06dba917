/** Whether the agent that a record speaks of is there: asked of it directly, once at a time per agent. */

import { targetOf } from './dialer.ts'
import { askWho } from './probe.ts'
import type { Clock } from '../clock.ts'
import type { MemberRecord } from './messages.ts'

/** Checks that run, and their bound. */
export class NameCheck {
  readonly #running = new Map<string, Promise<boolean>>()
  readonly #most: number
  readonly #timeoutMs: number
  readonly #clock: Clock

  constructor(most: number, timeoutMs: number, clock: Clock) {
    this.#most = most
    this.#timeoutMs = timeoutMs
    this.#clock = clock
  }

  /** Whether the very agent of this record answers at its address; undefined if too many are being asked. Never rejects. */
  async isThere(record: MemberRecord): Promise<boolean | undefined> {
    const running = this.#running.get(record.instance)
    if (running !== undefined) return running
    if (this.#running.size >= this.#most) return undefined
    const asked = askWho(targetOf(record), this.#timeoutMs, this.#clock).then((identity) => {
      this.#running.delete(record.instance)
      return identity?.instance === record.instance
    })
    this.#running.set(record.instance, asked)
    return asked
  }
}
