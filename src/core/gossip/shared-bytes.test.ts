import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8Encode } from '../lib/bytes.ts'
import { SharedBytes } from './shared-bytes.ts'

test('the same bytes are one array, and no view into what they came in', () => {
  const shared = new SharedBytes()
  const packet = utf8Encode('role=web,role=web,role=db!')
  const [first, second, third] = [packet.subarray(0, 8), packet.subarray(9, 17), packet.subarray(18)].map((one) => shared.share(one))
  assert.equal(first, second)
  assert.deepEqual(first, utf8Encode('role=web'))
  assert.equal(first?.buffer.byteLength, 8)
  assert.deepEqual(third, utf8Encode('role=db!'))
})

test('as many different ones as there may be are no more memory than a table full', () => {
  const shared = new SharedBytes()
  const first = shared.share(Uint8Array.of(1))
  for (let i = 0; i < 2000; i++) shared.share(utf8Encode(`value ${i}`))
  const again = shared.share(Uint8Array.of(1))
  assert.notEqual(again, first)
  assert.deepEqual(again, first)
  assert.equal(shared.share(Uint8Array.of(1)), again)
})
