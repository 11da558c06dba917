/**
 * The blocks of a session on their way in: which are open, what they lack and since when, and what becomes of them. Each known block ends once: with
 * its payload, or given up, or skipped. docs/specs/07-multicast.md §5.
 */
import { maxSymbolBytes, windowBlocks } from './block-layout.ts'
import { type DataHeader, TAGGED_FROM } from './data-packet.ts'
import type { LossMeter } from './loss-meter.ts'
import { ReceivedBlock } from './received-block.ts'
import type { ReceiverLimits, ReceiverOptions, ReceiverOutput } from './session-machine-types.ts'

/** A sequence that is further from the last one than that is believed only with the right tag. */
const PLAUSIBLE_JUMP = 1024

/** Blocks that a status may make known at once, beyond which the receiver has slept too long to go on. */
const MAX_GAP_BLOCKS = 1 << 16

/** What is left of the longest run after a shorter one. */
const RUN_FADE = 0.9

/** What became of a block that is to be told in its order: undefined for given up, null for skipped. */
type Fate = Uint8Array | undefined | null

export class BlockReceiver {
  readonly counters = {
    blocks: 0,
    payloadBytes: 0,
    givenUpBlocks: 0,
    receivedPackets: 0,
    receivedBytes: 0,
    duplicatePackets: 0,
    restoredSymbols: 0,
    forgedPackets: 0,
    malformedPackets: 0,
    spoiledBlocks: 0,
  }
  readonly #options: ReceiverOptions
  readonly #limits: ReceiverLimits
  readonly #loss: LossMeter
  readonly #emit: (output: ReceiverOutput) => void
  readonly #symbolBytes: number
  readonly #maxOpen: number
  /** Ascending. */
  #open: Map<number, ReceivedBlock> = new Map()
  /** One after the highest block that is known to have been sent; −1 as long as none is. */
  #known = -1
  /** With `isOrdered`: what is to be told, and which is next. */
  readonly #held: Map<number, Fate> = new Map()
  #nextTold = Infinity
  /** The first block that was heard of, if that was before the welcome. */
  #firstHeard: number | undefined
  #suspectUntil = -Infinity
  #lastBlock = -1
  #lastChangeAt = 0
  #lastPacketAt = 0
  #runMs = 0

  constructor(options: ReceiverOptions, limits: ReceiverLimits, loss: LossMeter, emit: (output: ReceiverOutput) => void) {
    this.#options = options
    this.#limits = limits
    this.#loss = loss
    this.#emit = emit
    this.#symbolBytes = maxSymbolBytes(options.parameters)
    this.#maxOpen = windowBlocks(options.parameters, limits)
  }

  /** Blocks that are under way, ascending. */
  get open(): ReadonlyMap<number, ReceivedBlock> {
    return this.#open
  }

  /** Whether some block is known. */
  get hasBegun(): boolean {
    return this.#known >= 0
  }

