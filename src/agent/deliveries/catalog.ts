/**
 * The durable catalog of a node: which content a URL, a path or a digest stands for, the deliveries ordered here with their
 * receipts, the deliveries that other nodes ordered and this one receives, and the gets under way.
 *
 * It is a log of records (record-log.ts) and the state that replaying them gives; at start the log is rewritten from the
 * state when it has grown much beyond it. What it isn't: the store, which knows the contents themselves. Headers of a source
 * are never in it.
 */
import type { Ticket } from '../data-plane/data-plane.ts'
import type { ErrorBody } from '../errors.ts'
import type { GetResult, Receipt } from './delivery-info.ts'
import { RecordLog } from './record-log.ts'

/** A delivery ordered on this node. */
export interface OrderRecord {
  id: string
  source: { kind: 'path'; path: string } | { kind: 'url'; url: string; hasHeaders: boolean } | { kind: 'id'; id: string }
  name: string
  selector: string
  dest: string
  createDirectories: boolean
  /** Whether the content is a directory tree, where that is known before its manifest. */
  isTree?: boolean
  /** 0 is no limit. */
  timeoutMs: number
  createdAt: number
  ticket: Ticket
  /** Whether the ticket names this node as its tracker. */
  isTracker: boolean
  /** Raised with each new ticket, so that members can tell a new one from a repeated one. */
  attempt: number
  contentId?: string
  totalBytes?: number
  /** Name to receipt; null as long as there is none. */
  members: Record<string, Receipt | null>
  /** `sentBytes`: what this node itself had sent by then. */
  ended?: { at: number; isCancelled: boolean; sentBytes: number; error?: ErrorBody }
}

/** A delivery that this node receives. */
export interface InboundRecord {
  id: string
  origin: { name: string; address: string }
  ticket: Ticket
  attempt: number
  name: string
  dest: string
  createDirectories: boolean
  /** Milliseconds since 1970. */
  receivedAt: number
  /** Undefined where there is no limit. */
  deadline?: number
  progressMs: number
  receipt?: Receipt
  /** The origin knows the receipt. */
  isAcknowledged: boolean
}

/** A get under way or ended. */
export interface GetRecord {
  id: string
  source: { kind: 'path'; path: string } | { kind: 'url'; url: string; hasHeaders: boolean } | { kind: 'id'; id: string }
  output?: string
  overwrite?: boolean
  digest?: string
  isFresh: boolean
  createdAt: number
  ended?: { at: number; isCancelled: boolean; result?: GetResult; error?: ErrorBody }
}

/** One record of the log: the change it makes to the state. */
export type CatalogRecord =
  | { t: 'name'; url: string; contentId: string }
  | { t: 'unname'; url: string }
  | { t: 'digest'; digest: string; contentId: string }
  | { t: 'path'; path: string; stamp: string; contentId: string }
  | { t: 'order'; order: OrderRecord }
  | { t: 'order-ticket'; id: string; ticket: Ticket; isTracker: boolean; attempt: number }
  | { t: 'order-sealed'; id: string; contentId: string; totalBytes: number }
  | { t: 'order-member'; id: string; member: string }
  | { t: 'order-receipt'; id: string; receipt: Receipt }
  | { t: 'order-again'; id: string; member: string }
  | { t: 'order-ended'; id: string; at: number; isCancelled: boolean; sentBytes: number; error?: ErrorBody }
  | { t: 'inbound'; inbound: InboundRecord }
  | { t: 'inbound-receipt'; id: string; receipt: Receipt }
  | { t: 'inbound-acknowledged'; id: string }
  | { t: 'get'; get: GetRecord }
  | { t: 'get-ended'; id: string; at: number; isCancelled: boolean; result?: GetResult; error?: ErrorBody }

/** How much of the past is kept; what is under way is always kept. */
export interface CatalogLimits {
  /** Names, digests and paths each; the oldest go first. A lost name costs one fetch from the source. */
  names: number
  /** Ended deliveries, ended inbound deliveries, ended gets, each. */
  ended: number
}

const DEFAULT_LIMITS: CatalogLimits = { names: 100_000, ended: 500 }
/** The log is rewritten at start when it is longer than this. */
const COMPACT_BYTES = 1024 * 1024

/** The catalog of one data directory, opened by `Catalog.open`. */
export class Catalog {
  readonly #log: RecordLog
  readonly #limits: CatalogLimits
  readonly #names = new Map<string, string>()
  readonly #digests = new Map<string, string>()
  readonly #paths = new Map<string, { stamp: string; contentId: string }>()
  readonly #orders = new Map<string, OrderRecord>()
  readonly #inbounds = new Map<string, InboundRecord>()
  readonly #gets = new Map<string, GetRecord>()

  private constructor(log: RecordLog, limits: CatalogLimits) {
    this.#log = log
    this.#limits = limits
  }

