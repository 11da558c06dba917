/**
 * The erasure code and the authenticator in WebAssembly with SIMD: fills the memory of `kernel.as.ts` and calls it.
 *
 * Symbols are copied into the kernel's memory and sums out of it; that is part of every measured figure. Where a block and its sums
 * are more than the area that is there for them, it goes through in slices: the same columns of all symbols, then the next.
 *
 * The memory, from 0 on: the products of each constant (32 bytes each); the parity matrix, 256 bytes to a row, with three rows of zeros after
 * it; the rows that a decoding uses, without the columns that are missing; the inverse; and the area, which holds symbols and sums, or a key, a
 * message and its hash.
 */
import { fromHex } from '../../lib/bytes.ts'
import { assert } from '../../lib/assert.ts'
import type { ErasureCode } from '../session-types.ts'
import { checkDecode, checkEncode, invertPart, multiply, parityCoefficient } from './gf256.ts'
import { MAX_SYMBOLS } from '../symbol-set.ts'
import { KERNEL_HEX } from './kernel-bytes.ts'
import { SIPHASH_KEY_BYTES } from './siphash.ts'

/** What a compiled kernel gives. */
interface KernelExports {
  readonly memory: { readonly buffer: ArrayBuffer }
  addProducts(
    symbols: number,
    symbolBytes: number,
    count: number,
    matrix: number,
    matrixBytes: number,
    sums: number,
    sumBytes: number,
  ): void
  addSymbols(symbols: number, symbolBytes: number, count: number, sum: number, sumBytes: number): void
  sipHash(key: number, message: number, length: number, result: number): void
}

/** Gives the exports of a WebAssembly module; throws where that cannot be. */
export type Instantiate = (bytes: Uint8Array) => unknown

export interface SimdKernel {
  readonly code: ErasureCode
  readonly sipHash: (key: Uint8Array, bytes: Uint8Array) => readonly [high: number, low: number]
}

/** Rows that the kernel adds to at a time, and columns that it goes forward by. */
const FUSED_ROWS = 4
const COLUMN_BYTES = 32
const PRODUCT_BYTES = 32
const ROW_BYTES = 256
/** The most rows that a decoding has: as many parity symbols as source symbols, 256 together. */
const MAX_DECODED = MAX_SYMBOLS / 2

const PARITY = MAX_SYMBOLS * PRODUCT_BYTES
const SELECTED: number = PARITY + (MAX_SYMBOLS + FUSED_ROWS - 1) * ROW_BYTES
const INVERSE: number = SELECTED + MAX_DECODED * ROW_BYTES
const AREA: number = INVERSE + MAX_DECODED * ROW_BYTES
const PAGE_BYTES = 65536
/** Memory of the kernel in pages of 64 KiB: fixed, 1.2 MiB. `tools/kernel.ts` compiles it in. */
export const KERNEL_PAGES = 19
const AREA_BYTES: number = KERNEL_PAGES * PAGE_BYTES - AREA - COLUMN_BYTES

/** The longest message whose hash the kernel computes, bytes: beyond any datagram. */
export const MAX_HASHED_BYTES = 65536

/** The kernel; undefined where WebAssembly or its SIMD instructions are missing. */
export function loadSimdKernel(instantiate: Instantiate): SimdKernel | undefined {
  let kernel: KernelExports
  try {
    kernel = instantiate(fromHex(KERNEL_HEX) as Uint8Array) as KernelExports
  } catch {
    // Not compiled: no SIMD here, or no WebAssembly at all. There is no other way to ask, and the plain kernel gives the same bytes.
    return undefined
  }
  const memory = new Uint8Array(kernel.memory.buffer)
  fillConstants(memory)
  return { code: new SimdErasureCode(kernel, memory), sipHash: sipHasher(kernel, memory) }
}

function fillConstants(memory: Uint8Array): void {
  for (let constant = 0; constant < MAX_SYMBOLS; constant++) {
    for (let i = 0; i < 16; i++) {
      memory[constant * PRODUCT_BYTES + i] = multiply(constant, i)
      memory[constant * PRODUCT_BYTES + 16 + i] = multiply(constant, i << 4)
    }
  }
  for (let row = 0; row < 255; row++) {
    for (let column = 0; row + column < 255; column++) memory[PARITY + row * ROW_BYTES + column] = parityCoefficient(row, column)
  }
}

function sipHasher(kernel: KernelExports, memory: Uint8Array): SimdKernel['sipHash'] {
  const message = AREA + SIPHASH_KEY_BYTES
  const view = new DataView(memory.buffer)
  return (key, bytes) => {
    assert(key.length === SIPHASH_KEY_BYTES, 'a key of 16 bytes')
    assert(bytes.length <= MAX_HASHED_BYTES, 'a message that fits a datagram')
    memory.set(key, AREA)
    memory.set(bytes, message)
    kernel.sipHash(AREA, message, bytes.length, AREA)
    return [view.getUint32(AREA + 4, true), view.getUint32(AREA, true)]
  }
}

class SimdErasureCode implements ErasureCode {
  readonly maxSymbols = MAX_SYMBOLS
  readonly #kernel: KernelExports
  readonly #memory: Uint8Array

  constructor(kernel: KernelExports, memory: Uint8Array) {
    this.#kernel = kernel
    this.#memory = memory
  }

