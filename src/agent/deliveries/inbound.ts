/**
 * The receiving side of deliveries: takes an offer, brings the content into the store, writes it to the destination, and
 * tells the origin with a receipt until the origin has acknowledged it.
 *
 * An offer is recorded before it is accepted and the receipt before it is told, so that a node that dies at any point goes
 * on after its restart. The same offer again changes nothing; one of a later attempt replaces the ticket.
 */
import { mkdir } from 'node:fs/promises'
import type { DataPlane, TransferProgress } from '../data-plane/data-plane.ts'
import { asPolycastError, deserialiseError, fail, fromErrno, isPolycastError, serialiseError } from '../errors.ts'
import type { ErrorBody, PolycastError } from '../errors.ts'
import { orCancelled } from './acquisitions.ts'
import type { Calls, ServiceLog } from './calls.ts'
import { isLive } from './calls.ts'
import type { Catalog, InboundRecord } from './catalog.ts'
import type { Clock } from '../clock.ts'
import { pause } from './pause.ts'
import type { Receipt } from './delivery-info.ts'
import { checkTakesFile, resolveDestination } from './destination.ts'
import { askParams, cancelParams, nothing, offerParams } from './messages.ts'
import type { OfferParams, StandingResult } from './messages.ts'
import { Throttle } from '../throttle.ts'
import type { TransferHold, Transfers } from './transfers.ts'

interface Parts {
  readonly dataPlane: DataPlane
  readonly catalog: Catalog
  readonly calls: Calls
  readonly clock: Clock
  readonly log: ServiceLog
  readonly transfers: Transfers
  /** Directories below which deliveries may be written; relative destinations are below the first. */
  readonly destRoots: readonly string[]
  /** Deliveries that are received at the same time; more are refused as `overloaded` and offered again by their origin. */
  readonly maxInbound: number
  readonly callTimeoutMs: number
  readonly allowHardLink: boolean
}

/** The origin's own timer comes first; this one is for an origin that is gone. */
const DEADLINE_GRACE_MS = 5_000
const RECEIPT_RETRY_FIRST_MS = 250
const RECEIPT_RETRY_MOST_MS = 30_000
/** A receipt that nobody takes for so long is kept here, but not told any more. */
const RECEIPT_GIVE_UP_MS = 7 * 24 * 3_600_000

/** The deliveries that this node receives. */
export class Inbounds {
  readonly #parts: Parts
  readonly #running = new Map<string, InboundRun>()
  readonly #reporting = new Map<string, Promise<void>>()
  /** Deliveries whose receipt changed while an older one was being told. */
  readonly #reportAgain = new Set<string>()
  readonly #closing = new AbortController()
  /** Aborted and replaced whenever a member comes (back) to life: waiting reports are tried at once. */
  #woken = new AbortController()
  readonly #unwatch: () => void

