/**
 * What came over UDP, by the address that it came from: when something that could be read came last, and when something that could not.
 * Of use to `doctor` alone. Anybody can send from made-up addresses, so that there is a limit: beyond it, who was heard of longest ago is
 * forgotten.
 */
import { unreadableCause, type UnreadableCause } from '../../core/gossip/unreadable.ts'

/** Addresses that are remembered. */
const MAX_SENDERS = 4096

/** What came from one address; times in ms of the node's clock. */
export interface SenderRecord {
  readonly packets: number
  readonly heardAt: number | undefined
  readonly unreadable: { readonly count: number; readonly at: number; readonly cause: UnreadableCause; readonly reason: string } | undefined
}

const NOTHING: SenderRecord = { packets: 0, heardAt: undefined, unreadable: undefined }

export class SenderTable {
  readonly #limit: number
  /** In the order in which they were heard of last. */
  readonly #senders: Map<string, SenderRecord> = new Map()

  constructor(limit: number = MAX_SENDERS) {
    this.#limit = limit
  }

  get(address: string): SenderRecord {
    return this.#senders.get(address) ?? NOTHING
  }

  heard(address: string, now: number): void {
    const before = this.get(address)
    this.#put(address, { ...before, packets: before.packets + 1, heardAt: now })
  }

  unreadable(address: string, reason: string, now: number): void {
    const before = this.get(address)
    const count = (before.unreadable?.count ?? 0) + 1
    this.#put(address, { ...before, unreadable: { count, at: now, cause: unreadableCause(reason), reason } })
  }

  /** Those whose bytes could not be read since then, the latest first. */
  unreadableSince(time: number): (readonly [string, NonNullable<SenderRecord['unreadable']>])[] {
    return [...this.#senders]
      .flatMap(([address, { unreadable }]) => (unreadable !== undefined && unreadable.at >= time ? [[address, unreadable] as const] : []))
      .toReversed()
  }

  #put(address: string, record: SenderRecord): void {
    this.#senders.delete(address)
    this.#senders.set(address, record)
    if (this.#senders.size <= this.#limit) return
    for (const oldest of this.#senders.keys()) return void this.#senders.delete(oldest)
  }
}