  encode(source: Uint8Array, k: number, symbolBytes: number, firstParity: number, count: number, parity: Uint8Array): void {
    checkEncode(source, k, symbolBytes, firstParity, count, parity)
    const rows = fusedRows(count)
    for (const { from, bytes } of slices(symbolBytes, k + rows)) {
      this.#load(AREA, source, k, symbolBytes, from, bytes)
      const sumBytes = columnBytes(bytes)
      const sums = areaAfter(k * bytes)
      this.#memory.fill(0, sums, sums + rows * sumBytes)
      let row = 0
      // The first row is a plain sum: that is cheaper where it would make one more round of four rows, as a single row does.
      if (firstParity === 0 && count % FUSED_ROWS === 1) {
        this.#kernel.addSymbols(AREA, bytes, k, sums, sumBytes)
        row = 1
      }
      for (; row < count; row += FUSED_ROWS) {
        const matrix = PARITY + (firstParity + row) * ROW_BYTES
        this.#kernel.addProducts(AREA, bytes, k, matrix, ROW_BYTES, sums + row * sumBytes, sumBytes)
      }
      this.#store(sums, sumBytes, count, bytes, (i) => i * symbolBytes + from, parity)
    }
  }

  /** Puts what came into the sums, which then lack the missing symbols alone, and those are what the inverse makes of them. */
  decode(
    source: Uint8Array,
    k: number,
    symbolBytes: number,
    missing: readonly number[],
    parity: Uint8Array,
    parityRows: readonly number[],
  ): void {
    checkDecode(source, k, symbolBytes, missing, parity, parityRows)
    const n = missing.length
    if (n === 0) return
    const rows = fusedRows(n)
    this.#fillDecoding(k, missing, parityRows)
    for (const { from, bytes } of slices(symbolBytes, k + 2 * rows)) {
      this.#load(AREA, source, k, symbolBytes, from, bytes)
      const sumBytes = columnBytes(bytes)
      const sums = areaAfter(k * bytes)
      const restored = sums + rows * sumBytes
      this.#memory.fill(0, sums, restored + rows * sumBytes)
      for (let i = 0; i < n; i++) {
        const at = i * symbolBytes + from
        this.#memory.set(parity.subarray(at, at + bytes), sums + i * sumBytes)
      }
      for (let row = 0; row < n; row += FUSED_ROWS) {
        this.#kernel.addProducts(AREA, bytes, k, SELECTED + row * ROW_BYTES, ROW_BYTES, sums + row * sumBytes, sumBytes)
      }
      for (let row = 0; row < n; row += FUSED_ROWS) {
        this.#kernel.addProducts(sums, sumBytes, n, INVERSE + row * ROW_BYTES, ROW_BYTES, restored + row * sumBytes, sumBytes)
      }
      this.#store(restored, sumBytes, n, bytes, (i) => (missing[i] as number) * symbolBytes + from, source)
    }
  }

  /** A missing symbol's place holds anything, so its column is 0; so are rows beyond the last. */
  #fillDecoding(k: number, missing: readonly number[], parityRows: readonly number[]): void {
    const n = missing.length
    const inverse = invertPart(parityRows, missing)
    for (let i = 0; i < fusedRows(n); i++) {
      const selected = SELECTED + i * ROW_BYTES
      this.#memory.fill(0, selected, selected + ROW_BYTES)
      if (i >= n) continue
      const row = PARITY + (parityRows[i] as number) * ROW_BYTES
      this.#memory.copyWithin(selected, row, row + k)
      for (const column of missing) this.#memory[selected + column] = 0
    }
    this.#memory.fill(0, INVERSE, INVERSE + fusedRows(n) * ROW_BYTES)
    for (let i = 0; i < n; i++) this.#memory.set(inverse.subarray(i * n, (i + 1) * n), INVERSE + i * ROW_BYTES)
  }

  /** Copies columns of `count` symbols in, close together. */
  #load(to: number, source: Uint8Array, count: number, symbolBytes: number, from: number, bytes: number): void {
    if (bytes === symbolBytes) this.#memory.set(source.subarray(0, count * symbolBytes), to)
    else {
      for (let i = 0; i < count; i++) {
        const at = i * symbolBytes + from
        this.#memory.set(source.subarray(at, at + bytes), to + i * bytes)
      }
    }
  }

  #store(sums: number, sumBytes: number, count: number, bytes: number, placeOf: (index: number) => number, target: Uint8Array): void {
    for (let i = 0; i < count; i++) {
      const at = sums + i * sumBytes
      target.set(this.#memory.subarray(at, at + bytes), placeOf(i))
    }
  }
}

/** Columns of the symbols that fit the area together, from the first to the last. */
function* slices(symbolBytes: number, symbols: number): Generator<{ readonly from: number; readonly bytes: number }> {
  // The symbols lie close together, the sums at multiples of 32: up to 31 bytes more for each, and for where they begin.
  const room = Math.floor(AREA_BYTES / symbols / COLUMN_BYTES - 2) * COLUMN_BYTES
  for (let from = 0; from < symbolBytes; from += room) yield { from, bytes: Math.min(room, symbolBytes - from) }
}

function fusedRows(rows: number): number {
  return Math.ceil(rows / FUSED_ROWS) * FUSED_ROWS
}

function columnBytes(bytes: number): number {
  return Math.ceil(bytes / COLUMN_BYTES) * COLUMN_BYTES
}

/** Where sums begin after symbols of that many bytes: far enough for what is read beyond the last symbol not to be a sum that is written. */
function areaAfter(bytes: number): number {
  return AREA + columnBytes(bytes) + COLUMN_BYTES
}
