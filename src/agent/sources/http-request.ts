/**
 * One GET over http or https: redirects followed, credentials kept to the origin they were given for, every wait limited. What the
 * answer means, and whether to try again, is http-source.ts's matter.
 */
import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import https from 'node:https'
import type { LookupFunction } from 'node:net'
import { rootCertificates } from 'node:tls'
import { explainErrno, fail, type PolycastError } from '../errors.ts'
import { AddressRefusedError, filteredLookup, refuseLiteral, type AllowAddress } from './address-filter.ts'
import { cancelledBy } from './cancel.ts'
import { decodePercent, showUrl } from './location.ts'

/** Something that may be over at the next try: the network, a server that restarts. */
export class TransientError extends Error {
  override readonly name: string = 'TransientError'
  /** What the server asked to wait, in milliseconds. */
  readonly retryAfterMs: number | undefined
  /** True when the body ended early and orderly: the server thinks that it has sent all. */
  readonly isShort: boolean

  constructor(message: string, options: { retryAfterMs?: number | undefined; isShort?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.retryAfterMs = options.retryAfterMs
    this.isShort = options.isShort ?? false
  }
}

/** How one fetch goes out to the network, with all its tries. */
export interface HttpClient {
  readonly url: URL
  /** Sent to the origin of `url` only, since any of them may be a credential; lower-case names. */
  readonly privateHeaders: Readonly<Record<string, string>>
  readonly allowAddress: AllowAddress
  readonly lookup: LookupFunction
  readonly agents: { readonly http: http.Agent; readonly https: https.Agent }
  readonly maxRedirects: number
  /** Longest wait for a connection, name resolution and TLS included, in milliseconds. */
  readonly connectTimeoutMs: number
  /** Longest wait for the head of an answer, and for the next bytes of its body, in milliseconds. */
  readonly idleTimeoutMs: number
  readonly signal: AbortSignal
  /** Ends all connections. */
  readonly close: () => void
}

export interface HttpClientOptions {
  readonly headers: Readonly<Record<string, string>>
  readonly allowAddress: AllowAddress
  /** Certificates in PEM of authorities that are trusted beside those that Node brings. */
  readonly authorities: readonly string[]
  readonly maxRedirects: number
  readonly connectTimeoutMs: number
  readonly idleTimeoutMs: number
}

/** Makes the client of one fetch; its connections live until it is closed or its signal is aborted. */
export function openClient(url: URL, options: HttpClientOptions, signal: AbortSignal): HttpClient {
  const privateHeaders = Object.fromEntries(Object.entries(options.headers).map(([name, value]) => [name.toLowerCase(), value]))
  const bare = new URL(url)
  if (url.username !== '' || url.password !== '') {
    const pair = `${decodePercent(url.username)}:${decodePercent(url.password)}`
    privateHeaders['authorization'] ??= `Basic ${Buffer.from(pair).toString('base64')}`
    bare.username = ''
    bare.password = ''
  }
  const agents = { http: new http.Agent({ keepAlive: true }), https: new https.Agent({ keepAlive: true, ...trust(options.authorities) }) }
  const close = (): void => {
    signal.removeEventListener('abort', close)
    agents.http.destroy()
    agents.https.destroy()
  }
  signal.addEventListener('abort', close, { once: true })
  return { ...options, url: bare, privateHeaders, lookup: filteredLookup(options.allowAddress), agents, signal, close }
}

function trust(authorities: readonly string[]): { ca?: string[] } {
  return authorities.length === 0 ? {} : { ca: [...rootCertificates, ...authorities] }
}

/** The head of an answer, and its body still to be read. */
export class HttpAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly #client: HttpClient
  readonly #message: IncomingMessage
  #failure: NodeJS.ErrnoException | undefined

  constructor(client: HttpClient, request: http.ClientRequest, message: IncomingMessage) {
    this.status = message.statusCode ?? 0
    this.headers = message.headers
    this.#client = client
    this.#message = message
    request.on('error', (error) => {
      this.#failure = error
    })
    // Until somebody reads the body its errors have no other listener.
    message.on('error', () => undefined)
  }

  /** Drops the answer and its connection. */
  discard(): void {
    this.#message.destroy()
  }

