/** The transfers into this node's store, each shared by all gets and deliveries that want the same swarm; the last one to let go cancels it. */
import type { DataPlane, Ticket, Transfer, TransferProgress } from '../data-plane/data-plane.ts'

/** What a transfer brought. */
export type TransferResult = Awaited<Transfer['done']>

/** One user's hold on a transfer. */
export interface TransferHold {
  readonly done: Promise<TransferResult>
  /** Lets go; without other holds the transfer is cancelled. Does nothing after the end or the second time. */
  release(): void
}

interface Shared {
  readonly ticket: Ticket
  readonly transfer: Transfer
  holds: number
}

/** The running transfers of a node. */
export class Transfers {
  readonly #dataPlane: DataPlane
  readonly #running = new Map<string, Shared>()

  constructor(dataPlane: DataPlane) {
    this.#dataPlane = dataPlane
  }

  /** Joins the transfer of the ticket's swarm or begins it. */
  join(ticket: Ticket, onProgress: (progress: TransferProgress) => void): TransferHold {
    let shared = this.#running.get(ticket.swarmId)
    if (shared === undefined || !isSameWay(shared.ticket, ticket)) {
      const begun: Shared = { ticket, transfer: this.#dataPlane.fetch(ticket), holds: 0 }
      this.#running.set(ticket.swarmId, begun)
      const forget = (): void => {
        if (this.#running.get(ticket.swarmId) === begun) this.#running.delete(ticket.swarmId)
      }
      begun.transfer.done.then(forget, forget)
      shared = begun
    }
    const joined = shared
    joined.holds++
    const unwatch = joined.transfer.onProgress(onProgress)
    let isHeld = true
    return {
      done: joined.transfer.done,
      release: () => {
        if (!isHeld) return
        isHeld = false
        unwatch()
        if (--joined.holds > 0) return
        joined.transfer.cancel()
        if (this.#running.get(ticket.swarmId) === joined) this.#running.delete(ticket.swarmId)
      },
    }
  }

  /** The ticket of a running transfer whose swarm id begins so: what another node that asks for the id is given. */
  ticketOf(idPrefix: string): Ticket | undefined {
    for (const { ticket } of this.#running.values()) if (ticket.swarmId.startsWith(idPrefix)) return ticket
    return undefined
  }

  get size(): number {
    return this.#running.size
  }
}

function isSameWay(a: Ticket, b: Ticket): boolean {
  return a.trackers.length === b.trackers.length && a.trackers.every((tracker, index) => tracker === b.trackers[index])
}
