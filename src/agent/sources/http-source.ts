/**
 * A source behind http or https.
 *
 * A fetch survives what networks and servers do: it goes on from the byte where it stopped. It never makes a file of two versions:
 *
 * - The first answer says which version it is: ETag, Last-Modified, length. Every later answer must say the same.
 * - Where the version is certain (a strong ETag, or a Last-Modified older than the answer by a second: RFC 9110 §8.8.2.2), the rest
 *   is asked for by Range with If-Range (§13.1.5), and a server that ignores If-Range is found out by what its 206 says.
 * - Elsewhere the content is read again from its beginning, and what had been passed on before is compared by its hash.
 *
 * It is no cache and no browser: no cookies, no proxies, no content codings.
 */
import { createHash, type Hash } from 'node:crypto'
import { fail, isPolycastError, type PolycastError } from '../errors.ts'
import { allowAllButMetadata, type AllowAddress } from './address-filter.ts'
import { cancelledBy } from './cancel.ts'
import { get, openClient, TransientError, type HttpAnswer, type HttpClient } from './http-request.ts'
import {
  hasStrongEtag,
  hasStrongValidator,
  identify,
  ifRangeOf,
  parseValidator,
  rangeOf,
  whatChanged,
  type Identity,
} from './http-identity.ts'
import { mediaTypeFrom, nameFromDisposition, nameFromUrl, showUrl } from './location.ts'
import type { OpenOptions, Source, SourceStream } from './source.ts'

export interface HttpSourceOptions {
  /** Sent to the URL's own origin only. */
  readonly headers?: Readonly<Record<string, string>>
  /** Which addresses may be connected to; without it all but link-local ones and metadata services. */
  readonly allowAddress?: AllowAddress
  /** Certificates in PEM of authorities that are trusted beside those that Node brings. */
  readonly authorities?: readonly string[]
  /** Tries after the first that brings no new byte; see the option source-retries. */
  readonly retries?: number
  /** The pause before the first of them, in milliseconds; each further one is twice as long. */
  readonly retryPauseMs?: number
  /** The longest of these pauses, in milliseconds, whatever the server asks for. */
  readonly longestPauseMs?: number
  readonly maxRedirects?: number
  /** Longest wait for a connection, name resolution and TLS included, in milliseconds. */
  readonly connectTimeoutMs?: number
  /** Longest wait for the next byte, the first one included, in milliseconds. */
  readonly idleTimeoutMs?: number
  /** Called before each try after the first. */
  readonly onRetry?: () => void
}

const DEFAULTS = {
  headers: {},
  allowAddress: allowAllButMetadata,
  authorities: [],
  retries: 5,
  retryPauseMs: 250,
  longestPauseMs: 30_000,
  maxRedirects: 10,
  connectTimeoutMs: 10_000,
  idleTimeoutMs: 30_000,
  onRetry: () => undefined,
} satisfies Required<HttpSourceOptions>

type Settings = Required<HttpSourceOptions>

/** A source at an http or https URL. A user and password in the URL are sent as Basic authentication and shown nowhere. */
export function createHttpSource(url: URL, options: HttpSourceOptions = {}): Source {
  const settings: Settings = { ...DEFAULTS, ...options }
  return {
    location: showUrl(url),
    open: async (open) => {
      const client = openClient(url, settings, open.signal)
      try {
        return await new HttpFetch(client, settings, open).start()
      } catch (error) {
        client.close()
        throw error
      }
    },
  }
}

/** One answer that goes on where the fetch is, or before it. */
interface Part {
  readonly answer: HttpAnswer
  /** How many of its bytes have been passed on before. */
  readonly repeated: number
}

/** One fetch of one URL, over as many requests as it takes. */
class HttpFetch {
  readonly #client: HttpClient
  readonly #settings: Settings
  readonly #startOffset: number
  /** The next byte to pass on. */
  #position: number
  /** What the content was at the first answer, here or in the run that is gone on with. */
  #identity: Identity | undefined
  /** Hash of what was passed on, kept only where a later answer could not be told from another version without it. */
  #passedOn: Hash | undefined
  #refusesRange = false
  /** Failures since the last new byte. */
  #failures = 0
  #positionAtFailure = -1

