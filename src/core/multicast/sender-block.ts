/** A block at the sender, from its first packet until it leaves the window: its symbols, what was sent of it, and what is asked for. */
import type { BlockLayout } from './block-layout.ts'
import { RepairRequests } from './repair-requests.ts'
import { hasSymbol } from './symbol-set.ts'

/** Packets of one block, sent one after the other without another block's between them. */
interface SentRun {
  /** Sequence of its first packet. */
  readonly first: number
  readonly indices: Uint8Array
}

/** Runs that are remembered to tell requests that they have been answered; what went before is taken to have come or got lost. */
const REMEMBERED_RUNS = 8

export class SenderBlock {
  readonly block: number
  readonly k: number
  readonly symbolBytes: number
  /** The source symbols, one after the other. */
  readonly symbols: Uint8Array
  readonly requests: RepairRequests
  /** Symbols that have been sent or are about to: all indices below it. */
  usedSymbols = 0
  /** Parity of the first run. */
  parityAhead = 0
  /** Runs after the first one. */
  repairs = 0
  /** When the gathered requests are answered; Infinity while there are none. */
  repairAt: number = Infinity
  /** Of the gathered requests, what the group was told. */
  announced = 0
  /** When somebody asked last, or a run ended. */
  activeAt: number = -Infinity
  readonly #runs: SentRun[] = []

  constructor(block: number, layout: BlockLayout, symbols: Uint8Array, maxRequests: number) {
    this.block = block
    this.k = layout.k
    this.symbolBytes = layout.symbolBytes
    this.symbols = symbols
    this.requests = new RepairRequests(maxRequests)
  }

  beginRun(first: number, indices: Uint8Array): void {
    if (this.#runs.length === REMEMBERED_RUNS) this.#runs.shift()
    this.#runs.push({ first, indices })
  }

  /**
   * How many symbols that are of use to a receiver were sent at or after `sequence`, or are to come in the present run: what answers its request
   * without anything more.
   */
  underWay(sequence: number, held: Uint8Array): number {
    let count = 0
    for (const { first, indices } of this.#runs) {
      if (first + indices.length <= sequence) continue
      for (let i = Math.max(0, sequence - first); i < indices.length; i++) if (!hasSymbol(held, indices[i]!)) count++
    }
    return count
  }
}
