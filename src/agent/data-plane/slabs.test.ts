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

test('a part of a payload holds its slab, however long the rest is over; bytes of their own hold none', () => {
  const slab = Slab.take(1000)
  const payload = new Payload(slab.buffer.subarray(0, 1000), slab)
  const part = payload.holding(payload.bytes.subarray(100, 200))
  const copy = payload.holding(Uint8Array.from(payload.bytes))
  payload.release()
  const taken = Array.from({ length: 40 }, () => Slab.take(1000))
  assert.ok(
    taken.every(({ buffer }) => buffer !== slab.buffer),
    'nobody gets it while a part is in use',
  )
  copy.release()
  part.release()
  assert.equal(Slab.take(1000).buffer, slab.buffer)
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
