/** What is counted of the runs that neighbours have announced. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Bitfield } from '../lib/bitfield.ts'
import { Availability } from './availability.ts'

/** What it must be: neighbours that have every chunk of the run. */
function holdersOf(neighbours: readonly Bitfield[], run: number, runChunks: number, chunks: number): number {
  const first = run * runChunks
  return neighbours.filter((announced) => announced.hasRange(first, Math.min(runChunks, chunks - first))).length
}

test('a run counts when a neighbour has the whole of it, and from then on it has been seen', () => {
  const availability = new Availability(4)
  availability.grow(12)
  const announced = new Bitfield(12)
  availability.announce(announced, 4, 3, Infinity, 10)
  assert.deepEqual([availability.holders(1), availability.seenAt(1)], [0, 0])
  availability.announce(announced, 7, 1, Infinity, 20)
  assert.deepEqual([availability.holders(1), availability.seenAt(1)], [1, 20])
  availability.announce(announced, 4, 4, Infinity, 30)
  assert.deepEqual([availability.holders(1), availability.seenAt(1)], [1, 20])
})

test('the last run is shorter where the content ends, and counts only when that is known', () => {
  const availability = new Availability(4)
  availability.grow(6)
  const announced = new Bitfield(6)
  availability.announce(announced, 0, 6, Infinity, 5)
  assert.deepEqual([availability.holders(0), availability.holders(1)], [1, 0])
  const other = new Bitfield(6)
  availability.announce(other, 0, 6, 6, 7)
  assert.deepEqual([availability.holders(0), availability.holders(1)], [2, 1])
})

test('a run that was seen stays so when its only holder is gone', () => {
  const availability = new Availability(1)
  availability.grow(2)
  const announced = new Bitfield(2)
  availability.announce(announced, 0, 2, 2, 5)
  availability.remove(announced, 2)
  assert.deepEqual([availability.holders(0), availability.seenAt(0)], [0, 5])
  availability.removeRun(0)
  assert.equal(availability.holders(0), 0)
})

test('what somebody unknown has is seen and held by nobody', () => {
  const availability = new Availability(1)
  availability.grow(1)
  availability.markSeen(0, 7)
  availability.markSeen(0, 9)
  availability.markSeen(5, 9)
  assert.deepEqual([availability.holders(0), availability.seenAt(0), availability.seenAt(5)], [0, 7, 0])
})

test('whatever is announced, in whatever order, taken away and counted again, holders are those that have the whole run', () => {
  const step = fc.record({ of: fc.nat(2), first: fc.nat(39), count: fc.integer({ min: 1, max: 40 }), leaves: fc.boolean() })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 7 }), fc.array(step, { maxLength: 30 }), (runChunks, steps) => {
      const chunks = 40
      const availability = new Availability(runChunks)
      availability.grow(chunks)
      const neighbours = [new Bitfield(chunks), new Bitfield(chunks), new Bitfield(chunks)]
      for (const { of, first, count, leaves } of steps) {
        if (leaves) {
          availability.remove(neighbours[of]!, chunks)
          neighbours[of] = new Bitfield(chunks)
        } else availability.announce(neighbours[of]!, first, Math.min(count, chunks - first), chunks, 1)
        for (let run = 0; run * runChunks < chunks; run++) {
          assert.equal(availability.holders(run), holdersOf(neighbours, run, runChunks, chunks), `run ${run}`)
        }
      }
      const anew = new Availability(runChunks)
      anew.grow(chunks)
      for (const announced of neighbours) anew.add(announced, chunks, 1)
      for (let run = 0; run * runChunks < chunks; run++) assert.equal(anew.holders(run), availability.holders(run))
    }),
  )
})
