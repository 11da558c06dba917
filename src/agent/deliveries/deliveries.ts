/**
 * The delivery service of a node: its front door for the HTTP API, and what joins its parts.
 *
 * It knows members and contents only through `Membership` and `DataPlane`. What runs is in memory, what must outlive the
 * process in the catalog (catalog.ts); sending is outbound.ts, receiving inbound.ts, bringing contents here gets.ts.
 */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { DataPlane } from '../data-plane/data-plane.ts'
import { fail } from '../errors.ts'
import type { Membership } from '../membership/membership.ts'
import { Acquisitions } from './acquisitions.ts'
import { Calls, isLive } from './calls.ts'
import type { ServiceLog } from './calls.ts'
import { Catalog } from './catalog.ts'
import type { OrderRecord } from './catalog.ts'
import { systemClock } from '../clock.ts'
import type { Clock } from '../clock.ts'
import type { DeliveryEvent, DeliveryInfo, GetInfo, Receipt } from './delivery-info.ts'
import { Gets } from './gets.ts'
import type { Get, GetOrder } from './gets.ts'
import { newId } from './ids.ts'
import { Inbounds } from './inbound.ts'
import { progressParams, receiptParams } from './messages.ts'
import type { ReceiptParams } from './messages.ts'
import { Openings } from './openings.ts'
import { Payloads } from './payloads.ts'
import { Outbound } from './outbound.ts'
import type { DeliveryObserver, MulticastReach, OutboundParts } from './outbound.ts'
import { Publications } from './publications.ts'
import { infoOf, tellSoFar } from './receivers.ts'
import { isReceiver, namesOf, parseSelector } from './selector.ts'
import { parseSendSource } from './source-name.ts'
import type { SourceName } from './source-name.ts'
import { Supplies } from './supply.ts'
import { Transfers } from './transfers.ts'

/** An order to bring a content to the members of a selector. */
export interface SendOrder {
  /** An absolute path of this machine, a URL, or a content id. */
  source: string
  selector: string
  /** Below a root that the receiver allows; the content's name if there is none. */
  dest?: string
  /** Create the directories of the destination that are missing. */
  createDirectories?: boolean
  /** 0 is no limit. */
  timeoutMs?: number
  /** What the content is called for people; by default its base name. */
  name?: string
  /** For the source; they go to the seed that fetches, and nowhere else. */
  headers?: Record<string, string>
  /** The same id again gives the same delivery. */
  id?: string
}

/** A delivery under way or ended. */
export interface Delivery {
  readonly id: string
  info(): DeliveryInfo
  /** Calls back with `started` and the receipts so far at once, then with what happens; the last event is `done` or `error`. The function returned ends it. */
  follow(listener: (event: DeliveryEvent) => void): () => void
  /** Resolves when it has ended, in whatever state. */
  readonly ended: Promise<void>
  /** Ends it: members that have it keep it, the others are told to give up. */
  cancel(reason: string): void
}

/** What the service needs. */
export interface DeliveriesOptions {
  /** The agent's data directory: the catalog is in it, and the default root of destinations. */
  dataDirectory: string
  dataPlane: DataPlane
  membership: Membership
  log: ServiceLog
  clock?: Clock
  /** Directories below which deliveries may be written here; relative destinations are below the first. Default: `files` in the data directory. */
  destRoots?: readonly string[]
  /** For orders that name none; 0, the default, is no limit. */
  timeoutMs?: number
  /** How long another member may take to answer a call. Default: 10 s. */
  callTimeoutMs?: number
  /** How long a member may be dead, or not there, before its receipt says unreachable. Default: 30 s. */
  graceMs?: number
  /** Let outputs be hard links into the store where reflinks are not possible. */
  allowHardLinks?: boolean
  /** Told of receipts and ends, for the metrics. */
  observer?: DeliveryObserver
  /** Deliveries received at the same time. Default: 256. */
  maxInbound?: number
  /** Whom multicast reaches; by default nobody. */
  multicast?: MulticastReach
}

const DEFAULT_CALL_TIMEOUT_MS = 10_000
const DEFAULT_GRACE_MS = 30_000
const NO_OBSERVER: DeliveryObserver = { receipt: () => undefined, ended: () => undefined }
const NO_MULTICAST: MulticastReach = { minReceivers: Infinity, isReached: () => false, wanted: () => undefined }
const DEFAULT_MAX_INBOUND = 256
/** Deliveries ordered here that may run at the same time. */
const MAX_OUTBOUND = 1_000

/** The delivery service; made by `Deliveries.open`. */
export class Deliveries {
  /** What is too long for a message of gossip. */
  readonly payloads: Payloads
  readonly #catalog: Catalog
  readonly #calls: Calls
  readonly #clock: Clock
  readonly #supplies: Supplies
  readonly #gets: Gets
  readonly #inbounds: Inbounds
  readonly #outboundParts: OutboundParts
  readonly #timeoutMs: number
  readonly #running = new Map<string, Outbound>()
  /** Orders whose source is being opened, by id: the same id again joins. */
  readonly #opening = new Map<string, Promise<Delivery>>()
  readonly #closing: AbortController
  readonly #ended = { done: 0, partial: 0, failed: 0, cancelled: 0 }

