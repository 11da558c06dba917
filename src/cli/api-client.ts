/** Requests to an agent's HTTP API. Nothing but node:http, because it has to start fast. */
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import type { ErrorReply } from '../agent/http/api.ts'
import { Failure, failure } from './failure.ts'

/** Where the local agent listens unless it is told otherwise. */
export const DEFAULT_API = 'http://127.0.0.1:7948'

/** What to send with a request. */
export interface Request {
  readonly body?: unknown
  readonly signal?: AbortSignal
}

/** An agent's API. */
export class ApiClient {
  readonly url: string

  private constructor(url: string) {
    this.url = url
  }

  /** `url` may lack its scheme: `127.0.0.1:7948`. Errors: usage. */
  static async at(url: string): Promise<ApiClient> {
    const full = /^[a-z]+:\/\//i.test(url) ? url : `http://${url}`
    const parsed = URL.canParse(full) ? new URL(full) : undefined
    if (parsed === undefined || parsed.protocol !== 'http:' || parsed.pathname !== '/') {
      throw await failure('usage', { reason: `--api ${url} is not an address such as ${DEFAULT_API}.` })
    }
    return new ApiClient(parsed.origin)
  }

  /** A request that is answered with one JSON document. Errors: api-unreachable, and what the agent answers. */
  async json<T>(method: string, path: string, request: Request = {}): Promise<T> {
    const response = await this.#open(method, path, request)
    return JSON.parse(await readText(response)) as T
  }

  /** A request that is answered with JSON lines. Errors: api-unreachable, also when the agent ends before its last line, and what it answers. */
  async *lines<T>(method: string, path: string, request: Request = {}): AsyncGenerator<T> {
    const response = await this.#open(method, path, request)
    // A line may be long and come in thousands of pieces: none of them is looked at twice.
    let begun: string[] = []
    response.setEncoding('utf8')
    try {
      for await (const piece of response as AsyncIterable<string>) {
        const [first = '', ...others] = piece.split('\n')
        begun.push(first)
        for (const next of others) {
          const line = begun.join('')
          begun = [next]
          yield JSON.parse(line) as T
        }
      }
    } catch (error) {
      if (request.signal?.aborted === true) return
      throw await failure('api-unreachable', {
        url: this.url,
        reason: `it ended in the middle of its answer (${reasonOf(error)}); what was begun goes on when it is back`,
      })
    }
  }

  /** A request that is answered with bytes. Errors: api-unreachable, and what the agent answers. */
  async bytes(path: string, request: Request = {}): Promise<IncomingMessage> {
    return this.#open('GET', path, request)
  }

  async #open(method: string, path: string, { body, signal }: Request): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const headers = text === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpRequest(
        `${this.url}${path}`,
        { method, headers, agent: false, ...(signal === undefined ? {} : { signal }) },
        resolve,
      )
      request.on('error', reject)
      request.end(text)
    }).catch(async (error: unknown) => {
      throw await failure('api-unreachable', { url: this.url, reason: reasonOf(error) })
    })
    if ((response.statusCode ?? 0) < 400) return response
    throw await this.#failureOf(response)
  }

  async #failureOf(response: IncomingMessage): Promise<Failure> {
    const text = await readText(response)
    try {
      const { error } = JSON.parse(text) as ErrorReply
      if (typeof error.code === 'string') return new Failure(error)
    } catch {
      // It isn't an agent's answer: said below.
    }
    return failure('api-unreachable', { url: this.url, reason: `what answers there is no agent (HTTP ${response.statusCode ?? 0})` })
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  const pieces: Buffer[] = []
  for await (const piece of response as AsyncIterable<Buffer>) pieces.push(piece)
  return Buffer.concat(pieces).toString('utf8')
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection was reset',
  ENOTFOUND: 'there is no such host',
  EHOSTUNREACH: 'no route to the host',
  ABORT_ERR: 'interrupted',
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  return REASONS[code] ?? (error instanceof Error && error.message !== '' ? error.message : String(error))
}
