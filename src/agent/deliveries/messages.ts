/**
 * The calls between nodes about contents and deliveries: their names, what they take and what they give.
 *
 * Everything here came from another node: bounded, and checked before use. Both sides check: params on arrival, results on
 * return. Unknown keys are dropped, so that a later version may add some.
 */
import { z } from 'zod'
import type { Ticket } from '../data-plane/data-plane.ts'
import { fail } from '../errors.ts'
import type { ErrorBody } from '../errors.ts'
import type { Receipt } from './delivery-info.ts'

const bytes = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const time = z.number().min(0).max(Number.MAX_SAFE_INTEGER)
const hex = z.string().regex(/^[0-9a-f]{64}$/)
const idText = z.string().regex(/^[0-9a-f]{8,64}$/)
const deliveryId = z.string().min(1).max(128)
const nodeName = z.string().min(1).max(255)
const nodeAddress = z.string().min(1).max(300)
const path = z.string().max(4096)

/** No ticket keeps a receiver waiting for longer, ms. */
const MAX_MULTICAST_WAIT_MS = 1_000

const ticket: z.ZodType<Ticket> = z.object({
  swarmId: hex,
  trackers: z.array(nodeAddress).min(1).max(16),
  name: z.string().max(4096),
  header: z.exactOptional(z.string().max(1024 * 1024)),
  multicastWaitMs: z.exactOptional(z.number().min(0).max(MAX_MULTICAST_WAIT_MS)),
})

const errorBody: z.ZodType<ErrorBody> = z.object({
  code: z.string().max(64),
  message: z.string().max(8192),
  advice: z.string().max(8192),
  isRetryable: z.boolean(),
  exitCode: z.exactOptional(z.number().int()),
  params: z.record(z.string().max(64), z.union([z.string().max(8192), z.number()])),
})

const receipt: z.ZodType<Receipt> = z.object({
  member: nodeName,
  status: z.enum(['done', 'failed', 'left', 'unreachable']),
  error: z.exactOptional(errorBody),
  contentId: z.exactOptional(hex),
  path: z.exactOptional(path),
  totalBytes: bytes,
  receivedBytes: bytes,
  multicastBytes: z.exactOptional(bytes),
  reusedBytes: bytes,
  durationMs: time,
  at: time,
})

/** `content.open`: lets the caller fetch a content. An owner that doesn't have the URL's content begins to fetch it; an id that isn't here gives null. */
export interface OpenParams {
  url?: string
  headers?: Record<string, string>
  /** Ask the source even where the URL's content is here. */
  fresh?: boolean
  id?: string
}
export const openParams: z.ZodType<OpenParams> = z.object({
  url: z.exactOptional(z.string().max(8192)),
  headers: z.exactOptional(z.record(z.string().max(256), z.string().max(16 * 1024))),
  fresh: z.exactOptional(z.boolean()),
  id: z.exactOptional(idText),
})
export interface OpenResult {
  ticket: Ticket
  /** Known once the source was read to its end. */
  contentId?: string
  totalBytes?: number
}
export const openResult: z.ZodType<OpenResult | null> = z.nullable(
  z.object({ ticket, contentId: z.exactOptional(hex), totalBytes: z.exactOptional(bytes) }),
)

/** `content.sealed`: waits a while for a publication's end; raises the error that it ended with. */
export interface SealedParams {
  swarmId: string
}
export const sealedParams: z.ZodType<SealedParams> = z.object({ swarmId: hex })
export type SealedResult = { state: 'running' } | { state: 'unknown' } | { state: 'sealed'; contentId: string; totalBytes: number }
export const sealedResult: z.ZodType<SealedResult> = z.discriminatedUnion('state', [
  z.object({ state: z.literal('running') }),
  z.object({ state: z.literal('unknown') }),
  z.object({ state: z.literal('sealed'), contentId: hex, totalBytes: bytes }),
])

/** `delivery.offer`: orders the called node to receive a delivery; the same offer again changes nothing and tells how far it is. */
export interface OfferParams {
  id: string
  ticket: Ticket
  /** A higher one than before replaces the ticket and starts a failed receiver again. */
  attempt: number
  name: string
  dest: string
  createDirectories: boolean
  /** Whether the content is a directory tree, where the origin knows: only a tree may take the place of a directory. */
  isTree?: boolean
  /** Time left for it, in ms; none is no limit. */
  remainingMs?: number
  /** Tell the origin the progress this often; 0: never, the tracker does. */
  progressMs: number
}
export const offerParams: z.ZodType<OfferParams> = z.object({
  id: deliveryId,
  ticket,
  attempt: z.number().int().min(0).max(1_000_000),
  name: z.string().max(4096),
  dest: path,
  createDirectories: z.boolean(),
  isTree: z.exactOptional(z.boolean()),
  remainingMs: z.exactOptional(z.number().min(0).max(Number.MAX_SAFE_INTEGER)),
  progressMs: z.number().min(0).max(3_600_000),
})

/** How a receiver stands with a delivery, as `delivery.offer` and `delivery.ask` tell. */
export type StandingResult = { state: 'running' } | { state: 'unknown' } | { state: 'ended'; receipt: Receipt }
export const standingResult: z.ZodType<StandingResult> = z.discriminatedUnion('state', [
  z.object({ state: z.literal('running') }),
  z.object({ state: z.literal('unknown') }),
  z.object({ state: z.literal('ended'), receipt }),
])

/** `delivery.ask`: how the called node stands with a delivery. */
export interface AskParams {
  id: string
}
export const askParams: z.ZodType<AskParams> = z.object({ id: deliveryId })

/** `delivery.receipt`: tells the origin how it ended; the answer acknowledges it. */
export interface ReceiptParams {
  id: string
  /** The attempt that it belongs to. */
  attempt: number
  receipt: Receipt
}
export const receiptParams: z.ZodType<ReceiptParams> = z.object({ id: deliveryId, attempt: z.number().int().min(0), receipt })

/** `delivery.progress`: tells the origin how far a receiver is. */
export interface ProgressParams {
  id: string
  haveBytes: number
}
export const progressParams: z.ZodType<ProgressParams> = z.object({ id: deliveryId, haveBytes: bytes })

/** `delivery.cancel`: the called node is to give a delivery up. */
export interface CancelParams {
  id: string
  error: ErrorBody
}
export const cancelParams: z.ZodType<CancelParams> = z.object({ id: deliveryId, error: errorBody })

/** The answer of calls that give nothing. */
export const nothing: z.ZodType<unknown> = z.unknown()

/** What was received, checked. Errors: bad-request, which names the first thing that is wrong. */
export function checked<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  throw fail('bad-request', { reason: `${issue?.path.join('.') || 'the message'}: ${issue?.message ?? 'not understood'}` })
}
