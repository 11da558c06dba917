/** Offering one delivery to its receivers: each is called until it has taken the offer or refused it. What follows from the answers is outbound.ts. */
import type { Clock } from '../clock.ts'
import { asPolycastError, fail, isPolycastError } from '../errors.ts'
import type { PolycastError } from '../errors.ts'
import type { Calls, ServiceLog } from './calls.ts'
import type { OrderRecord } from './catalog.ts'
import type { Receipt } from './delivery-info.ts'
import { Limiter } from './limiter.ts'
import { standingResult } from './messages.ts'
import type { OfferParams, StandingResult } from './messages.ts'
import { pause } from './pause.ts'
import type { Receiver } from './receivers.ts'
import type { Supply } from './supply.ts'

const RETRY_FIRST_MS = 200
const RETRY_MOST_MS = 5_000
/** Offers that one member may fail to understand before that is its answer. */
const MAX_MISUNDERSTOOD = 5
/** Offers under way at the same time: those of thousands of members are a megabyte, and whoever was offered something dials its tracker. */
const LIMITS = { first: 32, least: 16, most: 256, quickMs: 1000 }
/** How long a receiver waits for its invitation before it takes chunks from others, ms: the thread of sessions may have to start. */
const MULTICAST_WAIT_MS = 300
/** How often receivers tell their progress where no tracker here does. */
const RECEIVER_PROGRESS_MS = 1_000

interface Parts {
  readonly calls: Calls
  readonly clock: Clock
  readonly log: ServiceLog
  readonly callTimeoutMs: number
}

/** What the offers need to know of their delivery, and tell it. */
export interface OfferingDelivery {
  readonly order: OrderRecord
  /** Aborts when the delivery ends. */
  readonly signal: AbortSignal
  /** What to offer; an error where the content is lost: then the receivers are only asked; undefined while that isn't known yet. */
  supply(): Supply | PolycastError | undefined
  /** Whether the receiver still has no receipt. */
  isWanting(receiver: Receiver): boolean
  /** Whether the receiver will be invited to a multicast session, as far as can be told. */
  isToBeInvited(receiver: Receiver): boolean
  /** The receiver took the offer. */
  taken(receiver: Receiver): void
  /** The receiver had ended already. */
  ended(attempt: number, receipt: Receipt): void
  /** The receiver refused the offer. */
  refused(receiver: Receiver, error: PolycastError): void
}

/** The offers of one delivery. */
export class Offers {
  readonly #parts: Parts
  readonly #delivery: OfferingDelivery
  readonly #limiter: Limiter

  constructor(parts: Parts, delivery: OfferingDelivery) {
    this.#parts = parts
    this.#delivery = delivery
    this.#limiter = new Limiter(LIMITS, parts.clock)
  }

  /** Offers it now: to one that wasn't offered it yet, whose offer waits to be repeated, or whose last one is out of date. */
  offer(receiver: Receiver): void {
    receiver.wake.abort()
    receiver.wake = new AbortController()
    if (!receiver.isOffering && this.#delivery.supply() !== undefined) void this.#offer(receiver)
  }

  async #offer(receiver: Receiver): Promise<void> {
    receiver.isOffering = true
    try {
      await this.#untilTaken(receiver)
    } catch (error) {
      this.#delivery.refused(receiver, asPolycastError(error))
    } finally {
      receiver.isOffering = false
    }
  }

  /** Rejects with why the receiver refuses. */
  async #untilTaken(receiver: Receiver): Promise<void> {
    const delivery = this.#delivery
    const { clock, log } = this.#parts
    let misunderstood = 0
    for (let delayMs = RETRY_FIRST_MS; ; delayMs = Math.min(delayMs * 2, RETRY_MOST_MS)) {
      const { wake } = receiver
      const { attempt } = delivery.order
      try {
        const standing = await this.#limiter.run(() => this.#call(receiver))
        if (!delivery.isWanting(receiver)) return
        if (standing.state === 'ended') delivery.ended(attempt, { ...standing.receipt, member: receiver.name })
        else delivery.taken(receiver)
        if (!wake.signal.aborted) return
      } catch (error) {
        if (!delivery.isWanting(receiver)) return
        // A node that has just started may answer before it knows what an offer is.
        const isEarly = isPolycastError(error, 'bad-request') && ++misunderstood < MAX_MISUNDERSTOOD
        if (!isEarly && !isPassing(error)) throw error
        log.debug(
          { delivery: delivery.order.id, member: receiver.name, reason: asPolycastError(error).message },
          'a member did not take the offer; trying again',
        )
      }
      await pause(clock, delayMs, AbortSignal.any([wake.signal, delivery.signal]))
      if (!delivery.isWanting(receiver)) return
    }
  }

  async #call(receiver: Receiver): Promise<Exclude<StandingResult, { state: 'unknown' }>> {
    const { order, signal } = this.#delivery
    const { calls, clock, callTimeoutMs } = this.#parts
    const options = { timeoutMs: callTimeoutMs, signal }
    const supply = this.#delivery.supply()
    if (supply === undefined || supply instanceof Error) {
      const standing = await calls.call(receiver, 'delivery.ask', { id: order.id }, standingResult, options)
      if (standing.state === 'unknown') throw supply ?? fail('content-not-found', { id: order.ticket.swarmId, where: 'on any live member' })
      return standing
    }
    const leftMs = remainingMs(order, clock)
    const params: OfferParams = {
      id: order.id,
      ticket:
        supply.isTracker && this.#delivery.isToBeInvited(receiver)
          ? { ...supply.ticket, multicastWaitMs: MULTICAST_WAIT_MS }
          : supply.ticket,
      attempt: order.attempt,
      name: order.name,
      dest: order.dest,
      createDirectories: order.createDirectories,
      ...(order.isTree === undefined ? {} : { isTree: order.isTree }),
      ...(leftMs === undefined ? {} : { remainingMs: leftMs }),
      progressMs: supply.isTracker ? 0 : RECEIVER_PROGRESS_MS,
    }
    const standing = await calls.call(receiver, 'delivery.offer', params, standingResult, options)
    if (standing.state === 'unknown') throw fail('internal', { reason: 'a member does not know the offer that it was just made' })
    return standing
  }
}

/** Time left for a delivery; undefined where there is no limit. */
export function remainingMs(order: OrderRecord, clock: Clock): number | undefined {
  return order.timeoutMs === 0 ? undefined : Math.max(0, order.createdAt + order.timeoutMs - clock.now())
}

/** Whether the same offer may be taken a little later. */
function isPassing(error: unknown): error is PolycastError {
  return isPolycastError(error, 'member-unreachable') || isPolycastError(error, 'shutting-down') || isPolycastError(error, 'overloaded')
}
