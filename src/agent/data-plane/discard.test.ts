/** Buffers that are freed before they are collected. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { discard } from './discard.ts'

test('a buffer of its own is empty afterwards, a view of nearly all of one, too', () => {
  const whole = new Uint8Array(300_000)
  const most = new Uint8Array(300_000).subarray(16)
  discard(whole)
  discard(most)
  assert.deepEqual([whole.length, whole.buffer.byteLength, most.buffer.byteLength], [0, 0, 0])
})

test('what others may use stays: a small part of a buffer, and shared memory', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(300_000)).fill(7)
  const part = new Uint8Array(300_000).subarray(0, 1000).fill(7)
  discard(shared)
  discard(part)
  assert.deepEqual([shared[0], shared.length, part[999], part.buffer.byteLength], [7, 300_000, 7, 300_000])
})
