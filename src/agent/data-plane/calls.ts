/**
 * Calls from node to node: a method's name and JSON there, JSON or an error back, on the link that both share.
 *
 * A call's body is `varint id | text method | text params`, a reply's `varint id | u8 1 | text result` or `… 0 | text error`.
 */
import { FRAME_TYPES, MAX_CALL_BODY_BYTES } from '../../core/swarm/frames.ts'
import { Reader } from '../../core/wire/reader.ts'
import { Writer } from '../../core/wire/writer.ts'
import { deserialiseError, fail, serialiseError, type ErrorBody } from '../errors.ts'
import type { Caller } from './data-plane.ts'
import type { Link } from './link.ts'

export type CallHandler = (method: string, params: unknown, from: Caller) => Promise<unknown>

const MAX_METHOD_BYTES = 128
/** Calls of one link that wait for their handler. */
const MAX_RUNNING_PER_LINK = 1024

interface Waiting {
  readonly link: Link
  readonly resolve: (result: unknown) => void
  readonly reject: (error: Error) => void
}

export class Calls {
  readonly #handler: CallHandler
  readonly #waiting: Map<number, Waiting> = new Map()
  readonly #running: Map<Link, number> = new Map()
  #nextId = 1

  constructor(handler: CallHandler) {
    this.#handler = handler
  }

  /** Calls a method at the other end; rejects with the error it raised, or `member-unreachable` when the link ends. */
  call(link: Link, method: string, params: unknown, signal: AbortSignal): Promise<unknown> {
    const id = this.#nextId++
    const body = new Writer(256)
    body.varint(id)
    body.text(method)
    body.text(JSON.stringify(params ?? null))
    const encoded = body.finish()
    if (encoded.length > MAX_CALL_BODY_BYTES) return Promise.reject(fail('internal', { reason: `a call of ${encoded.length} bytes` }))
    return new Promise((resolve, reject) => {
      const settle = (settled: () => void): void => {
        this.#waiting.delete(id)
        signal.removeEventListener('abort', aborted)
        settled()
      }
      const aborted = (): void => settle(() => reject(signal.reason as Error))
      signal.addEventListener('abort', aborted, { once: true })
      this.#waiting.set(id, {
        link,
        resolve: (result) => settle(() => resolve(result)),
        reject: (error) => settle(() => reject(error)),
      })
      link.sendCall(FRAME_TYPES.call, encoded)
    })
  }

  /** A call or reply came. */
  receive(link: Link, frameType: number, body: Buffer): void {
    const input = new Reader(body)
    const id = input.varint()
    if (frameType === FRAME_TYPES.call) {
      const method = input.text(MAX_METHOD_BYTES)
      const params = parseJson(input.text(MAX_CALL_BODY_BYTES))
      if (input.failed || !input.done() || params === undefined) return link.close('its call is not understood')
      void this.#serve(link, id, method, params.value)
      return
    }
    const isResult = input.u8() === 1
    const answer = parseJson(input.text(MAX_CALL_BODY_BYTES))
    if (input.failed || !input.done() || answer === undefined) return link.close('its reply is not understood')
    const waiting = this.#waiting.get(id)
    if (waiting === undefined || waiting.link !== link) return
    if (isResult) waiting.resolve(answer.value)
    else waiting.reject(deserialiseError(answer.value))
  }

  linkClosed(link: Link, reason: string): void {
    this.#running.delete(link)
    for (const waiting of this.#waiting.values()) {
      if (waiting.link === link) waiting.reject(fail('member-unreachable', { address: link.remote?.address ?? 'unknown', reason }))
    }
  }

  async #serve(link: Link, id: number, method: string, params: unknown): Promise<void> {
    const running = this.#running.get(link) ?? 0
    if (running >= MAX_RUNNING_PER_LINK) return link.close('it has too many calls running')
    this.#running.set(link, running + 1)
    const reply = new Writer(256)
    reply.varint(id)
    try {
      const result = await this.#handler(method, params, { name: link.name, address: link.remote!.address })
      reply.u8(1)
      reply.text(JSON.stringify(result ?? null))
    } catch (error) {
      const body: ErrorBody = serialiseError(error)
      reply.u8(0)
      reply.text(JSON.stringify(body))
    }
    this.#running.set(link, (this.#running.get(link) ?? 1) - 1)
    link.sendCall(FRAME_TYPES.reply, reply.finish())
  }
}

function parseJson(text: string): { value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}
