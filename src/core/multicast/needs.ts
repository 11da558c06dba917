/**
 * What a receiver says it holds when it joins a session, in at most 1100 bytes, so that it fits the datagram of its JOIN
 * (docs/specs/08-multicast-content.md §4).
 *
 *   needs = 0, varint ranges, per range varint gap since the last one's end, varint count
 *         | 1, varint units, varint chunks of a unit as a power of two, varint chunks in all, a bit for each unit held, lowest bit first
 *
 * Exact where that fits, by the shorter form. Else as much as fits: the longest ranges, or bits that stand for several chunks each and are
 * set where all of them are held; whichever says more. A receiver never claims what it doesn't hold: that would not be sent.
 */
import type { Bitfield } from '../lib/bitfield.ts'
import { assert } from '../lib/assert.ts'
import { MAX_CHUNKS } from '../content/limits.ts'
import { Reader } from '../wire/reader.ts'
import { wireError, type WireError } from '../wire/wire-error.ts'
import { Writer } from '../wire/writer.ts'

/** Bytes of what a receiver says at the most: a bit for each of 8,192 chunks, about as many as a content has, and some more. */
export const MAX_NEEDS_BYTES = 1100
/** What the head of the second form takes at the most: its type and three numbers. */
const MAP_HEAD_BYTES = 12
const MAX_UNIT_POWER = 24

const FORMS = { ranges: 0, map: 1 } as const

/** Chunks that a receiver holds, ascending and not touching: first, count, first, count, … */
export type HeldRanges = readonly number[]

/** Says what is held, as exactly as fits `maxBytes`: 14 to 1100. */
export function encodeNeeds(held: Bitfield, maxBytes: number = MAX_NEEDS_BYTES): Uint8Array {
  assert(maxBytes > MAP_HEAD_BYTES + 1 && maxBytes <= MAX_NEEDS_BYTES, 'room that needs can have')
  const ranges = held.ranges()
  const all = encodeRanges(ranges)
  const map = mapBytes(held.length, 0) <= maxBytes + MAP_HEAD_BYTES ? mapOf(held, 0) : all
  const exact = map.length < all.length ? map : all
  if (exact.length <= maxBytes) return exact
  const longest = encodeRanges(longestThatFit(ranges, maxBytes))
  let power = 1
  while (mapBytes(held.length, power) > maxBytes) power++
  const coarse = mapOf(held, power)
  return heldCount(longest) >= heldCount(coarse) ? longest : coarse
}

/**
 * What a receiver holds.
 *
 * Never throws; what breaks the grammar or a limit is a WireError with disposition `disconnect`. The list is bounded by the length of
 * the bytes.
 */
export function decodeNeeds(bytes: Uint8Array): HeldRanges | WireError {
  if (bytes.length > MAX_NEEDS_BYTES) return wireError('disconnect', `needs of ${bytes.length} bytes, ${MAX_NEEDS_BYTES} are allowed`)
  const input = new Reader(bytes)
  const form = input.u8()
  const ranges = form === FORMS.ranges ? readRanges(input) : form === FORMS.map ? readMap(input) : undefined
  if (ranges === undefined || !input.done()) return wireError('disconnect', 'needs that are none')
  return ranges
}

function encodeRanges(ranges: readonly (readonly [number, number])[]): Uint8Array {
  const out = new Writer(64)
  out.u8(FORMS.ranges)
  out.varint(ranges.length)
  let end = 0
  for (const [first, count] of ranges) {
    out.varint(first - end)
    out.varint(count)
    end = first + count
  }
  return out.finish()
}

/** The longest ranges, in order, as many as fit. */
function longestThatFit(ranges: readonly [number, number][], maxBytes: number): [number, number][] {
  const byLength = ranges.toSorted((a, b) => b[1] - a[1] || a[0] - b[0])
  const take = (count: number): [number, number][] => byLength.slice(0, count).toSorted((a, b) => a[0] - b[0])
  let fits = 0
  let fitsNot = Math.min(ranges.length, maxBytes) + 1
  while (fitsNot - fits > 1) {
    const middle = (fits + fitsNot) >> 1
    if (encodeRanges(take(middle)).length <= maxBytes) fits = middle
    else fitsNot = middle
  }
  return take(fits)
}

function mapBytes(chunks: number, power: number): number {
  return MAP_HEAD_BYTES + Math.ceil(Math.ceil(chunks / 2 ** power) / 8)
}

function mapOf(held: Bitfield, power: number): Uint8Array {
  const unit = 2 ** power
  const units = Math.ceil(held.length / unit)
  const bits = new Uint8Array(Math.ceil(units / 8))
  for (let i = 0; i < units; i++) {
    const first = i * unit
    if (held.hasRange(first, Math.min(unit, held.length - first))) bits[i >> 3] = (bits[i >> 3] as number) | (1 << (i & 7))
  }
  const out = new Writer(bits.length + MAP_HEAD_BYTES)
  out.u8(FORMS.map)
  out.varint(units)
  out.varint(power)
  out.varint(held.length)
  out.bytes(bits)
  return out.finish()
}

/** Chunks that an encoding claims. */
function heldCount(needs: Uint8Array): number {
  const ranges = decodeNeeds(needs) as HeldRanges
  let count = 0
  for (let i = 1; i < ranges.length; i += 2) count += ranges[i] as number
  return count
}

function readRanges(input: Reader): HeldRanges | undefined {
  const count = input.varint()
  const ranges: number[] = []
  let end = 0
  for (let i = 0; i < count && !input.failed; i++) {
    const gap = input.varint()
    const length = input.varint()
    // Ranges that touch are one.
    if (length === 0 || (gap === 0 && i > 0) || end + gap + length > MAX_CHUNKS) return undefined
    ranges.push(end + gap, length)
    end += gap + length
  }
  return ranges
}

function readMap(input: Reader): HeldRanges | undefined {
  const units = input.varint()
  const power = input.varint()
  const chunks = input.varint()
  if (power > MAX_UNIT_POWER || chunks > MAX_CHUNKS || units !== Math.ceil(chunks / 2 ** power)) return undefined
  const bits = input.bytes(Math.ceil(units / 8))
  if (input.failed) return undefined
  const unit = 2 ** power
  const ranges: number[] = []
  for (let i = 0; i < 8 * bits.length; i++) {
    if (((bits[i >> 3] as number) & (1 << (i & 7))) === 0) continue
    if (i >= units) return undefined
    const first = i * unit
    const last = ranges.length - 2
    const count = Math.min(unit, chunks - first)
    if (last >= 0 && (ranges[last] as number) + (ranges[last + 1] as number) === first)
      ranges[last + 1] = (ranges[last + 1] as number) + count
    else ranges.push(first, count)
  }
  return ranges
}
