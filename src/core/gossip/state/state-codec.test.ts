import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../../lib/bytes.ts'
import { isWireError } from '../../wire/wire-error.ts'
import {
  decodeStateMessage,
  digestBytes,
  encodeStateMessage,
  MAX_KEY_BYTES,
  MAX_VALUE_BYTES,
  MAX_VERSION,
  sectionBytes,
} from './state-codec.ts'
import type { StateMessage } from './state-messages.ts'

const name = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' })
const version = fc.oneof(fc.nat(1000), fc.integer({ min: 0, max: MAX_VERSION }))
const hash = fc.record({ high: fc.nat(), low: fc.nat() })
const digest = fc.record({ node: name, generation: fc.maxSafeNat(), version, collectedTo: version })
const value = fc.record({ value: fc.uint8Array({ maxLength: 50 }), ttlMs: fc.option(fc.nat(), { nil: undefined }) })
const entryParts = fc.tuple(fc.integer({ min: 1, max: 1000 }), name, fc.option(value, { nil: undefined }))
const section = fc
  .tuple(name, fc.maxSafeNat(), fc.nat(1_000_000), fc.nat(9), version, fc.boolean(), fc.array(entryParts, { maxLength: 5 }))
  .map(([node, generation, from, more, collectedTo, isLast, parts]) => {
    let at = from
    const entries = parts.map(([gap, key, held]) => {
      at += gap
      return { key, version: at, value: held?.value, ttlMs: held?.ttlMs }
    })
    return { node, generation, from, to: at + more, collectedTo, isLast, entries }
  })
const range = fc.nat(2).chain((depth) =>
  fc.record({
    depth: fc.constant(depth),
    prefix: fc.nat(16 ** depth - 1),
    children: fc.array(fc.option(hash, { nil: undefined }), { minLength: 16, maxLength: 16 }),
  }),
)
const interval = fc
  .tuple(fc.nat(), fc.nat(), fc.array(digest, { maxLength: 4 }))
  .map(([a, b, digests]) => ({ first: Math.min(a, b), last: Math.max(a, b), digests }))
const message: fc.Arbitrary<StateMessage> = fc.oneof(
  fc.record({ type: fc.constant('root' as const), hash }),
  fc.record({ type: fc.constant('ranges' as const), ranges: fc.array(range, { minLength: 1, maxLength: 3 }) }),
  fc.record({ type: fc.constant('digests' as const), isAnswer: fc.boolean(), intervals: fc.array(interval, { maxLength: 4 }) }),
  fc.record({ type: fc.constant('want' as const), sequence: fc.maxSafeNat(), digests: fc.array(digest, { maxLength: 4 }) }),
  fc.record({ type: fc.constant('delta' as const), sequence: fc.maxSafeNat(), sections: fc.array(section, { maxLength: 4 }) }),
  fc.record({
    type: fc.constant('news' as const),
    digests: fc.array(digest, { maxLength: 4 }),
    sections: fc.array(section, { maxLength: 4 }),
  }),
)

/** The grammar of docs/specs/05-state.md §4, by hand; the vectors of its §8. */
const VECTORS: readonly (readonly [StateMessage, string])[] = [
  [{ type: 'root', hash: { high: 0x01020304, low: 0xa0b0c0d0 } }, '11 01020304 a0b0c0d0'],
  [
    {
      type: 'ranges',
      ranges: [{ depth: 1, prefix: 15, children: Array.from({ length: 16 }, (_, i) => (i === 2 ? { high: 1, low: 2 } : undefined)) }],
    },
    '12 01 0f 0004 00000001 00000002',
  ],
  [
    {
      type: 'digests',
      isAnswer: true,
      intervals: [{ first: 0, last: 0xffffffff, digests: [{ node: 'a', generation: 300, version: 7, collectedTo: 0 }] }],
    },
    '13 01 00000000 ffffffff 01 0161 ac02 07 00',
  ],
  [{ type: 'want', sequence: 5, digests: [{ node: 'a', generation: 1, version: 2, collectedTo: 3 }] }, '14 05 0161 01 02 03'],
  [
    {
      type: 'delta',
      sequence: 5,
      sections: [
        {
          node: 'a',
          generation: 1,
          from: 2,
          to: 9,
          collectedTo: 0,
          isLast: true,
          entries: [
            { key: 'k', version: 3, value: Uint8Array.of(0xff), ttlMs: undefined },
            { key: 'l', version: 6, value: undefined, ttlMs: undefined },
            { key: 'm', version: 7, value: new Uint8Array(0), ttlMs: 200 },
          ],
        },
      ],
    },
    '15 05 0161 01 02 07 00 01 03 01 016b 01 01ff 03 016c 00 01 016d 02 c801 00',
  ],
  [{ type: 'news', digests: [{ node: 'b', generation: 1, version: 1, collectedTo: 0 }], sections: [] }, '16 01 0162 01 01 00'],
]

