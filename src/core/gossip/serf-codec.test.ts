/**
 * Every message of Serf, tags and coordinates: what is said arrives, as Serf's agents write it; bytes that nobody honest sends give an error or
 * another message that could have been sent. Nothing throws (docs/specs/04-gossip.md §7, §8).
 */
import * as fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatBytes, utf8Encode } from '../lib/bytes.ts'
import { isWireError } from '../wire/wire-error.ts'
import {
  address,
  anyName,
  broken,
  bytesOf,
  exaggerated,
  loopback,
  memoryTaken,
  name,
  payload,
  record,
  u16,
  u32,
  vector,
  withFaults,
} from './fixtures.test.ts'
import { decodeCoordinate, decodeSerfMessage, decodeTags, encodeCoordinate, encodeSerfMessage, encodeTags } from './serf-codec.ts'
import type { Coordinate, EventsAt, KeyResponse, Query, QueryFilter, SerfMessage, SerfState } from './serf-messages.ts'

const NONE = new Uint8Array(0)
const u8 = fc.integer({ min: 0, max: 255 })
const time = fc.oneof(fc.nat(), fc.maxSafeNat())
const anyTags = fc.array(fc.tuple(anyName, anyName), { maxLength: 5 }).map((pairs): ReadonlyMap<string, string> => new Map(pairs))

const filter: fc.Arbitrary<QueryFilter> = fc.oneof<fc.Arbitrary<QueryFilter>[]>(
  record({ type: fc.constant('nodes' as const), nodes: fc.array(anyName, { maxLength: 5 }) }),
  record({ type: fc.constant('tag' as const), tag: anyName, expression: anyName }),
  payload.map((bytes) => ({ type: 'unknown', bytes: Uint8Array.of(2, ...bytes) })),
)
const eventsAt: fc.Arbitrary<EventsAt> = record<EventsAt>({
  time,
  events: fc.array(record<EventsAt['events'][number]>({ name: anyName, payload }), { maxLength: 3 }),
})

const MESSAGES: { readonly [Type in SerfMessage['type']]: fc.Arbitrary<SerfMessage> } = {
  leave: fc.tuple(time, anyName, fc.boolean()).map(([at, node, isPrune]) => ({ type: 'leave', time: at, node, isPrune })),
  join: fc.tuple(time, anyName).map(([at, node]) => ({ type: 'join', time: at, node })),
  'push-pull': record<SerfState>({
    type: fc.constant('push-pull'),
    time,
    statusTimes: fc.array(fc.tuple(name, time), { maxLength: 8 }).map((pairs) => new Map(pairs)),
    leftMembers: fc.array(anyName, { maxLength: 4 }),
    eventTime: time,
    events: fc.array(fc.option(eventsAt, { nil: undefined }), { maxLength: 20 }),
    queryTime: time,
  }),
  'user-event': fc
    .tuple(time, anyName, payload, fc.boolean())
    .map(([at, event, bytes, canCoalesce]) => ({ type: 'user-event', time: at, name: event, payload: bytes, canCoalesce })),
  query: record<Query>({
    type: fc.constant('query'),
    time,
    id: u32,
    address,
    port: u16,
    sourceNode: anyName,
    filters: fc.array(filter, { maxLength: 4 }),
    flags: u32,
    relayFactor: u8,
    timeoutNs: fc.maxSafeInteger(),
    name: anyName,
    payload,
  }),
  'query-response': fc
    .tuple(time, u32, anyName, u32, payload)
    .map(([at, id, from, flags, bytes]) => ({ type: 'query-response', time: at, id, from, flags, payload: bytes })),
  'conflict-response': fc
    .option(fc.tuple(anyName, address, u16, anyTags, u8, fc.tuple(u8, u8, u8, u8, u8, u8)), { nil: undefined })
    .map((fields) => {
      if (fields === undefined) return { type: 'conflict-response', member: undefined }
      const [node, at, port, tags, status, versions] = fields
      return { type: 'conflict-response', member: { name: node, address: at, port, tags, status, versions } }
    }),
  'key-request': fc.uint8Array({ maxLength: 32 }).map((key) => ({ type: 'key-request', key })),
  'key-response': record<KeyResponse>({
    type: fc.constant('key-response'),
    isOk: fc.boolean(),
    message: anyName,
    keys: fc.array(fc.base64String({ maxLength: 44 }), { maxLength: 5 }),
    primaryKey: fc.base64String({ maxLength: 44 }),
  }),
  relay: fc
    .tuple(address, u16, fc.constantFrom('', 'eth0'), anyName, payload)
    .map(([at, port, zone, node, message]) => ({ type: 'relay', address: at, port, zone, node, message })),
}
const anyMessage: fc.Arbitrary<SerfMessage> = fc.oneof(...Object.values(MESSAGES))