  /** All blocks before it have ended. */
  get firstMissing(): number {
    for (const block of this.#open.keys()) return block
    return Math.max(0, this.#known)
  }

  /** How long a whole run lasts of late, ms. */
  get runMs(): number {
    return this.#runMs
  }

  /** The sender knows this receiver, and repairs for it from `firstBlock` on. */
  start(firstBlock: number): void {
    const heard = this.#open
    const firstHeard = this.#firstHeard
    if (firstHeard === undefined) this.#known = firstBlock
    this.#nextTold = Math.min(firstBlock, firstHeard ?? firstBlock)
    if (firstHeard !== undefined && firstHeard > firstBlock) {
      // It was welcomed before it heard anything: what it missed meanwhile is repaired like the rest.
      this.#open = new Map()
      for (let block = Math.max(firstBlock, firstHeard - this.#maxOpen); block < firstHeard; block++)
        this.#open.set(block, new ReceivedBlock(block, this.#loss.next))
      for (const [number, block] of heard) this.#open.set(number, block)
      this.#nextTold = Math.max(firstBlock, firstHeard - this.#maxOpen)
    }
    for (const block of heard.keys()) if (block < firstBlock) this.#end(block, undefined)
    this.#flush()
  }

  /** A data packet came. True if it was authentic for certain, which only the first ones of a block are checked for. */
  receive(header: DataHeader, packet: Uint8Array, now: number): boolean {
    const { counters } = this
    counters.receivedPackets++
    counters.receivedBytes += packet.length
    if (header.k > this.#options.parameters.blockSymbols || header.symbolBytes > this.#symbolBytes) {
      counters.malformedPackets++
      return false
    }
    const known = this.#open.get(header.block)
    const isJump = Math.abs((header.sequence - this.#loss.next) | 0) > PLAUSIBLE_JUMP
    const isDoubtful =
      now < this.#suspectUntil || isJump || (known === undefined ? header.block >= this.#known : !hasShapeOf(known, header))
    if (isDoubtful && !this.#isAuthentic(header, packet)) {
      counters.forgedPackets++
      return false
    }
    const sequence = this.#loss.add(header.sequence, now)
    if (header.block !== this.#lastBlock) this.#changeBlock(header.block, now)
    this.#lastPacketAt = now
    const block = known ?? this.#meet(header.block, sequence)
    if (block === undefined) {
      counters.duplicatePackets++
      return isDoubtful
    }
    if (!hasShapeOf(block, header)) block.shape(header.k, header.symbolBytes)
    if (!block.add(header, packet)) counters.duplicatePackets++
    const runEnd = sequence + 1 + header.remaining
    if (runEnd > block.runEnd) {
      // Another run: the answer to some request. What it leaves open may be asked for as soon as it is over.
      block.runEnd = runEnd
      block.runs++
      block.holdUntil = -Infinity
    }
    if (block.runEnd > this.#loss.next) block.lackingSince = Infinity
    if (block.isComplete) this.#complete(block, now)
    return isDoubtful
  }

  /** The sender's status: blocks before `firstBlock` are not repaired any more, those before `nextBlock` were sent. False if that cannot be. */
  learn(firstBlock: number, nextBlock: number): boolean {
    if (this.#known < 0) return true
    if (nextBlock - this.#known > MAX_GAP_BLOCKS) return false
    for (const block of this.#open.keys()) if (block < firstBlock) this.#end(block, undefined)
    while (this.#known < nextBlock) this.#meetNext(this.#loss.next, firstBlock)
    return true
  }

  skip(block: number): void {
    if (this.#open.has(block)) this.#end(block, null)
  }

  /** Nothing more is to come. */
  giveUpAll(): void {
    if (this.#nextTold === Infinity && this.#firstHeard !== undefined) this.#nextTold = this.#firstHeard
    for (const block of this.#open.keys()) this.#end(block, undefined)
  }

  /** Notes which blocks lack something, now that their runs are over. */
  check(now: number): void {
    const { next } = this.#loss
    for (const block of this.#open.values()) if (block.runEnd <= next && block.lackingSince === Infinity) block.lackingSince = now
  }

  /** When packets came of which block: how long a run lasts. */
  #changeBlock(block: number, now: number): void {
    // A pause after a run is no part of it: it would make requests wait where there is nothing to wait for.
    const elapsedMs = this.#lastPacketAt - this.#lastChangeAt
    // The long ones count: a repair is a short run, and waits for a whole block to end.
    if (this.#lastBlock >= 0) this.#runMs = Math.min(this.#limits.maxHoldoffMs, Math.max(elapsedMs, RUN_FADE * this.#runMs))
    this.#lastBlock = block
    this.#lastChangeAt = now
    this.check(now)
  }

  /** A block that was not known; undefined for one that has ended. */
  #meet(number: number, sequence: number): ReceivedBlock | undefined {
    if (this.#known < 0) {
      this.#known = number
      this.#firstHeard = number
    }
    if (number < this.#known || number >= this.#known + this.#limits.windowBlocks) return undefined
    let block: ReceivedBlock | undefined
    while (this.#known <= number) block = this.#meetNext(sequence, 0)
    return block
  }

  #meetNext(runEnd: number, firstBlock: number): ReceivedBlock | undefined {
    const number = this.#known++
    const block = new ReceivedBlock(number, runEnd)
    this.#open.set(number, block)
    if (number < firstBlock) this.#end(number, undefined)
    else if (this.#open.size > this.#maxOpen) this.#end(this.firstMissing, undefined)
    return block
  }

  #isAuthentic(header: DataHeader, packet: Uint8Array): boolean {
    const [high, low] = this.#options.cipher.tagData(packet.subarray(TAGGED_FROM))
    return high === header.tagHigh && low === header.tagLow
  }

  #complete(block: ReceivedBlock, now: number): void {
    const { cipher, code } = this.#options
    const { sealed, restored } = block.restore(code)
    const payload = sealed === undefined ? undefined : cipher.openBlock(block.block, sealed)
    if (payload !== undefined) {
      this.counters.restoredSymbols += restored
      this.counters.blocks++
      this.counters.payloadBytes += payload.length
      return this.#end(block.block, payload)
    }
    this.counters.spoiledBlocks++
    const forged = block.dropForged(cipher)
    this.counters.forgedPackets += forged
    this.#suspectUntil = now + this.#limits.suspectMs
    if (forged > 0) return
    // All tags are right: without a key anybody can make them. Which packet is wrong cannot be told.
    if (++block.spoiled > this.#limits.maxSpoiled) return this.#end(block.block, undefined)
    block.clear()
  }

  #end(number: number, fate: Fate): void {
    this.#open.delete(number)
    if (this.#options.isOrdered !== true) return this.#tell(number, fate)
    this.#held.set(number, fate)
    this.#flush()
  }

  #flush(): void {
    while (this.#held.has(this.#nextTold)) {
      const next = this.#nextTold++
      const held = this.#held.get(next)
      this.#held.delete(next)
      this.#tell(next, held)
    }
  }

  #tell(block: number, fate: Fate): void {
    if (fate === null) return
    if (fate !== undefined) return this.#emit({ type: 'block', block, payload: fate })
    this.counters.givenUpBlocks++
    this.#emit({ type: 'given-up', block })
  }
}

function hasShapeOf(block: ReceivedBlock, header: DataHeader): boolean {
  return block.k === header.k && block.symbolBytes === header.symbolBytes
}
