/**
 * What a peer sends to a neighbour next.
 *
 * Chunks of the subscription that have just arrived come first, for they keep the trees flowing, with one asked-for range after
 * every few of them; then the scan over everything older. Chosen at the moment the link has room, so that what the neighbour
 * got elsewhere meanwhile is not sent.
 */
import type { Bitfield } from '../lib/bitfield.ts'
import type { Ranges } from './ranges.ts'
import type { Neighbour, Subscription } from './neighbour.ts'

/** After this many ranges of the subscription one that was asked for is sent. */
const FRESH_PER_ASKED = 3
/** Numbers in the list of ranges that a neighbour may have asked for and not yet got. */
const MAX_ASKED = 16384

export interface ChunkRange {
  readonly firstChunk: number
  readonly count: number
}

/** Whether a subscription covers a chunk. */
export function covers(subscription: Subscription, chunk: number): boolean {
  return ((subscription.mask >>> (Math.floor(chunk / subscription.runChunks) % subscription.stripes)) & 1) === 1
}

/** Puts what came here into a child's queue, cut into runs; long ranges are left to the scan, which finds them in order. */
export function pushFresh(child: Neighbour, subscription: Subscription, first: number, count: number, now: number): void {
  const size = subscription.runChunks
  const end = first + count
  if (count > 64 * size) return child.leaveToScan(first, count)
  for (let from = first; from < end;) {
    const to = Math.min(end, (Math.floor(from / size) + 1) * size)
    if (covers(subscription, from)) child.pushFresh(from, to - from, now)
    from = to
  }
}

/** Notes what a neighbour asks for, as far as it can be here; false when it asks for more than anyone may. */
export function noteAsked(neighbour: Neighbour, ranges: Ranges, known: number): boolean {
  const { served, asked } = neighbour
  for (let i = 0; i < ranges.length; i += 2) {
    const first = ranges[i]!
    const end = Math.min(first + ranges[i + 1]!, known)
    if (end <= first) continue
    asked.push(first, end - first)
    // It lacks them, whatever was sent before or was to come from others.
    for (let chunk = served.nextSet(first); chunk < end; chunk = served.nextSet(chunk + 1)) served.clear(chunk)
  }
  return asked.length <= MAX_ASKED
}

/** A neighbour has these ranges, or gets them from others: they are sent neither unasked nor because it asked for them before. */
export function noteServed(neighbour: Neighbour, ranges: Ranges, known: number): void {
  for (let i = 0; i < ranges.length; i += 2) {
    const end = Math.min(ranges[i]! + ranges[i + 1]!, known)
    if (end > ranges[i]!) neighbour.served.setRange(ranges[i]!, end - ranges[i]!)
  }
}

/**
 * Takes the next range to send to a neighbour and counts it as served.
 *
 * @param have the chunks that are here
 * @param known how many chunks the manifest knows
 * @param runChunks the longest range to send at once
 * @param holdFrom chunks from here on are held back
 * @param maySendAsked what was asked for may be sent, too
 */
export function takeNext(
  neighbour: Neighbour,
  have: Bitfield,
  known: number,
  runChunks: number,
  holdFrom: number = Infinity,
  maySendAsked: boolean = true,
): ChunkRange | undefined {
  const range = maySendAsked
    ? chooseNext(neighbour, have, known, runChunks, holdFrom)
    : (takeFresh(neighbour, have, runChunks, holdFrom) ?? takeScanned(neighbour, have, Math.min(known, holdFrom), runChunks))
  if (range !== undefined) neighbour.served.setRange(range.firstChunk, range.count)
  return range
}

function chooseNext(neighbour: Neighbour, have: Bitfield, known: number, runChunks: number, holdFrom: number): ChunkRange | undefined {
  const isAskedsTurn = neighbour.freshInTurn >= FRESH_PER_ASKED
  const first = isAskedsTurn ? takeAsked(neighbour, have, runChunks) : takeFresh(neighbour, have, runChunks, holdFrom)
  if (first !== undefined) {
    neighbour.freshInTurn = isAskedsTurn ? 0 : neighbour.freshInTurn + 1
    return first
  }
  neighbour.freshInTurn = 0
  const second = isAskedsTurn ? takeFresh(neighbour, have, runChunks, holdFrom) : takeAsked(neighbour, have, runChunks)
  return second ?? takeScanned(neighbour, have, Math.min(known, holdFrom), runChunks)
}

function takeAsked(neighbour: Neighbour, have: Bitfield, runChunks: number): ChunkRange | undefined {
  const { asked, served } = neighbour
  while (asked.length > 0) {
    const end = asked[0]! + asked[1]!
    let first = have.nextSet(asked[0]!)
    while (first < end && served.has(first)) first = have.nextSet(served.nextClear(first))
    if (first >= end) {
      asked.splice(0, 2)
      continue
    }
    const runEnd = (Math.floor(first / runChunks) + 1) * runChunks
    const count = Math.min(end, runEnd, have.nextClear(first), served.nextSet(first)) - first
    if (first + count >= end) asked.splice(0, 2)
    else {
      asked[0] = first + count
      asked[1] = end - first - count
    }
    return { firstChunk: first, count }
  }
  return undefined
}

function takeFresh(neighbour: Neighbour, have: Bitfield, runChunks: number, holdFrom: number): ChunkRange | undefined {
  const limit = Math.min(neighbour.clearTo, holdFrom)
  while (neighbour.hasFresh()) {
    const first = neighbour.fresh[neighbour.freshHead]!
    const end = first + neighbour.fresh[neighbour.freshHead + 1]!
    if (end > limit) return undefined
    let from = first
    while (from < end && (neighbour.served.has(from) || !have.has(from))) from++
    let to = from
    const most = Math.min(end, from + runChunks)
    while (to < most && !neighbour.served.has(to) && have.has(to)) to++
    if (to >= end) neighbour.freshHead += 2
    else {
      neighbour.fresh[neighbour.freshHead] = to
      neighbour.fresh[neighbour.freshHead + 1] = end - to
    }
    neighbour.compactFresh()
    if (to === from) continue
    return { firstChunk: from, count: to - from }
  }
  return undefined
}

function takeScanned(neighbour: Neighbour, have: Bitfield, below: number, runChunks: number): ChunkRange | undefined {
  const { subscription, served } = neighbour
  if (subscription === undefined || subscription.mask === 0) return undefined
  const limit = Math.min(below, neighbour.clearTo)
  const size = subscription.runChunks
  let chunk = neighbour.cursor
  while (chunk < limit) {
    chunk = have.nextSet(chunk)
    if (chunk >= limit) break
    const runEnd = (Math.floor(chunk / size) + 1) * size
    if (!covers(subscription, chunk)) {
      chunk = runEnd
      continue
    }
    if (served.has(chunk)) {
      chunk = Math.min(runEnd, served.nextClear(chunk))
      continue
    }
    const end = Math.min(runEnd, limit, chunk + runChunks, have.nextClear(chunk), served.nextSet(chunk))
    neighbour.cursor = end
    return { firstChunk: chunk, count: end - chunk }
  }
  neighbour.cursor = Math.max(neighbour.cursor, Math.min(chunk, limit))
  return undefined
}
