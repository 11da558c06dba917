import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Bitfield } from '../lib/bitfield.ts'
import { Random } from '../lib/random.ts'
import { isWireError } from '../wire/wire-error.ts'
import { decodeNeeds, encodeNeeds, MAX_NEEDS_BYTES, type HeldRanges } from './needs.ts'

function heldOf(chunks: number, isHeld: (chunk: number) => boolean): Bitfield {
  const held = new Bitfield(chunks)
  for (let chunk = 0; chunk < chunks; chunk++) if (isHeld(chunk)) held.set(chunk)
  return held
}

function rangesOf(needs: Uint8Array): HeldRanges {
  const ranges = decodeNeeds(needs)
  assert.ok(!isWireError(ranges), JSON.stringify(ranges))
  return ranges
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

test('the vectors of the specification (08-multicast-content.md §4)', () => {
  assert.equal(hex(encodeNeeds(new Bitfield(500))), '0000')
  assert.equal(hex(encodeNeeds(Bitfield.full(500))), '000100f403')
  const some = heldOf(1000, (chunk) => (chunk >= 10 && chunk < 40) || chunk === 999)
  assert.equal(hex(encodeNeeds(some)), '00020a1ebf0701')
  assert.deepEqual(rangesOf(encodeNeeds(some)), [10, 30, 999, 1])
  const odd = heldOf(50, (chunk) => chunk % 3 !== 1)
  assert.equal(hex(encodeNeeds(odd)), '013200326ddbb66ddbb601')
  const units = heldOf(50, (chunk) => chunk < 15 || chunk >= 24)
  assert.equal(hex(encodeNeeds(units)), '0002000f091a')
  assert.deepEqual(rangesOf(Uint8Array.from(Buffer.from('0107033279', 'hex'))), [0, 8, 24, 26])
})

test('what fits is exact', () => {
  for (const held of [
    new Bitfield(0),
    heldOf(8700, (chunk) => chunk % 2 === 0),
    heldOf(16_000_000, (chunk) => chunk % 100_000 < 50_000),
    heldOf(100, (chunk) => chunk === 99),
  ]) {
    const needs = encodeNeeds(held)
    assert.ok(needs.length <= MAX_NEEDS_BYTES)
    assert.deepEqual(rangesOf(needs), held.ranges().flat())
  }
})

test('it fits whatever is held, and never claims what is not', () => {
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 14, max: 120 }), (seed, chunks, maxBytes) => {
      const random = new Random(seed)
      const stretch = 1 + random.below(40)
      let isHeld = false
      const held = heldOf(chunks, () => {
        if (random.below(stretch) === 0) isHeld = !isHeld
        return isHeld
      })
      const needs = encodeNeeds(held, maxBytes)
      assert.ok(needs.length <= maxBytes)
      const ranges = rangesOf(needs)
      for (let i = 0; i < ranges.length; i += 2) assert.ok(held.hasRange(ranges[i]!, ranges[i + 1]!))
    }),
  )
})

test('what does not fit is coarser, but not silent', () => {
  // Eight in ten of very many, in stretches of different lengths: no exact form has room.
  const random = new Random('coarse')
  let left = 0
  let isHeld = false
  const held = heldOf(200_000, () => {
    if (left-- === 0) {
      isHeld = !isHeld
      left = isHeld ? random.below(160) : random.below(40)
    }
    return isHeld
  })
  const claimed = rangesOf(encodeNeeds(held)).reduce((sum, value, i) => (i % 2 === 1 ? sum + value : sum), 0)
  assert.ok(claimed > 0.5 * held.count, `${claimed} of ${held.count}`)
})

test('the last unit counts though the content ends within it', () => {
  const held = heldOf(1001, (chunk) => (chunk >> 3) % 2 === 0 || chunk === 1000)
  assert.deepEqual(rangesOf(encodeNeeds(held, 40)), held.ranges().flat())
})

test('what breaks a rule is refused', () => {
  for (const text of [
    '',
    '02',
    '0001',
    '00010000', // an empty range
    '000200010001', // two that touch
    '0001ffffff7f01', // beyond the last chunk
    '000100f40300', // bytes left over
    '010800', // ends early
    '01080008', // no bits
    '0109000800ff', // other units than the chunks have
    '01080019ff', // a unit of 2²⁵
    '010700078000', // left over
    '010700 07 80'.replaceAll(' ', ''), // a bit beyond the last unit
  ]) {
    const result = decodeNeeds(Uint8Array.from(Buffer.from(text, 'hex')))
    assert.ok(isWireError(result) && result.disposition === 'disconnect', `${text}: ${JSON.stringify(result)}`)
  }
  assert.ok(isWireError(decodeNeeds(new Uint8Array(MAX_NEEDS_BYTES + 1))))
})

test('no bytes make the decoder throw, or give ranges that are not in order', () => {
  const byte = fc.oneof(fc.nat(3), fc.nat(255))
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 40 }), (list) => {
      const ranges = decodeNeeds(Uint8Array.from(list))
      if (isWireError(ranges)) return
      let end = -1
      for (let i = 0; i < ranges.length; i += 2) {
        assert.ok(ranges[i]! > end && ranges[i + 1]! > 0)
        end = ranges[i]! + ranges[i + 1]!
      }
      assert.ok(end <= 16 * 1024 * 1024)
    }),
    { numRuns: 3000 },
  )
})
