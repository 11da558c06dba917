/**
 * The field that the erasure code computes in, and its matrix (docs/specs/08-multicast-content.md §5). Not the code itself.
 *
 * GF(2⁸) with the polynomial x⁸ + x⁴ + x³ + x² + 1; adding is exclusive-or. Parity row r weighs source symbol c by
 * (255 + c) / ((255 − r) + c), with these numbers taken as elements of the field. That is Cauchy's matrix of x = 255 − r and y = c, each
 * column multiplied by what makes row 0 all ones. All x and y of one block differ as long as it has no more than 256 symbols, so that each
 * square part of a Cauchy matrix has an inverse, and a factor of a column changes nothing about that: any k of a block's symbols
 * give all of it. Unlike a Vandermonde matrix made systematic, an entry doesn't depend on k, the inverse of a part has a
 * formula, and one parity symbol, which is what is asked for most, is a plain sum.
 */
import { MAX_SYMBOLS } from '../symbol-set.ts'
import { assert } from '../../lib/assert.ts'

const POLYNOMIAL = 0x11d
/** Powers of 2, twice over, so that a sum of two logarithms needs no remainder. */
const EXP: Uint8Array = new Uint8Array(512)
const LOG: Uint8Array = new Uint8Array(256)

for (let power = 0, value = 1; power < 255; power++) {
  EXP[power] = value
  EXP[power + 255] = value
  LOG[value] = power
  value = value < 128 ? value << 1 : (value << 1) ^ POLYNOMIAL
}

export function multiply(a: number, b: number): number {
  return a === 0 || b === 0 ? 0 : (EXP[(LOG[a] as number) + (LOG[b] as number)] as number)
}

/** What parity row `row` weighs source symbol `column` by; `row + column` < 255, as it is in any block. */
export function parityCoefficient(row: number, column: number): number {
  const x = 255 - row
  assert(row >= 0 && column >= 0 && x > column, 'a place in the parity matrix')
  return EXP[255 + (LOG[255 ^ column] as number) - (LOG[x ^ column] as number)] as number
}

/**
 * The inverse of the part of the parity matrix where `rows` meet `columns`, as many of each, all different: entry `c` of row `r`, at
 * `r * rows.length + c`, is what the sum of row `rows[c]` counts for column `columns[r]`.
 *
 * By Cauchy's formula, in logarithms: O(n²).
 */
export function invertPart(rows: readonly number[], columns: readonly number[]): Uint8Array {
  const n = rows.length
  const xs = rows.map((row) => 255 - row)
  const ofX = xs.map((x) => logOfRatio(x, columns, xs))
  const ofY = columns.map((y) => logOfRatio(y, xs, columns))
  const inverse = new Uint8Array(n * n)
  for (const [r, y] of columns.entries()) {
    for (const [c, x] of xs.entries()) {
      const log = (ofX[c] as number) + (ofY[r] as number) - (LOG[x ^ y] as number) - (LOG[255 ^ y] as number) + 510
      inverse[r * n + c] = EXP[log % 255] as number
    }
  }
  return inverse
}

/** Logarithm of Π (element + other) over Π (element + one), where the second product leaves the element itself out. */
function logOfRatio(element: number, others: readonly number[], own: readonly number[]): number {
  let log = 0
  for (const other of others) log += LOG[element ^ other] as number
  for (const one of own) if (one !== element) log += 255 - (LOG[element ^ one] as number)
  return log % 255
}

/**
 * Throws unless these are the arguments of `ErasureCode.encode` that its doc asks for. Whoever feeds numbers from the network has checked
 * them before.
 */
export function checkEncode(
  source: Uint8Array,
  k: number,
  symbolBytes: number,
  firstParity: number,
  count: number,
  parity: Uint8Array,
): void {
  assert(k >= 1 && symbolBytes >= 1 && source.length >= k * symbolBytes, 'as many bytes of source as k symbols have')
  assert(firstParity >= 0 && count >= 0 && k + firstParity + count <= MAX_SYMBOLS, 'parity rows that a block can have')
  assert(parity.length >= count * symbolBytes, 'room for the parity symbols')
}

/** Throws unless these are the arguments of `ErasureCode.decode` that its doc asks for. */
export function checkDecode(
  source: Uint8Array,
  k: number,
  symbolBytes: number,
  missing: readonly number[],
  parity: Uint8Array,
  parityRows: readonly number[],
): void {
  assert(k >= 1 && symbolBytes >= 1 && source.length >= k * symbolBytes, 'as many bytes of source as k symbols have')
  assert(missing.length === parityRows.length, 'as many parity symbols as are missing')
  assert(parity.length >= parityRows.length * symbolBytes, 'the bytes of the parity symbols')
  assert(
    missing.every((column, i) => column < k && column > (missing[i - 1] ?? -1)),
    'missing symbols in ascending order',
  )
  assert(
    parityRows.every((row) => row >= 0 && k + row < MAX_SYMBOLS) && new Set(parityRows).size === parityRows.length,
    'different parity rows of this block',
  )
}
