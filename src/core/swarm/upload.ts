/**
 * What a peer sends to a neighbour next.
 *
 * Chunks of the subscription that have just arrived come first, for they keep the trees flowing, with one asked-for range after
 * every few of them; then the scan over everything older. Chosen at the moment the link has room, so that what the neighbour
 * got elsewhere meanwhile is not sent.
 */
import type { Bitfield } from '../lib/bitfield.ts'
import type { Neighbour, Subscription } from './neighbour.ts'

/** After this many ranges of the subscription one that was asked for is sent. */
const FRESH_PER_ASKED = 3

export interface ChunkRange {
  readonly firstChunk: number
  readonly count: number
}

/** Whether a subscription covers a chunk. */
export function covers(subscription: Subscription, chunk: number): boolean {
  return ((subscription.mask >>> (Math.floor(chunk / subscription.runChunks) % subscription.stripes)) & 1) === 1
}

/**
 * Takes the next range to send to a neighbour and counts it as served.
 *
 * @param have the chunks that are here
 * @param known how many chunks the manifest knows
 * @param runChunks the longest range to send at once
 * @param holdFrom chunks from here on are held back
 */
export function takeNext(neighbour: Neighbour, have: Bitfield, known: number, runChunks: number, holdFrom: number): ChunkRange | undefined {
  const isAskedsTurn = neighbour.freshInTurn >= FRESH_PER_ASKED
  const first = isAskedsTurn ? takeAsked(neighbour, have, runChunks) : takeFresh(neighbour, have, holdFrom)
  if (first !== undefined) {
    neighbour.freshInTurn = isAskedsTurn ? 0 : neighbour.freshInTurn + 1
    return first
  }
  neighbour.freshInTurn = 0
  const second = isAskedsTurn ? takeFresh(neighbour, have, holdFrom) : takeAsked(neighbour, have, runChunks)
  return second ?? takeScanned(neighbour, have, known, holdFrom)
}

function takeAsked(neighbour: Neighbour, have: Bitfield, runChunks: number): ChunkRange | undefined {
  while (neighbour.asked.length > 0) {
    const first = neighbour.asked[0]!
    const count = neighbour.asked[1]!
    const taken = Math.min(count, runChunks - (first % runChunks))
    if (taken === count) neighbour.asked.splice(0, 2)
    else {
      neighbour.asked[0] = first + taken
      neighbour.asked[1] = count - taken
    }
    if (!have.hasRange(first, taken)) continue
    neighbour.served.setRange(first, taken)
    return { firstChunk: first, count: taken }
  }
  return undefined
}

function takeFresh(neighbour: Neighbour, have: Bitfield, holdFrom: number): ChunkRange | undefined {
  const subscription = neighbour.subscription
  if (subscription === undefined) return undefined
  const limit = Math.min(neighbour.clearTo, holdFrom)
  while (neighbour.hasFresh()) {
    const first = neighbour.fresh[neighbour.freshHead]!
    const end = first + neighbour.fresh[neighbour.freshHead + 1]!
    if (end > limit) return undefined
    let from = first
    while (from < end && (neighbour.served.has(from) || !have.has(from) || !covers(subscription, from))) from++
    let to = from
    while (to < end && !neighbour.served.has(to) && have.has(to)) to++
    if (to >= end) neighbour.freshHead += 2
    else {
      neighbour.fresh[neighbour.freshHead] = to
      neighbour.fresh[neighbour.freshHead + 1] = end - to
    }
    neighbour.compactFresh()
    if (to === from) continue
    neighbour.served.setRange(from, to - from)
    return { firstChunk: from, count: to - from }
  }
  return undefined
}

function takeScanned(neighbour: Neighbour, have: Bitfield, known: number, holdFrom: number): ChunkRange | undefined {
  const subscription = neighbour.subscription
  if (subscription === undefined || subscription.mask === 0) return undefined
  const limit = Math.min(known, neighbour.clearTo, holdFrom)
  const size = subscription.runChunks
  let chunk = neighbour.cursor
  while (chunk < limit) {
    chunk = have.nextSet(chunk)
    if (chunk >= limit) break
    if (!covers(subscription, chunk)) {
      chunk = (Math.floor(chunk / size) + 1) * size
      continue
    }
    if (neighbour.served.has(chunk)) {
      chunk++
      continue
    }
    const runEnd = Math.min((Math.floor(chunk / size) + 1) * size, limit)
    let end = chunk + 1
    while (end < runEnd && have.has(end) && !neighbour.served.has(end)) end++
    neighbour.cursor = end
    neighbour.served.setRange(chunk, end - chunk)
    return { firstChunk: chunk, count: end - chunk }
  }
  neighbour.cursor = Math.max(neighbour.cursor, Math.min(chunk, limit))
  return undefined
}
