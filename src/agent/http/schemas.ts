/**
 * The shapes of the HTTP API as zod schemas: what requests are checked with, and what the OpenAPI document is made from.
 *
 * The types are declared where they belong; the compiler holds each schema to its type, both ways, so that neither can
 * change alone. What clients send has strict schemas: a misspelt key is an error. What the agent sends may grow.
 */
import { z } from 'zod'
import type { ContentInfo } from '../data-plane/data-plane.ts'
import type { SendOrder } from '../deliveries/deliveries.ts'
import type { DeliveryEvent, DeliveryInfo, DeliveryMember, GetEvent, GetInfo, GetResult, Receipt } from '../deliveries/delivery-info.ts'
import type { GetOrder } from '../deliveries/gets.ts'
import type { ErrorBody } from '../errors.ts'
import type { AgentInfo, ContentList, DeliveryList, Done, ErrorReply, GcResult, GetList, Health, Readiness, VerifyResult } from './api.ts'

/** The named schemas: each is `#/components/schemas/ID` in the document. */
export const API_SCHEMAS: z.core.$ZodRegistry<{ id: string; description: string }> = z.registry()

type KeysOf<T> = T extends unknown ? keyof T : never
type SameKeys<T, S> = [KeysOf<T>] extends [KeysOf<S>] ? unknown : { missing: Exclude<KeysOf<T>, KeysOf<S>> }

/** Names a schema and holds it to a type: the schema gives nothing else, and has every key. */
export function named<T>(): <S extends z.ZodType<T>>(
  id: string,
  description: string,
  schema: S & SameKeys<T, z.output<S>>,
) => z.ZodType<T> {
  return (id, description, schema) => {
    API_SCHEMAS.add(schema, { id, description })
    return schema
  }
}

const text = z.string()
const bytes = z.int().min(0).describe('bytes')
const time = z.number().describe('milliseconds since 1970')
const milliseconds = z.number().min(0).describe('milliseconds')
const optional = z.exactOptional
/** A key that is always there in the type and, where it is undefined, not there in JSON. */
const maybeUndefined = optional(bytes) as unknown as z.ZodType<number | undefined>

export const errorBody: z.ZodType<ErrorBody> = named<ErrorBody>()(
  'Error',
  'An operation that failed. The codes are in docs/reference/errors.md.',
  z.object({
    code: text.describe('what failed, in kebab-case: stable, for programs'),
    message: text.describe('what failed and why, for people'),
    advice: text.describe('what to do about it'),
    exitCode: optional(z.int().describe('the exit code of the command line')),
    isRetryable: z.boolean().describe('whether the same call may succeed later without a change'),
    params: z.record(text, z.union([text, z.number()])),
  }),
)

export const agentInfo: z.ZodType<AgentInfo> = named<AgentInfo>()(
  'Agent',
  'The node that answers.',
  z.object({
    name: text,
    version: text,
    nodeVersion: text,
    pid: z.int(),
    startedAt: time,
    isSeed: z.boolean(),
    tags: z.record(text, text),
    addresses: z.object({ gossip: text, swarm: text, http: text }),
    dataDirectory: text,
    destRoots: z.array(text).describe('directories below which deliveries may be written here'),
  }),
)

export const contentInfo: z.ZodType<ContentInfo> = named<ContentInfo>()(
  'Content',
  'What this node holds of one content.',
  z.object({
    id: text.describe('content id, or growing id while it is not sealed'),
    state: z.enum(['complete', 'partial']),
    name: text,
    mediaType: text,
    totalBytes: maybeUndefined,
    haveBytes: bytes,
    chunkCount: z.int(),
    pinned: z.boolean(),
    createdAt: time,
    usedAt: time,
    path: text.describe('the plain file with its bytes; never write to it'),
  }),
)

export const contentList: z.ZodType<ContentList> = named<ContentList>()(
  'ContentList',
  'What this node holds.',
  z.object({ contents: z.array(contentInfo) }),
)

export const receipt: z.ZodType<Receipt> = named<Receipt>()(
  'Receipt',
  'How a delivery ended for one member.',
  z.object({
    member: text,
    status: z.enum(['done', 'failed', 'left', 'unreachable']),
    error: optional(errorBody),
    contentId: optional(text),
    path: optional(text.describe('where the member wrote it')),
    totalBytes: bytes,
    receivedBytes: bytes,
    multicastBytes: optional(bytes.describe('of receivedBytes: by multicast')),
    reusedBytes: bytes,
    durationMs: milliseconds,
    at: time,
  }),
)

const memberState = z.enum(['waiting', 'receiving', 'ended'])

const deliveryMember: z.ZodType<DeliveryMember> = named<DeliveryMember>()(
  'DeliveryMember',
  'What is known of one member of a delivery.',
  z.object({ name: text, state: memberState, haveBytes: bytes, receipt: optional(receipt) }),
)

export const deliveryInfo: z.ZodType<DeliveryInfo> = named<DeliveryInfo>()(
  'Delivery',
  'One order to bring a content to the members of a selector.',
  z.object({
    id: text,
    state: z.enum(['running', 'done', 'partial', 'failed', 'cancelled']),
    source: text,
    name: text,
    contentId: optional(text),
    totalBytes: optional(bytes),
    selector: text,
    dest: text,
    sentBytes: bytes.describe('bytes that this node sent for it'),
    createdAt: time,
    endedAt: optional(time),
    timeoutMs: milliseconds.describe('0 is no limit'),
    error: optional(errorBody),
    members: z.array(deliveryMember),
  }),
)

export const deliveryList: z.ZodType<DeliveryList> = named<DeliveryList>()(
  'DeliveryList',
  'The deliveries ordered at this node, oldest first.',
  z.object({ deliveries: z.array(deliveryInfo) }),
)

