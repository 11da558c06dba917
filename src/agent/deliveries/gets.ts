/**
 * Gets: bringing a URL or a content id to this node and, if asked for, to a path outside of the store.
 *
 * A get is recorded when it begins and when it ends, so that one that a crash interrupted goes on after the restart; its
 * chunks are in the store. One that needs headers can't: they are never written down.
 */
import { constants } from 'node:fs'
import { access, lstat, stat } from 'node:fs/promises'
import { dirname, isAbsolute, resolve } from 'node:path'
import type { DataPlane, TransferProgress } from '../data-plane/data-plane.ts'
import { asPolycastError, deserialiseError, errnoOf, fail, fromErrno, isPolycastError, serialiseError } from '../errors.ts'
import type { Acquired, Acquisitions } from './acquisitions.ts'
import { orCancelled } from './acquisitions.ts'
import type { ServiceLog } from './calls.ts'
import type { Catalog, GetRecord } from './catalog.ts'
import type { Clock } from '../clock.ts'
import type { GetEvent, GetInfo, GetResult } from './delivery-info.ts'
import { digestOfFile, parseDigest } from './digest.ts'
import type { Digest } from './digest.ts'
import { newId } from './ids.ts'
import type { Publications } from './publications.ts'
import { loggable, parseGetSource } from './source-name.ts'
import type { SourceName } from './source-name.ts'
import { Throttle } from '../throttle.ts'

/** An order to bring a content here. */
export interface GetOrder {
  /** A URL or a content id, or a prefix of one. */
  source: string
  /** Absolute path to write it to. */
  output?: string
  /** Replace what is at the path: by default a file is replaced, a directory isn't. */
  overwrite?: boolean
  /** `sha256:…` or `blake3:…` of the bytes. */
  digest?: string
  /** For the source; they go to the seed that fetches, and nowhere else. */
  headers?: Record<string, string>
  /** Ask the source even if the content of the URL is known. */
  fresh?: boolean
  /** The same id again gives the same get. */
  id?: string
}

/** A get under way or ended. */
export interface Get {
  readonly id: string
  info(): GetInfo
  /** Calls back with what happens from now on, after `started`; for one that has ended, with its end. The function returned ends it. */
  follow(listener: (event: GetEvent) => void): () => void
  /** How many follow it. */
  readonly followers: number
  /** Rejects with a PolycastError. */
  readonly done: Promise<GetResult>
  /** Gives it up; what arrived is kept. */
  cancel(reason: string): void
}

const PROGRESS_MS = 100
/** Gets that may run at the same time. */
const MAX_RUNNING = 512

interface Parts {
  readonly dataPlane: DataPlane
  readonly catalog: Catalog
  readonly clock: Clock
  readonly log: ServiceLog
  readonly publications: Publications
  readonly acquisitions: Acquisitions
  readonly allowHardLink: boolean
}

