import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../../lib/bytes.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { decodeBroadcastMessage, encodeBroadcastMessage, MAX_IDS, MAX_RECEIPTS } from './broadcast-codec.ts'
import type { BroadcastMessage } from './broadcast-messages.ts'

/** Plain objects, as those of the decoder are. */
function record<T>(model: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>
}

const unit = fc.integer({ min: 0, max: 0xffff })
const origin = fc.tuple(unit, unit, unit, unit).map((units) => String.fromCharCode(...units))
const sequence = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER })
const id = record({ origin, sequence })
const ids = fc.array(id, { maxLength: 20 })
const node = fc.string({ unit: 'grapheme', maxLength: 20 })
const hops = fc.nat(1000)
const digestOrigin = fc
  .record({
    origin,
    upTo: fc.nat(1_000_000),
    ahead: fc.array(fc.tuple(fc.integer({ min: 1, max: 1000 }), fc.integer({ min: 1, max: 1000 })), { maxLength: 10 }),
  })
  .map(({ origin, upTo, ahead }) => {
    let end = upTo
    const ranges = ahead.map(([gap, count]): [number, number] => {
      const first = end + gap
      end = first + count
      return [first, count]
    })
    return { origin, upTo, ahead: ranges }
  })
const constant = <T>(value: T): fc.Arbitrary<T> => fc.constant(value)

const message: fc.Arbitrary<BroadcastMessage> = fc.oneof(
  record({ type: constant('neighbour' as const), wish: fc.constantFrom('more' as const, 'lonely' as const, 'ring' as const) }),
  fc.constantFrom<BroadcastMessage>({ type: 'accept' }, { type: 'refuse' }, { type: 'disconnect' }, { type: 'prune' }),
  record({ type: constant('pulse' as const), root: node, sequence: fc.nat(), hops, isParent: fc.boolean() }),
  record({
    type: constant('gossip' as const),
    origin,
    sequence,
    hops,
    isRepair: fc.boolean(),
    isMulticast: fc.boolean(),
    reportMs: fc.option(fc.nat(3_600_000), { nil: undefined }),
    originNode: node,
    payload: fc.uint8Array({ maxLength: 100 }),
  }),
  record({ type: constant('ihave' as const), isAgain: fc.boolean(), isOverdue: fc.boolean(), ids }),
  record({ type: constant('graft' as const), isLink: fc.boolean(), ids }),
  record({ type: constant('summary' as const), hash: fc.nat(0xffffffff), isNew: fc.boolean(), isReply: fc.boolean() }),
  record({ type: constant('digest' as const), isNew: fc.boolean(), origins: fc.array(digestOrigin, { maxLength: 10 }) }),
  record({
    type: constant('receipts' as const),
    origin,
    sequence,
    part: fc.nat(),
    isLast: fc.boolean(),
    hashes: fc.uniqueArray(fc.nat(0xffffffff), { maxLength: 30 }).map((hashes) => hashes.sort((a, b) => a - b)),
  }),
  record({ type: constant('receipts-ack' as const), origin, sequence, part: fc.nat() }),
  record({ type: constant('ask' as const), origin, sequence }),
)

test('what is encoded comes back, and no byte may be missing or follow', () => {
  fc.assert(
    fc.property(message, (value) => {
      const bytes = encodeBroadcastMessage(value)
      assert.deepEqual(decodeBroadcastMessage(bytes), value)
      assert.ok(isWireError(decodeBroadcastMessage(bytes.subarray(0, -1))))
      assert.ok(isWireError(decodeBroadcastMessage(Uint8Array.of(...bytes, 0))))
    }),
  )
})

test('random and changed bytes give a value or an error, and what is taken has one encoding', () => {
  const taken = (bytes: Uint8Array): void => {
    const value = decodeBroadcastMessage(bytes)
    // Later versions of a request may differ in a byte that is not kept.
    if (!isWireError(value) && value.type !== 'neighbour') assert.deepEqual(encodeBroadcastMessage(value), Uint8Array.from(bytes))
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), taken))
  fc.assert(
    fc.property(message, fc.nat(), fc.nat(255), (value, place, byte) => {
      const bytes = Uint8Array.from(encodeBroadcastMessage(value))
      bytes[place % bytes.length] = byte
      taken(bytes)
    }),
    { numRuns: 500 },
  )
})

