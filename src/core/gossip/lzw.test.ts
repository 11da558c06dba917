/** LZW comes back, takes anything, and never gives more than it may (docs/specs/04-gossip.md §4.3). */
import * as fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../lib/bytes.ts'
import { Random } from '../lib/random.ts'
import { isWireError } from '../wire/wire-error.ts'
import { broken, bytesOf, memoryTaken, vector } from './fixtures.test.ts'
import { lzwDecode, lzwEncode } from './lzw.ts'

function assertComesBack(bytes: Uint8Array): void {
  const compressed = lzwEncode(bytes)
  assert.ok(compressed.length <= 1.5 * bytes.length + bytes.length / 2048 + 8)
  assert.deepEqual(lzwDecode(compressed, bytes.length), bytes)
}

test('what is compressed comes back', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 3000 }), assertComesBack))
  fc.assert(fc.property(fc.array(fc.constantFrom(0, 1, 2), { maxLength: 3000 }), (bytes) => assertComesBack(Uint8Array.from(bytes))))
})

test('it comes back however often the table is full', () => {
  const random = new Random('lzw')
  for (const letters of [1, 2, 4, 17, 256]) {
    for (const count of [3830, 3836, 3837, 3838, 3839, 3840, 40_000, 200_000]) {
      assertComesBack(Uint8Array.from({ length: count }, () => random.below(letters)))
    }
  }
})

test('nothing is compressed to a clear and an end', () => {
  assert.equal(toHex(lzwEncode(new Uint8Array(0))), '000302')
  assert.deepEqual(lzwDecode(bytesOf('000302'), 0), new Uint8Array(0))
})

test('a decoder needs no clear, and goes on without one when its table is full', () => {
  // 5000 literals of 9 bits and more, each of which defines a number until there is none left.
  let bits = ''
  let next = 257
  let width = 9
  const expected = Uint8Array.from({ length: 5000 }, (_, index) => (index * 7) & 0xff)
  for (const byte of expected) {
    bits = byte.toString(2).padStart(width, '0') + bits
    next++
    if (next === 1 << width && width < 12) width++
  }
  bits = (257).toString(2).padStart(width, '0') + bits
  bits = bits.padStart(Math.ceil(bits.length / 8) * 8, '0')
  const compressed = Uint8Array.from({ length: bits.length / 8 }, (_, index) => {
    const end = bits.length - 8 * index
    return Number.parseInt(bits.slice(end - 8, end), 2)
  })
  assert.deepEqual(lzwDecode(compressed, 5000), expected)
})

test('a code for nothing, and an end that is missing, are refused', () => {
  // 256, then 258 before anything was defined.
  const early = lzwDecode(bytesOf('000502'), 100)
  assert.ok(isWireError(early))
  assert.match(early.message, /a code of 258 .* while 257 is the next/)
  const whole = vector('lzw of TOBEORNOTTOBEORTOBEORNOT')
  for (let length = 0; length < whole.length; length++) assert.ok(isWireError(lzwDecode(whole.subarray(0, length), 100)), `${length} bytes`)
})

test('a bomb is refused where it goes beyond what is allowed', () => {
  const bomb = lzwEncode(new Uint8Array(4 << 20))
  assert.ok(bomb.length < 1 << 15)
  const grown = memoryTaken(() => {
    for (let i = 0; i < 20; i++) {
      const refused = lzwDecode(bomb, 100_000)
      assert.ok(isWireError(refused))
      assert.match(refused.message, /more than 100000/)
    }
  })
  assert.ok(grown < 32 << 20, `${grown} bytes`)
  const just = lzwEncode(new Uint8Array(1000))
  assert.ok(isWireError(lzwDecode(just, 999)))
  assert.deepEqual(lzwDecode(just, 1000), new Uint8Array(1000))
})

test('broken and made-up bytes give an error or as much as is allowed', () => {
  const check = (bytes: Uint8Array): void => {
    const decoded = lzwDecode(bytes, 500)
    assert.ok(isWireError(decoded) || decoded.length <= 500)
  }
  for (const name of ['lzw of TOBEORNOTTOBEORTOBEORNOT', 'lzw of 32 times a']) {
    for (const bytes of broken(vector(name))) check(bytes)
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), check), { numRuns: 2000 })
})
