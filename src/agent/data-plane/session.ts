/**
 * One content's swarm on this node: drives the peer machine, and where this node is the tracker the tracker machine as well.
 *
 * It carries out what the machines want and feeds them what happens; what to ask of whom is decided in core/swarm.
 */
import { Random } from '../../core/lib/random.ts'
import type { AnnounceMessage, SwarmMessage } from '../../core/swarm/frames.ts'
import { SwarmPeer } from '../../core/swarm/peer.ts'
import type { PeerInput, PeerOutput } from '../../core/swarm/peer-types.ts'
import { SwarmTracker, type TrackedPeer, type TrackerLimits } from '../../core/swarm/tracker.ts'
import type { PeerLimits } from '../../core/swarm/peer-types.ts'
import { asPolycastError, deserialiseError, fail, serialiseError, type PolycastError } from '../errors.ts'
import type { StoredContent } from '../store/contract.ts'
import { ContentIo } from './content-io.ts'
import type { Link } from './link.ts'
import { ManifestView } from './manifest-view.ts'
import { ContentMulticast, type MulticastPart } from './content-multicast.ts'
import { Payload, Slab } from './slabs.ts'
import { TrackerContact } from './tracker-contact.ts'

/** What a session needs of the node it runs on. */
export interface SessionHost {
  readonly name: string
  readonly address: string
  readonly zone: string
  readonly peerLimits: Partial<PeerLimits>
  readonly trackerLimits: Partial<TrackerLimits>
  readonly stallTimeoutMs: number
  /** Chunks of other contents may be on this disk. */
  readonly canReuse: boolean
  /** Undefined where it is turned off. */
  readonly multicast: MulticastPart | undefined
  now(): number
  linkTo(name: string): Link | undefined
  dial(address: string): Promise<Link>
  /** There is something to send on a link. */
  offer(link: Link, session: Session): void
  /** A read for a link is done: it may be filled again. */
  refill(link: Link): void
  /** Bytes were sent by multicast: the upload rate holds for all together. */
  uploaded(bytes: number): void
  peerDropped(name: string, swarmId: string, reason: string): void
  sessionEnded(session: Session): void
}

export interface SessionOptions {
  readonly host: SessionHost
  readonly swarmId: string
  readonly stored: StoredContent
  /** This node hands the content out and plans the swarm. */
  readonly isOrigin: boolean
  /** Swarm addresses of those that plan it, this node not among them. */
  readonly trackers: readonly string[]
  /** An invitation to a multicast session is announced: nothing is asked of others for so long, ms; 0 for none. */
  readonly multicastWaitMs: number
}

export interface SessionProgress {
  readonly haveBytes: number
  readonly totalBytes: number | undefined
  readonly receivedBytes: number
  readonly multicastBytes: number
  readonly reusedBytes: number
  readonly peers: number
}

/** A session that nobody uses is kept this long for those who may still ask. */
const IDLE_MS = 60_000

export class Session {
  readonly swarmId: string
  readonly stored: StoredContent
  readonly peer: SwarmPeer
  readonly isOrigin: boolean
  tracker: SwarmTracker | undefined
  /** Bytes of chunks sent to peers, and all bytes sent by multicast. */
  sentBytes = 0
  readonly multicast: ContentMulticast | undefined
  readonly #host: SessionHost
  readonly #view: ManifestView
  readonly #io: ContentIo
  readonly #releaseHold: () => void
  /** Names that the machine knows as neighbours → the link to them. */
  readonly #links: Map<string, Link> = new Map()
  /** Peers that announced themselves to this tracker. */
  readonly #tracked: Map<string, Link> = new Map()
  readonly #contact: TrackerContact
  #timer: NodeJS.Timeout | undefined
  #timerAt = Infinity
  #isFlushing = false
  #isEnded = false
  #pendingPayload: Payload | undefined
  #users = 0
  #idleSince: number
  #isFinishing = false
  readonly #waiters: { resolve: () => void; reject: (error: PolycastError) => void }[] = []
  #error: PolycastError | undefined
  #isFinished = false
  /** Chunks below this were looked for on this node's disk. */
  #searchedTo = 0

