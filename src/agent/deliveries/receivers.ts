/** The receivers of one delivery as its origin sees them, and what they come to: plain bookkeeping, without calls or timers. */
import { fail, serialiseError } from '../errors.ts'
import type { PolycastError } from '../errors.ts'
import type { OrderRecord } from './catalog.ts'
import type { DeliveryEvent, DeliveryInfo, DeliveryMember, Receipt } from './delivery-info.ts'

/** One member of a running delivery. */
export interface Receiver {
  readonly name: string
  state: DeliveryMember['state']
  haveBytes: number
  receipt: Receipt | undefined
  /** Ends the waiting before its next offer. */
  wake: AbortController
  /** An offer to it is under way or waits to be repeated. */
  isOffering: boolean
  /** It changed since the last progress event. */
  isChanged: boolean
  /** Ends its time of grace; there while it is dead or not there at all. */
  endGrace: (() => void) | undefined
}

export function newReceiver(name: string, receipt?: Receipt): Receiver {
  return {
    name,
    state: receipt === undefined ? 'waiting' : 'ended',
    haveBytes: receipt?.status === 'done' ? receipt.totalBytes : 0,
    receipt,
    wake: new AbortController(),
    isOffering: false,
    isChanged: true,
    endGrace: undefined,
  }
}

/** The receipt that the origin writes for a member that can't write one itself. */
export function receiptFor(
  receiver: Receiver,
  status: 'failed' | 'left' | 'unreachable',
  error: PolycastError,
  order: OrderRecord,
  now: number,
): Receipt {
  return {
    member: receiver.name,
    status,
    error: serialiseError(error),
    totalBytes: order.totalBytes ?? 0,
    receivedBytes: receiver.haveBytes,
    reusedBytes: 0,
    durationMs: now - order.createdAt,
    at: now,
  }
}

/** The state of a delivery that has ended, or of one that runs. */
export function stateOf(order: OrderRecord): DeliveryInfo['state'] {
  if (order.ended === undefined) return 'running'
  if (order.ended.isCancelled) return 'cancelled'
  const receipts = Object.values(order.members)
  const done = receipts.filter((receipt) => receipt?.status === 'done').length
  // One without a receipt counts as failed: the delivery ended before it was reached.
  return receipts.length > 0 && done === receipts.length ? 'done' : done > 0 ? 'partial' : 'failed'
}

/** The most members that an error names. */
const MAX_NAMED = 10

/** Why an ended delivery isn't done: undefined if it is. */
export function partialError(order: OrderRecord): PolycastError | undefined {
  const entries = Object.entries(order.members)
  const failed = entries.filter(([, receipt]) => receipt?.status !== 'done')
  if (failed.length === 0) return undefined
  const named = failed.slice(0, MAX_NAMED).map(([name, receipt]) => `${name} (${receipt?.error?.code ?? receipt?.status ?? 'not reached'})`)
  if (failed.length > MAX_NAMED) named.push(`and ${failed.length - MAX_NAMED} more`)
  return fail('delivery-partial', { failed: failed.length, members: entries.length, names: named.join(', ') })
}

/** What is shown of a delivery; `live` and `sentBytes` while it runs. */
export function infoOf(order: OrderRecord, live?: ReadonlyMap<string, Receiver>, sentBytes = 0): DeliveryInfo {
  const state = stateOf(order)
  const error = state === 'done' || state === 'running' ? undefined : order.ended?.error
  const { source } = order
  return {
    id: order.id,
    state,
    source: source.kind === 'path' ? source.path : source.kind === 'url' ? source.url : source.id,
    name: order.name,
    ...(order.contentId === undefined ? {} : { contentId: order.contentId }),
    ...(order.totalBytes === undefined ? {} : { totalBytes: order.totalBytes }),
    selector: order.selector,
    dest: order.dest,
    sentBytes: order.ended?.sentBytes ?? sentBytes,
    createdAt: order.createdAt,
    ...(order.ended === undefined ? {} : { endedAt: order.ended.at }),
    timeoutMs: order.timeoutMs,
    ...(error === undefined ? {} : { error }),
    members: Object.entries(order.members).map(([name, receipt]) => memberOf(name, live?.get(name), receipt ?? undefined)),
  }
}

/** Tells a new follower what was: `started`, and a `receipt` for each that came before it followed. */
export function tellSoFar(delivery: DeliveryInfo, listener: (event: DeliveryEvent) => void): void {
  listener({ event: 'started', delivery })
  for (const { receipt } of delivery.members) if (receipt !== undefined) listener({ event: 'receipt', id: delivery.id, receipt })
}

function memberOf(name: string, live: Receiver | undefined, receipt: Receipt | undefined): DeliveryMember {
  if (receipt !== undefined)
    return {
      name,
      state: 'ended',
      haveBytes: receipt.status === 'done' ? receipt.totalBytes : (live?.haveBytes ?? receipt.receivedBytes),
      receipt,
    }
  return { name, state: live?.state ?? 'waiting', haveBytes: live?.haveBytes ?? 0 }
}