  private constructor(options: DeliveriesOptions, catalog: Catalog) {
    const { dataPlane, membership, log, clock = systemClock } = options
    const closing = new AbortController()
    const calls = new Calls(dataPlane, membership)
    const transfers = new Transfers(dataPlane)
    const publications = new Publications(dataPlane, calls, catalog, log)
    const openings = new Openings({ calls, clock, log, publications, transfers, closing: closing.signal })
    const acquisitions = new Acquisitions({ dataPlane, clock, log, publications, openings, transfers })
    const allowHardLink = options.allowHardLinks === true
    const callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS
    const destRoots = options.destRoots ?? [join(options.dataDirectory, 'files')]
    this.#catalog = catalog
    this.#calls = calls
    this.#clock = clock
    this.#closing = closing
    this.#timeoutMs = options.timeoutMs ?? 0
    this.payloads = new Payloads(
      { calls, clock, log, publications, acquisitions, callTimeoutMs, closing: closing.signal },
      join(options.dataDirectory, 'payloads'),
    )
    this.#supplies = new Supplies({ calls, publications, openings })
    this.#gets = new Gets({ dataPlane, catalog, clock, log, publications, acquisitions, allowHardLink })
    this.#inbounds = new Inbounds({
      dataPlane,
      catalog,
      calls,
      clock,
      log,
      transfers,
      destRoots,
      maxInbound: options.maxInbound ?? DEFAULT_MAX_INBOUND,
      callTimeoutMs,
      allowHardLink,
    })
    this.#outboundParts = {
      dataPlane,
      catalog,
      calls,
      clock,
      log,
      supplies: this.#supplies,
      graceMs: options.graceMs ?? DEFAULT_GRACE_MS,
      callTimeoutMs,
      observer: options.observer ?? NO_OBSERVER,
      multicast: options.multicast ?? NO_MULTICAST,
    }
    calls.handle('delivery.receipt', receiptParams, (params, from) => this.#serveReceipt(params, from.name))
    calls.handle('delivery.progress', progressParams, ({ id, haveBytes }, from) => {
      this.#running.get(id)?.progress(from.name, haveBytes)
      return Promise.resolve({})
    })
  }

  /** Opens the catalog and declares the calls; `start` goes on with what was interrupted and answers them. Errors: data-dir-unusable, no-space. */
  static async open(options: DeliveriesOptions): Promise<Deliveries> {
    const deliveries = new Deliveries(options, await Catalog.open(join(options.dataDirectory, 'catalog')))
    await deliveries.payloads.open()
    return deliveries
  }

  /** Goes on with the deliveries and gets that the last end of this process interrupted, and answers calls from now on. Errors: dest-not-writable. */
  async start(): Promise<void> {
    await this.#inbounds.resume()
    for (const order of this.#catalog.orders.values()) {
      if (order.ended === undefined && !this.#running.has(order.id))
        this.#run(new Outbound(this.#outboundParts, order, undefined, new AbortController()))
    }
    this.#gets.resume()
    this.#calls.answer()
  }

  /**
   * Orders a delivery; resolves when its source was opened and the order is durable, long before it ends.
   * Errors: selector-invalid, selector-empty, usage, path-…, source-…, content-not-found, bad-request (the id is another delivery's), overloaded.
   */
  send(order: SendOrder): Promise<Delivery> {
    if (order.id === undefined) return this.#send(order, newId('send', this.#clock.now()))
    const known = this.find(order.id) ?? this.#opening.get(order.id)
    if (known !== undefined) return this.#sameOrder(known, order, order.id)
    const opening = this.#send(order, order.id).finally(() => this.#opening.delete(order.id ?? ''))
    this.#opening.set(order.id, opening)
    return opening
  }

  /** A delivery ordered on this node. */
  find(id: string): Delivery | undefined {
    const running = this.#running.get(id)
    if (running !== undefined) return running
    const order = this.#catalog.orders.get(id)
    return order?.ended === undefined ? undefined : endedDelivery(order)
  }

  /** The deliveries ordered on this node, oldest first. */
  list(): DeliveryInfo[] {
    return [...this.#catalog.orders.values()].map((order) => this.#running.get(order.id)?.info() ?? infoOf(order))
  }

  /** Brings a content to this node. Errors as `Gets.get`. */
  get(order: GetOrder): Get {
    return this.#gets.get(order)
  }

  findGet(id: string): Get | undefined {
    return this.#gets.find(id)
  }

  gets(): GetInfo[] {
    return this.#gets.list()
  }

  /** Counters and gauges for the metrics. */
  stats(): {
    outbound: number
    inbound: number
    ended: { done: number; partial: number; failed: number; cancelled: number }
    gets: { running: number; done: number; failed: number }
  } {
    return { outbound: this.#running.size, inbound: this.#inbounds.size, ended: { ...this.#ended }, gets: this.#gets.stats() }
  }

  /** Stops everything without ending it; what runs goes on at the next start. */
  async close(): Promise<void> {
    this.#closing.abort()
    for (const outbound of this.#running.values()) outbound.interrupt()
    await Promise.all([this.#gets.close(), this.#inbounds.close(), ...this.#opening.values()].map((part) => part.catch(() => undefined)))
    this.#calls.close()
    await this.#catalog.close()
  }

  async #send(order: SendOrder, id: string): Promise<Delivery> {
    if (this.#closing.signal.aborted) throw fail('shutting-down', {})
    if (this.#running.size >= MAX_OUTBOUND) throw fail('overloaded', { reason: `${this.#running.size} deliveries run already` })
    const selector = parseSelector(order.selector)
    const self = this.#calls.member(this.#calls.selfName)
    const live = [...this.#calls.live(), ...(self === undefined ? [] : [self])].filter(
      (member) => isLive(member) && isReceiver(selector, member, this.#calls.selfName),
    )
    if (live.length === 0) throw fail('selector-empty', { selector: order.selector })
    const names = new Set([...live.map((member) => member.name), ...this.#awaited(namesOf(selector), selector.terms.size)])
    const source = parseSendSource(order.source, order.headers)
    const abort = new AbortController()
    const onClosing = (): void => {
      abort.abort()
    }
    this.#closing.signal.addEventListener('abort', onClosing, { once: true })
    const isTree = await isTreeSource(source)
    const supply = await this.#supplies.open(source, { ...(order.name === undefined ? {} : { name: order.name }), signal: abort.signal })
    const record: OrderRecord = {
      id,
      source: withoutHeaders(source),
      name: order.name ?? supply.ticket.name,
      selector: order.selector,
      dest: order.dest ?? '',
      createDirectories: order.createDirectories === true,
      ...(isTree === undefined ? {} : { isTree }),
      timeoutMs: order.timeoutMs ?? this.#timeoutMs,
      createdAt: this.#clock.now(),
      ticket: supply.ticket,
      isTracker: supply.isTracker,
      attempt: 0,
      members: Object.fromEntries([...names].map((name) => [name, null])),
    }
    const written = this.#catalog.record({ t: 'order', order: record })
    // The catalog's own record is the one that changes with what is recorded.
    const outbound = new Outbound(this.#outboundParts, this.#catalog.orders.get(id) ?? record, source, abort)
    this.#run(outbound, supply)
    await written
    await this.#catalog.sync()
    return outbound
  }

  /** Names that the selector asks for outright are awaited even where they aren't there; with further terms nobody knows whether they are meant. */
  #awaited(names: string[], termCount: number): string[] {
    return termCount === 1 ? names : []
  }

  #run(outbound: Outbound, supply?: Parameters<Outbound['start']>[0]): void {
    this.#running.set(outbound.id, outbound)
    void outbound.ended.then(() => {
      this.#running.delete(outbound.id)
      const { state } = outbound.info()
      if (state !== 'running') this.#ended[state]++
    })
    outbound.start(supply)
  }

  async #sameOrder(known: Delivery | Promise<Delivery>, order: SendOrder, id: string): Promise<Delivery> {
    const delivery = await known
    const info = delivery.info()
    const source = withoutHeaders(parseSendSource(order.source))
    const text = source.kind === 'path' ? source.path : source.kind === 'url' ? source.url : source.id
    if (info.source === text && info.selector === order.selector && info.dest === (order.dest ?? '')) return delivery
    throw fail('bad-request', { reason: `the id ${id} belongs to another delivery, of ${info.source} to ${info.selector}` })
  }

  async #serveReceipt({ id, attempt, receipt }: ReceiptParams, member: string): Promise<object> {
    const order = this.#catalog.orders.get(id)
    if (order === undefined || !Object.hasOwn(order.members, member)) throw fail('delivery-not-found', { id })
    // Whose receipt it is says the connection, not the message.
    const signed: Receipt = { ...receipt, member }
    const running = this.#running.get(id)
    if (running !== undefined) running.receipt(attempt, signed)
    else if (order.members[member]?.status !== 'done') await this.#catalog.record({ t: 'order-receipt', id, receipt: signed })
    await this.#catalog.sync()
    return {}
  }
}

/** Undefined where only the manifest, or the error of reading it, will tell. */
async function isTreeSource(source: SourceName): Promise<boolean | undefined> {
  if (source.kind === 'url') return false
  if (source.kind === 'id') return undefined
  return stat(source.path).then(
    (found) => found.isDirectory(),
    () => undefined,
  )
}

function withoutHeaders(source: SourceName): OrderRecord['source'] {
  return source.kind === 'url' ? { kind: 'url', url: source.url, hasHeaders: Object.keys(source.headers).length > 0 } : source
}

function endedDelivery(order: OrderRecord): Delivery {
  return {
    id: order.id,
    info: () => infoOf(order),
    follow(listener) {
      const delivery = infoOf(order)
      tellSoFar(delivery, listener)
      listener(delivery.error === undefined ? { event: 'done', delivery } : { event: 'error', error: delivery.error, delivery })
      return () => undefined
    },
    ended: Promise.resolve(),
    cancel: () => undefined,
  }
}
