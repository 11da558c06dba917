/**
 * Multicast of one content on this node: what it receives by it (`multicast-intake.ts`) and, where it plans the swarm, what it sends
 * (`multicast-origin.ts`), put together with the content's session.
 * docs/specs/11-multicast-transfer.md.
 */
import type { Bitfield } from '../../core/lib/bitfield.ts'
import { encodeNeeds } from '../../core/multicast/needs.ts'
import { MAX_APP_BYTES } from '../../core/multicast/session-packets.ts'
import type { PeerInput } from '../../core/swarm/peer-types.ts'
import type { MulticastSessions } from '../multicast/session/client.ts'
import type { StoredContent } from '../store/contract.ts'
import type { ReachedNode } from './data-plane.ts'
import type { ManifestView } from './manifest-view.ts'
import { ContentBlocks } from './multicast-blocks.ts'
import { MulticastIntake, type IntakeFigures } from './multicast-intake.ts'
import { MulticastOrigin, type Candidate, type OriginFigures } from './multicast-origin.ts'
import type { MulticastSettings } from './worker-protocol.ts'

/** What multicast has done on this node, contents taken together. */
export interface MulticastFigures {
  readonly sent: OriginFigures
  readonly received: IntakeFigures
}

/** What all contents of a node have in common. */
export interface MulticastPart {
  readonly settings: MulticastSettings
  readonly sessions: MulticastSessions
  readonly figures: MulticastFigures
  reached(): readonly ReachedNode[]
  /** The group's keys, the primary one first. */
  keys(): readonly Uint8Array[]
  log(level: 'info' | 'warn', message: string, fields: Record<string, unknown>): void
}

/** What it needs of the session of its content. */
export interface ContentHost {
  readonly name: string
  readonly stored: StoredContent
  readonly view: ManifestView
  handle(input: PeerInput): void
  /** Chunks that a session brought, unverified; the bytes are copied. */
  brought(firstChunk: number, count: number, bytes: Uint8Array): void
  have(): Bitfield
  isDone(): boolean
  /** Bytes on their way to the disk. */
  unwrittenBytes(): number
  /** This node's disk was searched for all chunks that are known. */
  isSearched(): boolean
  /** Other contents on this disk may have some of the chunks. */
  readonly canReuse: boolean
  candidates(): Iterable<Candidate>
  invite(name: string, invitation: Uint8Array): boolean
  /** Says to who plans the swarm that nothing comes by multicast here. */
  decline(): void
  /** These get the content by multicast at present. */
  covered(names: ReadonlySet<string>): void
  sent(bytes: number): void
  now(): number
}

/** How long a receiver waits, before it joins, for what its own disk gives, ms; and how often it looks. */
const SEARCH_MS = 800
const SEARCH_STEP_MS = 10
/** Bytes on their way to the disk above which nothing is taken from a session. */
const MAX_UNWRITTEN_BYTES = 64 * 1024 * 1024
/** A manifest that has not grown for so long is as long as it is at present, ms. */
const QUIET_MS = 60

export function newMulticastFigures(): MulticastFigures {
  return {
    sent: { sessions: 0, sentBytes: 0, sourcePackets: 0, proactivePackets: 0, repairPackets: 0 },
    received: { bytes: 0, sessions: 0, blocks: 0, givenUpBlocks: 0 },
  }
}

/** The figures as the metrics name them. */
export function multicastStats({ sent, received }: MulticastFigures): {
  'multicast.sentSessions': number
  'multicast.sentBytes': number
  'multicast.sourcePackets': number
  'multicast.proactivePackets': number
  'multicast.repairPackets': number
  'multicast.receivedSessions': number
  'multicast.receivedBytes': number
  'multicast.receivedBlocks': number
  'multicast.givenUpBlocks': number
} {
  return {
    'multicast.sentSessions': sent.sessions,
    'multicast.sentBytes': sent.sentBytes,
    'multicast.sourcePackets': sent.sourcePackets,
    'multicast.proactivePackets': sent.proactivePackets,
    'multicast.repairPackets': sent.repairPackets,
    'multicast.receivedSessions': received.sessions,
    'multicast.receivedBytes': received.bytes,
    'multicast.receivedBlocks': received.blocks,
    'multicast.givenUpBlocks': received.givenUpBlocks,
  }
}

export class ContentMulticast {
  readonly #part: MulticastPart
  readonly #host: ContentHost
  readonly #intake: MulticastIntake
  #origin: MulticastOrigin | undefined
  readonly #timers: Set<NodeJS.Timeout> = new Set()
  #knownAt = 0
  #receivedBytes = 0
  /** It will be looked at what has grown. */
  #isGrowing = false
  #isEnded = false

