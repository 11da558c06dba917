/** The OpenAPI 3.1 document of the HTTP API, made from the table of routes and the schemas: nothing in it is written by hand. */
import { z } from 'zod'
import { ERRORS } from '../errors.ts'
import type { ErrorCode } from '../errors.ts'
import type { Route, RouteResponse } from './route.ts'
import { ROUTES } from './routes.ts'
import { API_SCHEMAS, errorReply } from './schemas.ts'

type Json = { [key: string]: unknown }

const SCHEMA_PREFIX = '#/components/schemas/'

const TAGS: Readonly<Record<Route['tag'], string>> = {
  deliveries: 'Bringing a content to many members, with a receipt from each.',
  gets: 'Bringing a content to this node.',
  contents: 'What this node holds.',
  cluster: 'Who is there, and what this node is among them.',
  messages: 'What members tell each other by gossip: events, queries, state.',
  operation: 'For those who watch the agent.',
}

/** Codes that any route may answer with. */
const COMMON_ERRORS: readonly ErrorCode[] = ['bad-request', 'request-refused', 'shutting-down', 'overloaded', 'internal']

/** The document. `version` is that of the package. */
export function openapiDocument(version: string): Json {
  const paths: Record<string, Json> = {}
  for (const route of ROUTES) (paths[route.path] ??= {})[route.method.toLowerCase()] = operation(route)
  return {
    openapi: '3.1.0',
    info: {
      title: 'Polycast agent',
      version,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      description:
        'The API of a Polycast agent, on loopback only. Errors are JSON with a stable code. Orders that go on answer with JSON lines (application/x-ndjson), each one of the events of the schema.',
    },
    servers: [{ url: 'http://127.0.0.1:7948' }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths,
    components: { schemas: schemas() },
  }
}

/** The file docs/reference/openapi.json: of no version, so that it changes only with the API. */
export function openapiReference(): string {
  return JSON.stringify(openapiDocument('0'), undefined, 2)
}

function operation(route: Route): Json {
  return {
    operationId: route.operationId,
    tags: [route.tag],
    summary: route.summary,
    ...(route.description === undefined ? {} : { description: route.description }),
    ...parameters(route),
    ...(route.body === undefined
      ? {}
      : { requestBody: { required: true, content: { 'application/json': { schema: reference(route.body) } } } }),
    responses: {
      ...Object.fromEntries(Object.entries(route.responses).map(([status, response]) => [status, answer(response)])),
      ...errorResponses(route),
    },
  }
}

function parameters(route: Route): Json {
  const inPath = Object.entries(route.pathParams ?? {}).map(([name, description]) => ({
    name,
    in: 'path',
    required: true,
    description,
    schema: { type: 'string' },
  }))
  const query = route.query === undefined ? {} : (plainSchema(route.query)['properties'] as Record<string, Json>)
  const inQuery = Object.entries(query).map(([name, { description, ...schema }]) => ({
    name,
    in: 'query',
    required: false,
    description,
    schema,
  }))
  const inHeader = Object.entries(route.headers ?? {}).map(([name, description]) => ({
    name,
    in: 'header',
    required: false,
    description,
    schema: { type: 'string' },
  }))
  const all = [...inPath, ...inQuery, ...inHeader]
  return all.length === 0 ? {} : { parameters: all }
}

function answer({ description, schema, contentType, json }: RouteResponse): Json {
  return {
    description,
    content: {
      [contentType]: schema === undefined ? {} : { schema: reference(schema) },
      ...(json === undefined ? {} : { 'application/json': { schema: reference(json) } }),
    },
  }
}

/** Error codes by their status, each status once; one that the route declares itself keeps its own description. */
function errorResponses(route: Route): Json {
  const codes = new Map<number, ErrorCode[]>()
  for (const code of [...route.errors, ...COMMON_ERRORS]) codes.set(ERRORS[code].status, [...(codes.get(ERRORS[code].status) ?? []), code])
  return Object.fromEntries(
    [...codes]
      .filter(([status]) => !(status in route.responses))
      .map(([status, list]) => [
        status,
        { description: list.join(', '), content: { 'application/json': { schema: reference(errorReply) } } },
      ]),
  )
}

function reference(schema: z.ZodType): Json {
  const entry = API_SCHEMAS.get(schema)
  if (entry === undefined) throw new Error('a route uses a schema without a name')
  return { $ref: `${SCHEMA_PREFIX}${entry.id}` }
}

function schemas(): Json {
  const made = z.toJSONSchema(API_SCHEMAS, { uri: (id) => `${SCHEMA_PREFIX}${id}`, io: 'input' }).schemas
  return Object.fromEntries(Object.entries(made).map(([id, schema]) => [id, withoutNoise(schema)]))
}

function plainSchema(schema: z.ZodType): Json {
  return withoutNoise(z.toJSONSchema(schema, { io: 'input' }))
}

/** Without the keys that a schema inside a document has no use for, and without bounds that only say "a number of JavaScript". */
function withoutNoise(value: unknown): Json {
  return clean(value) as Json
}

function clean(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(clean)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key, item]) => !isNoise(key, item))
      .map(([key, item]) => [key, clean(item)]),
  )
}

function isNoise(key: string, item: unknown): boolean {
  if (key === '$schema' || key === '$id') return true
  // The name in the registry; a property called id is an object.
  if (key === 'id') return typeof item === 'string'
  return (key === 'maximum' && item === Number.MAX_SAFE_INTEGER) || (key === 'minimum' && item === Number.MIN_SAFE_INTEGER)
}
