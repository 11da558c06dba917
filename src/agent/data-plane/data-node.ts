/**
 * The data plane itself: store, links and sessions, put together. Runs in the worker thread.
 */
import { createPublicKey, randomBytes, verify as verifyEd25519, type KeyObject } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { blake3 } from '@napi-rs/blake-hash'
import { isWireError, Manifest, type VerifySignature } from '../../core/content/index.ts'
import { equalBytes } from '../../core/lib/bytes.ts'
import type { SwarmMessage } from '../../core/swarm/frames.ts'
import { formatAddress } from '../addresses.ts'
import { BusyInterval } from '../busy-interval.ts'
import { asPolycastError, fail, fromErrno, serialiseError } from '../errors.ts'
import { SessionThread } from '../multicast/session/client.ts'
import { createSource } from '../sources/create-source.ts'
import { createFileSource } from '../sources/file-source.ts'
import type { DataPlaneStats } from '../metrics.ts'
import type { Store, StoredContent, StoreEvent } from '../store/contract.ts'
import { openStore } from '../store/store.ts'
import { Calls } from './calls.ts'
import { multicastStats, newMulticastFigures, type MulticastPart } from './content-multicast.ts'
import type { Caller, PublishInput, ReachedNode, Ticket } from './data-plane.ts'
import { ingest, type IngestStream } from './ingest.ts'
import type { Hello, Link } from './link.ts'
import { Links } from './links.ts'
import { RateLimit } from './rate-limit.ts'
import { Session, type SessionHost } from './session.ts'
import type { Slab } from './slabs.ts'
import { openTree, TREE_MEDIA_TYPE } from './tree-source.ts'
import type { CompletedTransfer, FromWorker, MulticastSettings, WorkerMethod, WorkerMethods, WorkerOptions } from './worker-protocol.ts'

export interface DataNodeEvents {
  readonly post: (message: FromWorker) => void
  readonly incomingCall: (method: string, params: unknown, from: Caller) => Promise<unknown>
}

const PROGRESS_MS = 400
const MAX_EARLY_MESSAGES = 64