export const deliveryEvent: z.ZodType<DeliveryEvent> = named<DeliveryEvent>()(
  'DeliveryEvent',
  'What happens to a delivery: one line of the stream. `done` or `error` is the last.',
  z.discriminatedUnion('event', [
    z.object({ event: z.literal('started'), delivery: deliveryInfo }),
    z.object({
      event: z.literal('progress'),
      id: text,
      totalBytes: optional(bytes),
      sentBytes: bytes,
      members: z.array(z.object({ name: text, state: memberState, haveBytes: bytes })).describe('those that changed'),
    }),
    z.object({ event: z.literal('receipt'), id: text, receipt }),
    z.object({ event: z.literal('done'), delivery: deliveryInfo }),
    z.object({ event: z.literal('error'), error: errorBody, delivery: deliveryInfo }),
  ]),
)

const headers = z.record(text, text).describe('for the source; they go to the seed that fetches, are never logged and never written down')
const orderId = z
  .string()
  .regex(/^[A-Za-z0-9._-]{1,128}$/)
  .describe('an id of your own: the same id again gives the same order')

export const sendOrder: z.ZodType<SendOrder> = named<SendOrder>()(
  'SendOrder',
  'An order to deliver.',
  z.strictObject({
    source: text.min(1).max(8192).describe("an absolute path of the agent's machine, a URL, or a content id"),
    selector: text.min(1).max(65_536).describe('all, or tags and names: role=web,zone=eu'),
    dest: optional(text.max(4096).describe('path below a root that the receivers allow; the name of the content by default')),
    createDirectories: optional(z.boolean().describe('create directories of the destination that are missing')),
    timeoutMs: optional(z.int().min(0).max(Number.MAX_SAFE_INTEGER).describe('0 is no limit; by default what the agent is configured to')),
    name: optional(text.min(1).max(255).describe('what the content is called; by default its base name')),
    headers: optional(headers),
    id: optional(orderId),
  }),
)

export const getOrder: z.ZodType<GetOrder> = named<GetOrder>()(
  'GetOrder',
  'An order to bring a content to this node.',
  z.strictObject({
    source: text.min(1).max(8192).describe('a URL, or a content id or at least 8 digits of one'),
    output: optional(text.min(1).max(4096).describe("absolute path on the agent's machine to write it to")),
    overwrite: optional(z.boolean().describe('replace what is there; by default files are replaced and directories are not')),
    digest: optional(text.max(200).describe('sha256:… or blake3:… of the bytes')),
    headers: optional(headers),
    fresh: optional(z.boolean().describe('ask the source even if the content of the URL is known')),
    id: optional(orderId),
  }),
)

const getResult: z.ZodType<GetResult> = named<GetResult>()(
  'GetResult',
  'What a get brought.',
  z.object({
    contentId: text,
    name: text,
    mediaType: text,
    totalBytes: bytes,
    receivedBytes: bytes,
    reusedBytes: bytes,
    from: z.enum(['store', 'source', 'cluster']).describe('it was here; this node read the source; other nodes gave it'),
    path: optional(text),
    method: optional(text.describe('reflink, link or copy')),
    durationMs: milliseconds,
  }),
)

export const getInfo: z.ZodType<GetInfo> = named<GetInfo>()(
  'Get',
  'One order to bring a content to this node.',
  z.object({
    id: text,
    state: z.enum(['running', 'done', 'failed', 'cancelled']),
    source: text,
    output: optional(text),
    digest: optional(text),
    createdAt: time,
    endedAt: optional(time),
    haveBytes: bytes,
    totalBytes: optional(bytes),
    result: optional(getResult),
    error: optional(errorBody),
  }),
)

export const getList: z.ZodType<GetList> = named<GetList>()(
  'GetList',
  'The gets of this node, oldest first.',
  z.object({ gets: z.array(getInfo) }),
)

export const getEvent: z.ZodType<GetEvent> = named<GetEvent>()(
  'GetEvent',
  'What happens to a get: one line of the stream. `done` or `error` is the last.',
  z.discriminatedUnion('event', [
    z.object({ event: z.literal('started'), get: getInfo }),
    z.object({
      event: z.literal('progress'),
      id: text,
      haveBytes: bytes,
      totalBytes: optional(bytes),
      receivedBytes: bytes,
      reusedBytes: bytes,
      peers: z.int(),
    }),
    z.object({ event: z.literal('done'), get: getInfo, result: getResult }),
    z.object({ event: z.literal('error'), error: errorBody, get: getInfo }),
  ]),
)

export const errorReply: z.ZodType<ErrorReply> = named<ErrorReply>()(
  'ErrorReply',
  'The body of every answer that is an error.',
  z.object({
    error: errorBody,
    delivery: optional(deliveryInfo.describe('with reply=end: the delivery that ended so')),
    get: optional(getInfo.describe('with reply=end: the get that ended so')),
  }),
)

export const gcResult: z.ZodType<GcResult> = named<GcResult>()('GcResult', 'What was removed.', z.object({ removed: z.int(), bytes }))

export const verifyResult: z.ZodType<VerifyResult> = named<VerifyResult>()(
  'VerifyResult',
  'What a verification found.',
  z.object({ chunks: z.int(), bad: z.array(z.int()).describe('chunks that were dropped; a get fetches them again') }),
)

export const done: z.ZodType<Done> = named<Done>()('Done', 'It is done.', z.object({ isDone: z.literal(true) }))

export const health: z.ZodType<Health> = named<Health>()('Health', 'The process answers.', z.object({ status: z.literal('ok') }))

export const readiness: z.ZodType<Readiness> = named<Readiness>()(
  'Readiness',
  'Whether the node takes orders.',
  z.object({ status: z.enum(['ready', 'not-ready']), reason: optional(text) }),
)