  /**
   * The body, as it arrives. Throws TransientError when it stops early or stalls, and `overlong()` when the server goes on after
   * the length that it had announced.
   */
  async *body(overlong: () => PolycastError): AsyncGenerator<Uint8Array, void> {
    const { signal, idleTimeoutMs } = this.#client
    let isWaiting = false
    let isStalled = false
    // One timer for the whole body: it strikes only where the source is waited for, not the reader.
    const timer = setInterval(() => {
      if (!isWaiting) return
      isStalled = true
      this.#message.destroy()
    }, idleTimeoutMs)
    try {
      const chunks = this.#message[Symbol.asyncIterator]()
      for (;;) {
        timer.refresh()
        isWaiting = true
        const next = (await chunks.next()) as IteratorResult<Buffer, undefined>
        isWaiting = false
        if (next.done === true) break
        yield next.value
      }
      if (!this.#message.complete) throw new Error('it ended early')
    } catch (error) {
      if (signal.aborted) throw cancelledBy(signal)
      if (isStalled) throw new TransientError(`it sent nothing for ${idleTimeoutMs / 1000} s`)
      throw this.#failure === undefined
        ? new TransientError('the connection was closed before the end', { isShort: true, cause: error })
        : new TransientError(explainFailure(this.#failure), { cause: this.#failure })
    } finally {
      clearInterval(timer)
      if (!this.#message.complete) this.discard()
    }
    if (this.#failure?.code?.startsWith('HPE_') === true) throw overlong()
  }
}

/**
 * Asks for the client's URL, following redirects, and resolves with the first answer that is none. Throws TransientError, or a
 * PolycastError where trying again is useless.
 */
export async function get(client: HttpClient, headers: Readonly<Record<string, string>>): Promise<HttpAnswer> {
  let url = client.url
  for (let redirects = 0; redirects <= client.maxRedirects; redirects++) {
    const isSameOrigin = url.origin === client.url.origin
    const answer = await getOnce(client, url, { ...(isSameOrigin ? client.privateHeaders : {}), ...headers })
    const target = answer.headers.location
    if (answer.status < 300 || answer.status > 399 || answer.status === 304 || target === undefined) return answer
    answer.discard()
    url = redirected(client, url, target)
  }
  throw refused(client, `it redirects more than ${client.maxRedirects} times`)
}

function redirected(client: HttpClient, from: URL, target: string): URL {
  const url = URL.parse(target, from.href)
  if (url === null) throw refused(client, 'it redirects to something that is not a URL')
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw refused(client, `it redirects to a ${url.protocol} URL`)
  if (from.protocol === 'https:' && url.protocol === 'http:')
    throw refused(client, `it redirects from https to plain http, ${showUrl(url)}`)
  url.username = ''
  url.password = ''
  return url
}

function refused(client: HttpClient, reason: string): PolycastError {
  return fail('source-failed', { url: showUrl(client.url), reason })
}

async function getOnce(client: HttpClient, url: URL, headers: Readonly<Record<string, string>>): Promise<HttpAnswer> {
  const { signal, connectTimeoutMs, idleTimeoutMs } = client
  if (signal.aborted) throw cancelledBy(signal)
  const abort = new AbortController()
  let lateness: string | undefined
  const giveUp = (text: string): void => {
    lateness = text
    abort.abort()
  }
  let timer = setTimeout(giveUp, connectTimeoutMs, `it could not be connected to within ${connectTimeoutMs / 1000} s`)
  const stop = (): void => abort.abort()
  signal.addEventListener('abort', stop, { once: true })
  try {
    refuseLiteral(url, client.allowAddress)
    return await new Promise<HttpAnswer>((resolve, reject) => {
      const request = startGet(client, url, headers, abort.signal)
      const waitForAnswer = (): void => {
        clearTimeout(timer)
        timer = setTimeout(giveUp, idleTimeoutMs, `it did not answer for ${idleTimeoutMs / 1000} s`)
      }
      request.on('socket', (socket) => {
        if (request.reusedSocket) waitForAnswer()
        else socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', waitForAnswer)
      })
      request.on('response', (message) => resolve(new HttpAnswer(client, request, message)))
      request.on('error', reject)
    })
  } catch (error) {
    if (signal.aborted) throw cancelledBy(signal)
    if (lateness !== undefined) throw new TransientError(lateness)
    if (error instanceof AddressRefusedError) throw fail('source-refused', { url: showUrl(url), address: error.address }, error)
    if (isTransient(error)) throw new TransientError(explainFailure(error), { cause: error })
    throw fail('source-failed', { url: showUrl(url), reason: explainFailure(error) }, error)
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}

function startGet(
  { agents, lookup }: HttpClient,
  url: URL,
  own: Readonly<Record<string, string>>,
  signal: AbortSignal,
): http.ClientRequest {
  const headers = { 'user-agent': 'polycast', ...own, 'accept-encoding': 'identity' }
  return url.protocol === 'https:'
    ? https.get(url, { agent: agents.https, lookup, headers, signal })
    : http.get(url, { agent: agents.http, lookup, headers, signal })
}

const TRANSIENT = new Set(['ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EAI_AGAIN'])

/** An error of a connection, or of all addresses of a host together. */
function isTransient(error: unknown): boolean {
  const { code, errors } = error as { code?: string; errors?: unknown[] }
  return (code !== undefined && TRANSIENT.has(code)) || (errors?.some(isTransient) ?? false)
}

function explainFailure(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  if (code?.startsWith('HPE_') === true) return `it does not speak HTTP as it should (${message})`
  if (code !== undefined && /^E[A-Z_]+$/.test(code) && !code.startsWith('ERR_')) return explainErrno(code)
  return message
}