/** The gets of a node. */
export class Gets {
  readonly #parts: Parts
  readonly #running = new Map<string, RunningGet>()
  #isClosed = false
  #ended = { done: 0, failed: 0 }

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Begins a get. Errors at once: usage, source-unsupported, bad-request, shutting-down; everything later comes through `done`. */
  get(order: GetOrder): Get {
    if (this.#isClosed) throw fail('shutting-down', {})
    const known = order.id === undefined ? undefined : this.find(order.id)
    if (known !== undefined) return known
    if (this.#running.size >= MAX_RUNNING) throw fail('overloaded', { reason: `${this.#running.size} gets run already` })
    const source = parseGetSource(order.source, order.headers)
    const digest = order.digest === undefined ? undefined : parseDigest(order.digest)
    if (order.output !== undefined && !isAbsolute(order.output))
      throw fail('usage', { reason: `The output "${order.output}" is not an absolute path.` })
    const record: GetRecord = {
      id: order.id ?? newId('get', this.#parts.clock.now()),
      source: source.kind === 'url' ? { kind: 'url', url: source.url, hasHeaders: Object.keys(source.headers).length > 0 } : source,
      ...(order.output === undefined ? {} : { output: resolve(order.output) }),
      ...(order.overwrite === undefined ? {} : { overwrite: order.overwrite }),
      ...(digest === undefined ? {} : { digest: digest.text }),
      isFresh: order.fresh === true,
      createdAt: this.#parts.clock.now(),
    }
    this.#note(this.#parts.catalog.record({ t: 'get', get: record }))
    return this.#start(record, source, digest)
  }

  find(id: string): Get | undefined {
    const running = this.#running.get(id)
    if (running !== undefined) return running
    const record = this.#parts.catalog.gets.get(id)
    return record?.ended === undefined ? undefined : endedGet(record)
  }

  /** Those under way and the last ones that ended, oldest first. */
  list(): GetInfo[] {
    return [...this.#parts.catalog.gets.values()].map((record) => this.#running.get(record.id)?.info() ?? infoOf(record))
  }

  /** Goes on with the gets that the last end of this process interrupted. */
  resume(): void {
    for (const record of [...this.#parts.catalog.gets.values()]) {
      if (record.ended !== undefined || this.#running.has(record.id)) continue
      const { source } = record
      if (source.kind === 'url' && source.hasHeaders) {
        const error = fail('cancelled', { reason: 'the agent was restarted, and the headers for the source are never written to its disk' })
        this.#note(
          this.#parts.catalog.record({
            t: 'get-ended',
            id: record.id,
            at: this.#parts.clock.now(),
            isCancelled: false,
            error: serialiseError(error),
          }),
        )
        continue
      }
      this.#parts.log.info({ get: record.id }, 'going on with a get that was interrupted')
      const digest = record.digest === undefined ? undefined : parseDigest(record.digest)
      // Nobody waits for it: its end is in the catalog and in the log.
      this.#start(record, source.kind === 'url' ? { ...source, headers: {} } : source, digest).done.catch(() => undefined)
    }
  }

  /** Counters for the metrics. */
  stats(): { running: number; done: number; failed: number } {
    return { running: this.#running.size, ...this.#ended }
  }

  /** Stops all gets without ending them: the next start goes on with them. */
  async close(): Promise<void> {
    this.#isClosed = true
    const running = [...this.#running.values()]
    for (const get of running) get.interrupt()
    await Promise.allSettled(running.map((get) => get.done))
  }

  #start(record: GetRecord, source: SourceName, digest: Digest | undefined): RunningGet {
    const get = new RunningGet(this.#parts, record, source, digest)
    this.#running.set(record.id, get)
    get.done
      .then(
        () => this.#ended.done++,
        () => this.#ended.failed++,
      )
      .finally(() => this.#running.delete(record.id))
    return get
  }

  #note(written: Promise<void>): void {
    written.catch((error: unknown) => {
      this.#parts.log.error({ reason: asPolycastError(error).message }, 'the catalog cannot be written; a restart would forget a get')
    })
  }
}

class RunningGet implements Get {
  readonly done: Promise<GetResult>
  readonly #parts: Parts
  readonly #record: GetRecord
  readonly #source: SourceName
  readonly #digest: Digest | undefined
  readonly #abort = new AbortController()
  readonly #listeners = new Set<(event: GetEvent) => void>()
  readonly #throttle: Throttle
  #progress: TransferProgress = { haveBytes: 0, totalBytes: undefined, receivedBytes: 0, multicastBytes: 0, reusedBytes: 0, peers: 0 }
  #isInterrupted = false
  #last: GetEvent | undefined
  #cancelReason = ''

  constructor(parts: Parts, record: GetRecord, source: SourceName, digest: Digest | undefined) {
    this.#parts = parts
    this.#record = record
    this.#source = source
    this.#digest = digest
    this.#throttle = new Throttle(parts.clock, PROGRESS_MS, () => {
      const { totalBytes, ...progress } = this.#progress
      this.#tell({ event: 'progress', id: record.id, ...progress, ...(totalBytes === undefined ? {} : { totalBytes }) })
    })
    this.done = this.#run()
  }

  get id(): string {
    return this.#record.id
  }

  get followers(): number {
    return this.#listeners.size
  }

  info(): GetInfo {
    const { haveBytes, totalBytes } = this.#progress
    return {
      ...infoOf(this.#record),
      ...(this.#record.ended === undefined ? { haveBytes, ...(totalBytes === undefined ? {} : { totalBytes }) } : {}),
    }
  }

  follow(listener: (event: GetEvent) => void): () => void {
    listener({ event: 'started', get: this.info() })
    // One that ended meanwhile has nothing more to tell than that.
    if (this.#last !== undefined) listener(this.#last)
    else this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  cancel(reason: string): void {
    this.#cancelReason = reason
    this.#abort.abort()
  }

  interrupt(): void {
    this.#isInterrupted = true
    this.#abort.abort()
  }

  async #run(): Promise<GetResult> {
    const { clock, log } = this.#parts
    const startedAt = clock.now()
    try {
      const result = await this.#bring(startedAt)
      await this.#end(false, result, undefined)
      this.#tell({ event: 'done', get: this.info(), result })
      return result
    } catch (raw) {
      const wasCancelled = this.#abort.signal.aborted && isPolycastError(raw, 'cancelled')
      const error = wasCancelled
        ? this.#isInterrupted
          ? fail('shutting-down', {})
          : fail('cancelled', { reason: this.#cancelReason })
        : asPolycastError(raw)
      if (!this.#isInterrupted) {
        await this.#end(wasCancelled, undefined, error)
        log.warn({ get: this.id, source: loggable(sourceText(this.#record)), code: error.code, reason: error.message }, 'a get failed')
        if (error.code === 'internal') log.error({ get: this.id, err: raw }, 'a get met a fault of Polycast')
      }
      this.#tell({ event: 'error', error: serialiseError(error), get: this.info() })
      throw error
    } finally {
      this.#throttle.close()
    }
  }

  async #end(isCancelled: boolean, result: GetResult | undefined, error: ReturnType<typeof fail> | undefined): Promise<void> {
    const { catalog, clock, log } = this.#parts
    const end = {
      at: clock.now(),
      isCancelled,
      ...(result === undefined ? {} : { result }),
      ...(error === undefined ? {} : { error: serialiseError(error) }),
    }
    this.#record.ended = end
    catalog.record({ t: 'get-ended', id: this.id, ...end }).catch((failed: unknown) => {
      log.error({ get: this.id, reason: asPolycastError(failed).message }, 'the catalog cannot be written; a restart would repeat a get')
    })
  }

  async #bring(startedAt: number): Promise<GetResult> {
    const { dataPlane, clock } = this.#parts
    const { output } = this.#record
    if (output !== undefined) await checkOutput(output)
    const acquired = await this.#acquireChecked()
    const { info } = acquired
    const written =
      output === undefined
        ? undefined
        : await orCancelled(
            dataPlane.output(info.id, output, { overwrite: await this.#mayOverwrite(output), allowHardLink: this.#parts.allowHardLink }),
            this.#abort.signal,
          )
    return {
      contentId: info.id,
      name: info.name,
      mediaType: info.mediaType,
      totalBytes: info.totalBytes ?? info.haveBytes,
      receivedBytes: acquired.receivedBytes,
      reusedBytes: acquired.reusedBytes,
      from: acquired.from,
      ...(output === undefined || written === undefined ? {} : { path: output, method: written.method }),
      durationMs: clock.now() - startedAt,
    }
  }

  /** A wrong digest of a content that was known for the URL may mean that the source has a new one: it is asked once. */
  async #acquireChecked(): Promise<Acquired> {
    const digest = this.#digest
    if (digest === undefined) return this.#acquire(this.#record.isFresh)
    const { catalog, publications } = this.#parts
    const knownId = this.#source.kind === 'url' && !this.#record.isFresh ? catalog.contentOfDigest(digest.text) : undefined
    const known = knownId === undefined ? undefined : await publications.complete(knownId)
    if (known !== undefined) return { info: known, receivedBytes: 0, reusedBytes: 0, from: 'store' }
    const acquired = await this.#acquire(this.#record.isFresh)
    const actual = await this.#digestOf(acquired, digest)
    if (actual === digest.text) return acquired
    if (this.#source.kind === 'url' && !this.#record.isFresh && acquired.from !== 'source') {
      const again = await this.#acquire(true)
      if ((await this.#digestOf(again, digest)) === digest.text) return again
    }
    throw fail('digest-mismatch', { name: loggable(sourceText(this.#record)), actual, expected: digest.text })
  }

  async #digestOf({ info }: Acquired, digest: Digest): Promise<string> {
    const { catalog } = this.#parts
    if (catalog.contentOfDigest(digest.text) === info.id) return digest.text
    const actual = `${digest.algorithm}:${await digestOfFile(info.path, digest.algorithm, this.#abort.signal)}`
    await catalog.record({ t: 'digest', digest: actual, contentId: info.id })
    return actual
  }

  #acquire(isFresh: boolean): Promise<Acquired> {
    return this.#parts.acquisitions.acquire(this.#source, {
      isFresh,
      signal: this.#abort.signal,
      onProgress: (progress) => {
        this.#progress = progress
        this.#throttle.poke()
      },
    })
  }

  async #mayOverwrite(output: string): Promise<boolean> {
    if (this.#record.overwrite !== undefined) return this.#record.overwrite
    const there = await lstat(output).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw fromErrno(error, { doing: 'write-dest', path: output })
    })
    return there?.isDirectory() !== true
  }

  #tell(event: GetEvent): void {
    if (event.event === 'done' || event.event === 'error') this.#last = event
    for (const listener of [...this.#listeners]) listener(event)
  }
}

function endedGet(record: GetRecord): Get {
  const info = infoOf(record)
  const { result, error } = info
  const failure = error === undefined ? undefined : deserialiseError(error)
  return {
    id: record.id,
    followers: 0,
    info: () => info,
    follow(listener) {
      listener({ event: 'started', get: info })
      if (result !== undefined) listener({ event: 'done', get: info, result })
      else if (error !== undefined) listener({ event: 'error', error, get: info })
      return () => undefined
    },
    get done() {
      return result === undefined
        ? Promise.reject(failure ?? fail('internal', { reason: 'a get ended without a result' }))
        : Promise.resolve(result)
    },
    cancel: () => undefined,
  }
}

/** What can be known to fail before the transfer is not found out after it. */
async function checkOutput(output: string): Promise<void> {
  const directory = dirname(output)
  try {
    if (!(await stat(directory)).isDirectory()) throw fail('dest-missing-directory', { path: directory })
    await access(directory, constants.W_OK | constants.X_OK)
  } catch (error) {
    throw fromErrno(error, { doing: 'write-dest', path: output })
  }
}

function sourceText({ source }: GetRecord): string {
  return source.kind === 'url' ? source.url : source.kind === 'path' ? source.path : source.id
}

function infoOf(record: GetRecord): GetInfo {
  const { ended } = record
  const bytes = ended?.result?.totalBytes
  return {
    id: record.id,
    state: ended === undefined ? 'running' : ended.isCancelled ? 'cancelled' : ended.result === undefined ? 'failed' : 'done',
    source: sourceText(record),
    ...(record.output === undefined ? {} : { output: record.output }),
    ...(record.digest === undefined ? {} : { digest: record.digest }),
    createdAt: record.createdAt,
    ...(ended === undefined ? {} : { endedAt: ended.at }),
    haveBytes: bytes ?? 0,
    ...(bytes === undefined ? {} : { totalBytes: bytes }),
    ...(ended?.result === undefined ? {} : { result: ended.result }),
    ...(ended?.error === undefined ? {} : { error: ended.error }),
  }
}
