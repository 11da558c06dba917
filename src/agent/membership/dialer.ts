/**
 * Connects to other members: one dial per address at a time, with growing, jittered pauses after failures.
 *
 * Not here: which addresses are dialed when, and what an established link means (`member-list.ts`).
 */

import { connect } from 'node:net'
import { formatAddress } from '../addresses.ts'
import type { Socket } from 'node:net'
import type { Clock } from '../clock.ts'
import type { Link } from './link.ts'
import type { MemberRecord } from './messages.ts'

/** An address to dial. */
export interface Target {
  readonly host: string
  readonly port: number
  /** `host:port` as text. */
  readonly key: string
  /** Who was found there. */
  memberName?: string
}

/** How a dial ended; `self` is this node's own address, `conflict` an agent that has this node's name. */
export type Outcome =
  | { readonly kind: 'linked' }
  | { readonly kind: 'self' }
  | { readonly kind: 'conflict'; readonly address: string }
  | { readonly kind: 'failed'; readonly reason: string }

/** What a dialer needs of its owner. */
export interface DialerOptions {
  readonly clock: Clock
  readonly random: () => number
  readonly dialTimeoutMs: number
  /** The first pause after a failure, and the longest. */
  readonly redialMinMs: number
  readonly redialMaxMs: number
  /** Makes the link of a new connection, whose events go to the owner, and greets as soon as it is connected. */
  readonly open: (socket: Socket, target: Target) => Link
  /** A dial ended; not called for those that `stop` ended. */
  readonly onOutcome: (target: Target, outcome: Outcome) => void
}

/** The dials of one node. */
export class Dialer {
  readonly #options: DialerOptions
  readonly #running = new Map<string, Promise<Outcome>>()
  readonly #byLink = new Map<Link, { target: Target; settle: (outcome: Outcome) => void }>()
  readonly #backOff = new Map<string, { failures: number; dueAt: number }>()
  #isStopped = false

  constructor(options: DialerOptions) {
    this.#options = options
  }

  /** Dials under way. */
  get size(): number {
    return this.#running.size
  }

  /** Dials now, whatever the back-off says; while a dial to the same address runs, that one. Never rejects. */
  dial(target: Target): Promise<Outcome> {
    const running = this.#running.get(target.key)
    if (running !== undefined) return running
    const { clock, dialTimeoutMs } = this.#options
    const dial = new Promise<Outcome>((resolve) => {
      const link = this.#options.open(connect({ host: target.host, port: target.port }), target)
      const cancel = clock.schedule(dialTimeoutMs, () => link.destroy(`no answer within ${dialTimeoutMs} ms`))
      const settle = (outcome: Outcome): void => {
        cancel()
        this.#byLink.delete(link)
        this.#running.delete(target.key)
        this.#note(target, outcome)
        resolve(outcome)
      }
      this.#byLink.set(link, { target, settle })
    })
    this.#running.set(target.key, dial)
    return dial
  }

  /** True where no dial to the address runs and its pause is over. */
  isDue(key: string, now: number): boolean {
    return !this.#running.has(key) && now >= (this.#backOff.get(key)?.dueAt ?? 0)
  }

  /** The target that a link was dialed for, until its dial is settled. */
  targetOf(link: Link): Target | undefined {
    return this.#byLink.get(link)?.target
  }

  /** Ends the dial that a link was opened for; nothing for other links. */
  settle(link: Link, outcome: Outcome): void {
    this.#byLink.get(link)?.settle(outcome)
  }

  /** Forgets pauses of addresses that nobody will dial again, once there are more than `most`. */
  prune(most: number): void {
    if (this.#backOff.size > most) this.#backOff.clear()
  }

  /** From now on nothing is reported. */
  stop(): void {
    this.#isStopped = true
  }

  #note(target: Target, outcome: Outcome): void {
    if (this.#isStopped) return
    if (outcome.kind === 'linked' || outcome.kind === 'self') this.#backOff.delete(target.key)
    else {
      const { clock, random, redialMinMs, redialMaxMs } = this.#options
      const failures = (this.#backOff.get(target.key)?.failures ?? 0) + 1
      const pauseMs = Math.min(redialMaxMs, redialMinMs * 2 ** Math.min(failures, 20)) * (0.5 + random() / 2)
      this.#backOff.set(target.key, { failures, dueAt: clock.now() + pauseMs })
    }
    this.#options.onOutcome(target, outcome)
  }
}

/** The target of an address. */
export function targetAt(host: string, port: number): Target {
  return { host, port, key: formatAddress(host, port) }
}

/** The target of a member. */
export function targetOf(record: MemberRecord): Target {
  return targetAt(record.address, record.gossipPort)
}
