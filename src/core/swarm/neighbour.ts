/**
 * What a peer knows of one neighbour: what it has, what it asked for, what was asked of it.
 *
 * Only a record with the small sums that go with it; what follows from it is decided in the parts of the peer machine.
 */
import { Bitfield } from '../lib/bitfield.ts'

/** A subscription as the neighbour stated it, in its own geometry. */
export interface Subscription {
  readonly runChunks: number
  readonly stripes: number
  readonly mask: number
}

const START_WINDOW_BYTES = 256 * 1024
const MIN_WINDOW_BYTES = 64 * 1024
const MAX_WINDOW_BYTES = 16 * 1024 * 1024
/** Fresh ranges that wait for one neighbour; beyond it some are left to the scan. */
const MAX_FRESH = 256

export class Neighbour {
  readonly id: string
  /** `host:port` of its swarm port, where known. */
  readonly address: string | undefined
  /** It is the content's origin: asked only for what no other neighbour has. */
  isOrigin = false
  /** Chunks it has announced. */
  readonly announced: Bitfield
  /** Chunks it has announced, was sent, or gets from others, and has not asked for since: these are not sent. */
  readonly served: Bitfield

  /** What it wants sent unasked. */
  subscription: Subscription | undefined
  /** Chunks below this may be sent unasked. */
  clearTo = 0
  /** The next entry of our manifest to send to it; -1: it doesn't want any. */
  manifestFrom = -1
  hasManifestHead = false
  hasManifestSeal = false
  /** Our next chunk that the scan for its subscription looks at. */
  cursor = 0
  /** Sent in order: until the scan is here, what comes is left to it as well. Undefined: what is new is sent first. */
  #leftTo: number | undefined
  /** Chunk ranges that came here since it subscribed, `[first, count, …]`, oldest first from `freshHead` on. */
  fresh: number[] = []
  freshHead = 0
  /** When `fresh` was last empty, ms. */
  freshSince = 0
  /** Fresh ranges that came in this period, and that waited when it began. */
  freshPushed = 0
  freshWaitingBefore = 0
  /** Fresh ranges sent since the last one that was asked for. */
  freshInTurn = 0
  /** Chunk ranges it asked for, `[first, count, …]`. */
  asked: number[] = []
  /** The shell was told that there is something to send. */
  isOffered = false

  /** The mask that we last subscribed with. */
  mask = 0
  /** When it was first seen to have something that it was to send unasked, and might, ms. */
  owesSince: number = Infinity
  /** It was asked for something, and others brought it after long. */
  isWaitedFor = false
  /** We get the manifest from it. */
  isManifestParent = false
  /** Runs that we asked it for → when, ms. */
  readonly outstanding: Map<number, number> = new Map()
  outstandingBytes = 0
  windowBytes: number = START_WINDOW_BYTES
  /** Smoothed time from request to arrival, ms. */
  latencyMs = 100
  /** Times in a row that it said nothing when it was asked. */
  strikes = 0
  /** The run that it is tried with, after a strike mostly; -1 for none. */
  triedWith = -1
  /** Times in a row that it took back what it was asked for. */
  takenBack = 0
  /** Until when nothing more is asked of it, ms. */
  snubbedUntil = 0
  /** When it last sent chunks, ms. */
  receivedAt: number = -Infinity
  /** When it last sent anything but announcements of what it has, ms. */
  activeAt = 0
  /** When it last named other peers, ms. */
  namedPeersAt: number = -Infinity

  /** How much of the log of our own chunks it was told. */
  logPosition = 0
  /** When it last asked for something: while that is recent it is told quickly what we have. */
  askedAt: number = -Infinity

  constructor(id: string, address: string | undefined, chunks: number) {
    this.id = id
    this.address = address
    this.announced = new Bitfield(chunks)
    this.served = new Bitfield(chunks)
  }

  grow(chunks: number): void {
    if (chunks > this.announced.length) this.announced.grow(chunks)
    if (chunks > this.served.length) this.served.grow(chunks)
  }

  /** Begins anew with what is sent unasked: in order, with what comes left to the scan until that has passed chunk `leftTo`; or, without that, what is new first. */
  subscribe(subscription: Subscription, leftTo: number | undefined, now: number): void {
    this.subscription = subscription
    this.cursor = 0
    this.#leftTo = leftTo
    this.#dropFresh(now)
  }

  hasFresh(): boolean {
    return this.freshHead < this.fresh.length
  }

  /**
   * Appends a range to send, of one run. Where too many wait, those that have waited are left to the scan, for what is new keeps the trees
   * below a slow neighbour flowing. In order it is the other way round: what is new is left to the scan, and what follows too until that has
   * caught up. So for an origin, which reads faster than it sends: it would send the end of its content before the middle, and be asked for that.
   */
  pushFresh(first: number, count: number, now: number): void {
    this.freshPushed++
    const isFull = this.freshCount() >= MAX_FRESH
    if (this.#leftTo !== undefined && (isFull || this.cursor < this.#leftTo)) return this.leaveToScan(first, count)
    if (isFull) this.cursor = 0
    if (isFull || !this.hasFresh()) this.#dropFresh(now)
    this.fresh.push(first, count)
  }

  /** A range to send that the scan is to find, in order. */
  leaveToScan(first: number, count: number): void {
    this.cursor = Math.min(this.cursor, first)
    if (this.#leftTo !== undefined) this.#leftTo = Math.max(this.#leftTo, first + count)
  }

  #dropFresh(now: number): void {
    this.fresh.length = 0
    this.freshHead = 0
    this.freshSince = now
  }

  /** Runs waiting in `fresh`. */
  freshCount(): number {
    return (this.fresh.length - this.freshHead) / 2
  }

  compactFresh(): void {
    if (this.freshHead > 64 && this.freshHead * 2 > this.fresh.length) {
      this.fresh = this.fresh.slice(this.freshHead)
      this.freshHead = 0
    }
  }

  /** How long another request of `bytes` would take, going by the last ones, ms. */
  expectedMs(bytes: number): number {
    return this.latencyMs * (1 + (this.outstandingBytes + bytes) / this.windowBytes)
  }

  /** It sent chunks, asked for or not: it is not silent. */
  received(now: number): void {
    this.receivedAt = now
    this.strikes = 0
  }

  /** An answer to a request came after `latencyMs`: the window grows while answers are quick and shrinks when they wait. */
  answered(latencyMs: number, bytes: number): void {
    this.latencyMs += (latencyMs - this.latencyMs) / 4
    this.takenBack = 0
    this.snubbedUntil = 0
    if (latencyMs < 100) this.windowBytes = Math.min(MAX_WINDOW_BYTES, this.windowBytes + bytes)
    else if (latencyMs > 400) this.windowBytes = Math.max(MIN_WINDOW_BYTES, this.windowBytes - bytes / 2)
  }

  /** It left requests unanswered and was silent: asked for little when it is asked again, after ever longer pauses. */
  snub(now: number, pauseMs: number): void {
    this.strikes++
    this.windowBytes = MIN_WINDOW_BYTES
    this.snubbedUntil = now + pauseMs * 2 ** Math.min(this.strikes - 1, 4)
  }

  /** It took back what it had announced when it was asked for it: not asked for ever longer times. */
  tookBack(now: number, pauseMs: number): void {
    this.snubbedUntil = now + pauseMs * 2 ** Math.min(this.takenBack, 6)
    this.takenBack++
  }
}
