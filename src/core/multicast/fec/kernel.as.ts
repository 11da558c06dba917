/**
 * The kernel of the erasure code and the authenticator, in AssemblyScript: the compiler of the project leaves this file alone, and
 * `tools/kernel.ts` compiles it to WebAssembly with SIMD (`kernel-bytes.ts`). `simd-kernel.ts` fills its memory and calls it.
 *
 * A product of a constant and 16 bytes is two look-ups of 16 bytes each in tables of 16 entries, by the low and the high half of each
 * byte: i8x16.swizzle (Plank, Greenan, Miller, "Screaming Fast Galois Field Arithmetic Using Intel SIMD Instructions", FAST 2013). Four
 * rows of sums stay in registers while 32 columns of all symbols go by, so that each byte of the symbols is loaded and split
 * once for four rows, and sums are stored once. Nothing is allocated: who calls lays out the memory.
 */

/** Where the products lie: for each constant c 16 bytes c · (0 … 15), then 16 bytes c · (0x00, 0x10 … 0xf0). */
const PRODUCTS: usize = 0

/**
 * Adds four rows of products to four rows of sums: sums[r] += Σ matrix[r][s] · symbols[s].
 *
 * Symbols lie `symbolBytes` apart, rows of the matrix (a byte for each symbol) `matrixBytes`, sums `sumBytes`, which is a multiple of
 * 32. Up to 31 bytes after the last symbol are read; what they give lands in columns that nobody looks at.
 */
export function addProducts(
  symbols: usize,
  symbolBytes: usize,
  count: u32,
  matrix: usize,
  matrixBytes: usize,
  sums: usize,
  sumBytes: usize,
): void {
  const low = i8x16.splat(15)
  for (let column: usize = 0; column < sumBytes; column += 32) {
    const sum0 = sums + column
    const sum1 = sum0 + sumBytes
    const sum2 = sum1 + sumBytes
    const sum3 = sum2 + sumBytes
    let a0 = v128.load(sum0)
    let b0 = v128.load(sum0, 16)
    let a1 = v128.load(sum1)
    let b1 = v128.load(sum1, 16)
    let a2 = v128.load(sum2)
    let b2 = v128.load(sum2, 16)
    let a3 = v128.load(sum3)
    let b3 = v128.load(sum3, 16)
    let at = symbols + column
    let row0 = matrix
    let row1 = row0 + matrixBytes
    let row2 = row1 + matrixBytes
    let row3 = row2 + matrixBytes
    for (let left = count; left > 0; left--) {
      const a = v128.load(at)
      const b = v128.load(at, 16)
      const aLow = v128.and(a, low)
      const bLow = v128.and(b, low)
      const aHigh = i8x16.shr_u(a, 4)
      const bHigh = i8x16.shr_u(b, 4)
      let products = productsOf(row0++)
      let ofLow = v128.load(products)
      let ofHigh = v128.load(products, 16)
      a0 = v128.xor(a0, v128.xor(i8x16.swizzle(ofLow, aLow), i8x16.swizzle(ofHigh, aHigh)))
      b0 = v128.xor(b0, v128.xor(i8x16.swizzle(ofLow, bLow), i8x16.swizzle(ofHigh, bHigh)))
      products = productsOf(row1++)
      ofLow = v128.load(products)
      ofHigh = v128.load(products, 16)
      a1 = v128.xor(a1, v128.xor(i8x16.swizzle(ofLow, aLow), i8x16.swizzle(ofHigh, aHigh)))
      b1 = v128.xor(b1, v128.xor(i8x16.swizzle(ofLow, bLow), i8x16.swizzle(ofHigh, bHigh)))
      products = productsOf(row2++)
      ofLow = v128.load(products)
      ofHigh = v128.load(products, 16)
      a2 = v128.xor(a2, v128.xor(i8x16.swizzle(ofLow, aLow), i8x16.swizzle(ofHigh, aHigh)))
      b2 = v128.xor(b2, v128.xor(i8x16.swizzle(ofLow, bLow), i8x16.swizzle(ofHigh, bHigh)))
      products = productsOf(row3++)
      ofLow = v128.load(products)
      ofHigh = v128.load(products, 16)
      a3 = v128.xor(a3, v128.xor(i8x16.swizzle(ofLow, aLow), i8x16.swizzle(ofHigh, aHigh)))
      b3 = v128.xor(b3, v128.xor(i8x16.swizzle(ofLow, bLow), i8x16.swizzle(ofHigh, bHigh)))
      at += symbolBytes
    }
    v128.store(sum0, a0)
    v128.store(sum0, b0, 16)
    v128.store(sum1, a1)
    v128.store(sum1, b1, 16)
    v128.store(sum2, a2)
    v128.store(sum2, b2, 16)
    v128.store(sum3, a3)
    v128.store(sum3, b3, 16)
  }
}

/** Adds all symbols to one row of sums: the same as a row of the matrix whose constants are all 1. */
export function addSymbols(symbols: usize, symbolBytes: usize, count: u32, sum: usize, sumBytes: usize): void {
  for (let column: usize = 0; column < sumBytes; column += 32) {
    let a = v128.load(sum + column)
    let b = v128.load(sum + column, 16)
    let at = symbols + column
    for (let left = count; left > 0; left--) {
      a = v128.xor(a, v128.load(at))
      b = v128.xor(b, v128.load(at, 16))
      at += symbolBytes
    }
    v128.store(sum + column, a)
    v128.store(sum + column, b, 16)
  }
}

/** SipHash-2-4 of `length` bytes at `message` under the 16 bytes at `key`; the 8 bytes of the result go to `result`, low ones first. */
export function sipHash(key: usize, message: usize, length: u32, result: usize): void {
  const key0 = load<u64>(key)
  const key1 = load<u64>(key, 8)
  let v0 = key0 ^ 0x736f6d6570736575
  let v1 = key1 ^ 0x646f72616e646f6d
  let v2 = key0 ^ 0x6c7967656e657261
  let v3 = key1 ^ 0x7465646279746573
  const end = message + <usize>(length & ~7)
  // The last word: what is left of the message, and its length in the highest byte.
  let last = (<u64>length) << 56
  for (let i: u32 = 0; i < (length & 7); i++) last |= (<u64>load<u8>(end + i)) << (8 * i)
  let rounds = 2
  for (let at = message; ; at += 8) {
    let word: u64 = 0
    if (at < end) word = load<u64>(at)
    else if (at == end) word = last
    else {
      // After the last word: four rounds that finish.
      v2 ^= 0xff
      rounds = 4
    }
    v3 ^= word
    for (let round = 0; round < rounds; round++) {
      v0 += v1
      v1 = rotl<u64>(v1, 13) ^ v0
      v0 = rotl<u64>(v0, 32)
      v2 += v3
      v3 = rotl<u64>(v3, 16) ^ v2
      v0 += v3
      v3 = rotl<u64>(v3, 21) ^ v0
      v2 += v1
      v1 = rotl<u64>(v1, 17) ^ v2
      v2 = rotl<u64>(v2, 32)
    }
    v0 ^= word
    if (rounds == 4) break
  }
  store<u64>(result, v0 ^ v1 ^ v2 ^ v3)
}

function productsOf(constant: usize): usize {
  return PRODUCTS + ((<usize>load<u8>(constant)) << 5)
}