export class DataNode {
  readonly #options: WorkerOptions
  readonly #events: DataNodeEvents
  readonly #instance: Uint8Array = randomBytes(16)
  readonly #links: Links
  readonly #calls: Calls
  readonly #sessions: Map<string, Session> = new Map()
  /** Contents that are being looked up for somebody who has opened them, with what was said since. */
  readonly #opening: Map<string, { link: Link; message: SwarmMessage }[]> = new Map()
  readonly #offers: Map<Link, Set<Session>> = new Map()
  readonly #toPump: Set<Link> = new Set()
  #isPumpDue = false
  /** Links that wait for the upload rate. */
  readonly #limited: Set<Link> = new Set()
  #limitTimer: NodeJS.Timeout | undefined
  readonly #transfers: Map<number, { session?: Session; cancel: () => void }> = new Map()
  readonly #watches: Map<number, string> = new Map()
  readonly #running: Map<number, AbortController> = new Map()
  readonly #publications: Map<string, AbortController> = new Map()
  /** Undefined where it is turned off. */
  readonly #multicast: { readonly part: MulticastPart; readonly sessions: SessionThread } | undefined
  #reached: readonly ReachedNode[] = []
  #groupKeys: readonly Uint8Array[] = []
  readonly #uploadLimit: RateLimit
  readonly #downloadLimit: RateLimit
  #store: Store | undefined
  #swarmPort = 0
  readonly #progress: BusyInterval = new BusyInterval(() => this.#tick(), {
    everyMs: PROGRESS_MS,
    isBusy: () => this.#transfers.size + this.#watches.size + this.#sessions.size > 0,
  })
  #ended = { sentBytes: 0, receivedBytes: 0, duplicateBytes: 0, badBytes: 0, reusedBytes: 0 }
  #droppedPeers = 0
  #evictedContents = 0
  readonly #source: { fetches: number; receivedBytes: number; retries: number } = { fetches: 0, receivedBytes: 0, retries: 0 }

  constructor(options: WorkerOptions, events: DataNodeEvents) {
    this.#options = options
    this.#events = events
    this.#uploadLimit = new RateLimit(options.uploadRateBytesPerSec, now)
    this.#downloadLimit = new RateLimit(options.downloadRateBytesPerSec, now)
    this.#multicast = options.multicast.isOn ? this.#openMulticast(options.multicast) : undefined
    this.#calls = new Calls((method, params, from) => this.#serveCall(method, params, from))
    this.#links = new Links({
      self: () => this.#self(),
      minWindowBytes: Math.min(256 * 1024, options.uploadWindowBytes),
      maxWindowBytes: options.uploadWindowBytes,
      dialTimeoutMs: options.dialTimeoutMs,
      downloadLimit: this.#downloadLimit,
      now,
      owner: {
        onHello: () => undefined,
        onMessage: (link, swarmId, message, slab) => this.#message(link, swarmId, message, slab),
        onCall: (link, frameType, body) => this.#calls.receive(link, frameType, body),
        onRoom: (link) => this.#pump(link),
        onClose: (link, reason) => this.#linkClosed(link, reason),
      },
    })
  }

  /** Opens the store and the port; resolves with the port. */
  async start(): Promise<number> {
    const { dataDirectory, quotaBytes, partialKeepMs, bind, swarmPort } = this.#options
    this.#store = await openStore({
      directory: dataDirectory,
      hash: blake3,
      verify,
      ...(quotaBytes > 0 ? { quotaBytes } : {}),
      partialMaxAgeMs: partialKeepMs > 0 ? partialKeepMs : Infinity,
      onEvent: (event) => this.#storeEvent(event),
    })
    try {
      this.#swarmPort = await this.#links.listen(bind, swarmPort)
    } catch (error) {
      await this.#store.close()
      throw error
    }
    return this.#swarmPort
  }

  handle(method: WorkerMethod, params: WorkerMethods[WorkerMethod]['params']): Promise<unknown> {
    const handlers: { [M in WorkerMethod]: (params: WorkerMethods[M]['params']) => Promise<WorkerMethods[M]['result']> } = {
      publish: (p) => this.#publish(p.input, p.name, p.publishId),
      fetch: (p) => this.#fetch(p.ticket, p.transferId),
      cancelFetch: async (p) => this.#transfers.get(p.transferId)?.cancel(),
      watchSwarm: async (p) => {
        this.#watches.set(p.watchId, p.swarmId)
        this.#progress.wake()
        this.#reportSwarm(p.watchId, p.swarmId)
      },
      unwatchSwarm: async (p) => void this.#watches.delete(p.watchId),
      output: (p) => this.#output(p.contentId, p.dest, p.allowHardLink, p.overwrite),
      contents: async () => this.store.contents(),
      content: async (p) => this.store.find(p.id)?.info(),
      pin: (p) => this.store.pin(p.id),
      unpin: (p) => this.store.unpin(p.id),
      remove: (p) => this.#remove(p.id, p.force),
      gc: () => this.store.gc(),
      verify: (p) => this.#verify(p.id),
      call: (p) => this.#call(p),
      setMulticast: async (p) => this.#setMulticast(p.reached, p.keys),
      cancelCall: async (p) => this.#running.get(p.callId)?.abort(fail('cancelled', { reason: 'the call is not needed any more' })),
      stats: async () => this.#stats(),
      close: () => this.#close(),
    }
    return (handlers[method] as (params: unknown) => Promise<unknown>)(params)
  }

  get store(): Store {
    if (this.#store === undefined) throw fail('shutting-down', {})
    return this.#store
  }

  // ---- publishing ----

  async #publish(input: PublishInput, name: string | undefined, publishId: number): Promise<Ticket> {
    const abort = new AbortController()
    const { stream, location } = await this.#openSource(input, abort.signal)
    const named = { ...stream, name: name ?? stream.name }
    const { stored, header, sealed } = await ingest(named, this.store, (content) => this.#session(content, true, []))
    this.#publications.set(stored.id, abort)
    sealed.then(
      (end) => {
        this.#publications.delete(stored.id)
        this.#events.post({ type: 'sealed', publishId, ...end })
      },
      (error: unknown) => {
        this.#publications.delete(stored.id)
        this.#log('warn', `publishing ${location} failed`, { error: asPolycastError(error).message })
        this.#events.post({ type: 'publish-failed', publishId, error: serialiseError(error) })
      },
    )
    const swarmId = this.#swarmIdOf(stored, header)
    return { swarmId, trackers: [this.#address()], name: named.name, header }
  }

  /** The id that the head hashes to: of a growing header or of a root. */
  #swarmIdOf(stored: StoredContent, header: string): string {
    const id = Buffer.from(blake3(Buffer.from(header, 'base64'))).toString('hex')
    return this.#sessions.has(id) ? id : stored.id
  }

  async #openSource(input: PublishInput, signal: AbortSignal): Promise<{ stream: IngestStream; location: string }> {
    if ('path' in input) {
      const stats = await stat(input.path).catch((error: unknown) => {
        throw fromErrno(error, { doing: 'read-path', path: input.path })
      })
      if (stats.isDirectory()) {
        return { stream: { ...(await openTree(input.path, signal)), mediaType: TREE_MEDIA_TYPE }, location: input.path }
      }
      const source = createFileSource(input.path)
      return { stream: { ...(await source.open({ signal })), treeBytes: 0 }, location: source.location }
    }
    this.#source.fetches++
    const source = createSource(input.url, {
      ...this.#options.source,
      onRetry: () => this.#source.retries++,
      ...(input.headers === undefined ? {} : { headers: input.headers }),
    })
    const opened = await source.open({ signal })
    const chunks = this.#metered(opened.chunks)
    return { stream: { ...opened, chunks, treeBytes: 0, digest: input.digest }, location: source.location }
  }

  async *#metered(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      this.#source.receivedBytes += chunk.length
      yield chunk
      await this.#downloadLimit.taken(chunk.length)
    }
  }

  // ---- fetching ----

  async #fetch(ticket: Ticket, transferId: number): Promise<CompletedTransfer> {
    const abort = new AbortController()
    const transfer: { session?: Session; cancel: () => void } = {
      cancel: () => abort.abort(fail('cancelled', { reason: 'it is not wanted any more' })),
    }
    this.#transfers.set(transferId, transfer)
    this.#progress.wake()
    try {
      const session = await this.#join(ticket, abort.signal)
      transfer.session = session
      const stopUsing = session.use()
      try {
        await Promise.race([session.completed(), aborted(abort.signal)])
      } finally {
        stopUsing()
      }
      const progress = session.progress()
      const contentId = session.stored.manifest.contentId()
      return {
        contentId: contentId === undefined ? session.swarmId : Buffer.from(contentId).toString('hex'),
        totalBytes: progress.haveBytes,
        receivedBytes: progress.receivedBytes,
        multicastBytes: progress.multicastBytes,
        reusedBytes: progress.reusedBytes,
      }
    } finally {
      this.#transfers.delete(transferId)
    }
  }

  async #join(ticket: Ticket, signal: AbortSignal): Promise<Session> {
    const { swarmId } = ticket
    const running = this.#sessions.get(swarmId)
    if (running !== undefined) return running
    const trackers = ticket.trackers.filter((address) => address !== this.#address())
    const stored = this.store.find(swarmId)
    if (stored !== undefined) {
      await stored.recovered()
      await stored.checkUnchanged()
      return this.#session(stored, false, trackers, swarmId, ticket.multicastWaitMs)
    }
    const head = ticket.header === undefined ? await this.#askHead(swarmId, trackers, signal) : Buffer.from(ticket.header, 'base64')
    const manifest = manifestOf(head, Buffer.from(swarmId, 'hex'))
    if (manifest === undefined) throw fail('bad-request', { reason: `the ticket's header is not that of ${swarmId}` })
    const created = await this.store.create(manifest, { name: ticket.name })
    return this.#session(created, false, trackers, swarmId, ticket.multicastWaitMs)
  }

  /** Header or root of a content, from the first tracker that has it. */
  async #askHead(swarmId: string, trackers: readonly string[], signal: AbortSignal): Promise<Uint8Array> {
    let last: unknown = fail('content-not-found', { id: swarmId, where: 'on the nodes that its ticket names' })
    for (const address of trackers) {
      try {
        const link = await this.#links.dial(address)
        const answer = await this.#calls.call(link, 'swarm.head', { swarmId }, AbortSignal.any([signal, AbortSignal.timeout(10_000)]))
        if (typeof answer === 'string') return Buffer.from(answer, 'base64')
      } catch (error) {
        last = error
      }
    }
    throw last
  }

  #head(swarmId: string): string {
    const manifest = this.store.find(swarmId)?.manifest
    const isByContentId = manifest !== undefined && equalBytes(manifest.contentId() ?? new Uint8Array(0), Buffer.from(swarmId, 'hex'))
    const head = isByContentId ? manifest.rootBytes() : manifest?.headerBytes
    if (head === undefined) throw fail('content-not-found', { id: swarmId, where: `on ${this.#options.name}` })
    return Buffer.from(head).toString('base64')
  }

  // ---- sessions ----

  #session(
    stored: StoredContent,
    isOrigin: boolean,
    trackers: readonly string[],
    swarmId: string = stored.id,
    multicastWaitMs: number = 0,
  ): Session {
    const existing = this.#sessions.get(swarmId)
    if (existing !== undefined) {
      if (isOrigin) existing.becomeTracker()
      return existing
    }
    const session = new Session({ host: this.#host(), swarmId, stored, isOrigin, trackers, multicastWaitMs })
    if (!session.isEnded) this.#sessions.set(swarmId, session)
    this.#progress.wake()
    this.#pumpAll()
    return session
  }

  #host(): SessionHost {
    const { name, zone, maxNeighbours, requestTimeoutMs, stripes, stallTimeoutMs } = this.#options
    return {
      name,
      address: this.#address(),
      zone,
      peerLimits: { maxNeighbours, minRequestTimeoutMs: requestTimeoutMs },
      trackerLimits: { stripes },
      stallTimeoutMs,
      canReuse: this.store.contents().length > 1,
      multicast: this.#multicast?.part,
      now,
      linkTo: (peer) => this.#links.byName(peer),
      dial: (address) => this.#links.dial(address),
      offer: (link, session) => this.#offer(link, session),
      refill: (link) => this.#pump(link),
      uploaded: (bytes) => this.#uploadLimit.take(bytes),
      peerDropped: (peer, swarmId, reason) => {
        this.#droppedPeers++
        this.#log('warn', `peer ${peer} was dropped: ${reason}`, { peer, content: swarmId, reason })
      },
      sessionEnded: (session) => this.#sessionEnded(session),
    }
  }

  #sessionEnded(session: Session): void {
    this.#sessions.delete(session.swarmId)
    for (const offered of this.#offers.values()) offered.delete(session)
    const status = session.peer.status()
    this.#ended.sentBytes += session.sentBytes
    this.#ended.receivedBytes += status.receivedBytes
    this.#ended.duplicateBytes += status.duplicateBytes
    this.#ended.badBytes += status.badBytes
    this.#ended.reusedBytes += session.reusedBytes
  }

  // ---- multicast ----

  #openMulticast(settings: MulticastSettings): { part: MulticastPart; sessions: SessionThread } {
    const sessions = new SessionThread()
    const part: MulticastPart = {
      settings,
      sessions,
      figures: newMulticastFigures(),
      reached: () => this.#reached,
      keys: () => this.#groupKeys,
      log: (level, message, fields) => this.#log(level, message, fields),
    }
    return { part, sessions }
  }

  #setMulticast(reached: readonly ReachedNode[], keys: readonly Uint8Array[]): void {
    this.#reached = reached
    this.#groupKeys = keys
    // A content for several of them may come at any time: starting the thread takes as long as sending some MiB.
    if (reached.length >= this.#options.multicast.minReceivers) this.#multicast?.sessions.prepare()
    for (const session of this.#sessions.values()) session.multicast?.candidatesChanged()
  }

  #message(link: Link, swarmId: string, message: SwarmMessage, slab: Slab): void {
    const session = this.#sessions.get(swarmId)
    if (session !== undefined) session.message(link, message, slab)
    else this.#earlyMessage(link, swarmId, message)
    this.#pumpAll()
  }

  /** Somebody speaks of a content that no session is about: look whether it is in the store. */
  #earlyMessage(link: Link, swarmId: string, message: SwarmMessage): void {
    const waiting = this.#opening.get(swarmId)
    if (waiting !== undefined) {
      if (waiting.length < MAX_EARLY_MESSAGES && message.type !== 'data') waiting.push({ link, message })
      return
    }
    if (message.type !== 'open') return
    const stored = this.store.find(swarmId)
    if (stored === undefined) {
      link.send(swarmId, {
        type: 'close',
        reason: JSON.stringify(serialiseError(fail('content-not-found', { id: swarmId, where: `on ${this.#options.name}` }))),
      })
      return link.forget(swarmId)
    }
    this.#opening.set(swarmId, [])
    const ready = stored.recovered().then(() => stored.checkUnchanged())
    const opened = ready.then(() => {
      const early = this.#opening.get(swarmId) ?? []
      this.#opening.delete(swarmId)
      const session = this.#session(stored, false, [], swarmId)
      for (const { link: from, message: said } of early) if (!from.isClosed) session.message(from, said, NO_SLAB)
      this.#pumpAll()
    })
    opened.catch((error: unknown) => {
      this.#opening.delete(swarmId)
      link.send(swarmId, { type: 'close', reason: JSON.stringify(serialiseError(error)) })
      link.forget(swarmId)
    })
  }

  #linkClosed(link: Link, reason: string): void {
    this.#offers.delete(link)
    this.#toPump.delete(link)
    this.#limited.delete(link)
    this.#calls.linkClosed(link, reason)
    for (const session of this.#sessions.values()) session.linkClosed(link)
    this.#pumpAll()
  }

  // ---- sending ----

  #offer(link: Link, session: Session): void {
    const offered = this.#offers.get(link)
    if (offered === undefined) this.#offers.set(link, new Set([session]))
    else offered.add(session)
    this.#toPump.add(link)
    if (this.#isPumpDue) return
    this.#isPumpDue = true
    queueMicrotask(() => this.#pumpAll())
  }

  #pumpAll(): void {
    this.#isPumpDue = false
    for (const link of this.#toPump) this.#pump(link)
  }

  /** Fills a link as far as it has room, the contents in turn. */
  #pump(link: Link): void {
    this.#toPump.delete(link)
    const offered = this.#offers.get(link)
    if (offered === undefined) return
    while (offered.size > 0 && link.hasRoom()) {
      const waitMs = this.#uploadLimit.waitMs()
      if (waitMs > 0) return this.#pumpLater(link, waitMs)
      const [session] = offered
      if (session === undefined) return
      offered.delete(session)
      const bytes = session.sendNext(link, now())
      if (bytes > 0) {
        offered.add(session)
        this.#uploadLimit.take(bytes)
      }
      session.flush()
    }
  }

  /** The upload rate is used up: go on when there is some again. */
  #pumpLater(link: Link, waitMs: number): void {
    this.#limited.add(link)
    this.#limitTimer ??= setTimeout(() => {
      this.#limitTimer = undefined
      for (const waiting of this.#limited) this.#toPump.add(waiting)
      this.#limited.clear()
      this.#pumpAll()
    }, waitMs)
  }

  // ---- the rest ----

  async #output(contentId: string, dest: string, allowHardLink: boolean, overwrite: boolean): Promise<{ method: string }> {
    const stored = this.store.find(contentId)
    if (stored === undefined) throw fail('content-not-found', { id: contentId, where: 'here' })
    return stored.output(dest, { allowHardLink, overwrite })
  }

  async #remove(id: string, force: boolean): Promise<void> {
    const stored = this.store.find(id)
    if (stored !== undefined) {
      for (const session of [...this.#sessions.values()]) {
        const isIdleNow =
          this.#publications.get(stored.id) === undefined && ![...this.#transfers.values()].some((transfer) => transfer.session === session)
        if (session.stored === stored && (force || isIdleNow)) session.end('the content was removed')
      }
    }
    await this.store.remove(id, { force })
  }

  async #verify(id: string): Promise<{ chunks: number; bad: number[] }> {
    const stored = this.store.find(id)
    const result = await this.store.verify(id)
    for (const session of this.#sessions.values()) if (session.stored === stored && result.bad.length > 0) session.lost(result.bad)
    return result
  }

  async #call(p: WorkerMethods['call']['params']): Promise<unknown> {
    const abort = new AbortController()
    this.#running.set(p.callId, abort)
    const timer = setTimeout(() => {
      abort.abort(fail('member-unreachable', { address: p.address, reason: `no answer to ${p.method} within ${p.timeoutMs} ms` }))
    }, p.timeoutMs)
    try {
      if (p.address === this.#address()) return await this.#serveCall(p.method, p.params, { name: this.#options.name, address: p.address })
      const link = await Promise.race([this.#links.dial(p.address), aborted(abort.signal)])
      return await this.#calls.call(link, p.method, p.params, abort.signal)
    } finally {
      clearTimeout(timer)
      this.#running.delete(p.callId)
    }
  }

  #serveCall(method: string, params: unknown, from: Caller): Promise<unknown> {
    if (method !== 'swarm.head') return this.#events.incomingCall(method, params, from)
    const swarmId = typeof params === 'object' && params !== null && 'swarmId' in params ? String(params.swarmId) : ''
    return Promise.resolve(this.#head(swarmId))
  }

  #tick(): void {
    for (const [transferId, { session }] of this.#transfers) {
      if (session !== undefined) this.#events.post({ type: 'progress', transferId, progress: session.progress() })
    }
    for (const [watchId, swarmId] of this.#watches) this.#reportSwarm(watchId, swarmId)
    for (const session of [...this.#sessions.values()]) if (session.isIdle(now())) session.end('nobody needed it for long')
  }

  #reportSwarm(watchId: number, swarmId: string): void {
    const session = this.#sessions.get(swarmId)
    if (session === undefined) return
    const peers = session.trackedPeers().map(({ id, address, haveBytes, isComplete }) => ({ name: id, address, haveBytes, isComplete }))
    this.#events.post({ type: 'swarm', watchId, sentBytes: session.sentBytes, peers })
  }

  #stats(): DataPlaneStats {
    const total = { ...this.#ended }
    let neighbours = 0
    for (const session of this.#sessions.values()) {
      const status = session.peer.status()
      total.sentBytes += session.sentBytes
      total.receivedBytes += status.receivedBytes
      total.duplicateBytes += status.duplicateBytes
      total.badBytes += status.badBytes
      total.reusedBytes += session.reusedBytes
      neighbours += status.neighbours
    }
    const links = this.#links.totals()
    return {
      'swarm.sentBytes': total.sentBytes,
      'swarm.receivedBytes': total.receivedBytes,
      'swarm.duplicateBytes': total.duplicateBytes,
      'swarm.badBytes': total.badBytes,
      'swarm.droppedPeers': this.#droppedPeers,
      'swarm.connections': this.#links.count,
      'swarm.neighbours': neighbours,
      'swarm.active': this.#sessions.size,
      'link.sentBytes': links.sentBytes,
      'link.receivedBytes': links.receivedBytes,
      ...multicastStats(this.#multicast?.part.figures ?? newMulticastFigures()),
      'store.contents': this.store.contents().length,
      'store.bytes': this.store.usedBytes(),
      'store.reusedBytes': total.reusedBytes,
      'store.evictedContents': this.#evictedContents,
      'source.fetches': this.#source.fetches,
      'source.receivedBytes': this.#source.receivedBytes,
      'source.retries': this.#source.retries,
    }
  }

  #storeEvent(event: StoreEvent): void {
    const { type, ...fields } = event
    if (type === 'evicted') this.#evictedContents++
    const level = type === 'evicted' || type === 'recovered' ? 'info' : 'warn'
    this.#log(level, `store: ${type}`, fields)
  }

  #log(level: 'info' | 'warn' | 'error', message: string, fields: Record<string, unknown>): void {
    this.#events.post({ type: 'log', level, message, fields })
  }

  async #close(): Promise<void> {
    this.#progress.stop()
    clearTimeout(this.#limitTimer)
    for (const abort of this.#publications.values()) abort.abort()
    for (const session of [...this.#sessions.values()]) session.end('the agent is shutting down')
    this.#links.close()
    await this.#multicast?.sessions.close()
    await this.#store?.close()
    this.#store = undefined
  }

  #self(): Hello {
    return { name: this.#options.name, address: this.#address(), instance: this.#instance }
  }

  #address(): string {
    return formatAddress(this.#options.advertise, this.#swarmPort)
  }
}

/** For messages without a payload. */
const NO_SLAB: Slab = { retain: () => undefined, release: () => undefined } as unknown as Slab

const now = (): number => performance.now()

const ED25519_SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** The keys used last, for a growing content has one for all its segments and parsing it costs more than verifying. */
const keys: Map<string, KeyObject> = new Map()
const MAX_KEYS = 64

const verify: VerifySignature = (publicKey, message, signature) => {
  const name = Buffer.from(publicKey).toString('latin1')
  let key = keys.get(name)
  if (key === undefined) {
    key = createPublicKey({ key: Buffer.concat([ED25519_SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' })
    if (keys.size >= MAX_KEYS) keys.clear()
    keys.set(name, key)
  }
  return verifyEd25519(null, message, key, signature)
}

function manifestOf(head: Uint8Array, swarmId: Uint8Array): Manifest | undefined {
  for (const manifest of [Manifest.sealed(head, blake3), Manifest.growing(head, blake3, verify)]) {
    if (!isWireError(manifest) && equalBytes(manifest.swarmId, swarmId)) return manifest
  }
  return undefined
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason as Error)
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
}
