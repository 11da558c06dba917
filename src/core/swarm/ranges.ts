/**
 * Lists of chunk ranges: in order and without overlaps, as they are said to neighbours (docs/specs/02-swarm.md §2).
 *
 * On the wire they are a count, then per range the gap since the last one's end and the length, all varints.
 */
import type { Reader } from '../wire/reader.ts'
import { wireError, type WireError } from '../wire/wire-error.ts'
import type { Writer } from '../wire/writer.ts'

/** Pairs of first index and count, ascending: `[first, count, first, count, …]`. */
export type Ranges = readonly number[]

/** Ranges in one frame. */
const MAX_RANGES = 8192

export function writeRanges(out: Writer, ranges: Ranges): void {
  out.varint(ranges.length / 2)
  let end = 0
  for (let i = 0; i < ranges.length; i += 2) {
    const first = ranges[i]!
    out.varint(first - end)
    out.varint(ranges[i + 1]!)
    end = first + ranges[i + 1]!
  }
}

/** Reads ranges; what breaks a limit is a WireError, what ends early is left to the reader's `failed`. */
export function readRanges(input: Reader): Ranges | WireError {
  const count = input.varint()
  if (count > MAX_RANGES) return wireError('disconnect', `${count} ranges in one frame, ${MAX_RANGES} are allowed`)
  const ranges: number[] = []
  let end = 0
  for (let i = 0; i < count && !input.failed; i++) {
    const first = end + input.varint()
    const length = input.varint()
    end = first + length
    if (length === 0 || end > 0xffffffff) return wireError('disconnect', 'a range that is empty or past the greatest chunk')
    ranges.push(first, length)
  }
  return ranges
}

/** Splits ranges so that each part fits a frame. */
export function* splitRanges(ranges: Ranges): Generator<Ranges> {
  if (ranges.length <= MAX_RANGES * 2) {
    if (ranges.length > 0) yield ranges
    return
  }
  for (let i = 0; i < ranges.length; i += MAX_RANGES * 2) yield ranges.slice(i, i + MAX_RANGES * 2)
}

/** Puts ranges of any order in order and joins those that touch. */
export function mergeRanges(ranges: readonly number[]): number[] {
  if (ranges.length <= 2) return [...ranges]
  const merged: number[] = []
  for (const at of orderOf(ranges)) {
    const first = ranges[at]!
    const end = first + ranges[at + 1]!
    const last = merged.length - 2
    if (last >= 0 && merged[last]! + merged[last + 1]! >= first) {
      merged[last + 1] = Math.max(merged[last + 1]!, end - merged[last]!)
    } else merged.push(first, end - first)
  }
  return merged
}

/** Positions of ranges by their first index. */
function orderOf(ranges: readonly number[]): number[] {
  const order: number[] = []
  let isSorted = true
  for (let at = 0; at < ranges.length; at += 2) {
    if (at > 0 && ranges[at]! < ranges[at - 2]!) isSorted = false
    order.push(at)
  }
  return isSorted ? order : order.sort((a, b) => ranges[a]! - ranges[b]!)
}
