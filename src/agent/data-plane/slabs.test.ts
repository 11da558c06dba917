/** Buffers that are used again. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Payload, Slab, SLAB_BYTES } from './slabs.ts'

test('a slab is used again once nobody uses it, by whoever wants one of its size', () => {
  for (const bytes of [1, SLAB_BYTES, SLAB_BYTES + 1, 4 * SLAB_BYTES, 8 * SLAB_BYTES]) {
    const first = Slab.take(bytes)
    assert.ok(first.buffer.length >= bytes)
    const payload = new Payload(first.buffer.subarray(0, bytes), first)
    payload.retain()
    payload.release()
    const other = Slab.take(bytes)
    assert.notEqual(other.buffer, first.buffer)
    payload.release()
    assert.equal(Slab.take(first.buffer.length).buffer, first.buffer)
  }
})

test('the largest are not kept, nor more than some', () => {
  const huge = Slab.take(8 * SLAB_BYTES + 1)
  assert.equal(huge.buffer.length, 8 * SLAB_BYTES + 1)
  huge.release()
  assert.notEqual(Slab.take(8 * SLAB_BYTES + 1).buffer, huge.buffer)
  const slabs = Array.from({ length: 200 }, () => Slab.take(SLAB_BYTES))
  const buffers = new Set(slabs.map(({ buffer }) => buffer))
  for (const slab of slabs) slab.release()
  const again = Array.from({ length: 200 }, () => Slab.take(SLAB_BYTES)).filter(({ buffer }) => buffers.has(buffer))
  assert.ok(again.length > 0 && again.length <= 32, String(again.length))
})
