import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { decodeRecords, encodeRecord } from './records.ts'

const BODIES = ['first', 'x', 'the third record'].map((text) => Buffer.from(text))
const FILE = Buffer.concat(BODIES.map((body) => encodeRecord(body)))

test('records come back in their order', () => {
  const { bodies, validBytes } = decodeRecords(FILE)
  assert.deepEqual(
    bodies.map((body) => Buffer.from(body).toString()),
    ['first', 'x', 'the third record'],
  )
  assert.equal(validBytes, FILE.length)
})

test('a file cut off anywhere gives the records before the cut', () => {
  const ends = BODIES.map((_, index) => Buffer.concat(BODIES.slice(0, index + 1).map((body) => encodeRecord(body))).length)
  for (let length = 0; length <= FILE.length; length++) {
    const { bodies, validBytes } = decodeRecords(FILE.subarray(0, length))
    assert.equal(bodies.length, ends.filter((end) => end <= length).length, `cut at ${length}`)
    assert.equal(validBytes, ends.findLast((end) => end <= length) ?? 0)
  }
})

test('a flipped bit ends the replay before its record', () => {
  for (let bit = 0; bit < FILE.length * 8; bit++) {
    const damaged = Buffer.from(FILE)
    damaged[bit >> 3] = (damaged[bit >> 3] as number) ^ (1 << (bit & 7))
    const { bodies } = decodeRecords(damaged)
    assert.ok(bodies.length < BODIES.length, `bit ${bit}`)
    for (const [index, body] of bodies.entries()) assert.deepEqual(Buffer.from(body), BODIES[index])
  }
})

test('zeros of a file that was extended and never written are no records', () => {
  assert.equal(decodeRecords(Buffer.alloc(4096)).bodies.length, 0)
  assert.equal(decodeRecords(Buffer.concat([FILE, Buffer.alloc(4096)])).validBytes, FILE.length)
})

test('whatever a file holds, decoding takes a prefix of it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const { bodies, validBytes } = decodeRecords(bytes)
      assert.equal(
        validBytes,
        bodies.reduce((sum, body) => sum + body.length + 8, 0),
      )
      assert.ok(validBytes <= bytes.length)
    }),
  )
})
