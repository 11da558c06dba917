import assert from 'node:assert/strict'
import test from 'node:test'
import * as fc from 'fast-check'
import { SlabQueue } from './slab-queue.ts'
import { SLAB_BYTES } from './slabs.ts'

test('what was pushed comes out in order, in whatever pieces it came and is asked for', () => {
  const lengths = fc.array(fc.integer({ min: 0, max: SLAB_BYTES + SLAB_BYTES / 2 }), { maxLength: 6 })
  fc.assert(
    fc.property(lengths, fc.array(fc.integer({ min: 1, max: SLAB_BYTES * 2 }), { maxLength: 40 }), (parts, wants) => {
      const queue = new SlabQueue()
      let [pushed, taken] = [0, 0]
      for (const [turn, want] of wants.entries()) {
        const length = parts[turn] ?? 0
        // Bytes that tell their place, in an array that is used again.
        const part = new Uint8Array(length)
        for (let i = 0; i < length; i++) part[i] = (pushed + i) % 251
        queue.push(part)
        part.fill(255)
        pushed += length
        if (want > queue.bytes) continue
        const payload = queue.shift(want)
        assert.equal(payload.bytes.length, want)
        assert.ok(payload.bytes.every((byte, i) => byte === (taken + i) % 251))
        taken += want
        payload.release()
        assert.equal(queue.bytes, pushed - taken)
      }
    }),
    { numRuns: 60 },
  )
})

test('a payload stays as it is while more is pushed and other payloads are released', () => {
  const queue = new SlabQueue()
  queue.push(Uint8Array.from([1, 2, 3, 4]))
  const first = queue.shift(2)
  const second = queue.shift(2)
  second.release()
  queue.push(new Uint8Array(SLAB_BYTES * 2).fill(9))
  assert.deepEqual([...first.bytes], [1, 2])
  first.release()
})

test('what is given up is not queued any more', () => {
  const queue = new SlabQueue()
  queue.push(new Uint8Array(SLAB_BYTES + 1))
  queue.clear()
  assert.equal(queue.bytes, 0)
  assert.throws(() => queue.shift(1))
})
