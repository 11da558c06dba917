/**
 * The erasure code in plain JavaScript, for where WebAssembly with SIMD is missing (docs/specs/08-multicast-content.md §5).
 *
 * Four rows at a time: the products of the four constants with a byte are one 32-bit word of a table made for each symbol, so that a byte
 * costs one look-up for four rows.
 */
import type { ErasureCode } from '../session-types.ts'
import { checkDecode, checkEncode, invertPart, multiply, parityCoefficient } from './gf256.ts'
import { MAX_SYMBOLS } from '../symbol-set.ts'

/** Rows whose products share a word. */
const FUSED = 4

/** An erasure code that needs nothing but JavaScript; a tenth as fast as the one in WebAssembly. */
export function plainErasureCode(): ErasureCode {
  const products = new Uint32Array(256)
  let sums = new Uint32Array(0)

  /** target[r] += Σ weight(r, s) · symbols[s]; symbols whose weights are all 0 may hold anything. */
  function addProducts(
    symbols: Uint8Array,
    count: number,
    symbolBytes: number,
    weight: (row: number, symbol: number) => number,
    rows: number,
    target: Uint8Array,
  ): void {
    if (sums.length < symbolBytes) sums = new Uint32Array(symbolBytes)
    for (let row = 0; row < rows; row += FUSED) {
      sums.fill(0)
      const fused = Math.min(FUSED, rows - row)
      for (let symbol = 0; symbol < count; symbol++) {
        if (!fillProducts(products, (i) => (i < fused ? weight(row + i, symbol) : 0))) continue
        const from = symbol * symbolBytes
        for (let i = 0; i < symbolBytes; i++) {
          sums[i] = (sums[i] as number) ^ (products[symbols[from + i] as number] as number)
        }
      }
      for (let one = 0; one < fused; one++) {
        const to = (row + one) * symbolBytes
        for (let i = 0; i < symbolBytes; i++) target[to + i] = (target[to + i] as number) ^ ((sums[i] as number) >>> (8 * one))
      }
    }
  }

  return {
    maxSymbols: MAX_SYMBOLS,

    encode(source, k, symbolBytes, firstParity, count, parity) {
      checkEncode(source, k, symbolBytes, firstParity, count, parity)
      parity.fill(0, 0, count * symbolBytes)
      addProducts(source, k, symbolBytes, (row, column) => parityCoefficient(firstParity + row, column), count, parity)
    },

    decode(source, k, symbolBytes, missing, parity, parityRows) {
      checkDecode(source, k, symbolBytes, missing, parity, parityRows)
      const n = missing.length
      const isMissing = new Uint8Array(k)
      for (const column of missing) isMissing[column] = 1
      const syndromes = new Uint8Array(n * symbolBytes)
      syndromes.set(parity.subarray(0, syndromes.length))
      const weight = (row: number, column: number): number =>
        isMissing[column] === 1 ? 0 : parityCoefficient(parityRows[row] as number, column)
      addProducts(source, k, symbolBytes, weight, n, syndromes)
      const inverse = invertPart(parityRows, missing)
      const restored = new Uint8Array(n * symbolBytes)
      addProducts(syndromes, n, symbolBytes, (row, column) => inverse[row * n + column] as number, n, restored)
      for (const [i, column] of missing.entries()) {
        source.set(restored.subarray(i * symbolBytes, (i + 1) * symbolBytes), column * symbolBytes)
      }
    },
  }
}

/** Fills the table for four constants, the first in the lowest byte; false if all are 0. */
function fillProducts(products: Uint32Array, constant: (row: number) => number): boolean {
  let isZero = true
  for (let bit = 1; bit < 256; bit <<= 1) {
    let word = 0
    for (let row = 0; row < FUSED; row++) word |= multiply(constant(row), bit) << (8 * row)
    if (word !== 0) isZero = false
    // Multiplying distributes over adding: a byte's products are those of its highest bit and those of the rest.
    for (let rest = 0; rest < bit; rest++) products[bit + rest] = word ^ (products[rest] as number)
  }
  return !isZero
}