  constructor(client: HttpClient, settings: Settings, { offset = 0, validator }: OpenOptions) {
    this.#client = client
    this.#settings = settings
    this.#startOffset = offset
    this.#position = offset
    if (validator === undefined) return
    this.#identity = parseValidator(validator)
    if (this.#identity === undefined) throw this.#rangeUnsupported()
  }

  async start(): Promise<SourceStream> {
    if (this.#position > 0 && (this.#identity === undefined || !hasStrongValidator(this.#identity))) throw this.#rangeUnsupported()
    const first = await this.#untilAnswered()
    const identity = this.#identity!
    if (!hasStrongEtag(identity)) this.#passedOn = createHash('sha256')
    return {
      totalBytes: identity.totalBytes,
      name: nameFromDisposition(first.answer.headers['content-disposition']) ?? nameFromUrl(this.#client.url),
      mediaType: mediaTypeFrom(first.answer.headers['content-type']),
      validator: hasStrongValidator(identity) ? JSON.stringify(identity) : undefined,
      chunks: this.#chunks(first),
    }
  }

  async *#chunks(first: Part): AsyncGenerator<Uint8Array, void> {
    let part: Part | undefined = first
    try {
      while (part !== undefined) {
        try {
          yield* this.#newBytes(part)
          this.#requireWhole()
          return
        } catch (error) {
          part = undefined
          await this.#pauseAfter(error)
          part = await this.#untilAnswered()
        }
      }
    } finally {
      this.#client.close()
    }
  }

  /** The bytes of an answer that have not been passed on yet. */
  async *#newBytes({ answer, repeated }: Part): AsyncGenerator<Uint8Array, void> {
    let toRepeat = repeated
    const repeatedHash = repeated === this.#position && this.#passedOn !== undefined ? createHash('sha256') : undefined
    for await (const chunk of answer.body(() => this.#overlong())) {
      const old = chunk.subarray(0, toRepeat)
      if (old.length > 0) {
        toRepeat -= old.length
        repeatedHash?.update(old)
        if (toRepeat === 0 && repeatedHash !== undefined) this.#requireSame(repeatedHash)
      }
      if (old.length === chunk.length) continue
      const fresh = chunk.subarray(old.length)
      this.#position += fresh.length
      if (this.#identity?.totalBytes !== undefined && this.#position > this.#identity.totalBytes) throw this.#overlong()
      this.#passedOn?.update(fresh)
      yield fresh
    }
    if (toRepeat > 0) throw this.#changed(`it ended before byte ${this.#position}, which it had sent before`)
  }

  async #untilAnswered(): Promise<Part> {
    for (;;) {
      try {
        return await this.#ask()
      } catch (error) {
        await this.#pauseAfter(error)
      }
    }
  }

  /** One request, and what its answer means. */
  async #ask(): Promise<Part> {
    const ifRange = this.#identity === undefined ? undefined : ifRangeOf(this.#identity)
    const isPartial = this.#position > 0 && ifRange !== undefined && !this.#refusesRange
    // No range begins at the end: where all bytes are here already, the last one is asked for again, to learn whether it is still that version.
    const from = this.#position === this.#identity?.totalBytes ? this.#position - 1 : this.#position
    const answer = await get(this.#client, isPartial ? { range: `bytes=${from}-`, 'if-range': ifRange } : {})
    try {
      this.#requireSuccess(answer, isPartial)
      if (isPartial && (answer.status === 416 || (answer.status === 206 && rangeOf(answer.headers)?.first !== from))) {
        return await this.#askForWhole(answer)
      }
      this.#requireSameVersion(answer)
      if (answer.status === 206) return { answer, repeated: this.#position - from }
      // The answer is the whole content, since the source does not know Range; only its ETag can tell that it starts with the bytes before the offset.
      if (this.#startOffset > 0 && !hasStrongEtag(this.#identity!)) throw this.#rangeUnsupported()
      return { answer, repeated: this.#position }
    } catch (error) {
      answer.discard()
      throw error
    }
  }

  async #askForWhole(answer: HttpAnswer): Promise<Part> {
    answer.discard()
    this.#refusesRange = true
    return await this.#ask()
  }

  #requireSuccess({ status, headers }: HttpAnswer, isPartial: boolean): void {
    const url = showUrl(this.#client.url)
    if (status === 404 || status === 410) throw fail('source-not-found', { url, status })
    if (status === 401 || status === 403 || status === 407) throw fail('source-forbidden', { url, status })
    if (status >= 500 || status === 408 || status === 425 || status === 429) {
      throw new TransientError(`it answered with HTTP ${status}`, { retryAfterMs: retryAfter(headers['retry-after']) })
    }
    const isExpected = status === 200 || (isPartial && (status === 206 || status === 416))
    if (!isExpected) throw this.#error(`it answered with HTTP ${status}`)
    const coding = headers['content-encoding']
    if (coding !== undefined && coding !== 'identity')
      throw this.#error(`it sends the content encoded as ${coding}, although it was asked not to`)
  }

  #requireSameVersion(answer: HttpAnswer): void {
    const identity = identify(answer.status, answer.headers)
    const change = this.#identity === undefined ? undefined : whatChanged(this.#identity, identity, answer.status === 206)
    if (change !== undefined) throw this.#changed(change)
    this.#identity ??= identity
  }

  #requireSame(repeated: Hash): void {
    if (this.#passedOn?.copy().digest().equals(repeated.digest()) === true) return
    throw this.#changed(`its first ${this.#position} bytes are not the same at the second reading`)
  }

  #requireWhole(): void {
    const total = this.#identity?.totalBytes
    if (total !== undefined && this.#position < total)
      throw new TransientError('it ended before the length that it had announced', { isShort: true })
  }

  /** Waits before the next try; throws where there is none. */
  async #pauseAfter(error: unknown): Promise<void> {
    if (!(error instanceof TransientError)) throw isPolycastError(error) ? error : this.#error(String(error), error)
    if (this.#position > this.#positionAtFailure) this.#failures = 0
    this.#positionAtFailure = this.#position
    this.#failures++
    const { retries, retryPauseMs, longestPauseMs, onRetry } = this.#settings
    if (this.#failures > retries) throw this.#gaveUp(error)
    const growing = retryPauseMs * 2 ** (this.#failures - 1) * (0.75 + Math.random() / 2)
    await pause(Math.min(Math.max(growing, error.retryAfterMs ?? 0), longestPauseMs), this.#client.signal)
    onRetry()
  }

  #gaveUp(error: TransientError): PolycastError {
    const total = this.#identity?.totalBytes
    if (error.isShort && total !== undefined) {
      return fail('source-short', { url: showUrl(this.#client.url), expected: total, received: this.#position }, error)
    }
    return this.#error(`${error.message} (${this.#failures} tries)`, error)
  }

  #error(reason: string, cause?: unknown): PolycastError {
    return fail('source-failed', { url: showUrl(this.#client.url), reason }, cause)
  }

  #changed(reason: string): PolycastError {
    return fail('source-changed', { url: showUrl(this.#client.url), reason })
  }

  #overlong(): PolycastError {
    const expected = this.#identity?.totalBytes
    if (expected === undefined) return this.#error('it goes on after the end of the content')
    return fail('source-short', { url: showUrl(this.#client.url), expected, received: 'more' })
  }

  #rangeUnsupported(): PolycastError {
    return fail('source-range-unsupported', { url: showUrl(this.#client.url), offset: this.#position })
  }
}

/** Milliseconds that a Retry-After header asks for: seconds, or a date. */
function retryAfter(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  if (/^\d{1,9}$/.test(header)) return Number(header) * 1000
  const date = Date.parse(header)
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now())
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    if (signal.aborted) return reject(cancelledBy(signal))
    const end = (): void => {
      clearTimeout(timer)
      signal.removeEventListener('abort', end)
      if (signal.aborted) reject(cancelledBy(signal))
      else resolve()
    }
    const timer = setTimeout(end, ms)
    signal.addEventListener('abort', end, { once: true })
  })
}