/** Bytes are dropped with a reason, or are a message that can be said again. */
function check(bytes: Uint8Array): void {
  const message = decodeSerfMessage(bytes)
  if (isWireError(message)) {
    assert.equal(message.disposition, 'ignore')
    assert.ok(message.message.length > 0)
  } else assert.deepEqual(decodeSerfMessage(encodeSerfMessage(message)), message)
}

for (const [type, arbitrary] of Object.entries(MESSAGES)) {
  test(`${type} arrives as it was said`, () => {
    fc.assert(
      fc.property(arbitrary, (message) => {
        assert.deepEqual(decodeSerfMessage(encodeSerfMessage(message)), message)
      }),
    )
  })
}

/** One of each, and its bytes as Go's field names, order and widths make them. */
const WRITTEN: readonly [SerfMessage, string][] = [
  [{ type: 'leave', time: 3, node: 'n3', isPrune: false }, '0083 a54c54696d65 03 a44e6f6465 a26e33 a55072756e65 c2'],
  [{ type: 'join', time: 300, node: 'n3' }, '0182 a54c54696d65 cd012c a44e6f6465 a26e33'],
  [
    {
      type: 'push-pull',
      time: 2,
      statusTimes: new Map([
        ['n3', 2],
        ['n1', 1],
      ]),
      leftMembers: [],
      eventTime: 2,
      events: [undefined, { time: 1, events: [{ name: 'deploy', payload: NONE }] }],
      queryTime: 1,
    },
    `0286 aa4576656e744c54696d65 02 a64576656e7473 92 c0 82 a64576656e7473 91 82 a44e616d65 a66465706c6f79 a75061796c6f6164 c0
     a54c54696d65 01 a54c54696d65 02 ab4c6566744d656d62657273 90 aa51756572794c54696d65 01 ac5374617475734c54696d6573 82 a26e31 01 a26e33 02`,
  ],
  [
    {
      type: 'query',
      time: 1,
      id: 0xdeadbeef,
      address: loopback(1),
      port: 7946,
      sourceNode: 'n1',
      filters: [
        { type: 'nodes', nodes: ['n1', 'n3'] },
        { type: 'tag', tag: 'role', expression: 'web.*' },
      ],
      flags: 1,
      relayFactor: 2,
      timeoutNs: 5_000_000_000,
      name: 'load',
      payload: Uint8Array.of(1),
    },
    `048b a441646472 a47f000001 a746696c74657273 92 a8 00 92a26e31a26e33 b6 01 82 a445787072 a57765622e2a a3546167 a4726f6c65
     a5466c616773 01 a24944 cedeadbeef a54c54696d65 01 a44e616d65 a46c6f6164 a75061796c6f6164 a101 a4506f7274 cd1f0a
     ab52656c6179466163746f72 02 aa536f757263654e6f6465 a26e31 a754696d656f7574 cf000000012a05f200`,
  ],
  [{ type: 'key-request', key: bytesOf('00010203') }, '0781 a34b6579 a400010203'],
  [
    { type: 'key-response', isOk: true, message: '', keys: [], primaryKey: '' },
    '0884 a44b657973 c0 a74d657373616765 a0 aa5072696d6172794b6579 a0 a6526573756c74 c3',
  ],
  [
    { type: 'relay', address: loopback(3), port: 7946, zone: '', node: 'n3', message: Uint8Array.of(5, 0x80) },
    '0982 a84465737441646472 83 a24950 a47f000003 a4506f7274 cd1f0a a45a6f6e65 a0 a8446573744e616d65 a26e33 0580',
  ],
  [{ type: 'conflict-response', member: undefined }, '06c0'],
]

test('messages are written as Go writes them', () => {
  for (const [message, hex] of WRITTEN) {
    const bytes = bytesOf(hex)
    assert.deepEqual(encodeSerfMessage(message), bytes, message.type)
    assert.deepEqual(decodeSerfMessage(bytes), message)
  }
})

test('a member that answers for a name is written with all its versions', () => {
  const versions = [1, 5, 2, 2, 5, 4] as const
  const member = { name: 'n3', address: loopback(3), port: 7946, tags: new Map([['role', 'web']]), status: 1, versions }
  const hex = `068b a441646472 a47f000003 ab44656c6567617465437572 04 ab44656c65676174654d6178 05 ab44656c65676174654d696e 02
    a44e616d65 a26e33 a4506f7274 cd1f0a ab50726f746f636f6c437572 02 ab50726f746f636f6c4d6178 05 ab50726f746f636f6c4d696e 01
    a6537461747573 01 a454616773 81 a4726f6c65 a3776562`
  assert.deepEqual(encodeSerfMessage({ type: 'conflict-response', member }), bytesOf(hex))
})

test('a filter that is not understood is kept as it is', () => {
  const query = WRITTEN[3]![0] as Query
  for (const hex of ['', '05', '0281a158c0', '00c3', '0181a3546167', '0092a26e31']) {
    const bytes = bytesOf(hex)
    const message: Query = { ...query, filters: [{ type: 'unknown', bytes }] }
    assert.deepEqual(decodeSerfMessage(encodeSerfMessage(message)), message, hex)
  }
})