  constructor(options: SessionOptions) {
    const { host, stored } = options
    this.#host = host
    this.swarmId = options.swarmId
    this.stored = stored
    this.isOrigin = options.isOrigin
    this.#contact = new TrackerContact({
      addresses: options.trackers,
      dial: (address) => host.dial(address),
      onUp: (link) => this.#trackerUp(link),
      onDown: () => this.#trackerDown(),
      random: Math.random,
    })
    this.#idleSince = host.now()
    this.#io = new ContentIo(stored, (error) => this.failWith(error))
    this.#releaseHold = stored.hold('a transfer')
    this.#view = new ManifestView(stored.manifest, Buffer.from(options.swarmId, 'hex'), () => this.#persistManifest())
    this.peer = new SwarmPeer(
      {
        id: host.name,
        address: host.address,
        zone: host.zone,
        content: this.#view,
        isOrigin: options.isOrigin,
        canReuse: host.canReuse && !options.isOrigin,
        random: new Random(`${host.name} ${options.swarmId}`),
        limits: host.peerLimits,
      },
      stored.have.clone(),
      host.now(),
    )
    this.multicast = host.multicast === undefined ? undefined : this.#openMulticast(host.multicast)
    if (options.isOrigin) this.becomeTracker()
    if (options.multicastWaitMs > 0) this.multicast?.expect(options.multicastWaitMs)
    this.flush()
    if (!this.peer.isDone) void this.#contact.connect()
  }

  get isEnded(): boolean {
    return this.#isEnded
  }

  /** Nobody has used the session for long. */
  isIdle(now: number): boolean {
    let isUsed = this.#users > 0 || this.#waiters.length > 0
    for (const neighbour of this.peer.neighbours.values()) {
      if ((neighbour.subscription?.mask ?? 0) !== 0 || now - neighbour.askedAt < IDLE_MS) isUsed = true
    }
    if (isUsed || this.multicast?.isActive === true) this.#idleSince = now
    return now - this.#idleSince > IDLE_MS
  }

  /** Bytes that other contents on this disk gave. */
  get reusedBytes(): number {
    return this.#io.reusedBytes
  }

  progress(): SessionProgress {
    const status = this.peer.status()
    const { manifest } = this.stored
    return {
      haveBytes: status.haveBytes,
      totalBytes: manifest.root()?.totalBytes ?? manifest.header?.expectedBytes,
      receivedBytes: status.receivedBytes,
      multicastBytes: this.multicast?.receivedBytes ?? 0,
      reusedBytes: this.reusedBytes,
      peers: status.neighbours,
    }
  }

  trackedPeers(): TrackedPeer[] {
    return this.tracker?.peers() ?? []
  }

  /** Somebody on this node needs the session; the function returned ends that. */
  use(): () => void {
    this.#users++
    let isUsed = true
    return () => {
      if (isUsed) this.#users--
      isUsed = false
      this.#idleSince = this.#host.now()
    }
  }

  /** Resolves once every chunk is here, written and durable; rejects when that can't be any more. */
  completed(): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    if (this.#isFinished) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }))
  }

  becomeTracker(): void {
    if (this.tracker !== undefined) return
    const runChunks = this.#view.runChunks
    this.tracker = new SwarmTracker({
      originId: this.#host.name,
      originAddress: this.#host.address,
      originZone: this.#host.zone,
      runChunks,
      runBytes: runChunks * this.stored.manifest.averageBytes,
      random: new Random(`tracker ${this.swarmId}`),
      limits: this.#host.trackerLimits,
    })
    this.multicast?.becomeOrigin()
  }

  // ---- what happens ----

  /** The author's side: chunks were read from the source and are in the manifest; `parts` are their bytes. */
  async ingested(firstChunk: number, count: number, payload: Payload): Promise<void> {
    const writing = this.#io.ingest(firstChunk, count, payload)
    this.peer.handle({ type: 'stored', firstChunk, count }, this.#host.now())
    this.flush()
    await writing
    this.multicast?.grew()
  }

  manifestGrew(): void {
    this.peer.handle({ type: 'manifest-grew' }, this.#host.now())
    this.flush()
    this.multicast?.grew()
  }

  /** Chunks turned out damaged on disk. */
  lost(chunks: readonly number[]): void {
    for (const chunk of chunks) this.peer.handle({ type: 'lost', firstChunk: chunk, count: 1 }, this.#host.now())
    this.flush()
  }

  message(link: Link, message: SwarmMessage, slab: Slab): void {
    if (this.#isEnded) return
    const now = this.#host.now()
    switch (message.type) {
      case 'open':
        return
      case 'announce':
        return this.#announced(link, message, now)
      case 'close':
        return this.#closed(link, message.reason, now)
      case 'invite':
        // Of who plans the swarm alone: whoever invites keeps a receiver from asking others.
        if (message.invitation.length === 0) this.multicast?.declined(link.name)
        else if (link === this.#contact.link) this.multicast?.invited(message.invitation)
        return this.flush()
      case 'data':
        this.#data(link, message, slab, now)
        break
      case 'plan':
        if (link !== this.#contact.link) return
        this.peer.handle({ type: 'message', from: link.name, message }, now)
        break
      default:
        this.#neighbour(link, now)
        this.peer.handle({ type: 'message', from: link.name, message }, now)
    }
    this.flush()
  }

  linkClosed(link: Link): void {
    const now = this.#host.now()
    this.#io.forget(link)
    if (this.#tracked.get(link.name) === link) {
      this.#tracked.delete(link.name)
      this.tracker?.handle({ type: 'gone', id: link.name }, now)
    }
    if (this.#links.get(link.name) === link) {
      this.#links.delete(link.name)
      this.peer.handle({ type: 'neighbour-down', id: link.name }, now)
    }
    if (this.#contact.link === link) this.#contact.lost()
    if (!this.#isEnded) this.flush()
  }

  /** Sends the next range on a link with room; false if there is none. */
  sendNext(link: Link, now: number): number {
    if (this.#io.isBusy(link)) return 0
    const range = this.peer.nextUpload(link.name, now)
    if (range === undefined) return 0
    const { firstChunk, count } = range
    const cached = this.#io.cached(firstChunk, count)
    const bytes = this.#view.rangeBytes(firstChunk, count)
    this.sentBytes += bytes
    if (cached !== undefined) link.sendData(this.swarmId, firstChunk, count, cached)
    else void this.#readAndSend(link, firstChunk, count, bytes)
    return bytes
  }

  failWith(error: unknown): void {
    this.fail(asPolycastError(error))
  }

  fail(error: PolycastError): void {
    if (this.#error !== undefined || this.#isFinished) return
    this.#error = error
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error)
    this.end(JSON.stringify(serialiseError(error)))
  }

  /** Leaves the swarm. */
  end(reason: string): void {
    if (this.#isEnded) return
    this.#isEnded = true
    clearTimeout(this.#timer)
    this.multicast?.end()
    this.#contact.end()
    const links = new Set([...this.#links.values(), ...this.#tracked.values()])
    if (this.#contact.link !== undefined) links.add(this.#contact.link)
    for (const link of links) {
      link.send(this.swarmId, { type: 'close', reason: reason.slice(0, 1000) })
      link.forget(this.swarmId)
    }
    this.#io.end()
    this.#releaseHold()
    const error = fail('cancelled', { reason })
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error)
    this.#host.sessionEnded(this)
  }

  // ---- carrying out ----

  /** Carries out all that the machines want, and arms the timer. */
  flush(): void {
    if (this.#isFlushing || this.#isEnded) return
    this.#isFlushing = true
    for (let outputs = this.peer.drain(); outputs.length > 0; outputs = this.peer.drain()) {
      for (const output of outputs) this.#carryOut(output)
    }
    for (const plan of this.tracker?.drain() ?? []) this.#tracked.get(plan.to)?.send(this.swarmId, plan.message)
    this.#isFlushing = false
    this.#armTimer()
  }

  #carryOut(output: PeerOutput): void {
    switch (output.type) {
      case 'send':
        this.#links.get(output.to)?.send(this.swarmId, output.message)
        // The machine has forgotten the neighbour with that: whatever it says next makes it one anew.
        if (output.message.type === 'close') this.#links.delete(output.to)
        return
      case 'announce':
        this.#contact.link?.send(this.swarmId, output.message)
        return
      case 'uploadable': {
        const link = this.#links.get(output.to)
        if (link !== undefined) this.#host.offer(link, this)
        return
      }
      case 'write':
        return this.#write(output.firstChunk, output.count, output.payload)
      case 'connect':
        void this.#connect(output.id, output.address)
        return
      case 'misbehaved': {
        this.#host.peerDropped(output.id, this.swarmId, output.reason)
        const link = this.#links.get(output.id)
        link?.close(output.reason)
        return
      }
      case 'reuse':
        void this.#io.reuse(output.fromChunk, output.upTo, (from, to) => this.#tellReused(from, to))
        return
      case 'complete':
        this.multicast?.done()
        if (!this.#isFinishing) void this.#finish()
        return
      case 'closed':
        // Whoever says so is heard in `#closed` before the machine learns that the neighbour is gone.
        return
    }
  }

  #data(link: Link, message: Extract<SwarmMessage, { type: 'data' }>, slab: Slab, now: number): void {
    this.#neighbour(link, now)
    slab.retain()
    this.#pendingPayload = new Payload(message.payload, slab)
    this.peer.handle({ type: 'message', from: link.name, message }, now)
    // The machine keeps no view: what it wants to have written is taken now, while the slab is held.
    this.flush()
    this.#pendingPayload?.release()
    this.#pendingPayload = undefined
    this.#io.slowDown(link)
  }

  /**
   * Copied into a slab, which is used again: what is kept for others while it is written would else be garbage that is old when it is freed,
   * and of that the engine bears little (measured: a collection of the whole heap for every 9 MB, a third of the CPU).
   */
  #brought(firstChunk: number, count: number, bytes: Uint8Array): void {
    const slab = Slab.take(bytes.length)
    slab.buffer.set(bytes)
    const payload = new Payload(slab.buffer.subarray(0, bytes.length), slab)
    this.#pendingPayload = payload
    this.#handle({ type: 'brought', firstChunk, count, payload: payload.bytes })
    payload.release()
    this.#pendingPayload = undefined
  }

  #handle(input: PeerInput): void {
    if (this.#isEnded) return
    this.peer.handle(input, this.#host.now())
    this.flush()
  }

  #openMulticast(part: MulticastPart): ContentMulticast {
    const { peer } = this
    const host = this.#host
    return new ContentMulticast(part, {
      name: host.name,
      stored: this.stored,
      view: this.#view,
      handle: (input) => this.#handle(input),
      brought: (firstChunk, count, bytes) => this.#brought(firstChunk, count, bytes),
      have: () => peer.have,
      isDone: () => peer.isDone,
      unwrittenBytes: () => this.#io.unwrittenBytes,
      canReuse: peer.options.canReuse,
      isSearched: () => !peer.options.canReuse || this.#searchedTo >= this.#view.knownChunks,
      candidates: () => this.tracker?.peers() ?? [],
      invite: (name, invitation) => {
        const link = this.#tracked.get(name)
        if (link === undefined || link.isClosed) return false
        link.send(this.swarmId, { type: 'invite', invitation })
        return true
      },
      decline: () => this.#contact.link?.send(this.swarmId, { type: 'invite', invitation: new Uint8Array(0) }),
      covered: (ids) => {
        this.tracker?.handle({ type: 'covered', ids }, host.now())
        this.flush()
      },
      sent: (bytes) => {
        this.sentBytes += bytes
        host.uploaded(bytes)
      },
      now: () => host.now(),
    })
  }

  #write(firstChunk: number, count: number, written: Uint8Array): void {
    // What the machine held back until its manifest came is a copy of its own.
    const payload = this.#pendingPayload?.holding(written) ?? new Payload(written)
    this.#io.write(firstChunk, count, payload)
  }

  async #readAndSend(link: Link, firstChunk: number, count: number, bytes: number): Promise<void> {
    const payload = await this.#io.read(link, firstChunk, count, bytes)
    if (payload !== undefined) link.sendData(this.swarmId, firstChunk, count, payload)
    // Whoever asked is told, and asks another peer.
    else link.send(this.swarmId, { type: 'lost', ranges: [firstChunk, count] })
    if (link.isClosed) return
    this.#host.offer(link, this)
    this.#host.refill(link)
  }

  #tellReused(from: number, to: number): void {
    const now = this.#host.now()
    const { have } = this.stored
    for (let chunk = have.nextSet(from); chunk < to;) {
      const end = Math.min(have.nextClear(chunk), to)
      this.peer.handle({ type: 'stored', firstChunk: chunk, count: end - chunk }, now)
      chunk = have.nextSet(end)
    }
    this.#searchedTo = to
    this.peer.handle({ type: 'reused', upTo: to }, now)
    this.flush()
  }

  async #finish(): Promise<void> {
    this.#isFinishing = true
    try {
      await this.#io.finish()
    } catch (error) {
      return this.fail(asPolycastError(error))
    }
    this.#isFinished = true
    this.#idleSince = this.#host.now()
    for (const waiter of this.#waiters.splice(0)) waiter.resolve()
  }

  #persistManifest(): void {
    this.stored.manifestGrew().catch((error: unknown) => this.fail(asPolycastError(error)))
    this.multicast?.grew()
  }

  #armTimer(): void {
    const deadline = this.peer.nextDeadline()
    if (deadline === this.#timerAt) return
    clearTimeout(this.#timer)
    this.#timerAt = deadline
    if (deadline === Infinity) return
    this.#timer = setTimeout(() => this.#timeout(), Math.max(0, Math.ceil(deadline - this.#host.now())))
  }

  #timeout(): void {
    this.#timerAt = Infinity
    const now = this.#host.now()
    this.peer.handleTimeout(now)
    this.#checkStall(now)
    this.flush()
  }

  #checkStall(now: number): void {
    if (this.peer.isDone || this.isOrigin || this.#waiters.length === 0) return
    const status = this.peer.status()
    if (now - status.lastProgressAt < this.#host.stallTimeoutMs) return
    const { totalBytes } = this.progress()
    this.fail(fail('transfer-stalled', { id: this.swarmId, missing: totalBytes === undefined ? 'unknown' : totalBytes - status.haveBytes }))
  }

  // ---- neighbours and trackers ----

  #neighbour(link: Link, now: number): void {
    if (this.#links.has(link.name) || link.isClosed) return
    this.#links.set(link.name, link)
    this.peer.handle({ type: 'neighbour-up', id: link.name }, now)
  }

  async #connect(id: string, address: string): Promise<void> {
    try {
      const link = this.#host.linkTo(id) ?? (await this.#host.dial(address))
      if (this.#isEnded) return
      if (link.name !== id) throw fail('member-unreachable', { address, reason: `it calls itself ${link.name}, not ${id}` })
      // Even one who has nothing to say yet is told of as a neighbour.
      link.send(this.swarmId, { type: 'have', ranges: [] })
      this.#neighbour(link, this.#host.now())
    } catch {
      // The machine reports whom it can't reach to the tracker, which plans around it.
      if (!this.#isEnded) this.peer.handle({ type: 'neighbour-down', id }, this.#host.now())
    }
    this.flush()
  }

  #announced(link: Link, message: AnnounceMessage, now: number): void {
    if (this.tracker === undefined) {
      if (!this.peer.isDone) return link.send(this.swarmId, { type: 'close', reason: 'this node does not track the content' })
      this.becomeTracker()
    }
    this.#tracked.set(link.name, link)
    this.tracker?.handle({ type: 'announce', from: link.name, message }, now)
    this.flush()
    this.multicast?.candidatesChanged()
  }

  #closed(link: Link, reason: string, now: number): void {
    if (this.#tracked.get(link.name) === link) {
      this.#tracked.delete(link.name)
      this.tracker?.handle({ type: 'gone', id: link.name }, now)
    }
    if (this.#links.delete(link.name)) this.peer.handle({ type: 'neighbour-down', id: link.name }, now)
    link.forget(this.swarmId)
    if (this.#contact.link === link) {
      const error = errorIn(reason)
      if (error !== undefined && !this.#isFinished) return this.fail(error)
      this.#contact.lost()
    }
    this.flush()
  }

  #trackerUp(link: Link): void {
    const { haveBytes } = this.peer.status()
    link.send(this.swarmId, {
      type: 'announce',
      address: this.#host.address,
      zone: this.#host.zone,
      haveBytes,
      isComplete: this.peer.isDone,
      lateStripes: [],
      slowPeers: [],
      lostPeers: [],
    })
    this.peer.handle({ type: 'tracker', isUp: true }, this.#host.now())
    this.flush()
  }

  #trackerDown(): void {
    if (this.#isFinished) this.#contact.end()
    this.peer.handle({ type: 'tracker', isUp: false }, this.#host.now())
    this.flush()
  }
}

/** The error that a `close` tells of, if it does. */
function errorIn(reason: string): PolycastError | undefined {
  if (!reason.startsWith('{')) return undefined
  try {
    return deserialiseError(JSON.parse(reason))
  } catch {
    return undefined
  }
}
