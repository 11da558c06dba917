import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Bitfield } from '../lib/bitfield.ts'
import { Random } from '../lib/random.ts'
import type { ContentView } from './content-view.ts'
import { HandOut } from './hand-out.ts'
import { Neighbour } from './neighbour.ts'
import { PeerState } from './peer-state.ts'
import { noteAsked, takeNext } from './upload.ts'

const STRIPES = 4
const RUN_CHUNKS = 2
/** Runs that a stripe may be ahead, and how long it is held then, ms. */
const LEAD_RUNS = 48
const HOLD_MS = 150

/** An origin with children, each subscribed to the stripes of its mask. */
class Origin {
  readonly state: PeerState
  readonly handOut: HandOut
  readonly chunks: number

  constructor(runs: number) {
    this.chunks = runs * RUN_CHUNKS
    const content: ContentView = {
      runChunks: RUN_CHUNKS,
      knownChunks: this.chunks,
      isComplete: true,
      rangeBytes: (_first, count) => count,
      verify: () => -1,
      acceptManifest: () => undefined,
      manifestParts: (fromChunk) => ({ parts: [], next: fromChunk, hasHead: true, hasSeal: true }),
    }
    const have = new Bitfield(this.chunks)
    have.setRange(0, this.chunks)
    const options = { id: 'origin', address: '', zone: '', content, isOrigin: true, canReuse: false, random: new Random('origin') }
    this.state = new PeerState(options, have)
    this.handOut = new HandOut(this.state)
  }

  child(id: string, mask: number, now = 0): Neighbour {
    const neighbour = new Neighbour(id, undefined, this.chunks)
    this.state.neighbours.set(id, neighbour)
    neighbour.subscribe({ runChunks: RUN_CHUNKS, stripes: STRIPES, mask }, undefined, now)
    neighbour.clearTo = this.chunks
    this.handOut.withholdFrom(neighbour)
    return neighbour
  }

  /** Hands the next run out to a child: its index, or -1 when there is none for it now. */
  hand(child: Neighbour, now: number): number {
    const maySendAsked = this.handOut.maySendAsked(child, now)
    const range = takeNext(child, this.state.have, this.chunks, RUN_CHUNKS, this.handOut.holdFrom(now), maySendAsked)
    if (range === undefined) return -1
    this.handOut.released(range, now)
    return range.firstChunk / RUN_CHUNKS
  }

  /** What the children were told to get elsewhere, by child. */
  withheld(): Map<string, readonly number[]> {
    const told = new Map<string, readonly number[]>()
    for (const output of this.state.drain()) {
      if (output.type === 'send' && output.message.type === 'withheld') told.set(output.to, output.message.ranges)
    }
    return told
  }
}

test('what is asked for again waits while there is more to hand out, and is sent when nobody takes anything new, or all is out', () => {
  const origin = new Origin(100)
  const child = origin.child('c', 0b1111)
  const other = origin.child('other', 0)
  for (let run = 0; run < 40; run++) origin.hand(child, run)
  noteAsked(other, [0, 20 * RUN_CHUNKS], origin.chunks)
  const repeated = (now: number): number => {
    let count = 0
    while (origin.hand(other, now) >= 0) count++
    return count
  }
  assert.equal(repeated(40), 2, 'one of 32')
  for (let run = 40; run < 70; run++) origin.hand(child, run)
  assert.equal(repeated(70), 1)
  assert.equal(repeated(500), 17, 'its link has been idle')
  noteAsked(other, [0, 20 * RUN_CHUNKS], origin.chunks)
  while (origin.hand(child, 501) >= 0) continue
  assert.equal(repeated(502), 20, 'everything was handed out')
})

test('in whatever order its children take, each run is handed out once, and no stripe gets far ahead of the others', () => {
  const run = (turns: number[]): void => {
    const origin = new Origin(200)
    const children = Array.from({ length: STRIPES }, (_, stripe) => origin.child(`c${stripe}`, 1 << stripe))
    const handed = new Set<number>()
    const hand = (child: Neighbour): boolean => {
      const next = origin.hand(child, 0)
      if (next < 0) return false
      assert.ok(!handed.has(next), `run ${next} was handed out before`)
      let below = 0
      while (handed.has(below)) below++
      assert.ok(next < below + LEAD_RUNS, `run ${next} goes out while run ${below} waits`)
      handed.add(next)
      return true
    }
    for (const turn of turns) hand(children[turn]!)
    while (children.map(hand).includes(true));
    assert.equal(handed.size, 200)
  }
  fc.assert(fc.property(fc.array(fc.nat(STRIPES - 1), { maxLength: 300 }), run), { numRuns: 100 })
})

test('a stripe that nobody takes holds the others for a moment only', () => {
  const origin = new Origin(400)
  const child = origin.child('c0', 0b0001)
  let last = -1
  for (let next = origin.hand(child, 0); next >= 0; next = origin.hand(child, 0)) last = next
  assert.ok(last - 1 < LEAD_RUNS, 'run 1 waits')
  assert.equal(origin.hand(child, HOLD_MS), -1)
  assert.equal(origin.hand(child, HOLD_MS + 1), last + STRIPES)
})

test('what was held back is offered as soon as the stripe that was behind goes on', () => {
  const origin = new Origin(400)
  const [behind, ahead] = [origin.child('behind', 0b0001), origin.child('ahead', 0b1110)]
  while (origin.hand(ahead, 0) >= 0);
  ahead.isOffered = false
  origin.state.drain()
  assert.equal(origin.hand(behind, 0), 0)
  assert.ok(origin.state.drain().some((output) => output.type === 'uploadable' && output.to === 'ahead'))
  assert.ok(origin.hand(ahead, 0) >= 0)
})

test('what others have already need not be handed out: the rest goes on', () => {
  const origin = new Origin(400)
  const child = origin.child('c0', 0b0001)
  while (origin.hand(child, 0) >= 0);
  origin.handOut.elsewhere(0, 100 * RUN_CHUNKS)
  assert.ok(origin.hand(child, 0) > 0)
})

test('a child that comes later is told to get elsewhere what others were handed, and gets the rest', () => {
  const origin = new Origin(100)
  const first = origin.child('first', 0b1111)
  for (let run = 0; run < 10; run++) assert.equal(origin.hand(first, 0), run)
  origin.state.drain()
  const second = origin.child('second', 0b0001)
  assert.deepEqual(origin.withheld(), new Map([['second', [0, 10 * RUN_CHUNKS]]]))
  assert.equal(origin.hand(second, 0), 12)
})

test('what only a child that has gone was handed is handed out again', () => {
  const origin = new Origin(100)
  const first = origin.child('first', 0b1111)
  for (let run = 0; run < 10; run++) origin.hand(first, 0)
  origin.state.neighbours.delete('first')
  const second = origin.child('second', 0b1111)
  assert.equal(origin.withheld().size, 0)
  assert.equal(origin.hand(second, 0), 0)
})
