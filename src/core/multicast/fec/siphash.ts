/**
 * SipHash-2-4 with 64 bits of result (Aumasson, Bernstein, "SipHash: a fast short-input PRF", 2012) in plain JavaScript: each 64-bit word
 * is two halves. What it authenticates is in docs/specs/08-multicast-content.md §6.
 */
import { assert } from '../../lib/assert.ts'

export const SIPHASH_KEY_BYTES = 16

/** The hash of `bytes` under a key of 16 bytes: the two halves of a 64-bit word, unsigned. */
export function plainSipHash(key: Uint8Array, bytes: Uint8Array): readonly [high: number, low: number] {
  assert(key.length === SIPHASH_KEY_BYTES, 'a key of 16 bytes')
  let l0 = wordAt(key, 0) ^ 0x70736575
  let h0 = wordAt(key, 4) ^ 0x736f6d65
  let l1 = wordAt(key, 8) ^ 0x6e646f6d
  let h1 = wordAt(key, 12) ^ 0x646f7261
  let l2 = wordAt(key, 0) ^ 0x6e657261
  let h2 = wordAt(key, 4) ^ 0x6c796765
  let l3 = wordAt(key, 8) ^ 0x79746573
  let h3 = wordAt(key, 12) ^ 0x74656462
  const end = bytes.length & ~7
  // The last word: what is left, and the length in the highest byte.
  const last = new Uint8Array(8)
  last.set(bytes.subarray(end))
  last[7] = bytes.length
  for (let at = 0; at <= end + 8; at += 8) {
    const isOver = at > end
    const from = at === end ? last : bytes
    const lowWord = isOver ? 0 : wordAt(from, at === end ? 0 : at)
    const highWord = isOver ? 0 : wordAt(from, at === end ? 4 : at + 4)
    if (isOver) l2 ^= 0xff
    l3 ^= lowWord
    h3 ^= highWord
    for (let round = isOver ? 4 : 2; round > 0; round--) {
      // v0 += v1; v1 <<<= 13; v1 ^= v0; v0 <<<= 32
      let low = (l0 + l1) | 0
      let high = (h0 + h1 + carryOf(l0, low)) | 0
      const turned1 = (l1 << 13) | (h1 >>> 19)
      h1 = ((h1 << 13) | (l1 >>> 19)) ^ high
      l1 = turned1 ^ low
      l0 = high
      h0 = low
      // v2 += v3; v3 <<<= 16; v3 ^= v2
      low = (l2 + l3) | 0
      h2 = (h2 + h3 + carryOf(l2, low)) | 0
      l2 = low
      const turned3 = (l3 << 16) | (h3 >>> 16)
      h3 = ((h3 << 16) | (l3 >>> 16)) ^ h2
      l3 = turned3 ^ l2
      // v0 += v3; v3 <<<= 21; v3 ^= v0
      low = (l0 + l3) | 0
      h0 = (h0 + h3 + carryOf(l0, low)) | 0
      l0 = low
      const turned3Again = (l3 << 21) | (h3 >>> 11)
      h3 = ((h3 << 21) | (l3 >>> 11)) ^ h0
      l3 = turned3Again ^ l0
      // v2 += v1; v1 <<<= 17; v1 ^= v2; v2 <<<= 32
      low = (l2 + l1) | 0
      high = (h2 + h1 + carryOf(l2, low)) | 0
      const turned1Again = (l1 << 17) | (h1 >>> 15)
      h1 = ((h1 << 17) | (l1 >>> 15)) ^ high
      l1 = turned1Again ^ low
      l2 = high
      h2 = low
    }
    l0 ^= lowWord
    h0 ^= highWord
  }
  return [(h0 ^ h1 ^ h2 ^ h3) >>> 0, (l0 ^ l1 ^ l2 ^ l3) >>> 0]
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24)
}

/** 1 if adding something to `before` went over 32 bits and gave `sum`. */
function carryOf(before: number, sum: number): number {
  return sum >>> 0 < before >>> 0 ? 1 : 0
}
