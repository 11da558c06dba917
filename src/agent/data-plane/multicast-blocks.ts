/**
 * What goes into the blocks of one session: the manifest in order, and the chunks that its receivers lack, read from the store as soon as
 * they are in it. Which chunk is next is the plan's matter (core/multicast), how a block is laid out the builder's.
 */
import { BlockBuilder } from '../../core/multicast/block-builder.ts'
import { decodeNeeds, encodeNeeds } from '../../core/multicast/needs.ts'
import { SendPlan } from '../../core/multicast/send-plan.ts'
import { Bitfield } from '../../core/lib/bitfield.ts'
import { isWireError } from '../../core/wire/wire-error.ts'
import type { ManifestView } from './manifest-view.ts'

/** A block, or that there is none now. */
export interface NextBlock {
  readonly payload: Uint8Array | undefined
  /** Nothing more will come. */
  readonly isEnd: boolean
  /** There is a little, which goes out alone after this, ms. */
  readonly retryMs?: number
}

/** Blocks of a session for the receivers that have joined it. */
export interface BlockSource {
  /**
   * A receiver said what it has. One that comes late is sent what was sent before only where `isLossy`: TCP, and so the swarm, is slow there,
   * and a session is not. Elsewhere the swarm brings it at the same time as the session brings the rest.
   */
  joined(name: string, app: Uint8Array, isLossy: boolean): void
  left(name: string): void
  /** One call at a time. */
  next(): Promise<NextBlock>
}

/** What blocks are made of. */
export interface BlockContent {
  readonly view: ManifestView
  /** Chunks that can be read. */
  have(): Bitfield
  /** Every chunk is here, and known to be the last. */
  isDone(): boolean
  /** Bytes of the content, of chunks that are here. */
  readBytes(offset: number, length: number): Promise<Uint8Array>
}

/** How long a little that came of a slow source waits for more, ms. */
const FLUSH_MS = 8
/** Chunks that are looked at for one block. */
const MAX_RUN_CHUNKS = 1024
/** What a receiver says that has nothing. */
const NOTHING = new Uint8Array([0, 0])

export class ContentBlocks implements BlockSource {
  readonly #content: BlockContent
  readonly #builder: BlockBuilder
  readonly #blockBytes: number
  readonly #plan: SendPlan
  /** Chunks below this are available. */
  #availableTo = 0
  readonly #handedOut: (firstChunk: number, count: number) => void
  readonly #sent: Bitfield = new Bitfield(0)
  #manifestFrom = 0
  #hasHead = true
  #hasSeal = false
  #waitsSince: number = Infinity

  /** @param handedOut chunks are on their way */
  constructor(
    content: BlockContent,
    options: {
      readonly blockBytes: number
      readonly handedOut: (firstChunk: number, count: number) => void
    },
  ) {
    this.#content = content
    this.#blockBytes = options.blockBytes
    this.#builder = new BlockBuilder(options.blockBytes)
    this.#plan = new SendPlan({ minLateReceivers: 1 })
    this.#handedOut = options.handedOut
  }

  joined(name: string, app: Uint8Array, isLossy: boolean): void {
    this.#look()
    if (!isLossy && this.#sent.count > 0) return void this.#plan.join(name, this.#withSent(app))
    // Who says what cannot be read has nothing.
    if (this.#plan.join(name, app)?.disposition === 'disconnect') this.#plan.join(name, NOTHING)
  }

  left(name: string): void {
    this.#plan.leave(name)
  }

  async next(): Promise<NextBlock> {
    for (;;) {
      this.#addManifest()
      const block = this.#builder.take()
      if (block !== undefined) return this.#give(block)
      const { view } = this.#content
      const isLast = this.#content.isDone()
      this.#look()
      const run = this.#plan.next(this.#runChunks())
      if (run === undefined) {
        if (isLast || this.#hasWaited()) {
          const rest = this.#builder.take(true)
          if (rest !== undefined) return this.#give(rest)
        }
        return { payload: undefined, isEnd: isLast, ...(this.#builder.isEmpty ? {} : { retryMs: FLUSH_MS }) }
      }
      const { firstChunk, count } = run
      const bytes = await this.#content.readBytes(view.manifest.chunkOffset(firstChunk), view.rangeBytes(firstChunk, count))
      const lengths = Array.from({ length: count }, (_, i) => view.manifest.chunkBytes(firstChunk + i))
      this.#builder.addChunks(firstChunk, lengths, bytes)
      this.#handedOut(firstChunk, count)
      if (firstChunk + count > this.#sent.length) this.#sent.grow(firstChunk + count)
      this.#sent.setRange(firstChunk, count)
    }
  }

  /** What a receiver has, and what it gets by the swarm since it was sent before. */
  #withSent(app: Uint8Array): Uint8Array {
    const held = this.#sent.clone()
    held.grow(Math.max(held.length, this.#content.view.knownChunks))
    const ranges = decodeNeeds(app)
    if (isWireError(ranges)) return encodeNeeds(held)
    for (let i = 0; i < ranges.length; i += 2) {
      const end = Math.min(ranges[i]! + ranges[i + 1]!, held.length)
      if (end > ranges[i]!) held.setRange(ranges[i]!, end - ranges[i]!)
    }
    return encodeNeeds(held)
  }

  #give(payload: Uint8Array): NextBlock {
    this.#waitsSince = Infinity
    return { payload, isEnd: false }
  }

  /** So many chunks fill what is left of a block, about. */
  #runChunks(): number {
    const { averageBytes } = this.#content.view.manifest
    const wanted = Math.ceil((this.#blockBytes - this.#builder.waitingBytes) / averageBytes)
    return Math.min(MAX_RUN_CHUNKS, Math.max(1, wanted))
  }

  /** Takes note of what is known and can be read by now. */
  #look(): void {
    const { view } = this.#content
    const have = this.#content.have()
    this.#plan.grow(view.knownChunks)
    const end = Math.min(have.nextClear(this.#availableTo), view.knownChunks)
    if (end <= this.#availableTo) return
    this.#plan.setAvailable(this.#availableTo, end - this.#availableTo)
    this.#availableTo = end
  }

  #addManifest(): void {
    for (;;) {
      const { parts, next, hasHead, hasSeal } = this.#content.view.manifestParts(this.#manifestFrom, this.#hasHead, this.#hasSeal)
      this.#manifestFrom = next
      this.#hasHead = hasHead
      this.#hasSeal = hasSeal
      if (parts.length === 0) return
      for (const part of parts) this.#builder.addManifest(part)
    }
  }

  /** Whether a begun block has waited long enough for more. */
  #hasWaited(): boolean {
    if (this.#builder.isEmpty) return false
    const now = performance.now()
    if (this.#waitsSince === Infinity) this.#waitsSince = now
    return now - this.#waitsSince >= FLUSH_MS
  }
}