  constructor(part: MulticastPart, host: ContentHost) {
    this.#part = part
    this.#host = host
    const { view } = host
    this.#intake = new MulticastIntake({
      name: host.name,
      sessions: part.sessions,
      ttl: part.settings.ttl,
      figures: part.figures.received,
      keys: () => part.keys(),
      get knownChunks() {
        return view.knownChunks
      },
      chunkBytes: (chunk) => view.manifest.chunkBytes(chunk),
      isMissing: (chunk) => chunk >= host.have().length || !host.have().has(chunk),
      isDone: () => host.isDone(),
      isLacking: () => host.have().count < view.knownChunks,
      needs: () => this.#needs(),
      hold: (fromChunk) => host.handle({ type: 'hold', fromChunk }),
      acceptManifest: (piece) => {
        // What is wrong with it is no neighbour's fault: the swarm brings the right one.
        view.acceptManifest(piece)
        host.handle({ type: 'manifest-grew' })
      },
      bring: (firstChunk, count, payload) => {
        // A disk that is far behind: what is let go of comes by the swarm, which waits for it.
        if (host.unwrittenBytes() > MAX_UNWRITTEN_BYTES) return
        this.#receivedBytes += payload.length
        host.brought(firstChunk, count, payload)
      },
      decline: () => host.decline(),
      log: (level, message, fields) => this.#log(level, message, fields),
      now: () => host.now(),
      after: (ms, what) => this.#after(ms, what),
    })
  }

  /** Bytes of chunks that came by multicast. */
  get receivedBytes(): number {
    return this.#receivedBytes
  }

  /** Something is sent, received or waited for. */
  get isActive(): boolean {
    return this.#intake.isActive || this.#origin?.isActive === true
  }

  /** This node plans the content's swarm, and may send it. */
  becomeOrigin(): void {
    const { settings, sessions, figures } = this.#part
    const { view, stored } = this.#host
    this.#origin ??= new MulticastOrigin({
      settings,
      sessions,
      figures: figures.sent,
      reached: () => this.#part.reached(),
      key: () => this.#part.keys()[0],
      candidates: () => this.#host.candidates(),
      totalBytes: () => this.#totalBytes(),
      blocks: (blockBytes) =>
        new ContentBlocks(
          {
            view,
            have: () => stored.have,
            isDone: () => this.#host.isDone(),
            readBytes: (offset, length) => stored.readBytes(offset, length),
          },
          {
            blockBytes,
            handedOut: (firstChunk, count) => this.#host.handle({ type: 'handed-out', firstChunk, count }),
          },
        ),
      invite: (name, invitation) => this.#host.invite(name, invitation),
      covered: (names) => this.#host.covered(names),
      sent: (bytes) => this.#host.sent(bytes),
      log: (level, message, fields) => this.#log(level, message, fields),
      now: () => this.#host.now(),
      after: (ms, what) => this.#after(ms, what),
    })
  }

  /** An invitation is announced by the ticket; small contents do not wait for one. */
  expect(waitMs: number): void {
    const total = this.#totalBytes()
    const { minBytes, isReceiving } = this.#part.settings
    if (isReceiving && (total === undefined || total >= minBytes)) this.#intake.expect(waitMs)
  }

  invited(invitation: Uint8Array): void {
    if (this.#part.settings.isReceiving) this.#intake.invited(invitation)
    else this.#host.decline()
  }

  /** A receiver does not hear the session that it was invited to. */
  declined(name: string): void {
    this.#origin?.declined(name)
  }

  candidatesChanged(): void {
    this.#origin?.changed()
  }

  /** The manifest or what can be read of the content has grown. */
  grew(): void {
    this.#knownAt = this.#host.now()
    if (this.#isGrowing) return
    this.#isGrowing = true
    // The one who says so may be the peer machine in the middle of an input.
    queueMicrotask(() => {
      this.#isGrowing = false
      if (this.#isEnded) return
      this.#intake.grew()
      this.#origin?.grew()
    })
  }

  /** Every chunk is here. */
  done(): void {
    this.#origin?.grew()
  }

  end(): void {
    this.#isEnded = true
    this.#intake.end()
    this.#origin?.end()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
  }

  #totalBytes(): number | undefined {
    const { manifest } = this.#host.view
    return manifest.root()?.totalBytes ?? manifest.header?.expectedBytes
  }

  /** What this node has, once its disk was searched: for that it has to know the manifest, which the swarm brings meanwhile. */
  async #needs(): Promise<Uint8Array> {
    const { view } = this.#host
    const start = this.#host.now()
    const isReady = (): boolean => {
      if (!this.#host.isSearched()) return false
      const isKnown = view.isComplete || (view.knownChunks > 0 && this.#host.now() - this.#knownAt > QUIET_MS)
      return isKnown || !this.#host.canReuse
    }
    while (!isReady() && this.#host.now() - start < SEARCH_MS && !this.#isEnded) {
      await new Promise<void>((resolve) => this.#after(SEARCH_STEP_MS, resolve))
    }
    return encodeNeeds(this.#host.have(), MAX_APP_BYTES)
  }

  #after(ms: number, what: () => void): () => void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      what()
    }, ms)
    this.#timers.add(timer)
    return () => {
      clearTimeout(timer)
      this.#timers.delete(timer)
    }
  }

  #log(level: 'info' | 'warn', message: string, fields: Record<string, unknown>): void {
    this.#part.log(level, message, { content: this.#host.stored.id, ...fields })
  }
}