  /** Opens or creates the catalog at a path. Errors: data-dir-unusable, no-space. */
  static async open(path: string, limits: CatalogLimits = DEFAULT_LIMITS): Promise<Catalog> {
    const records: CatalogRecord[] = []
    const log = await RecordLog.open(path, (record) => records.push(record as CatalogRecord))
    const catalog = new Catalog(log, limits)
    for (const record of records) catalog.#apply(record)
    if (log.bytes > COMPACT_BYTES) await log.rewrite(catalog.#records())
    return catalog
  }

  get orders(): ReadonlyMap<string, OrderRecord> {
    return this.#orders
  }

  get inbounds(): ReadonlyMap<string, InboundRecord> {
    return this.#inbounds
  }

  get gets(): ReadonlyMap<string, GetRecord> {
    return this.#gets
  }

  /** The content id that a URL stood for when it was last fetched. */
  contentOfUrl(url: string): string | undefined {
    return this.#names.get(url)
  }

  /** The content id whose bytes were found to have a digest (`sha256:…`, `blake3:…`). */
  contentOfDigest(digest: string): string | undefined {
    return this.#digests.get(digest)
  }

  /** The content id that was read from a file when it looked like this (path-stamp.ts). */
  contentOfPath(path: string, stamp: string): string | undefined {
    const known = this.#paths.get(path)
    return known?.stamp === stamp ? known.contentId : undefined
  }

  /** Applies a change at once and writes it; resolves when it outlives the process. `sync` makes it outlive the machine. */
  record(record: CatalogRecord): Promise<void> {
    this.#apply(record)
    return this.#log.append(record)
  }

  /** Resolves when everything recorded so far outlives the machine. */
  sync(): Promise<void> {
    return this.#log.sync()
  }

  close(): Promise<void> {
    return this.#log.close()
  }

  #apply(record: CatalogRecord): void {
    switch (record.t) {
      case 'name':
        // Taken out first, so that the map's order is that of the last use and the oldest one goes.
        this.#names.delete(record.url)
        this.#names.set(record.url, record.contentId)
        trim(this.#names, this.#limits.names)
        return
      case 'unname':
        this.#names.delete(record.url)
        return
      case 'digest':
        this.#digests.delete(record.digest)
        this.#digests.set(record.digest, record.contentId)
        trim(this.#digests, this.#limits.names)
        return
      case 'path':
        this.#paths.delete(record.path)
        this.#paths.set(record.path, { stamp: record.stamp, contentId: record.contentId })
        trim(this.#paths, this.#limits.names)
        return
      case 'order':
        this.#orders.set(record.order.id, { ...record.order, members: nameless(record.order.members) })
        return
      case 'order-ticket':
        change(this.#orders, record.id, (order) => {
          order.ticket = record.ticket
          order.isTracker = record.isTracker
          order.attempt = record.attempt
        })
        return
      case 'order-sealed':
        change(this.#orders, record.id, (order) => {
          order.contentId = record.contentId
          order.totalBytes = record.totalBytes
        })
        return
      case 'order-member':
        change(this.#orders, record.id, (order) => {
          order.members[record.member] ??= null
        })
        return
      case 'order-receipt':
        change(this.#orders, record.id, (order) => {
          order.members[record.receipt.member] = record.receipt
        })
        return
      case 'order-again':
        change(this.#orders, record.id, (order) => {
          order.members[record.member] = null
        })
        return
      case 'order-ended':
        change(this.#orders, record.id, (order) => {
          const { at, isCancelled, sentBytes, error } = record
          order.ended = { at, isCancelled, sentBytes, ...(error === undefined ? {} : { error }) }
        })
        trim(this.#orders, this.#limits.ended, (order) => order.ended !== undefined)
        return
      case 'inbound':
        this.#inbounds.set(record.inbound.id, { ...record.inbound })
        return
      case 'inbound-receipt':
        change(this.#inbounds, record.id, (inbound) => {
          inbound.receipt = record.receipt
        })
        return
      case 'inbound-acknowledged':
        change(this.#inbounds, record.id, (inbound) => {
          inbound.isAcknowledged = true
        })
        trim(this.#inbounds, this.#limits.ended, (inbound) => inbound.isAcknowledged)
        return
      case 'get':
        this.#gets.set(record.get.id, { ...record.get })
        return
      case 'get-ended':
        change(this.#gets, record.id, (get) => {
          get.ended = {
            at: record.at,
            isCancelled: record.isCancelled,
            ...(record.result === undefined ? {} : { result: record.result }),
            ...(record.error === undefined ? {} : { error: record.error }),
          }
        })
        trim(this.#gets, this.#limits.ended, (get) => get.ended !== undefined)
        return
      default:
        // A record of a later version: what this version can't understand it doesn't act on.
        record satisfies never
    }
  }

  /** The state as the fewest records that give it. */
  *#records(): Generator<CatalogRecord> {
    for (const [url, contentId] of this.#names) yield { t: 'name', url, contentId }
    for (const [digest, contentId] of this.#digests) yield { t: 'digest', digest, contentId }
    for (const [path, known] of this.#paths) yield { t: 'path', path, ...known }
    for (const order of this.#orders.values()) yield { t: 'order', order }
    for (const inbound of this.#inbounds.values()) yield { t: 'inbound', inbound }
    for (const get of this.#gets.values()) yield { t: 'get', get }
  }
}

function change<T>(map: Map<string, T>, id: string, mutate: (value: T) => void): void {
  const value = map.get(id)
  if (value !== undefined) mutate(value)
}

/** A copy without a prototype: a member may be called `__proto__`. */
function nameless<T>(record: Record<string, T>): Record<string, T> {
  return Object.assign(Object.create(null) as Record<string, T>, record)
}

/** Drops the oldest entries that may go until at most `limit` of them are left. */
function trim<T>(map: Map<string, T>, limit: number, mayGo?: (value: T) => boolean): void {
  if (map.size <= limit) return
  let excess = -limit
  if (mayGo === undefined) excess += map.size
  else for (const value of map.values()) if (mayGo(value)) excess++
  for (const [key, value] of map) {
    if (excess <= 0) return
    if (mayGo?.(value) === false) continue
    map.delete(key)
    excess--
  }
}
