import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../lib/bytes.ts'
import { DATA_HEADER_BYTES, DataHeader, TAGGED_FROM, isOfSession, unwrapU32, writeDataHeader, writeTag } from './data-packet.ts'

const SESSION = fromHex('0011223344556677') as Uint8Array

const u8 = fc.integer({ min: 0, max: 255 })
const u32 = fc.integer({ min: 0, max: 0xffffffff })

test('a data packet is read as it was written (docs/specs/07-multicast.md §3)', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 255 }),
      u8,
      u8,
      u32,
      u32,
      u32,
      u32,
      u32,
      (k, index, remaining, sequence, timestampUs, block, high, low) => {
        const packet = new Uint8Array(DATA_HEADER_BYTES + 5)
        writeDataHeader(packet, k, index, remaining, sequence, timestampUs, block)
        writeTag(packet, high, low)
        const header = new DataHeader()
        assert.ok(header.read(packet))
        assert.deepEqual(Object.fromEntries(Object.entries(header)), {
          tagHigh: high,
          tagLow: low,
          k,
          index,
          remaining,
          sequence,
          timestampUs,
          block,
          symbolBytes: 5,
        })
      },
    ),
  )
})

test('the vector of the specification', () => {
  const packet = new Uint8Array(DATA_HEADER_BYTES + 2)
  packet.set(SESSION)
  packet.set([0xaa, 0xbb], DATA_HEADER_BYTES)
  writeDataHeader(packet, 200, 7, 192, 0x01020304, 0x05060708, 9)
  writeTag(packet, 0xa1a2a3a4, 0xb1b2b3b4)
  assert.equal(toHex(packet), '001122334455667701a1a2a3a4b1b2b3b4c807c0010203040506070800000009aabb')
  assert.equal(toHex(packet.subarray(TAGGED_FROM)), 'c807c0010203040506070800000009aabb')
})

test('sequence and timestamp are taken modulo 2^32, fractions dropped', () => {
  const packet = new Uint8Array(DATA_HEADER_BYTES + 1)
  writeDataHeader(packet, 1, 0, 0, 2 ** 32 + 5, 3 * 2 ** 32 + 6.75, 0)
  const header = new DataHeader()
  header.read(packet)
  assert.deepEqual([header.sequence, header.timestampUs], [5, 6])
})

test('a packet without a symbol, or of a block without symbols, is none', () => {
  const header = new DataHeader()
  for (let length = 0; length <= DATA_HEADER_BYTES; length++) assert.equal(header.read(new Uint8Array(length).fill(1)), false)
  assert.equal(header.read(new Uint8Array(100)), false)
})

test('a packet belongs to a session by its first bytes, and only if more follows', () => {
  assert.equal(isOfSession(SESSION, SESSION), false)
  const packet = new Uint8Array([...SESSION, 1])
  assert.equal(isOfSession(packet, SESSION), true)
  for (let at = 0; at < 8; at++) assert.equal(isOfSession(packet.with(at, 0xff), SESSION), false)
})

test('a wrapped number is the one nearest to what is known', () => {
  assert.equal(unwrapU32(3, 2 ** 32 - 2), 2 ** 32 + 3)
  assert.equal(unwrapU32(0xffffffff, 2 ** 32 + 1), 2 ** 32 - 1)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 40 }), fc.integer({ min: -(2 ** 30), max: 2 ** 30 }), (reference, offset) => {
      const value = reference + offset
      assert.equal(unwrapU32(((value % 2 ** 32) + 2 ** 32) % 2 ** 32, reference), value)
    }),
  )
})