test('times and timeouts that no number here can hold are refused', () => {
  for (const hex of ['0182 a54c54696d65 cfffffffffffffffff a44e6f6465 a26e33', '0182 a54c54696d65 ff a44e6f6465 a26e33']) {
    const refused = decodeSerfMessage(bytesOf(hex))
    assert.ok(isWireError(refused))
    assert.match(refused.message, /join.*wrong or cut off/)
  }
  const signed = decodeSerfMessage(bytesOf('0481 a754696d656f7574 d3000000012a05f200'))
  assert.ok(!isWireError(signed) && signed.type === 'query')
  assert.equal(signed.timeoutNs, 5_000_000_000)
})

test('messages of another type, or of none, are refused', () => {
  for (const bytes of [NONE, Uint8Array.of(10, 0x80), Uint8Array.of(255, 0x80)]) assert.ok(isWireError(decodeSerfMessage(bytes)))
})

test('tags are a map after ff, or a role alone', () => {
  fc.assert(
    fc.property(anyTags, (tags) => {
      assert.deepEqual(decodeTags(encodeTags(tags)), tags)
    }),
  )
  assert.deepEqual(decodeTags(utf8Encode('web')), new Map([['role', 'web']]))
  assert.deepEqual(decodeTags(NONE), new Map([['role', '']]))
  // A real agent's tags, in an order of its own.
  assert.deepEqual(
    decodeTags(bytesOf('ff82a4726f6c65a3776562a26463a3646333')),
    new Map([
      ['role', 'web'],
      ['dc', 'dc3'],
    ]),
  )
  for (const hex of ['ff', 'ff82a26463a3646333', 'ff90', 'c328']) assert.ok(isWireError(decodeTags(bytesOf(hex))), hex)
})

const COORDINATE: Coordinate = { vector: [1.5, 0, 0, 0, 0, 0, 0, -2], height: 0.00001, error: 1.5, adjustment: 0 }

test('a coordinate is the payload of an ack', () => {
  const bytes = encodeCoordinate(COORDINATE)
  // Version, map, names and nine bytes for each of eleven numbers.
  assert.equal(bytes.length, 1 + 1 + 11 + 6 + 7 + 4 + 1 + 11 * 9)
  assert.deepEqual(decodeCoordinate(bytes), COORDINATE)
  const finite = fc.double({ noNaN: true, noDefaultInfinity: true })
  fc.assert(
    fc.property(fc.array(finite, { maxLength: 10 }), finite, finite, finite, (vec, height, error, adjustment) => {
      const coordinate = { vector: vec, height, error, adjustment }
      assert.deepEqual(decodeCoordinate(encodeCoordinate(coordinate)), coordinate)
    }),
  )
})

test('a coordinate that is nowhere, of another version or broken is refused', () => {
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
    assert.ok(isWireError(decodeCoordinate(encodeCoordinate({ ...COORDINATE, height: value }))))
    assert.ok(isWireError(decodeCoordinate(encodeCoordinate({ ...COORDINATE, vector: [value] }))))
  }
  const bytes = encodeCoordinate(COORDINATE)
  assert.ok(isWireError(decodeCoordinate(NONE)))
  assert.ok(isWireError(decodeCoordinate(Uint8Array.of(2, ...bytes.subarray(1)))))
  for (let length = 0; length < bytes.length; length++) assert.ok(isWireError(decodeCoordinate(bytes.subarray(0, length))))
  for (const changed of broken(bytes)) {
    const coordinate = decodeCoordinate(changed)
    assert.ok(isWireError(coordinate) || coordinate.vector.every(Number.isFinite))
  }
})

const SENT: readonly Uint8Array[] = [
  vector('query ack').subarray(1),
  vector('user event with checksum').subarray(6),
  ...WRITTEN.map(([message]) => encodeSerfMessage(message)),
]

test('broken messages are refused or other ones', () => {
  for (const sent of SENT) for (const bytes of broken(sent)) check(bytes)
})

test('a few bytes that promise much make nothing large', () => {
  const grown = memoryTaken(() => {
    for (const sent of SENT) for (const bytes of exaggerated(sent)) check(bytes)
    for (const huge of exaggerated(encodeTags(new Map([['role', 'web']])))) decodeTags(huge)
    for (const huge of exaggerated(encodeCoordinate(COORDINATE))) decodeCoordinate(huge)
  })
  assert.ok(grown < 64 << 20, `${grown} bytes`)
})

test('messages with faults and made-up ones are refused or other ones', () => {
  fc.assert(fc.property(withFaults(anyMessage.map(encodeSerfMessage)), check), { numRuns: 3000 })
  const typed = fc.tuple(fc.integer({ min: 0, max: 10 }), fc.uint8Array({ maxLength: 200 }))
  fc.assert(
    fc.property(typed, ([type, body]) => check(concatBytes([Uint8Array.of(type), body]))),
    { numRuns: 3000 },
  )
})
