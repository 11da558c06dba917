/**
 * The sending side of one delivery: offers it to every member that its selector means, from the order to the last receipt.
 *
 * A receiver ends with a receipt: its own, or one written here when it left, stayed dead for its time of grace, refused the
 * offer, or had no receipt when the time was over. One that comes to life before the end is offered it (again). A receiver
 * whose transfer stalled is offered a renewed ticket. After a restart of this node the delivery goes on from the catalog;
 * where its content is lost, it asks the receivers how they stand and tells the truth.
 */
import type { DataPlane } from '../data-plane/data-plane.ts'
import { asPolycastError, fail, serialiseError } from '../errors.ts'
import type { PolycastError } from '../errors.ts'
import type { Member } from '../membership/member.ts'
import type { Calls, ServiceLog } from './calls.ts'
import { isLive } from './calls.ts'
import type { Catalog, OrderRecord } from './catalog.ts'
import type { Clock } from '../clock.ts'
import type { DeliveryEvent, DeliveryInfo, Receipt } from './delivery-info.ts'
import { nothing } from './messages.ts'
import { Offers, remainingMs } from './offers.ts'
import { infoOf, newReceiver, partialError, receiptFor, tellSoFar } from './receivers.ts'
import type { Receiver } from './receivers.ts'
import { isReceiver, parseSelector } from './selector.ts'
import type { Selector } from './selector.ts'
import type { SourceName } from './source-name.ts'
import type { Supplies, Supply } from './supply.ts'
import { SupplyLine } from './supply-line.ts'
import { Throttle } from '../throttle.ts'

export interface OutboundParts {
  readonly dataPlane: DataPlane
  readonly catalog: Catalog
  readonly calls: Calls
  readonly clock: Clock
  readonly log: ServiceLog
  readonly supplies: Supplies
  /** How long a member may be dead, or not there at all, before its receipt says unreachable. */
  readonly graceMs: number
  readonly callTimeoutMs: number
  readonly observer: DeliveryObserver
  readonly multicast: MulticastReach
}

/** Whom multicast reaches from this node. */
export interface MulticastReach {
  /** A session is worth it from so many receivers on. */
  readonly minReceivers: number
  isReached(member: string): boolean
  /** A delivery to several begins: who is reached is to be known as well as can be. */
  wanted(): void
}

/** Told of what counts in the metrics. */
export interface DeliveryObserver {
  receipt(receipt: Receipt): void
  ended(delivery: DeliveryInfo): void
}

const PROGRESS_EVENT_MS = 200

/** A delivery that runs. */
export class Outbound {
  /** Resolves when it has ended, in whatever state. Never rejects. */
  readonly ended: Promise<void>
  readonly #parts: OutboundParts
  readonly #order: OrderRecord
  readonly #selector: Selector
  readonly #receivers = new Map<string, Receiver>()
  readonly #listeners = new Set<(event: DeliveryEvent) => void>()
  readonly #supply: SupplyLine
  readonly #offers: Offers
  readonly #abort: AbortController
  readonly #throttle: Throttle
  readonly #cleanups: (() => void)[] = []
  #hasEnded = false
  #last: DeliveryEvent | undefined
  #resolveEnded: () => void = () => undefined

