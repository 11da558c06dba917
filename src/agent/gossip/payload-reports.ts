/**
 * Who has got the payload of a large event: gathers the receipts of the receivers until all have answered, are gone, or nothing has been
 * heard of any for a while.
 */
import type { Clock } from '../clock.ts'
import type { EventReport } from './gossip.ts'

/** Without any receipt for so long, a report is over: the others are missing. */
export const QUIET_MS: number = 30_000
/** How often it is looked who is gone. */
const LOOK_MS = 500

/** The report that is being gathered of one event. */
export interface PayloadReport {
  /** The report, once it is complete; `untold`: who did not even get the event, as far as is known. */
  ended(untold: readonly string[]): Promise<EventReport>
  /** Receipts are none of its any more. */
  close(): void
}

interface Gathering {
  readonly open: Set<string>
  readonly missing: Set<string>
  readonly of: number
  lastAt: number
  /** Ends it where it can end; undefined while the event itself is being sent. */
  look: () => void
}

/** The reports of the events that this node sends. */
export class PayloadReports {
  readonly #clock: Clock
  /** Other nodes of Polycast that are alive. */
  readonly #receivers: () => string[]
  readonly #gathering: Map<string, Gathering> = new Map()

  constructor(clock: Clock, receivers: () => string[]) {
    this.#clock = clock
    this.#receivers = receivers
  }

  /** Begins one: receipts with its number count for it from now on. */
  open(number: string): PayloadReport {
    const names = this.#receivers()
    const gathering: Gathering = {
      open: new Set(names),
      missing: new Set(),
      of: names.length,
      lastAt: this.#clock.now(),
      look: () => undefined,
    }
    this.#gathering.set(number, gathering)
    return {
      ended: (untold) => this.#gather(gathering, new Set(untold)),
      close: () => this.#gathering.delete(number),
    }
  }

  receipt(from: string, { report, isHere }: { readonly report: string; readonly isHere: boolean }): void {
    const gathering = this.#gathering.get(report)
    if (gathering === undefined || !gathering.open.delete(from)) return
    gathering.lastAt = this.#clock.now()
    if (!isHere) gathering.missing.add(from)
    // Who is gone is looked at by the timer: not for each of ten thousand receipts.
    if (gathering.open.size === 0) gathering.look()
  }

  /** Ends all of them with what is known. */
  close(): void {
    for (const gathering of this.#gathering.values()) {
      gathering.lastAt = -Infinity
      gathering.look()
    }
  }

  #gather(gathering: Gathering, untold: ReadonlySet<string>): Promise<EventReport> {
    const { open, missing, of } = gathering
    return new Promise((resolve) => {
      let cancel = (): void => undefined
      gathering.lastAt = this.#clock.now()
      gathering.look = () => {
        cancel()
        const alive = new Set(this.#receivers())
        const isAwaited = [...open].some((name) => alive.has(name) && !untold.has(name))
        if (isAwaited && this.#clock.now() - gathering.lastAt < QUIET_MS) {
          cancel = this.#clock.schedule(LOOK_MS, gathering.look)
          return
        }
        const names = [...missing, ...open].toSorted()
        resolve({ reached: of - names.length, of, missing: names })
      }
      gathering.look()
    })
  }
}
