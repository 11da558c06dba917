/**
 * The blocks of a session on their way out: which datagram is next, and what can still be repaired. docs/specs/07-multicast.md §6.
 *
 * Blocks are sent in runs: first all source symbols in order and some parity, later what is asked for; no other block's packets come between,
 * so that each packet tells by `remaining` where its run ends, and a receiver knows from any later packet that it must ask. Repairs go before new
 * blocks, up to a share of what is sent. Not here: who asks, when, and whether somebody may still lack a block.
 */
import { assert } from '../lib/assert.ts'
import { type BlockLayout, fillSymbols, layoutOf, maxPayloadBytes, maxSymbolBytes, windowBlocks } from './block-layout.ts'
import { DATA_HEADER_BYTES, TAGGED_FROM, writeDataHeader, writeTag } from './data-packet.ts'
import { Pacer } from './pacer.ts'
import { ParityAhead } from './parity-ahead.ts'
import { SenderBlock } from './sender-block.ts'
import type { SenderLimits, SenderOptions } from './session-machine-types.ts'
import { sessionIdBytes } from './session-packets.ts'
import type { StallWatch } from './stall-watch.ts'
import { MAX_SYMBOLS } from './symbol-set.ts'

/** Parity rows that are made at a time: enough for the kernel to work on several at once, few enough not to hold up the pacing. */
const PARITY_BATCH = 8

/** Buffers of blocks that are kept for the next ones. */
const SPARE_BUFFERS = 4

/** How long a full window waits before it is looked at again, ms. */
const STALL_CHECK_MS = 2

/**
 * Packets of repairs that may go for each packet of new blocks, while the window has a place for those: one receiver that loses nearly
 * all must not stop the others.
 */
const REPAIR_SHARE = 1 / 4

/** The weight of the newest block in what is usually asked for, if it is more, and if it is less. */
const RISE_SHARE = 1 / 2
const FALL_SHARE = 1 / 8

/** One of the datagrams that are given out in turn. */
interface Slot {
  readonly bytes: Uint8Array
  readonly tagged: Uint8Array
}

interface Run {
  readonly block: SenderBlock
  readonly indices: Uint8Array
  at: number
  readonly isFirst: boolean
}

export class BlockSender {
  /** Payload bytes of a block, at the most. */
  readonly maxPayloadBytes: number
  readonly counters = { payloadBytes: 0, sourcePackets: 0, proactivePackets: 0, repairPackets: 0, resentPackets: 0, sentBytes: 0 }
  readonly #options: SenderOptions
  readonly #limits: SenderLimits
  readonly #maxSymbols: number
  readonly #symbolBytes: number
  /** Blocks that can be repaired at a time, at the most. */
  readonly windowBlocks: number
  readonly #slots: readonly Slot[]
  readonly #parity: Uint8Array
  readonly #pacer: Pacer
  readonly #stall: StallWatch
  #slot = 0
  #parityFirst = 0
  #parityCount = 0
  #run: Run | undefined
  #sequence = 0
  /** Blocks that are taken and have not begun, ascending. */
  readonly #waiting: SenderBlock[] = []
  /** Blocks that have begun and can be repaired. */
  readonly #window: Map<number, SenderBlock> = new Map()
  /** Those of them that somebody asks for. */
  readonly #asked: Set<SenderBlock> = new Set()
  readonly #spare: Uint8Array[] = []
  #taken = 0
  #begun = 0
  #firstBlock = 0
  #usualNeed = 0
  /** How long requests of a block take to come, ms; 0 in small groups, which need no parity ahead of what was measured. */
  requestsWithinMs = 0
  /** In how many of the blocks nobody is to ask. */
  unaskedShare = 0
  readonly #ahead = new ParityAhead()
  /** Blocks after their first run, until it is clear whether somebody asks. */
  readonly #unsettled: SenderBlock[] = []
  /** How many packets of repairs may go before the next new block. */
  #repairShare = 0
  #stallCheckAt = Infinity

