import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { concatBytes, copyBytes, equalBytes, fromHex, toHex, utf8Decode, utf8Encode } from './bytes.ts'

const bytesOf = (...values: number[]): Uint8Array => Uint8Array.from(values)

test('hexadecimal is lower case with two digits for each byte', () => {
  assert.equal(toHex(bytesOf(0, 1, 0xab, 0xff)), '0001abff')
  assert.equal(toHex(bytesOf()), '')
})

test('hexadecimal of either case is read back', () => {
  assert.deepEqual(fromHex('0001aBFf'), bytesOf(0, 1, 0xab, 0xff))
  fc.assert(fc.property(fc.uint8Array(), (bytes) => equalBytes(fromHex(toHex(bytes)) as Uint8Array, bytes)))
})

test('what is no hexadecimal is undefined', () => {
  for (const text of ['0', 'abc', 'zz', '0g', 'g0', ' 00', '0x00', 'ａａ']) assert.equal(fromHex(text), undefined, text)
})

test('bytes are equal only with the same length and values', () => {
  assert.equal(equalBytes(bytesOf(1, 2), bytesOf(1, 2)), true)
  assert.equal(equalBytes(bytesOf(1, 2), bytesOf(1, 3)), false)
  assert.equal(equalBytes(bytesOf(1, 2), bytesOf(1, 2, 0)), false)
})

test('joined bytes stand in their order', () => {
  assert.deepEqual(concatBytes([bytesOf(1), bytesOf(), bytesOf(2, 3)]), bytesOf(1, 2, 3))
  assert.deepEqual(concatBytes([]), bytesOf())
})

test('a copy of a Node Buffer shares no memory with it', () => {
  const original = Buffer.from([1, 2, 3])
  const copy = copyBytes(original)
  original[0] = 9
  assert.deepEqual(copy, bytesOf(1, 2, 3))
})

test('UTF-8 is encoded as TextEncoder encodes it, lone surrogates included', () => {
  const encoder = new TextEncoder()
  const texts = [
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme' }),
    fc.array(fc.nat(0xffff)).map((u) => String.fromCharCode(...u)),
  ]
  fc.assert(fc.property(fc.oneof(...texts), (text) => assert.deepEqual(utf8Encode(text), encoder.encode(text))))
})

test('UTF-8 is decoded as a strict TextDecoder decodes it', () => {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  const expected = (bytes: Uint8Array): string | undefined => {
    try {
      return decoder.decode(bytes)
    } catch (error) {
      assert.ok(error instanceof TypeError)
      return undefined
    }
  }
  const edge = fc.constantFrom(
    0,
    0x7f,
    0x80,
    0x8f,
    0x90,
    0x9f,
    0xa0,
    0xbf,
    0xc0,
    0xc1,
    0xc2,
    0xdf,
    0xe0,
    0xed,
    0xef,
    0xf0,
    0xf4,
    0xf5,
    0xff,
  )
  const edges = fc.array(edge, { maxLength: 6 }).map((values) => Uint8Array.from(values))
  const valid = fc.string({ unit: 'binary' }).map((text) => new TextEncoder().encode(text))
  fc.assert(
    fc.property(fc.oneof(edges, valid, fc.uint8Array()), (bytes) => assert.equal(utf8Decode(bytes), expected(bytes))),
    { numRuns: 2000 },
  )
})

test('a text longer than one batch of characters is decoded whole', () => {
  const text = 'aé😀'.repeat(5000)
  assert.equal(utf8Decode(utf8Encode(text)), text)
})
