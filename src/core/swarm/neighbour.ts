/**
 * What a peer knows of one neighbour: what it has, what it asked for, what was asked of it.
 *
 * Only a record with the small sums that go with it; what follows from it is decided in `peer.ts`.
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

export class Neighbour {
  readonly id: string
  /** `host:port` of its swarm port, where known. */
  readonly address: string | undefined
  /** When it last sent anything but announcements of what it has, ms. */
  activeAt = 0
  /** When it last named other peers, ms. */
  namedPeersAt: number = -Infinity
  /** It is the content's origin: asked only for what no other neighbour has. */
  isOrigin = false
  /** Chunks it has announced. */
  readonly announced: Bitfield
  /** Chunks it has announced or was sent: nothing of these is sent unasked. */
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
  /** Chunk ranges that arrived here after the scan had passed them, `[first, count, …]`, oldest first from `freshHead` on. */
  fresh: number[] = []
  freshHead = 0
  /** When `fresh` was last empty, ms. */
  freshSince = 0
  /** Fresh ranges sent since the last one that was asked for. */
  freshInTurn = 0
  /** Chunk ranges it asked for, `[first, count, …]`. */
  asked: number[] = []
  /** The shell was told that there is something to send. */
  isOffered = false

  /** The mask that we last subscribed with. */
  mask = 0
  /** We get the manifest from it. */
  isManifestParent = false
  /** Runs that we asked it for → when, ms. */
  readonly outstanding: Map<number, number> = new Map()
  outstandingBytes = 0
  windowBytes: number = START_WINDOW_BYTES
  /** Smoothed time from request to arrival, ms. */
  latencyMs = 100
  /** Requests in a row that it left unanswered. */
  strikes = 0
  /** `receivedBytes` when the last request went unanswered. */
  receivedAtStrike = -1
  /** Until when nothing more is asked of it, ms. */
  snubbedUntil = 0
  /** Bytes that it has sent us. */
  receivedBytes = 0

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

  hasFresh(): boolean {
    return this.freshHead < this.fresh.length
  }

  /** Appends a range to send; adjoining ranges of one run are merged. */
  pushFresh(first: number, count: number, now: number): void {
    if (!this.hasFresh()) {
      this.fresh.length = 0
      this.freshHead = 0
      this.freshSince = now
    }
    this.fresh.push(first, count)
  }

  /** Runs waiting in `fresh`. */
  freshCount(): number {
    return (this.fresh.length - this.freshHead) / 2
  }

  compactFresh(): void {
    if (this.freshHead > 1024 && this.freshHead * 2 > this.fresh.length) {
      this.fresh = this.fresh.slice(this.freshHead)
      this.freshHead = 0
    }
  }

  /** How long another request of `bytes` would take, going by the last ones, ms. */
  expectedMs(bytes: number): number {
    return this.latencyMs * (1 + (this.outstandingBytes + bytes) / this.windowBytes)
  }

  /** An answer to a request came after `latencyMs`: the window grows while answers are quick and shrinks when they wait. */
  answered(latencyMs: number, bytes: number): void {
    this.latencyMs += (latencyMs - this.latencyMs) / 4
    this.strikes = 0
    this.snubbedUntil = 0
    if (latencyMs < 100) this.windowBytes = Math.min(MAX_WINDOW_BYTES, this.windowBytes + bytes)
    else if (latencyMs > 400) this.windowBytes = Math.max(MIN_WINDOW_BYTES, this.windowBytes - bytes / 2)
  }
}