  constructor(options: SenderOptions, limits: SenderLimits, stall: StallWatch, now: number) {
    const { parameters, cipher, code } = options
    assert(parameters.blockSymbols >= 1 && parameters.blockSymbols <= 255, 'at most 255 source symbols')
    this.#options = options
    this.#limits = limits
    this.#stall = stall
    this.#maxSymbols = Math.min(MAX_SYMBOLS, code.maxSymbols)
    assert(parameters.blockSymbols < this.#maxSymbols, 'a code with parity for a whole block')
    this.#symbolBytes = maxSymbolBytes(parameters)
    this.maxPayloadBytes = maxPayloadBytes(parameters, cipher)
    this.windowBlocks = windowBlocks(parameters, limits)
    this.#slots = makeSlots(limits.datagramSlots, DATA_HEADER_BYTES + this.#symbolBytes, sessionIdBytes(parameters.sessionId))
    this.#parity = new Uint8Array(PARITY_BATCH * this.#symbolBytes)
    this.#pacer = new Pacer(limits.burstMs, limits.burstBytes, now)
  }

  /** Sequence of the next packet. */
  get sequence(): number {
    return this.#sequence
  }

  /** The oldest block that can be repaired. */
  get firstBlock(): number {
    return this.#firstBlock
  }

  /** Blocks whose first run is over. */
  get sentBlocks(): number {
    return this.#run?.isFirst === true ? this.#begun - 1 : this.#begun
  }

  /** Blocks that have begun: who joins now gets those from here on. */
  get begunBlocks(): number {
    return this.#begun
  }

  get takenBlocks(): number {
    return this.#taken
  }

  /** Blocks that can be taken now. */
  get room(): number {
    return this.#limits.aheadBlocks - this.#waiting.length
  }

  /** Whether there is nothing to send, nor asked for. */
  get isIdle(): boolean {
    return this.#run === undefined && this.#waiting.length === 0 && this.#asked.size === 0
  }

  /** Blocks that are asked for. */
  get asked(): ReadonlySet<SenderBlock> {
    return this.#asked
  }

  /** What the first request for a block comes to, on average. */
  get usualNeed(): number {
    return this.#usualNeed
  }

  blockOf(block: number): SenderBlock | undefined {
    return this.#window.get(block)
  }

  push(payload: Uint8Array): void {
    assert(payload.length <= this.maxPayloadBytes, 'a payload that fits a block')
    const { cipher, parameters } = this.#options
    const sealed = cipher.sealBlock(this.#taken, payload)
    assert(sealed.length === payload.length + cipher.blockOverheadBytes, 'a sealed block as long as its cipher says')
    const layout = layoutOf(sealed.length, parameters)
    const symbols = this.#takeBuffer(layout)
    fillSymbols(symbols, sealed)
    this.#waiting.push(new SenderBlock(this.#taken, layout, symbols, this.#limits.maxRequestsPerBlock))
    this.#taken++
    this.counters.payloadBytes += payload.length
  }

  /** Requests of a block are to be answered from `at` on, unless that is so already. */
  ask(block: SenderBlock, at: number): void {
    this.#asked.add(block)
    block.repairAt = Math.min(block.repairAt, at)
  }

  nextDeadline(): number {
    let at = Infinity
    if (this.#run !== undefined) at = -Infinity
    for (const { repairAt } of this.#asked) at = Math.min(at, repairAt)
    if (this.#waiting.length > 0) at = Math.min(at, this.#stall.isStalled ? this.#stallCheckAt : -Infinity)
    return Math.max(at, this.#pacer.nextAt)
  }

  /** The next datagram, if one may be sent now: valid until it was asked `datagramSlots` times more. */
  nextDatagram(now: number): Uint8Array | undefined {
    if (now < this.#pacer.nextAt) return undefined
    const run = this.#run ?? this.#beginRun(now)
    if (run === undefined) return undefined
    const { block } = run
    const index = run.indices[run.at] as number
    const slot = this.#slots[this.#slot] as Slot
    this.#slot = this.#slot + 1 === this.#slots.length ? 0 : this.#slot + 1
    const bytes = block.symbolBytes
    slot.bytes.set(
      index < block.k ? block.symbols.subarray(index * bytes, index * bytes + bytes) : this.#parityOf(run, index),
      DATA_HEADER_BYTES,
    )
    const isWhole = bytes === this.#symbolBytes
    const datagram = isWhole ? slot.bytes : slot.bytes.subarray(0, DATA_HEADER_BYTES + bytes)
    writeDataHeader(datagram, block.k, index, run.indices.length - 1 - run.at, this.#sequence, now * 1000, block.block)
    const [high, low] = this.#options.cipher.tagData(isWhole ? slot.tagged : datagram.subarray(TAGGED_FROM))
    writeTag(datagram, high, low)
    this.#count(run, index, datagram.length, now)
    return datagram
  }

  #count(run: Run, index: number, bytes: number, now: number): void {
    const { counters } = this
    const { rate } = this.#options
    if (!run.isFirst) counters.repairPackets++
    else if (index < run.block.k) counters.sourcePackets++
    else counters.proactivePackets++
    counters.sentBytes += bytes
    this.#sequence++
    rate.sent(bytes, now)
    this.#pacer.charge(bytes + this.#limits.packetOverheadBytes, rate.rateBytesPerSec, now)
    run.at++
    if (run.at < run.indices.length) return
    run.block.activeAt = now
    if (run.isFirst && this.requestsWithinMs > 0) this.#unsettled.push(run.block)
    this.#run = undefined
  }

  #beginRun(now: number): Run | undefined {
    const repaired = this.#dueRepair(now)
    const share = this.#waiting.length === 0 ? MAX_SYMBOLS : this.#repairShare
    if (repaired !== undefined && share > 0) return this.#startRepair(repaired, share)
    // A full window waits for its repairs, so that they may take all that there is.
    if (this.#waiting.length === 0 || !this.#makeRoom(now)) return repaired && this.#startRepair(repaired, MAX_SYMBOLS)
    const block = this.#waiting.shift() as SenderBlock
    this.#repairShare = Math.ceil(REPAIR_SHARE * this.#options.parameters.blockSymbols)
    this.#window.set(block.block, block)
    this.#begun++
    this.#settleAhead(now)
    const ahead = this.requestsWithinMs > 0 ? this.#ahead.symbols : 0
    block.parityAhead = Math.min(this.#maxSymbols - block.k, Math.max(ahead, Math.round(block.k * this.#options.rate.proactiveShare)))
    block.usedSymbols = block.k + block.parityAhead
    return this.#startRun(block, ascending(0, block.usedSymbols), true)
  }

  /** Blocks that nobody asked for in the time that it takes. */
  #settleAhead(now: number): void {
    const unsettled = this.#unsettled
    while (unsettled.length > 0 && unsettled[0]!.activeAt + this.requestsWithinMs < now) {
      const { repairs, requests } = unsettled.shift()!
      if (repairs === 0 && requests.need === 0) this.#ahead.unasked(this.unaskedShare)
    }
  }

  /**
   * The block whose requests are to be answered now: the oldest of those of which new parity serves somebody; after them, those for which
   * symbols must be sent again, as these are asked for by few that lose much.
   */
  #dueRepair(now: number): SenderBlock | undefined {
    let due: SenderBlock | undefined
    let isDueServed = false
    for (const block of this.#asked) {
      if (block.repairAt > now) continue
      const isServed = block.requests.needWithin(this.#maxSymbols - block.usedSymbols) > 0
      if (due !== undefined && (isServed === isDueServed ? block.block > due.block : isDueServed)) continue
      due = block
      isDueServed = isServed
    }
    return due
  }

  #startRepair(block: SenderBlock, most: number): Run | undefined {
    const indices = this.#repairOf(block, most)
    this.#repairShare -= indices.length
    // Who says that it lacks symbols and has all of them gets none.
    return indices.length === 0 ? undefined : this.#startRun(block, indices, false)
  }

  #startRun(block: SenderBlock, indices: Uint8Array, isFirst: boolean): Run {
    this.#parityCount = 0
    block.beginRun(this.#sequence, indices)
    this.#run = { block, indices, at: 0, isFirst }
    return this.#run
  }

  /** At most so many of the symbols that answer the requests of a block, which are then over: who lacks more asks again. */
  #repairOf(block: SenderBlock, most: number): Uint8Array {
    const { need } = block.requests
    // One that loses far more than others says nothing of what they need.
    if (block.repairs === 0 && need <= block.k / 4) this.#ahead.asked(block.parityAhead + need, this.unaskedShare)
    if (block.repairs === 0) this.#usualNeed += (need - this.#usualNeed) * (need > this.#usualNeed ? RISE_SHARE : FALL_SHARE)
    const first = block.usedSymbols
    const unused = this.#maxSymbols - first
    const served = block.requests.needWithin(unused) || need
    // What is sent to those who lost something gets lost as often.
    const wanted = served + Math.round(served * this.#options.rate.proactiveShare)
    const fresh = Math.min(most, wanted, unused)
    const chosen = served > unused ? block.requests.chooseSent(first, wanted - served - fresh).slice(0, most - fresh) : []
    block.usedSymbols += fresh
    this.counters.resentPackets += chosen.length
    const indices = new Uint8Array(chosen.length + fresh)
    indices.set(chosen)
    indices.set(ascending(first, block.usedSymbols), chosen.length)
    block.requests.clear()
    block.repairAt = Infinity
    block.announced = 0
    block.repairs++
    this.#asked.delete(block)
    return indices
  }

  /** The parity symbol of an index, made together with those of the run that come right after it. */
  #parityOf(run: Run, index: number): Uint8Array {
    const { block, indices } = run
    const row = index - block.k
    if (row < this.#parityFirst || row >= this.#parityFirst + this.#parityCount) {
      let count = 1
      while (count < PARITY_BATCH && indices[run.at + count] === index + count) count++
      const parity = this.#parity.subarray(0, count * block.symbolBytes)
      this.#options.code.encode(block.symbols, block.k, block.symbolBytes, row, count, parity)
      this.#parityFirst = row
      this.#parityCount = count
    }
    const at = (row - this.#parityFirst) * block.symbolBytes
    return this.#parity.subarray(at, at + block.symbolBytes)
  }

  /** Whether the window has a place for another block, once what nobody needs has left it. */
  #makeRoom(now: number): boolean {
    while (this.#window.size >= this.windowBlocks) {
      const oldest = this.#window.get(this.#firstBlock) as SenderBlock
      if (this.#stall.isNeeded(oldest, now)) {
        this.#stallCheckAt = now + STALL_CHECK_MS
        return false
      }
      this.#release(oldest)
    }
    this.#stall.end()
    return true
  }

  #release(block: SenderBlock): void {
    this.#window.delete(block.block)
    this.#asked.delete(block)
    this.#firstBlock = block.block + 1
    if (block.symbols.length === this.#options.parameters.blockSymbols * this.#symbolBytes && this.#spare.length < SPARE_BUFFERS)
      this.#spare.push(block.symbols)
  }

  #takeBuffer({ k, symbolBytes }: BlockLayout): Uint8Array {
    const isWhole = k === this.#options.parameters.blockSymbols && symbolBytes === this.#symbolBytes
    return (isWhole ? this.#spare.pop() : undefined) ?? new Uint8Array(k * symbolBytes)
  }
}

function ascending(from: number, to: number): Uint8Array {
  const indices = new Uint8Array(to - from)
  for (let i = 0; i < indices.length; i++) indices[i] = from + i
  return indices
}

/** All slots lie in one buffer, with the session id written already. */
function makeSlots(count: number, datagramBytes: number, sessionId: Uint8Array): Slot[] {
  const memory = new Uint8Array(count * datagramBytes)
  return Array.from({ length: count }, (_, index) => {
    const bytes = memory.subarray(index * datagramBytes, (index + 1) * datagramBytes)
    bytes.set(sessionId)
    return { bytes, tagged: bytes.subarray(TAGGED_FROM) }
  })
}