  constructor(parts: Parts) {
    this.#parts = parts
    parts.calls.handle('delivery.offer', offerParams, (params, from) => this.#serveOffer(params, from))
    parts.calls.handle('delivery.ask', askParams, ({ id }, from) => Promise.resolve(this.#standing(id, from.name)))
    parts.calls.handle('delivery.cancel', cancelParams, ({ id, error }, from) => this.#serveCancel(id, error, from.name))
    this.#unwatch = parts.calls.onChange((member) => {
      if (!isLive(member)) return
      this.#woken.abort()
      this.#woken = new AbortController()
    })
  }

  /** Creates the default roots, then goes on with what the last end of this process interrupted. Errors: dest-not-writable. */
  async resume(): Promise<void> {
    for (const root of this.#parts.destRoots.slice(0, 1)) {
      await mkdir(root, { recursive: true }).catch((error: unknown) => {
        throw fromErrno(error, { doing: 'write-dest', path: root })
      })
    }
    for (const record of [...this.#parts.catalog.inbounds.values()]) {
      if (record.isAcknowledged) continue
      if (record.receipt === undefined) {
        this.#parts.log.info({ delivery: record.id, origin: record.origin.name }, 'going on with a delivery that was interrupted')
        this.#start(record)
      } else {
        this.#report(record.id)
      }
    }
  }

  /** Deliveries being received, for the metrics. */
  get size(): number {
    return this.#running.size
  }

  /** Stops without ending anything: the next start goes on. */
  async close(): Promise<void> {
    this.#unwatch()
    this.#closing.abort()
    this.#woken.abort()
    const running = [...this.#running.values()]
    for (const run of running) run.interrupt()
    await Promise.allSettled([...running.map((run) => run.ended), ...this.#reporting.values()])
  }

  async #serveOffer(params: OfferParams, from: { name: string; address: string }): Promise<StandingResult> {
    const { catalog, clock } = this.#parts
    if (this.#closing.signal.aborted) throw fail('shutting-down', {})
    const known = catalog.inbounds.get(params.id)
    if (known !== undefined && known.origin.name !== from.name)
      throw fail('bad-request', { reason: `the delivery ${params.id} belongs to another node` })
    const hasFailed = known?.receipt !== undefined && known.receipt.status !== 'done'
    if (known !== undefined && (params.attempt <= known.attempt || (known.receipt !== undefined && !hasFailed))) {
      return this.#standing(params.id, from.name)
    }
    if (known === undefined && this.#running.size >= this.#parts.maxInbound)
      throw fail('overloaded', { reason: `it receives ${this.#running.size} deliveries already` })
    // A destination that can't be is refused before anything is fetched.
    const destination = await resolveDestination(this.#parts.destRoots, params)
    if (params.isTree === false) await checkTakesFile(destination)
    const meanwhile = catalog.inbounds.get(params.id)
    if (meanwhile !== known) return this.#standing(params.id, from.name)
    const now = clock.now()
    const record: InboundRecord = {
      id: params.id,
      origin: { name: from.name, address: from.address },
      ticket: params.ticket,
      attempt: params.attempt,
      name: params.name,
      dest: params.dest,
      createDirectories: params.createDirectories,
      receivedAt: known?.receivedAt ?? now,
      ...(params.remainingMs === undefined ? {} : { deadline: now + params.remainingMs + DEADLINE_GRACE_MS }),
      progressMs: params.progressMs,
      isAcknowledged: false,
    }
    const before = this.#running.get(params.id)
    this.#running.delete(params.id)
    before?.interrupt()
    const written = catalog.record({ t: 'inbound', inbound: record })
    this.#start(record)
    await written
    return { state: 'running' }
  }

  #standing(id: string, origin: string): StandingResult {
    const record = this.#parts.catalog.inbounds.get(id)
    if (record === undefined || record.origin.name !== origin) return { state: 'unknown' }
    return record.receipt === undefined ? { state: 'running' } : { state: 'ended', receipt: record.receipt }
  }

  async #serveCancel(id: string, error: ErrorBody, from: string): Promise<object> {
    const record = this.#parts.catalog.inbounds.get(id)
    if (record === undefined || record.origin.name !== from) return {}
    const run = this.#running.get(id)
    if (run !== undefined) {
      run.cancel(deserialiseError(error))
      await run.ended
    }
    await this.#acknowledged(id)
    return {}
  }

  #start(record: InboundRecord): void {
    const run = new InboundRun(this.#parts, record)
    this.#running.set(record.id, run)
    run.ended
      .then(async (receipt) => {
        // An interrupted run has no receipt; a replaced one has none that counts.
        if (receipt === undefined || this.#running.get(record.id) !== run) return
        this.#running.delete(record.id)
        await this.#parts.catalog.record({ t: 'inbound-receipt', id: record.id, receipt })
        await this.#parts.catalog.sync()
        this.#report(record.id)
      })
      .catch((error: unknown) => {
        // The receipt isn't durable, so it is told all the same while this process lives.
        this.#parts.log.error(
          { delivery: record.id, reason: asPolycastError(error).message },
          'the catalog cannot be written; a restart would repeat a delivery',
        )
        this.#report(record.id)
      })
  }

  #report(id: string): void {
    if (this.#closing.signal.aborted) return
    if (this.#reporting.has(id)) {
      this.#reportAgain.add(id)
      return
    }
    const reporting = this.#reportUntilAcknowledged(id)
      .catch((error: unknown) => {
        this.#parts.log.error({ delivery: id, err: error }, 'a receipt could not be told')
      })
      .finally(() => {
        this.#reporting.delete(id)
        if (this.#reportAgain.delete(id)) this.#report(id)
      })
    this.#reporting.set(id, reporting)
  }

  async #reportUntilAcknowledged(id: string): Promise<void> {
    const { calls, catalog, clock, log } = this.#parts
    for (let delayMs = RECEIPT_RETRY_FIRST_MS; !this.#closing.signal.aborted; delayMs = Math.min(delayMs * 2, RECEIPT_RETRY_MOST_MS)) {
      const record = catalog.inbounds.get(id)
      if (record?.receipt === undefined || record.isAcknowledged || clock.now() - record.receipt.at > RECEIPT_GIVE_UP_MS) return
      const woken = AbortSignal.any([this.#woken.signal, this.#closing.signal])
      try {
        const params = { id, attempt: record.attempt, receipt: record.receipt }
        await calls.call(record.origin, 'delivery.receipt', params, nothing, {
          timeoutMs: this.#parts.callTimeoutMs,
          signal: this.#closing.signal,
        })
        // A new attempt may have begun while this one's receipt was on its way.
        if (catalog.inbounds.get(id)?.attempt === record.attempt) await this.#acknowledged(id)
        return
      } catch (error) {
        if (isPolycastError(error, 'delivery-not-found')) return this.#acknowledged(id)
        if (this.#closing.signal.aborted) return
        log.debug(
          { delivery: id, origin: record.origin.name, reason: asPolycastError(error).message },
          'the origin did not take the receipt; trying again',
        )
      }
      await pause(clock, delayMs, woken)
    }
  }

  async #acknowledged(id: string): Promise<void> {
    if (this.#parts.catalog.inbounds.get(id)?.isAcknowledged === false) await this.#parts.catalog.record({ t: 'inbound-acknowledged', id })
  }
}

/** One delivery being received. */
class InboundRun {
  /** The receipt; undefined when it was interrupted. Never rejects. */
  readonly ended: Promise<Receipt | undefined>
  readonly #parts: Parts
  readonly #record: InboundRecord
  readonly #abort = new AbortController()
  #why: PolycastError | undefined
  #progress: TransferProgress = { haveBytes: 0, totalBytes: undefined, receivedBytes: 0, multicastBytes: 0, reusedBytes: 0, peers: 0 }

  constructor(parts: Parts, record: InboundRecord) {
    this.#parts = parts
    this.#record = record
    this.ended = this.#run()
  }

  interrupt(): void {
    this.#abort.abort()
  }

  cancel(why: PolycastError): void {
    this.#why ??= why
    this.#abort.abort()
  }

  async #run(): Promise<Receipt | undefined> {
    const { log } = this.#parts
    const { id, origin } = this.#record
    const cancelDeadline = this.#scheduleDeadline()
    try {
      const receipt = await this.#receive()
      log.info(
        { delivery: id, origin: origin.name, path: receipt.path, receivedBytes: receipt.receivedBytes, reusedBytes: receipt.reusedBytes },
        'received a delivery',
      )
      return receipt
    } catch (raw) {
      if (this.#abort.signal.aborted && this.#why === undefined) return undefined
      const error = this.#why ?? asPolycastError(raw)
      log.warn(
        { delivery: id, origin: origin.name, code: error.code, reason: error.message, ...(error.code === 'internal' ? { err: raw } : {}) },
        'a delivery failed here',
      )
      return this.#receipt({ status: 'failed', error: serialiseError(error), totalBytes: this.#progress.totalBytes ?? 0 })
    } finally {
      cancelDeadline?.()
    }
  }

  #scheduleDeadline(): (() => void) | undefined {
    const { clock } = this.#parts
    const { deadline, receivedAt } = this.#record
    if (deadline === undefined) return undefined
    return clock.schedule(Math.max(0, deadline - clock.now()), () => {
      const { haveBytes, totalBytes } = this.#progress
      this.cancel(fail('delivery-timeout', { timeoutMs: deadline - receivedAt, have: haveBytes, total: totalBytes ?? 'unknown' }))
    })
  }

  async #receive(): Promise<Receipt> {
    const { dataPlane, transfers, destRoots } = this.#parts
    const throttle = this.#progressToOrigin()
    let hold: TransferHold | undefined
    try {
      hold = transfers.join(this.#record.ticket, (progress) => {
        this.#progress = progress
        throttle?.poke()
      })
      const result = await orCancelled(hold.done, this.#abort.signal)
      const { receivedBytes, multicastBytes, reusedBytes } = result
      this.#progress = { ...this.#progress, receivedBytes, multicastBytes, reusedBytes }
      const path = await resolveDestination(destRoots, this.#record)
      await orCancelled(
        dataPlane.output(result.contentId, path, { overwrite: true, allowHardLink: this.#parts.allowHardLink }),
        this.#abort.signal,
      )
      return this.#receipt({ status: 'done', contentId: result.contentId, path, totalBytes: result.totalBytes })
    } finally {
      hold?.release()
      throttle?.close()
    }
  }

  #receipt(how: Pick<Receipt, 'status' | 'totalBytes'> & Partial<Receipt>): Receipt {
    const { calls, clock } = this.#parts
    const now = clock.now()
    const { receivedBytes, multicastBytes, reusedBytes } = this.#progress
    return {
      member: calls.selfName,
      receivedBytes,
      multicastBytes,
      reusedBytes,
      durationMs: now - this.#record.receivedAt,
      at: now,
      ...how,
    }
  }

  #progressToOrigin(): Throttle | undefined {
    const { calls, clock, log } = this.#parts
    const { id, origin, progressMs } = this.#record
    if (progressMs === 0) return undefined
    return new Throttle(clock, progressMs, () => {
      const params = { id, haveBytes: this.#progress.haveBytes }
      calls
        .call(origin, 'delivery.progress', params, nothing, { timeoutMs: this.#parts.callTimeoutMs, signal: this.#abort.signal })
        .catch((error: unknown) => {
          log.debug({ delivery: id, reason: asPolycastError(error).message }, 'the origin was not told the progress')
        })
    })
  }
}
