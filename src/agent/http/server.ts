/**
 * The HTTP server of the agent: checks who calls, finds the route, checks what it is given, and answers errors as JSON.
 *
 * Every request goes through the table of routes (routes.ts); there is no other way in.
 */
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { z } from 'zod'
import { asPolycastError, fail, fromErrno, serialiseError } from '../errors.ts'
import type { PolycastError } from '../errors.ts'
import type { ErrorReply } from './api.ts'
import { checkCaller } from './guard.ts'
import { readJson } from './request-body.ts'
import type { ApiParts, RouteReply } from './route.ts'
import { Router } from './router.ts'
import { ROUTES } from './routes.ts'

/** What the server needs. */
export interface HttpServerOptions {
  /** A loopback address. */
  readonly host: string
  readonly port: number
  readonly parts: ApiParts
  readonly log: { debug(fields: object, message: string): void; error(fields: object, message: string): void }
  /** Called for each request when it is answered; `route` is a path of the table. */
  readonly onRequest?: (request: {
    method: string
    route: string
    status: number
    durationMs: number
    error: PolycastError | undefined
  }) => void
}

/** The running server. */
export interface HttpServer {
  /** The port that it listens on. */
  readonly port: number
  /** Takes no more requests, and closes those that are still open. */
  close(): Promise<void>
}

const MAX_CONNECTIONS = 1024
const HEADERS_TIMEOUT_MS = 10_000
/** For the request as a whole, its body included; answers may go on for as long as they like. */
const REQUEST_TIMEOUT_MS = 60_000
/** For answers under way when the server closes. */
const CLOSE_GRACE_MS = 500
/** What stands for the path of a request without a route in the metrics. */
const NO_ROUTE = 'none'

/** Starts the server. Errors: address-in-use, address-unusable. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const router = new Router(ROUTES)
  const server = createServer((request, response) => {
    void answer(request, response, router, options)
  })
  server.maxConnections = MAX_CONNECTIONS
  server.headersTimeout = HEADERS_TIMEOUT_MS
  server.requestTimeout = REQUEST_TIMEOUT_MS
  await listen(server, options.host, options.port)
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      // Streams have been told the end by what they follow; who doesn't read it is cut off.
      const timer = setTimeout(() => {
        server.closeAllConnections()
      }, CLOSE_GRACE_MS)
      server.closeIdleConnections()
      await closed
      clearTimeout(timer)
    },
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(fromErrno(error, { doing: 'listen', address: `${host}:${port}`, purpose: 'the HTTP API' }))
    })
    server.listen(port, host, resolve)
  })
}

async function answer(request: IncomingMessage, response: ServerResponse, router: Router, options: HttpServerOptions): Promise<void> {
  const startedAt = performance.now()
  const method = request.method ?? 'GET'
  let routePath = NO_ROUTE
  let error: PolycastError | undefined
  const closed = new AbortController()
  response.once('close', () => {
    if (!response.writableFinished) closed.abort()
  })
  try {
    checkCaller(request)
    const url = new URL(request.url ?? '/', 'http://localhost')
    const { route, path } = router.find(method, url.pathname)
    routePath = route.path
    const query = check(route.query, Object.fromEntries(url.searchParams), 'its query')
    const body = check(route.body, await readJson(request, route.maxBodyBytes), 'its body')
    send(response, await route.handle({ path, query, body, parts: options.parts, raw: request, response, closed: closed.signal }))
  } catch (raw) {
    error = asPolycastError(raw)
    if (error.code === 'internal') options.log.error({ method, route: routePath, err: raw }, 'a request met a fault of Polycast')
    sendError(request, response, error)
  }
  options.log.debug({ method, route: routePath, status: response.statusCode, code: error?.code }, 'request')
  options.onRequest?.({ method, route: routePath, status: response.statusCode, durationMs: performance.now() - startedAt, error })
}

/** What was given, as the schema understands it; without a schema nothing may be given. */
function check(schema: z.ZodType | undefined, given: unknown, what: string): unknown {
  if (schema === undefined) {
    const isEmpty = given === undefined || (typeof given === 'object' && given !== null && Object.keys(given).length === 0)
    if (!isEmpty) throw fail('bad-request', { reason: `${what} should be empty` })
    return undefined
  }
  const result = schema.safeParse(given)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const place = issue === undefined || issue.path.length === 0 ? what : issue.path.join('.')
  throw fail('bad-request', { reason: `${place}: ${issue?.message ?? 'not understood'}` })
}

function send(response: ServerResponse, reply: RouteReply): void {
  if (reply === undefined || response.headersSent) return
  const text = `${JSON.stringify(reply.json)}\n`
  response.writeHead(reply.status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  })
  response.end(text)
}

function sendError(request: IncomingMessage, response: ServerResponse, error: PolycastError): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  // What is left of a body that nobody reads would be taken for the next request.
  if (!request.complete) response.setHeader('connection', 'close')
  const body: ErrorReply = { error: serialiseError(error) }
  send(response, { status: error.status, json: body })
}
