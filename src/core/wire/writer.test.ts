import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../lib/bytes.ts'
import { Writer } from './writer.ts'

const written = (write: (writer: Writer) => void): string => {
  const writer = new Writer()
  write(writer)
  return toHex(writer.finish())
}

test('integers are big endian', () => {
  assert.equal(
    written((w) => {
      w.u8(0xab)
      w.u16(0x0102)
      w.u32(0xfffefdfc)
      w.u48(0x0a0bfffefdfc)
    }),
    'ab0102fffefdfc0a0bfffefdfc',
  )
})

test('a varint has seven bits to a byte, low ones first', () => {
  const vectors: [number, string][] = [
    [0, '00'],
    [1, '01'],
    [127, '7f'],
    [128, '8001'],
    [300, 'ac02'],
    [16383, 'ff7f'],
    [16384, '808001'],
    [2 ** 31 - 1, 'ffffffff07'],
    [2 ** 31, '8080808008'],
    [2 ** 32, '8080808010'],
    [2 ** 35 + 1, '818080808001'],
    [Number.MAX_SAFE_INTEGER, 'ffffffffffffff0f'],
  ]
  for (const [value, hex] of vectors)
    assert.equal(
      written((w) => w.varint(value)),
      hex,
      String(value),
    )
})

test('bytes and text come after their length', () => {
  assert.equal(
    written((w) => w.bytes(Uint8Array.of(1, 2))),
    '0102',
  )
  assert.equal(
    written((w) => w.lengthBytes(Uint8Array.of(1, 2))),
    '020102',
  )
  assert.equal(
    written((w) => w.text('é')),
    '02c3a9',
  )
  assert.equal(
    written((w) => w.text('')),
    '00',
  )
})

test('the buffer grows as far as needed', () => {
  const writer = new Writer(0)
  for (let i = 0; i < 1000; i++) writer.u8(i & 0xff)
  writer.bytes(new Uint8Array(100_000).fill(7))
  const bytes = writer.finish()
  assert.equal(bytes.length, 101_000)
  assert.equal(writer.length, 101_000)
  assert.equal(bytes[999], 999 & 0xff)
  assert.equal(bytes.at(-1), 7)
})

test('a value outside of its field is a bug', () => {
  const writer = new Writer()
  assert.throws(() => writer.u8(256), /8-bit/)
  assert.throws(() => writer.u16(-1), /16-bit/)
  assert.throws(() => writer.u32(2 ** 32), /32-bit/)
  for (const value of [-1, 0.5, NaN, 2 ** 53]) assert.throws(() => writer.varint(value), /2\^53/)
})
