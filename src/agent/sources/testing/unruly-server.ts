/**
 * A real HTTP server on 127.0.0.1 that misbehaves on command, for tests of everything that reads from a source. What it does is a
 * handler for each path, mostly `serve` with a description of the fault.
 */
import { once } from 'node:events'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { CERTIFICATE, PRIVATE_KEY } from './certificate.ts'

/** Answers a request; `count` is 1 for the first one to its path. */
export type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void

/** What is served at a path, and what is wrong with it. */
export interface Served {
  readonly bytes: Uint8Array
  readonly etag?: string
  /** A time long past makes a strong validator, `new Date()` a weak one. */
  readonly lastModified?: Date
  /** False: Range is ignored and everything is sent. */
  readonly knowsRange?: boolean
  /** False: a Range is answered even where If-Range tells that the version is another. */
  readonly honoursIfRange?: boolean
  /** The length announced, where it is not the true one; `none` sends it chunked. */
  readonly announced?: number | 'none'
  /** Where in the content the connection ends, as `ending` says. */
  readonly cutAt?: number
  readonly ending?: 'reset' | 'close' | 'stall'
  /** Bytes of one write, each sent only when the one before is gone. */
  readonly writeBytes?: number
  readonly headers?: Readonly<Record<string, string>>
}

export class UnrulyServer {
  /** All requests so far, in order. */
  readonly requests: { readonly path: string; readonly headers: http.IncomingHttpHeaders }[] = []
  readonly #server: http.Server
  readonly #handlers = new Map<string, Handler>()
  readonly #sockets = new Set<Socket>()
  readonly #scheme: string

  private constructor(server: http.Server, scheme: string) {
    this.#server = server
    this.#scheme = scheme
    server.on('request', (request, response) => this.#handle(request, response))
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
  }

  /** Starts a server on a free port; it must be closed. */
  static async start(scheme: 'http' | 'https' = 'http'): Promise<UnrulyServer> {
    const server = scheme === 'http' ? http.createServer() : https.createServer({ cert: CERTIFICATE, key: PRIVATE_KEY })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new UnrulyServer(server, scheme)
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  url(path: string): URL {
    return new URL(path, `${this.#scheme}://127.0.0.1:${this.port}`)
  }

  on(path: string, handler: Handler): void {
    this.#handlers.set(path, handler)
  }

  requestsFor(path: string): http.IncomingHttpHeaders[] {
    return this.requests.filter((request) => request.path === path).map(({ headers }) => headers)
  }

  /** Resolves when no client is connected any more. */
  async deserted(): Promise<void> {
    await Promise.all([...this.#sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve))))
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  #handle(request: IncomingMessage, response: ServerResponse): void {
    const path = request.url ?? ''
    this.requests.push({ path, headers: request.headers })
    const handler = this.#handlers.get(path) ?? answer(404)
    handler(request, response, this.requestsFor(path).length)
  }
}

/** A handler that answers with a status and no content. */
export function answer(status: number, headers: Readonly<Record<string, string>> = {}): Handler {
  return (_, response) => response.writeHead(status, headers).end()
}

/** A handler that does one thing at each request, the last of them for ever. */
export function inTurn(first: Handler, ...others: Handler[]): Handler {
  const handlers = [first, ...others]
  return (request, response, count) => handlers[Math.min(count, handlers.length) - 1]!(request, response, count)
}

/** A handler that serves a content with the faults described. */
export function serve(served: Served): Handler {
  return (request, response) => void send(request, response, served)
}

/** A handler that writes to the connection as it is, beside all rules of HTTP. */
export function raw(bytes: string): Handler {
  return (_, response) => void response.socket?.end(bytes)
}

async function send(request: IncomingMessage, response: ServerResponse, served: Served): Promise<void> {
  const { bytes, cutAt, ending = 'reset', writeBytes = 16_384 } = served
  const first = firstWanted(request, served)
  if (first !== undefined && first >= bytes.length) {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` }).end()
    return
  }
  response.writeHead(first === undefined ? 200 : 206, headersOf(served, first))
  const end = Math.min(bytes.length, cutAt ?? bytes.length)
  for (let at = first ?? 0; at < end && !response.destroyed; at += writeBytes) {
    const part = bytes.subarray(at, Math.min(end, at + writeBytes))
    await new Promise<void>((resolve) => response.write(part, () => resolve()))
  }
  if (cutAt === undefined && typeof served.announced !== 'number') response.end()
  else if (ending === 'reset') response.socket?.resetAndDestroy()
  else if (ending === 'close') response.socket?.end()
}

function firstWanted(
  request: IncomingMessage,
  { etag, lastModified, knowsRange = true, honoursIfRange = true }: Served,
): number | undefined {
  const wanted = /^bytes=(?<first>\d+)-$/.exec(request.headers.range ?? '')?.groups?.['first']
  if (wanted === undefined || !knowsRange) return undefined
  const condition = request.headers['if-range']
  const isSame = condition === undefined || condition === etag || condition === lastModified?.toUTCString()
  return isSame || !honoursIfRange ? Number(wanted) : undefined
}

function headersOf({ bytes, etag, lastModified, announced, headers }: Served, first: number | undefined): Record<string, string> {
  const length = announced ?? bytes.length - (first ?? 0)
  return {
    ...(length === 'none' ? {} : { 'content-length': String(length) }),
    ...(first === undefined ? {} : { 'content-range': `bytes ${first}-${bytes.length - 1}/${bytes.length}` }),
    ...(etag === undefined ? {} : { etag }),
    ...(lastModified === undefined ? {} : { 'last-modified': lastModified.toUTCString() }),
    ...headers,
  }
}
