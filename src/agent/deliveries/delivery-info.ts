/** What the HTTP API, the CLI and the catalog say of deliveries and gets. Plain data: no behaviour, safe to show (no credential is in it). */
import type { ErrorBody } from '../errors.ts'

/** How a delivery ended for one member. */
export interface Receipt {
  /** The member's name. */
  member: string
  /** `left`: it left the cluster before it had everything; `unreachable`: it died or never answered. */
  status: 'done' | 'failed' | 'left' | 'unreachable'
  /** Why it isn't done. */
  error?: ErrorBody
  contentId?: string
  /** Where the member wrote it, as the member names the path. */
  path?: string
  totalBytes: number
  /** Bytes that came to it over the network. */
  receivedBytes: number
  /** Of these, bytes that came by multicast; not told by a member that does not know of it. */
  multicastBytes?: number
  /** Bytes that it had already, in other contents. */
  reusedBytes: number
  /** From the order's arrival at the member to its receipt. */
  durationMs: number
  /** Milliseconds since 1970. */
  at: number
}

/** What is known of one member of a delivery. */
export interface DeliveryMember {
  name: string
  /** `waiting`: not reached yet; `receiving`: it took the order; `ended`: there is a receipt. */
  state: 'waiting' | 'receiving' | 'ended'
  haveBytes: number
  receipt?: Receipt
}

/** One order to bring a content to the members of a selector. */
export interface DeliveryInfo {
  id: string
  /** `partial`: ended, and at least one member has it and one doesn't; `failed`: ended, and none has it. */
  state: 'running' | 'done' | 'partial' | 'failed' | 'cancelled'
  /** As it was ordered: a path, a URL or a content id. */
  source: string
  name: string
  contentId?: string
  totalBytes?: number
  selector: string
  dest: string
  /** Bytes that this node sent for it since it last started. */
  sentBytes: number
  createdAt: number
  endedAt?: number
  /** 0 is no limit. */
  timeoutMs: number
  /** Why it isn't done, where that is so. */
  error?: ErrorBody
  members: DeliveryMember[]
}

/** What happens to a delivery, in order; `done` or `error` is the last. */
export type DeliveryEvent =
  | { event: 'started'; delivery: DeliveryInfo }
  | {
      event: 'progress'
      id: string
      totalBytes?: number
      sentBytes: number
      members: { name: string; state: DeliveryMember['state']; haveBytes: number }[]
    }
  | { event: 'receipt'; id: string; receipt: Receipt }
  | { event: 'done'; delivery: DeliveryInfo }
  | { event: 'error'; error: ErrorBody; delivery: DeliveryInfo }

/** What a get brought. */
export interface GetResult {
  contentId: string
  name: string
  mediaType: string
  totalBytes: number
  receivedBytes: number
  reusedBytes: number
  /** `store`: it was here; `source`: this node read the source; `cluster`: other nodes gave it. */
  from: 'store' | 'source' | 'cluster'
  /** Where it was written to, if that was asked for. */
  path?: string
  /** How it was written there: reflink, link or copy. */
  method?: string
  durationMs: number
}

/** One order to bring a content to this node. */
export interface GetInfo {
  id: string
  state: 'running' | 'done' | 'failed' | 'cancelled'
  source: string
  output?: string
  digest?: string
  createdAt: number
  endedAt?: number
  haveBytes: number
  totalBytes?: number
  result?: GetResult
  error?: ErrorBody
}

/** What happens to a get, in order; `done` or `error` is the last. */
export type GetEvent =
  | { event: 'started'; get: GetInfo }
  | { event: 'progress'; id: string; haveBytes: number; totalBytes?: number; receivedBytes: number; reusedBytes: number; peers: number }
  | { event: 'done'; get: GetInfo; result: GetResult }
  | { event: 'error'; error: ErrorBody; get: GetInfo }
