/** Holds code and spec together both ways: each vector of docs/specs/04-gossip.md §10 is what the code writes, and reads. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8Encode } from '../lib/bytes.ts'
import { isWireError } from '../wire/wire-error.ts'
import { counting, encryptionWith, loopback, PLAIN, vector, VECTORS } from './fixtures.test.ts'
import type { Framing } from './framing.ts'
import { lzwDecode, lzwEncode } from './lzw.ts'
import { encodePacketMessage } from './memberlist-codec.ts'
import type { PacketMessage } from './messages.ts'
import { composePacket, peelPacket } from './packet.ts'
import { decodeSerfMessage, decodeTags, encodeSerfMessage, encodeTags } from './serf-codec.ts'
import type { SerfMessage } from './serf-messages.ts'
import { composeStream, StreamDecoder } from './stream.ts'

const ACK: PacketMessage & { type: 'ack' } = { type: 'ack', sequence: 7, payload: undefined }
const TAGS = new Map([
  ['role', 'web'],
  ['dc', 'dc3'],
])
const DEPLOY: SerfMessage = {
  type: 'user-event',
  time: 1,
  name: 'deploy',
  payload: utf8Encode('hello world payload'),
  canCoalesce: false,
}
const QUERY_ACK: SerfMessage = { type: 'query-response', time: 1, id: 0x384c4023, from: 'n3', flags: 1, payload: new Uint8Array(0) }

/** Which messages a packet holds, how it is framed, and whether it has a checksum. */
const PACKETS: readonly [string, readonly PacketMessage[], Framing?, boolean?][] = [
  ['ping', [{ type: 'ping', sequence: 1, node: 'n1', sourceAddress: loopback(3), sourcePort: 7946, sourceNode: 'n3' }]],
  ['ack', [ACK]],
  [
    'compound of nack and dead',
    [
      { type: 'nack', sequence: 86 },
      { type: 'dead', incarnation: 2, node: 'n3', from: 'n1' },
    ],
  ],
  [
    'indirect ping',
    [
      {
        type: 'indirect-ping',
        sequence: 80,
        target: loopback(3),
        port: 7946,
        node: 'n3',
        nack: true,
        sourceAddress: loopback(2),
        sourcePort: 7946,
        sourceNode: 'n2',
      },
    ],
  ],
  [
    'alive',
    [
      {
        type: 'alive',
        incarnation: 1,
        node: 'n3',
        address: loopback(3),
        port: 7946,
        meta: encodeTags(TAGS),
        versions: [1, 5, 2, 2, 5, 5],
      },
    ],
  ],
  ['user event with checksum', [{ type: 'user', bytes: encodeSerfMessage(DEPLOY) }], PLAIN, true],
  ['query ack', [{ type: 'user', bytes: encodeSerfMessage(QUERY_ACK) }]],
  ['encrypted packet', [ACK], { ...PLAIN, encryption: encryptionWith([counting(16)]) }],
  ['encrypted packet with label', [ACK], { ...PLAIN, label: utf8Encode('lab'), encryption: encryptionWith([counting(16)]) }],
]

for (const [name, messages, framing = PLAIN, hasChecksum = false] of PACKETS) {
  test(`the packet of the vector ${name} is written and read`, () => {
    assert.deepEqual(composePacket(messages.map(encodePacketMessage), framing, hasChecksum), vector(name))
    assert.deepEqual(peelPacket(vector(name), framing), { messages, errors: [] })
  })
}

test('the encrypted stream is written and read', () => {
  const framing = { ...PLAIN, encryption: encryptionWith([counting(16)]) }
  assert.deepEqual(composeStream(ACK, framing, true), vector('encrypted stream'))
  assert.deepEqual(new StreamDecoder(framing, true).push(vector('encrypted stream')), ACK)
})

test('the compressed texts are written and read', () => {
  const texts: [string, string][] = [
    ['lzw of TOBEORNOTTOBEORTOBEORNOT', 'TOBEORNOTTOBEORTOBEORNOT'],
    ['lzw of 32 times a', 'a'.repeat(32)],
  ]
  for (const [name, text] of texts) {
    assert.deepEqual(lzwEncode(utf8Encode(text)), vector(name))
    assert.deepEqual(lzwDecode(vector(name), text.length), utf8Encode(text))
  }
})

test('what the vectors hold for Serf is read', () => {
  for (const [name, expected] of [
    ['user event with checksum', DEPLOY],
    ['query ack', QUERY_ACK],
  ] as const) {
    const content = peelPacket(vector(name), PLAIN)
    assert.ok(!isWireError(content))
    const [message] = content.messages
    assert.ok(message?.type === 'user')
    assert.deepEqual(decodeSerfMessage(message.bytes), expected)
  }
  const content = peelPacket(vector('alive'), PLAIN)
  assert.ok(!isWireError(content))
  const [message] = content.messages
  assert.ok(message?.type === 'alive')
  assert.deepEqual(decodeTags(message.meta), TAGS)
})

test('an agent’s answer to a push/pull is read, and written the same', () => {
  const framing: Framing = { ...PLAIN, isCompressing: true }
  const stream = vector('stream of an agent')
  const exchange = new StreamDecoder(framing, false).push(stream)
  assert.ok(exchange !== undefined && !isWireError(exchange) && exchange.type === 'push-pull')
  const meta = encodeTags(new Map([['dc', 'x']]))
  const versions = [1, 5, 2, 2, 5, 5] as const
  assert.deepEqual(exchange.members, [{ node: 's1', address: loopback(71), port: 17946, meta, incarnation: 1, state: 'alive', versions }])
  assert.ok(exchange.isJoin)
  assert.deepEqual(composeStream(exchange, framing, false), stream)
  const state = decodeSerfMessage(exchange.userState)
  assert.deepEqual(state, {
    type: 'push-pull',
    time: 1,
    statusTimes: new Map([['s1', 0]]),
    leftMembers: [],
    eventTime: 1,
    events: Array.from({ length: 512 }, () => undefined),
    queryTime: 1,
  })
  assert.ok(!isWireError(state))
  assert.deepEqual(encodeSerfMessage(state), exchange.userState)
})

test('an agent’s query and key response are read, and written the same', () => {
  const query: SerfMessage = {
    type: 'query',
    time: 1,
    id: 0x03453cd1,
    address: loopback(71),
    port: 17946,
    sourceNode: 's1',
    filters: [
      { type: 'nodes', nodes: ['poly', 's1'] },
      { type: 'tag', tag: 'role', expression: 'te.*' },
    ],
    flags: 1,
    relayFactor: 0,
    timeoutNs: 2_000_000_000,
    name: 'load',
    payload: utf8Encode('body'),
  }
  const primaryKey = 'wBKw/J1BSwI7q8Slfov3Mw=='
  const keys = [primaryKey, 'BQUFBQUFBQUFBQUFBQUFBQ==']
  const response: SerfMessage = { type: 'key-response', isOk: true, message: '', keys, primaryKey }
  for (const [name, message] of [
    ['query of an agent', query],
    ['key response of an agent', response],
  ] as const) {
    assert.deepEqual(decodeSerfMessage(vector(name)), message)
    assert.deepEqual(encodeSerfMessage(message), vector(name))
  }
})

test('no vector of the spec goes unchecked', () => {
  const others = ['encrypted stream', 'lzw of TOBEORNOTTOBEORTOBEORNOT', 'lzw of 32 times a']
  const recorded = ['stream of an agent', 'query of an agent', 'key response of an agent']
  const checked = [...PACKETS.map(([name]) => name), ...others, ...recorded]
  assert.deepEqual([...VECTORS.keys()].sort(), checked.sort())
})
