import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { concatBytes, fromHex, toHex } from '../lib/bytes.ts'
import { isWireError } from '../wire/wire-error.ts'
import { MsgpackSplitter } from './msgpack-splitter.ts'

/** One value of each form, by hand, so that the test does not know the table of the splitter. */
const VALUES = [
  '00',
  '7f',
  'e0',
  'ff',
  'c0',
  'c2',
  'c3',
  '80',
  '8101c0',
  '82a16101a16290',
  '90',
  '920102',
  '93c09101a0',
  'a0',
  'a3616263',
  'c402aabb',
  'c50001aa',
  'c600000001aa',
  'c70105aa',
  'c8000105aa',
  'c90000000105aa',
  'ca3f800000',
  'cb3ff0000000000000',
  'cc80',
  'cd0100',
  'ce00010000',
  'cf0000000100000000',
  'd080',
  'd18000',
  'd280000000',
  'd38000000000000000',
  'd405aa',
  'd505aabb',
  'd605aabbccdd',
  'd705aabbccddaabbccdd',
  'd805aabbccddaabbccddaabbccddaabbccdd',
  'd90161',
  'da000161',
  'db0000000161',
  'dc000201c0',
  'dd0000000201c0',
  'de0001a16101',
  'df00000001a16101',
].map((hex) => fromHex(hex)!)

function takeAll(splitter: MsgpackSplitter): string[] {
  const found: string[] = []
  for (;;) {
    const value = splitter.next()
    if (value === undefined) return found
    assert.ok(!isWireError(value), 'refused')
    found.push(toHex(value))
  }
}

test('values come out as they went in, however the stream is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...VALUES), { maxLength: 12 }), fc.array(fc.integer({ min: 1, max: 9 })), (values, cuts) => {
      const stream = concatBytes(values)
      const splitter = new MsgpackSplitter(1000)
      const found: string[] = []
      let at = 0
      for (const cut of [...cuts, stream.length]) {
        splitter.push(stream.subarray(at, at + cut))
        found.push(...takeAll(splitter))
        at += cut
      }
      assert.deepEqual(found, values.map(toHex))
      assert.equal(splitter.heldBytes, 0)
    }),
  )
})

test('one byte at a time gives each form, and not before its last byte', () => {
  for (const value of VALUES) {
    const splitter = new MsgpackSplitter(1000)
    for (const [index, byte] of value.entries()) {
      assert.equal(splitter.next(), undefined, `${toHex(value)} before byte ${index}`)
      splitter.push(Uint8Array.of(byte))
    }
    assert.deepEqual(takeAll(splitter), [toHex(value)])
  }
})

test('a value that would be too long is refused by its header, and nothing comes after it', () => {
  for (const header of ['a5', 'db7fffffff', 'dd7fffffff', 'df7fffffff', 'c9ffffffff', '9592', 'dc0004']) {
    const splitter = new MsgpackSplitter(5)
    splitter.push(fromHex(header)!)
    assert.ok(isWireError(splitter.next()), header)
    splitter.push(Uint8Array.of(0))
    assert.ok(isWireError(splitter.next()), header)
    assert.equal(splitter.heldBytes, 0)
  }
  const splitter = new MsgpackSplitter(5)
  splitter.push(fromHex('a4616263640193010203')!)
  assert.deepEqual(takeAll(splitter), ['a461626364', '01', '93010203'])
})

test('c1 begins no value', () => {
  const splitter = new MsgpackSplitter(5)
  splitter.push(fromHex('01c1')!)
  assert.deepEqual(splitter.next(), Uint8Array.of(1))
  assert.ok(isWireError(splitter.next()))
})
