/**
 * A block that is coming in: the source symbols at their places, as much parity as is needed beside them, and of each packet what its tag covers, so
 * that a block that does not open can be searched for forged ones. docs/specs/07-multicast.md §5.
 */
import { assert } from '../lib/assert.ts'
import { sealedOf } from './block-layout.ts'
import { DATA_HEADER_BYTES, type DataHeader, TAGGED_FROM, writeDataHeader } from './data-packet.ts'
import type { ErasureCode, SessionCipher } from './session-types.ts'
import { addSymbol, hasSymbol, MAX_SYMBOLS, removeSymbol, SYMBOL_SET_BYTES } from './symbol-set.ts'

/** Tag (two halves), sequence, timestamp and remaining of a packet. */
const KEPT_WORDS = 5

/** Rows that a parity buffer begins with. */
const FIRST_PARITY_ROWS = 8

export class ReceivedBlock {
  readonly block: number
  /** 0 as long as no packet of it came: then it is only known that it was sent. */
  k = 0
  symbolBytes = 0
  /** Symbols that are there. */
  count = 0
  readonly held: Uint8Array = new Uint8Array(SYMBOL_SET_BYTES)
  /** The highest index that came. */
  highestIndex = -1
  /** One after the last packet of the newest run that is known. */
  runEnd: number
  /** Since when nothing more of it is to come without asking; Infinity while something is. */
  lackingSince: number = Infinity
  /** No request before this. */
  holdUntil: number = -Infinity
  /** Runs of which something came: the first one, and answers to requests. */
  runs = 0
  /** Requests so far. */
  requests = 0
  /** How often it was complete and did not open, without a forged packet in it. */
  spoiled = 0
  #symbols: Uint8Array = new Uint8Array(0)
  #parity: Uint8Array = new Uint8Array(0)
  #parityRows: number[] = []
  #kept: Uint32Array = new Uint32Array(0)

  constructor(block: number, runEnd: number) {
    this.block = block
    this.runEnd = runEnd
  }

  /** Symbols that it lacks; of a block that nothing came of, more than any has. */
  get missing(): number {
    return this.k === 0 ? MAX_SYMBOLS - 1 : this.k - this.count
  }

  get isComplete(): boolean {
    return this.k > 0 && this.count >= this.k
  }

  /** Takes its shape from an authentic packet, and forgets what came with another one. */
  shape(k: number, symbolBytes: number): void {
    this.k = k
    this.symbolBytes = symbolBytes
    this.#symbols = new Uint8Array(k * symbolBytes)
    this.#kept = new Uint32Array(MAX_SYMBOLS * KEPT_WORDS)
    this.clear()
  }

  /** Forgets all symbols. */
  clear(): void {
    this.count = 0
    this.held.fill(0)
    this.#parityRows = []
  }

  /** Adds the symbol of a packet of this shape; false when it is there already. */
  add(header: DataHeader, packet: Uint8Array): boolean {
    const { index } = header
    if (hasSymbol(this.held, index)) return false
    const symbol = packet.subarray(DATA_HEADER_BYTES)
    if (index < this.k) this.#symbols.set(symbol, index * this.symbolBytes)
    else this.#addParity(index - this.k, symbol)
    addSymbol(this.held, index)
    this.count++
    if (index > this.highestIndex) this.highestIndex = index
    const kept = this.#kept
    const at = index * KEPT_WORDS
    kept[at] = header.tagHigh
    kept[at + 1] = header.tagLow
    kept[at + 2] = header.sequence
    kept[at + 3] = header.timestampUs
    kept[at + 4] = header.remaining
    return true
  }

  /** Restores what is missing of a complete block. The sealed block, or undefined if it cannot be one; and how many symbols that took. */
  restore(code: ErasureCode): { readonly sealed: Uint8Array | undefined; readonly restored: number } {
    assert(this.isComplete, 'a block with enough symbols')
    const missing: number[] = []
    for (let index = 0; index < this.k; index++) if (!hasSymbol(this.held, index)) missing.push(index)
    if (missing.length > 0) {
      const rows = this.#parityRows.slice(0, missing.length)
      const parity = this.#parity.subarray(0, missing.length * this.symbolBytes)
      code.decode(this.#symbols, this.k, this.symbolBytes, missing, parity, rows)
    }
    return { sealed: sealedOf(this.#symbols), restored: missing.length }
  }

  /** Drops the packets whose tag is wrong; how many. */
  dropForged(cipher: SessionCipher): number {
    const packet = new Uint8Array(DATA_HEADER_BYTES + this.symbolBytes)
    const covered = packet.subarray(TAGGED_FROM)
    const kept = this.#kept
    const forgedRows: number[] = []
    let forged = 0
    for (let index = 0; index < MAX_SYMBOLS; index++) {
      if (!hasSymbol(this.held, index)) continue
      const at = index * KEPT_WORDS
      packet.set(this.#symbolAt(index), DATA_HEADER_BYTES)
      writeDataHeader(packet, this.k, index, kept[at + 4]!, kept[at + 2]!, kept[at + 3]!, this.block)
      const [high, low] = cipher.tagData(covered)
      if (high === kept[at] && low === kept[at + 1]) continue
      removeSymbol(this.held, index)
      if (index >= this.k) forgedRows.push(index - this.k)
      forged++
    }
    this.count -= forged
    this.#dropParity(forgedRows)
    return forged
  }

  #symbolAt(index: number): Uint8Array {
    const bytes = this.symbolBytes
    if (index < this.k) return this.#symbols.subarray(index * bytes, index * bytes + bytes)
    const place = this.#parityRows.indexOf(index - this.k)
    return this.#parity.subarray(place * bytes, place * bytes + bytes)
  }

  #addParity(row: number, symbol: Uint8Array): void {
    const at = this.#parityRows.length * this.symbolBytes
    if (at + this.symbolBytes > this.#parity.length) {
      const rows = Math.min(this.k, Math.max(FIRST_PARITY_ROWS, 2 * this.#parityRows.length))
      const parity = new Uint8Array(rows * this.symbolBytes)
      parity.set(this.#parity.subarray(0, at))
      this.#parity = parity
    }
    this.#parity.set(symbol, at)
    this.#parityRows.push(row)
  }

  #dropParity(rows: readonly number[]): void {
    if (rows.length === 0) return
    const bytes = this.symbolBytes
    const left = this.#parityRows.filter((row) => !rows.includes(row))
    left.forEach((row, place) => {
      const from = this.#parityRows.indexOf(row) * bytes
      this.#parity.copyWithin(place * bytes, from, from + bytes)
    })
    this.#parityRows = left
  }
}