/** The bytes of the grammar, one of each kind. */
const VECTORS: readonly [hex: string, message: BroadcastMessage][] = [
  ['010102', { type: 'neighbour', wish: 'ring' }],
  ['02', { type: 'accept' }],
  ['0501720c0201', { type: 'pulse', root: 'r', sequence: 12, hops: 2, isParent: true }],
  [
    '06000100020003000405020396010161026869',
    {
      type: 'gossip',
      origin: '\u0001\u0002\u0003\u0004',
      sequence: 5,
      hops: 2,
      isRepair: true,
      isMulticast: false,
      reportMs: 150,
      originNode: 'a',
      payload: Uint8Array.of(0x68, 0x69),
    },
  ],
  [
    '070000010001000200030004ac02',
    { type: 'ihave', isAgain: false, isOverdue: false, ids: [{ origin: '\u0001\u0002\u0003\u0004', sequence: 300 }] },
  ],
  [
    '060001000200030004050004016100',
    {
      type: 'gossip',
      origin: '\u0001\u0002\u0003\u0004',
      sequence: 5,
      hops: 0,
      isRepair: false,
      isMulticast: true,
      reportMs: undefined,
      originNode: 'a',
      payload: new Uint8Array(0),
    },
  ],
  [
    '070200010001000200030004ac02',
    { type: 'ihave', isAgain: false, isOverdue: true, ids: [{ origin: '\u0001\u0002\u0003\u0004', sequence: 300 }] },
  ],
  ['080100010001000200030004ac02', { type: 'graft', isLink: true, ids: [{ origin: '\u0001\u0002\u0003\u0004', sequence: 300 }] }],
  ['0adeadbeef02', { type: 'summary', hash: 0xdeadbeef, isNew: false, isReply: true }],
  [
    '0b0000010001000200030004090202010103',
    {
      type: 'digest',
      isNew: false,
      origins: [
        {
          origin: '\u0001\u0002\u0003\u0004',
          upTo: 9,
          ahead: [
            [11, 1],
            [13, 3],
          ],
        },
      ],
    },
  ],
  [
    '0c00010002000300040501010307f9019010',
    { type: 'receipts', origin: '\u0001\u0002\u0003\u0004', sequence: 5, part: 1, isLast: true, hashes: [7, 256, 2320] },
  ],
]

for (const [hex, value] of VECTORS) {
  test(`vector: ${value.type}`, () => {
    assert.equal(toHex(encodeBroadcastMessage(value)), hex)
    assert.deepEqual(decodeBroadcastMessage(fromHex(hex)!), value)
  })
}

test('counts are held against their limits before anything is kept', () => {
  for (const hex of ['0700ffff', '0800ffff', '0b00ffff', '0c0001000200030004050101ffff7f', '0b00000100010002000300040941']) {
    assert.ok(isWireError(decodeBroadcastMessage(fromHex(hex)!)), hex)
  }
  const tooMany = Array.from({ length: MAX_IDS + 1 }, (_, i) => ({ origin: 'abcd', sequence: i + 1 }))
  assert.ok(isWireError(decodeBroadcastMessage(encodeBroadcastMessage({ type: 'ihave', isAgain: false, isOverdue: false, ids: tooMany }))))
  const hashes = Array.from({ length: MAX_RECEIPTS + 1 }, (_, i) => i)
  assert.ok(
    isWireError(
      decodeBroadcastMessage(encodeBroadcastMessage({ type: 'receipts', origin: 'abcd', sequence: 1, part: 1, isLast: true, hashes })),
    ),
  )
})

test('ranges that overlap or hashes out of order are not taken', () => {
  for (const hex of ['0b000001000100020003000409010001', '0b000001000100020003000409010100', '0c0001000200030004050101020700']) {
    assert.ok(isWireError(decodeBroadcastMessage(fromHex(hex)!)), hex)
  }
})
