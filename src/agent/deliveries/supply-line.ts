/** The supply of one running delivery: what is offered now, what its tracker tells, and how it is opened again or renewed. */
import type { Clock } from '../clock.ts'
import type { DataPlane, SwarmPeerProgress } from '../data-plane/data-plane.ts'
import { asPolycastError } from '../errors.ts'
import type { PolycastError } from '../errors.ts'
import type { ServiceLog } from './calls.ts'
import type { Catalog, OrderRecord } from './catalog.ts'
import { pause } from './pause.ts'
import type { Sealed } from './publications.ts'
import type { SourceName } from './source-name.ts'
import type { Supplies, Supply } from './supply.ts'

interface Parts {
  readonly dataPlane: DataPlane
  readonly catalog: Catalog
  readonly clock: Clock
  readonly log: ServiceLog
  readonly supplies: Supplies
}

/** The delivery that is supplied. */
export interface SuppliedDelivery {
  readonly order: OrderRecord
  /** With its headers, as long as this process is the one that was given them. */
  readonly source: SourceName | undefined
  /** Aborts when the delivery ends. */
  readonly signal: AbortSignal
  /** The whole content is known now. */
  sealed(sealed: Sealed): void
  /** Its source failed: there will never be a whole content. */
  failed(error: PolycastError): void
  /** The tracker here saw these peers. */
  progress(peers: readonly SwarmPeerProgress[]): void
}

/** The pause before the first renewal; each further one is twice as long. */
const RENEW_FIRST_MS = 200
/** Tickets that a delivery may have one after the other. */
const MAX_ATTEMPTS = 6

/** The supply of one delivery. */
export class SupplyLine {
  readonly #parts: Parts
  readonly #delivery: SuppliedDelivery
  #current: Supply | undefined
  #error: PolycastError | undefined
  #renewal: Promise<void> | undefined
  #unwatch: (() => void) | undefined
  /** What its tracker counts, and what others counted before it: of another swarm, or of this one before its session ended. */
  #countedSwarm = ''
  #countedBytes = 0
  #countedBefore = 0

  constructor(parts: Parts, delivery: SuppliedDelivery) {
    this.#parts = parts
    this.#delivery = delivery
  }

  /** What to offer; an error where the content is lost here; undefined while that isn't known. */
  get current(): Supply | PolycastError | undefined {
    return this.#current ?? this.#error
  }

  /** Whether a receiver that stalled may be helped by another ticket. */
  get isRenewable(): boolean {
    return this.#error === undefined && this.#delivery.order.attempt < MAX_ATTEMPTS
  }

  /** Bytes that this node sent for the delivery, as its tracker counted. */
  get sentBytes(): number {
    return this.#countedBefore + this.#countedBytes
  }

  /** Takes a supply as the current one. */
  use(supply: Supply): void {
    const delivery = this.#delivery
    this.#current = supply
    this.close()
    if (supply.isTracker) {
      const { swarmId } = supply.ticket
      this.#unwatch = this.#parts.dataPlane.watchSwarm(swarmId, ({ sentBytes, peers }) => {
        this.#count(swarmId, sentBytes)
        delivery.progress(peers)
      })
    }
    supply.sealed.then(
      (sealed) => {
        if (sealed !== undefined && !delivery.signal.aborted) delivery.sealed(sealed)
      },
      (error: unknown) => {
        if (this.#current === supply && !delivery.signal.aborted) delivery.failed(asPolycastError(error))
      },
    )
  }

  /** After a restart of this node: the same ticket where that still works, else a new one, else the error that `current` gives then. Never rejects. */
  async reopen(): Promise<void> {
    const { order, signal } = this.#delivery
    try {
      const supply = await this.#parts.supplies.reopen(order, signal)
      if (signal.aborted) return
      const isSame = supply.ticket.swarmId === order.ticket.swarmId && supply.ticket.trackers.join() === order.ticket.trackers.join()
      if (!isSame) await this.#record(supply)
      this.use(supply)
    } catch (error) {
      if (signal.aborted) return
      this.#error = asPolycastError(error)
      this.#parts.log.warn(
        { delivery: order.id, code: this.#error.code, reason: this.#error.message },
        'the content of an interrupted delivery is lost here; asking its members how they stand',
      )
    }
  }

  /** Finds a ticket for receivers that stalled; many that stall at once share one renewal. Rejects when nobody has the content. */
  renew(): Promise<void> {
    this.#renewal ??= this.#renew().finally(() => {
      this.#renewal = undefined
    })
    return this.#renewal
  }

  /** Ends the watching. */
  close(): void {
    this.#unwatch?.()
    this.#unwatch = undefined
  }

  /** A renewed supply may be of the swarm that was there before, whose session goes on counting or has begun anew. */
  #count(swarmId: string, sentBytes: number): void {
    if (swarmId !== this.#countedSwarm || sentBytes < this.#countedBytes) this.#countedBefore += this.#countedBytes
    this.#countedSwarm = swarmId
    this.#countedBytes = sentBytes
  }

  async #renew(): Promise<void> {
    const { order, source, signal } = this.#delivery
    const before = this.#current
    // Still being opened: what comes of that is offered to all.
    if (before === undefined) return
    await pause(this.#parts.clock, RENEW_FIRST_MS * 2 ** order.attempt, signal)
    const supply = await this.#parts.supplies.renew(order, before, source, signal)
    if (signal.aborted) return
    await this.#record(supply)
    if (supply !== before) this.use(supply)
  }

  async #record({ ticket, isTracker }: Supply): Promise<void> {
    const { order } = this.#delivery
    await this.#parts.catalog.record({ t: 'order-ticket', id: order.id, ticket, isTracker, attempt: order.attempt + 1 })
  }
}