test('messages have the bytes of the specification', () => {
  for (const [value_, hex] of VECTORS) {
    const bytes = fromHex(hex.replaceAll(' ', ''))!
    assert.equal(toHex(encodeStateMessage(value_)), toHex(bytes))
    assert.deepEqual(decodeStateMessage(bytes), value_)
  }
})

test('every message comes back as it was, and is no longer than was reckoned', () => {
  fc.assert(
    fc.property(message, (sent) => {
      const bytes = encodeStateMessage(sent)
      const got = decodeStateMessage(bytes)
      assert.ok(!isWireError(got))
      // A removed key has no time to live on the wire.
      assert.equal(toHex(encodeStateMessage(got)), toHex(bytes))
      if (sent.type === 'want') assert.ok(bytes.length <= 9 + sent.digests.reduce((sum, one) => sum + digestBytes(one), 0))
      if (sent.type === 'delta') assert.ok(bytes.length <= 9 + sent.sections.reduce((sum, one) => sum + sectionBytes(one), 0))
    }),
    { numRuns: 300 },
  )
})

test('random, cut and changed bytes never throw, and what is taken has one encoding', () => {
  const changed = fc.tuple(message, fc.nat(), fc.nat(255), fc.nat()).map(([sent, at, byte, length]) => {
    const bytes = new Uint8Array(encodeStateMessage(sent))
    bytes[at % bytes.length] = byte
    return length % 3 === 0 ? bytes.subarray(0, length % bytes.length) : bytes
  })
  fc.assert(
    fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 100 })), (bytes) => {
      const got = decodeStateMessage(bytes)
      if (!isWireError(got)) assert.equal(toHex(encodeStateMessage(got)), toHex(bytes))
    }),
    { numRuns: 2000 },
  )
})

test('what is beyond the limits is refused', () => {
  const refused = (sent: StateMessage): void => assert.ok(isWireError(decodeStateMessage(encodeStateMessage(sent))))
  const sectionOf = (key: string, bytes: number): StateMessage => ({
    type: 'delta',
    sequence: 0,
    sections: [
      {
        node: 'a',
        generation: 1,
        from: 0,
        to: 1,
        collectedTo: 0,
        isLast: true,
        entries: [{ key, version: 1, value: new Uint8Array(bytes), ttlMs: undefined }],
      },
    ],
  })
  refused(sectionOf('k'.repeat(MAX_KEY_BYTES + 1), 1))
  refused(sectionOf('', 1))
  refused(sectionOf('k', MAX_VALUE_BYTES + 1))
  assert.ok(!isWireError(decodeStateMessage(encodeStateMessage(sectionOf('k'.repeat(MAX_KEY_BYTES), MAX_VALUE_BYTES)))))
  refused({ type: 'want', sequence: 0, digests: [{ node: 'n'.repeat(256), generation: 1, version: 1, collectedTo: 0 }] })
  refused({ type: 'want', sequence: 0, digests: [{ node: 'n', generation: 1, version: MAX_VERSION + 1, collectedTo: 0 }] })
  const wrong = ['', '01', '21', '1f', '12', '1202ff0000', '130200000001', '130000000001 00000000 00', '16 ffffffff0f']
  for (const hex of wrong) assert.ok(isWireError(decodeStateMessage(fromHex(hex.replaceAll(' ', ''))!)), hex)
})