  /** `order` is the catalog's own record, which changes with what is recorded; `abort` ends with the delivery. */
  constructor(parts: OutboundParts, order: OrderRecord, source: SourceName | undefined, abort: AbortController) {
    this.#parts = parts
    this.#order = order
    this.#abort = abort
    this.#selector = parseSelector(order.selector)
    this.ended = new Promise((resolve) => {
      this.#resolveEnded = resolve
    })
    this.#throttle = new Throttle(parts.clock, PROGRESS_EVENT_MS, () => {
      this.#tellProgress()
    })
    this.#supply = new SupplyLine(parts, {
      order,
      source,
      signal: abort.signal,
      sealed: (sealed) => {
        if (order.contentId !== sealed.contentId) this.#note(parts.catalog.record({ t: 'order-sealed', id: order.id, ...sealed }))
        this.#throttle.poke()
      },
      failed: (error) => {
        parts.log.warn({ delivery: order.id, code: error.code, reason: error.message }, 'a delivery failed at its source')
        this.#giveUp('failed', error)
        this.#end(false, error)
      },
      progress: (peers) => {
        for (const peer of peers) this.progress(peer.name, peer.haveBytes)
        this.#throttle.poke()
      },
    })
    this.#offers = new Offers(parts, {
      order,
      signal: abort.signal,
      supply: () => this.#supply.current,
      isWanting: (receiver) => this.#isWanting(receiver),
      isToBeInvited: (receiver) => this.#isToBeInvited(receiver),
      taken: (receiver) => {
        this.#taken(receiver)
      },
      ended: (attempt, receipt) => {
        this.receipt(attempt, receipt)
      },
      refused: (receiver, error) => {
        this.#settle(receiver, this.#receiptFor(receiver, 'failed', error))
      },
    })
    for (const [name, receipt] of Object.entries(order.members)) this.#receivers.set(name, newReceiver(name, receipt ?? undefined))
  }

  get id(): string {
    return this.#order.id
  }

  info(): DeliveryInfo {
    return infoOf(this.#order, this.#receivers, this.#supply.sentBytes)
  }

  /** Calls back with `started` and the receipts so far at once, and then with what happens; the function returned ends it. */
  follow(listener: (event: DeliveryEvent) => void): () => void {
    tellSoFar(this.info(), listener)
    // One that ended meanwhile has nothing more to tell than that.
    if (this.#last !== undefined) listener(this.#last)
    else this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Begins with a supply, or, after a restart, by opening it again. */
  start(supply?: Supply): void {
    const { clock, calls } = this.#parts
    const leftMs = remainingMs(this.#order, clock)
    if (leftMs !== undefined) {
      const timeOut = (): void => {
        this.#timeOut()
      }
      this.#cleanups.push(clock.schedule(leftMs, timeOut))
    }
    this.#cleanups.push(
      calls.onChange((member) => {
        this.#memberChanged(member)
      }),
    )
    if (supply !== undefined) this.#supply.use(supply)
    for (const member of calls.live()) this.#include(member)
    if (this.#receivers.size >= this.#parts.multicast.minReceivers) this.#parts.multicast.wanted()
    for (const receiver of this.#receivers.values()) {
      if (!this.#isLive(receiver)) this.#startGrace(receiver)
    }
    if (supply !== undefined) this.#offerAll()
    else
      void this.#supply.reopen().then(() => {
        this.#offerAll()
      })
    this.#endIfAllHaveReceipts()
  }

  /** Ends it: receivers without a receipt are told to give up. */
  cancel(reason: string): void {
    if (this.#hasEnded) return
    const error = fail('cancelled', { reason })
    this.#giveUp('failed', error)
    this.#end(true, error)
  }

  /** Stops without ending: the next start of the agent goes on. */
  interrupt(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#tell({ event: 'error', error: serialiseError(fail('shutting-down', {})), delivery: this.info() })
    this.#cleanUp()
    this.#resolveEnded()
  }

  /** A receiver's receipt. Of an earlier attempt it counts only if it is done. */
  receipt(attempt: number, receipt: Receipt): void {
    const receiver = this.#receivers.get(receipt.member)
    if (receiver === undefined || receiver.receipt?.status === 'done') return
    const isStall =
      receipt.status === 'failed' && (receipt.error?.code === 'transfer-stalled' || receipt.error?.code === 'member-unreachable')
    if (receipt.status !== 'done' && attempt < this.#order.attempt) {
      this.#offerAgain(receiver)
      return
    }
    if (isStall && this.#supply.isRenewable) void this.#renew(receiver, receipt)
    else this.#settle(receiver, receipt)
  }

  /** A receiver's progress. */
  progress(member: string, haveBytes: number): void {
    const receiver = this.#receivers.get(member)
    if (receiver === undefined || receiver.state === 'ended' || receiver.haveBytes === haveBytes) return
    receiver.haveBytes = haveBytes
    receiver.state = 'receiving'
    receiver.isChanged = true
    this.#throttle.poke()
  }

  /** Makes a member a receiver if the selector means it. */
  #include(member: Member): Receiver | undefined {
    const { catalog, calls } = this.#parts
    const known = this.#receivers.get(member.name)
    if (known !== undefined || !isReceiver(this.#selector, member, calls.selfName)) return known
    const receiver = newReceiver(member.name)
    this.#receivers.set(member.name, receiver)
    this.#note(catalog.record({ t: 'order-member', id: this.id, member: member.name }))
    this.#throttle.poke()
    return receiver
  }

  #memberChanged(member: Member): void {
    if (this.#hasEnded) return
    if (isLive(member)) {
      const receiver = this.#include(member)
      if (receiver === undefined) return
      receiver.endGrace?.()
      receiver.endGrace = undefined
      const wasGivenUp = receiver.receipt?.status === 'left' || receiver.receipt?.status === 'unreachable'
      if (wasGivenUp || (receiver.receipt === undefined && member.status === 'alive')) this.#offerAgain(receiver)
      return
    }
    const receiver = this.#receivers.get(member.name)
    if (receiver === undefined || receiver.receipt !== undefined) return
    if (member.status === 'left') this.#settle(receiver, this.#receiptFor(receiver, 'left', fail('member-left', { name: member.name })))
    else this.#startGrace(receiver)
  }

  #startGrace(receiver: Receiver): void {
    if (receiver.receipt !== undefined || receiver.endGrace !== undefined) return
    receiver.endGrace = this.#parts.clock.schedule(this.#parts.graceMs, () => {
      receiver.endGrace = undefined
      if (this.#hasEnded || receiver.receipt !== undefined || this.#isLive(receiver)) return
      const member = this.#parts.calls.member(receiver.name)
      const address = member === undefined ? receiver.name : `${member.name}, ${this.#parts.calls.addressOf(member)}`
      this.#settle(
        receiver,
        this.#receiptFor(
          receiver,
          'unreachable',
          fail('member-unreachable', { address, reason: 'it is not alive, as the membership sees it' }),
        ),
      )
    })
  }

  #offerAll(): void {
    for (const receiver of this.#receivers.values()) if (receiver.receipt === undefined) this.#offerAgain(receiver)
  }

  /** Offers it now: to one that wasn't offered it yet, whose offer waits, or whose last one is out of date. */
  #offerAgain(receiver: Receiver): void {
    if (this.#hasEnded) return
    if (receiver.receipt !== undefined) {
      receiver.receipt = undefined
      this.#note(this.#parts.catalog.record({ t: 'order-again', id: this.id, member: receiver.name }))
    }
    if (receiver.state === 'ended') receiver.state = 'waiting'
    receiver.isChanged = true
    this.#offers.offer(receiver)
  }

  #isWanting(receiver: Receiver): boolean {
    return !this.#hasEnded && receiver.receipt === undefined
  }

  #isToBeInvited({ name }: Receiver): boolean {
    const { multicast } = this.#parts
    if (!multicast.isReached(name)) return false
    let reached = 0
    for (const receiver of this.#receivers.values()) if (receiver.receipt === undefined && multicast.isReached(receiver.name)) reached++
    return reached >= multicast.minReceivers
  }

  #taken(receiver: Receiver): void {
    receiver.state = 'receiving'
    receiver.isChanged = true
    this.#throttle.poke()
  }

  /** Finds another ticket for a receiver whose transfer stalled. */
  async #renew(receiver: Receiver, receipt: Receipt): Promise<void> {
    if (this.#hasEnded) return
    receiver.state = 'waiting'
    try {
      await this.#supply.renew()
      if (receiver.receipt === undefined) this.#offerAgain(receiver)
    } catch (error) {
      if (this.#hasEnded || receiver.receipt !== undefined) return
      this.#parts.log.warn(
        { delivery: this.id, member: receiver.name, reason: asPolycastError(error).message },
        'a stalled delivery found nobody else who has its content',
      )
      this.#settle(receiver, receipt)
    }
  }

  #timeOut(): void {
    if (this.#hasEnded) return
    const { timeoutMs, totalBytes } = this.#order
    for (const receiver of this.#receivers.values()) {
      if (receiver.receipt !== undefined) continue
      const error = fail('delivery-timeout', { timeoutMs, have: receiver.haveBytes, total: totalBytes ?? 'unknown' })
      this.#tellCancel(receiver, error)
      this.#settle(receiver, this.#receiptFor(receiver, 'failed', error))
    }
  }

  /** Writes the receipts of all that have none, and tells them to stop. */
  #giveUp(status: 'failed', error: PolycastError): void {
    for (const receiver of this.#receivers.values()) {
      if (receiver.receipt !== undefined) continue
      this.#tellCancel(receiver, error)
      this.#record(receiver, this.#receiptFor(receiver, status, error))
    }
  }

  #tellCancel(receiver: Receiver, error: PolycastError): void {
    const { calls, callTimeoutMs, log } = this.#parts
    if (receiver.state === 'waiting' && !receiver.isOffering) return
    calls
      .call(receiver, 'delivery.cancel', { id: this.id, error: serialiseError(error) }, nothing, { timeoutMs: callTimeoutMs })
      .catch((failed: unknown) => {
        // It finds out by itself: its own deadline ends it, and its receipt meets a delivery that has ended.
        log.debug(
          { delivery: this.id, member: receiver.name, reason: asPolycastError(failed).message },
          'a member was not told that a delivery is given up',
        )
      })
  }

  #receiptFor(receiver: Receiver, status: 'failed' | 'left' | 'unreachable', error: PolycastError): Receipt {
    return receiptFor(receiver, status, error, this.#order, this.#parts.clock.now())
  }

  #settle(receiver: Receiver, receipt: Receipt): void {
    if (this.#hasEnded) return
    this.#record(receiver, receipt)
    this.#endIfAllHaveReceipts()
  }

  #record(receiver: Receiver, receipt: Receipt): void {
    const { catalog } = this.#parts
    receiver.receipt = receipt
    receiver.state = 'ended'
    if (receipt.status === 'done') receiver.haveBytes = receipt.totalBytes
    receiver.endGrace?.()
    receiver.endGrace = undefined
    receiver.wake.abort()
    if (receipt.contentId !== undefined && this.#order.contentId === undefined) {
      this.#note(catalog.record({ t: 'order-sealed', id: this.id, contentId: receipt.contentId, totalBytes: receipt.totalBytes }))
    }
    this.#note(catalog.record({ t: 'order-receipt', id: this.id, receipt }))
    this.#parts.observer.receipt(receipt)
    this.#tell({ event: 'receipt', id: this.id, receipt })
  }

  #endIfAllHaveReceipts(): void {
    for (const receiver of this.#receivers.values()) if (receiver.receipt === undefined) return
    this.#end(false, partialError(this.#order))
  }

  #end(isCancelled: boolean, error: PolycastError | undefined): void {
    if (this.#hasEnded) return
    const { catalog, clock, log } = this.#parts
    this.#hasEnded = true
    const body = error === undefined ? undefined : serialiseError(error)
    this.#note(
      catalog.record({
        t: 'order-ended',
        id: this.id,
        at: clock.now(),
        isCancelled,
        sentBytes: this.#supply.sentBytes,
        ...(body === undefined ? {} : { error: body }),
      }),
    )
    const delivery = this.info()
    this.#parts.observer.ended(delivery)
    log.info(
      { delivery: this.id, state: delivery.state, members: delivery.members.length, durationMs: clock.now() - this.#order.createdAt },
      'a delivery ended',
    )
    this.#tell(body === undefined ? { event: 'done', delivery } : { event: 'error', error: body, delivery })
    this.#cleanUp()
    this.#resolveEnded()
  }

  #cleanUp(): void {
    this.#abort.abort()
    this.#throttle.close()
    this.#supply.close()
    for (const clean of this.#cleanups.splice(0)) clean()
    for (const receiver of this.#receivers.values()) {
      receiver.endGrace?.()
      receiver.wake.abort()
    }
  }

  #tellProgress(): void {
    if (this.#hasEnded) return
    const changed = [...this.#receivers.values()].filter((receiver) => receiver.isChanged)
    const { totalBytes } = this.#order
    for (const receiver of changed) receiver.isChanged = false
    this.#tell({
      event: 'progress',
      id: this.id,
      sentBytes: this.#supply.sentBytes,
      ...(totalBytes === undefined ? {} : { totalBytes }),
      members: changed.map(({ name, state, haveBytes }) => ({ name, state, haveBytes })),
    })
  }

  #tell(event: DeliveryEvent): void {
    if (event.event === 'done' || event.event === 'error') this.#last = event
    for (const listener of [...this.#listeners]) listener(event)
  }

  #isLive(receiver: Receiver): boolean {
    const member = this.#parts.calls.member(receiver.name)
    return member !== undefined && isLive(member)
  }

  #note(written: Promise<void>): void {
    written.catch((error: unknown) => {
      this.#parts.log.error(
        { delivery: this.id, reason: asPolycastError(error).message },
        'the catalog cannot be written; a restart would not know all of a delivery',
      )
    })
  }
}
