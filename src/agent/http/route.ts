/** What a route of the HTTP API is: one row of the table from which requests are checked and the OpenAPI document is made. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { z } from 'zod'
import type { DataPlane } from '../data-plane/data-plane.ts'
import type { Deliveries } from '../deliveries/deliveries.ts'
import type { ErrorCode } from '../errors.ts'
import type { Gossip } from '../gossip/gossip.ts'
import type { AgentInfo, Readiness } from './api.ts'

/** The parts of the agent that the API shows. */
export interface ApiParts {
  readonly dataPlane: DataPlane
  readonly gossip: Gossip
  readonly deliveries: Deliveries
  /** Makes the agent leave the cluster and stop; returns at once. */
  leave(): void
  agent(): AgentInfo
  readiness(): Readiness
  /** The text for /metrics and its content type. */
  metrics(): Promise<{ text: string; contentType: string }>
  /** The OpenAPI document, as JSON. */
  openapi(): string
}

/** One request, checked. */
export interface RouteRequest<Query = unknown, Body = unknown> {
  readonly path: Readonly<Record<string, string>>
  readonly query: Query
  readonly body: Body
  readonly parts: ApiParts
  readonly raw: IncomingMessage
  /** For routes that write the answer themselves. */
  readonly response: ServerResponse
  /** Aborts when the client has closed the connection. */
  readonly closed: AbortSignal
}

/** What a handler answers: JSON with a status, or nothing when it wrote the answer itself. */
export type RouteReply = { readonly status: number; readonly json: unknown } | undefined

/** One answer of a route in the document. */
export interface RouteResponse {
  readonly description: string
  /** Absent where the body isn't JSON. */
  readonly schema?: z.ZodType
  readonly contentType: string
  /** Where the answer may be a JSON document too. */
  readonly json?: z.ZodType
}

/** One row of the table. */
export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** With `{name}` for a part of the path. */
  readonly path: string
  readonly operationId: string
  readonly tag: 'contents' | 'gets' | 'deliveries' | 'cluster' | 'messages' | 'operation'
  readonly summary: string
  readonly description?: string
  /** What `{name}` in the path stands for. */
  readonly pathParams?: Readonly<Record<string, string>>
  readonly query?: z.ZodObject
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: z.ZodType
  /** Where a body may be longer than `MAX_BODY_BYTES`. */
  readonly maxBodyBytes?: number
  readonly responses: Readonly<Record<number, RouteResponse>>
  /** Codes that it is known to answer with, beside those that any route may. */
  readonly errors: readonly ErrorCode[]
  readonly handle: (request: RouteRequest) => Promise<RouteReply>
}

/** Declares a route, its handler typed by its schemas. */
export function route<Query = undefined, Body = undefined>(
  row: Omit<Route, 'handle' | 'body'> & {
    readonly body?: z.ZodType<Body>
    readonly handle: (request: RouteRequest<Query, Body>) => Promise<RouteReply>
  },
): Route {
  return row as Route
}

/** A JSON answer in the document. */
export function json(description: string, schema: z.ZodType): RouteResponse {
  return { description, schema, contentType: 'application/json' }
}

/** A stream of JSON lines in the document; `end` is the JSON document that it may be instead. */
export function lines(description: string, schema: z.ZodType, end?: z.ZodType): RouteResponse {
  return { description, schema, contentType: 'application/x-ndjson', ...(end === undefined ? {} : { json: end }) }
}
