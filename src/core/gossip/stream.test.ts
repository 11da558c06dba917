/**
 * Streams: what is said arrives in every framing and in whatever pieces, and ends where it should; what nobody honest sends gives an error
 * that ends the connection; and nothing makes a member keep more than its limits say (docs/specs/04-gossip.md §6, §8).
 */
import * as fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatBytes, utf8Encode } from '../lib/bytes.ts'
import { isWireError } from '../wire/wire-error.ts'
import { compress } from './compression.ts'
import {
  anyName,
  broken,
  bytesOf,
  counting,
  encryptionWith,
  exaggerated,
  FRAMINGS,
  loopback,
  member,
  memoryTaken,
  payload,
  PLAIN,
  record,
  u32,
  vector,
  withFaults,
} from './fixtures.test.ts'
import type { Framing } from './framing.ts'
import { encodeStreamMessage } from './memberlist-codec.ts'
import type { MemberRecord, PushPull, StreamMessage } from './messages.ts'
import { composeStream, DEFAULT_STREAM_LIMITS, StreamDecoder, type StreamLimits } from './stream.ts'

const SMALL: StreamLimits = { maxMembers: 10, maxUserBytes: 2000, maxFrameBytes: 6000, maxMessageBytes: 8000 }

const N3: MemberRecord = {
  node: 'n3',
  address: loopback(3),
  port: 7946,
  meta: utf8Encode('web'),
  incarnation: 1,
  state: 'suspect',
  versions: [1, 5, 2, 2, 5, 5],
}
const EXCHANGE: PushPull = {
  type: 'push-pull',
  isJoin: true,
  members: [N3, { ...N3, node: 'n1', state: 'left', versions: undefined }],
  userState: Uint8Array.of(2, 0x80),
}

const anyMessage: fc.Arbitrary<StreamMessage> = fc.oneof<fc.Arbitrary<StreamMessage>[]>(
  record({ type: fc.constant('ping' as const), sequence: u32, node: anyName }),
  record({ type: fc.constant('ack' as const), sequence: u32, payload: fc.option(payload, { nil: undefined }) }),
  record({ type: fc.constant('user' as const), bytes: payload }),
  record({ type: fc.constant('error' as const), reason: anyName }),
  record({
    type: fc.constant('push-pull' as const),
    isJoin: fc.boolean(),
    members: fc.array(member, { maxLength: 8 }),
    userState: payload,
  }),
)

interface Given {
  readonly framing?: Framing
  readonly isFromOpener?: boolean
  readonly limits?: StreamLimits
}

/** What a decoder makes of a stream that comes in these pieces. */
function decodeAll(pieces: Iterable<Uint8Array>, { framing = PLAIN, isFromOpener = true, limits = DEFAULT_STREAM_LIMITS }: Given = {}) {
  const decoder = new StreamDecoder(framing, isFromOpener, limits)
  let result: ReturnType<StreamDecoder['push']>
  for (const piece of pieces) result = decoder.push(piece)
  return result
}

function refused(stream: Uint8Array, given: Given = {}): string {
  const result = decodeAll([stream], given)
  assert.ok(isWireError(result), JSON.stringify(result))
  assert.equal(result.disposition, 'disconnect')
  return result.message
}

function* pieces(stream: Uint8Array, pieceBytes: number): Generator<Uint8Array> {
  for (let at = 0; at < stream.length; at += pieceBytes) yield stream.slice(at, at + pieceBytes)
}

for (const framing of FRAMINGS) {
  const { label, isCompressing, encryption } = framing
  const name = `label ${label.length}, ${isCompressing ? 'compressed' : 'not compressed'}, encryption ${encryption?.version ?? 'off'}`
  test(`a message arrives as it was said, both ways and in any pieces: ${name}`, () => {
    const cases = fc.tuple(anyMessage, fc.boolean(), fc.integer({ min: 1, max: 600 }))
    fc.assert(
      fc.property(cases, ([message, isOpener, pieceBytes]) => {
        const stream = composeStream(message, framing, isOpener)
        const given = { framing, isFromOpener: isOpener }
        assert.deepEqual(decodeAll([stream], given), message)
        assert.deepEqual(decodeAll(pieces(stream, pieceBytes), given), message)
      }),
      { numRuns: 40 },
    )
  })
}

test('a push/pull is a header, members one after the other, and the state of the layer above', () => {
  const expected = [
    '0683 a44a6f696e c3 a54e6f646573 02 ac5573657253746174654c656e 02',
    '87 a441646472 a47f000003 ab496e6361726e6174696f6e 01 a44d657461 a3776562 a44e616d65 a26e33 a4506f7274 cd1f0a a55374617465 01',
    'a356736e a6010502020505',
    '87 a441646472 a47f000003 ab496e6361726e6174696f6e 01 a44d657461 a3776562 a44e616d65 a26e31 a4506f7274 cd1f0a a55374617465 03',
    'a356736e c0',
    '0280',
  ]
  assert.deepEqual(encodeStreamMessage(EXCHANGE), bytesOf(expected.join('')))
  assert.deepEqual(decodeAll([bytesOf(expected.join(''))]), EXCHANGE)
})

test('a user message says how long it is', () => {
  const stream = bytesOf('0881 aa557365724d73674c656e 03 010203')
  assert.deepEqual(encodeStreamMessage({ type: 'user', bytes: Uint8Array.of(1, 2, 3) }), stream)
  assert.deepEqual(decodeAll([stream]), { type: 'user', bytes: Uint8Array.of(1, 2, 3) })
})

test('a stream is whole with its last byte and not before; what follows is not looked at', () => {
  for (const framing of FRAMINGS) {
    const stream = composeStream(EXCHANGE, framing, true)
    for (let length = 0; length < stream.length; length++) assert.equal(decodeAll([stream.subarray(0, length)], { framing }), undefined)
    assert.deepEqual(decodeAll(pieces(stream, 1), { framing }), EXCHANGE)
    const decoder = new StreamDecoder(framing, true)
    assert.deepEqual(decoder.push(concatBytes([stream, bytesOf('c1c1')])), EXCHANGE)
    assert.deepEqual(decoder.push(bytesOf('c1')), EXCHANGE)
  }
})

test('who opens a connection says the label, who answers does not', () => {
  const framing: Framing = { ...PLAIN, label: utf8Encode('lab') }
  const opened = composeStream(EXCHANGE, framing, true)
  const answered = composeStream(EXCHANGE, framing, false)
  assert.deepEqual(opened, concatBytes([bytesOf('f4036c6162'), answered]))
  assert.deepEqual(decodeAll([answered], { framing, isFromOpener: false }), EXCHANGE)
  assert.match(refused(answered, { framing }), /another label/)
  assert.match(refused(opened), /another label/)
  assert.match(refused(opened, { framing, isFromOpener: false }), /type 244/)
})

test('encrypted and plain do not mix, unless encryption is being introduced', () => {
  const encryption = encryptionWith([counting(16)])
  const required: Framing = { ...PLAIN, encryption }
  const introduced: Framing = { ...PLAIN, encryption: { ...encryption, isSending: false, isRequired: false } }
  assert.match(refused(vector('encrypted stream')), /^Remote state is encrypted and encryption is not configured$/)
  assert.match(refused(vector('ack'), { framing: required }), /^Encryption is configured but remote state is not encrypted$/)
  const ack: StreamMessage = { type: 'ack', sequence: 7, payload: undefined }
  assert.deepEqual(decodeAll([vector('ack')], { framing: introduced }), ack)
  assert.deepEqual(decodeAll([vector('encrypted stream')], { framing: introduced }), ack)
  assert.deepEqual(composeStream(ack, introduced, true), vector('ack'))
})

test('the length and the label of a frame are authenticated', () => {
  const framing: Framing = { ...PLAIN, encryption: encryptionWith([counting(16)]) }
  const stream = vector('encrypted stream')
  const longer = Uint8Array.from(stream)
  longer[4]! += 1
  assert.match(refused(concatBytes([longer, bytesOf('00')]), { framing }), /no key of the ring/)
  assert.match(refused(stream, { framing: { ...framing, label: utf8Encode('lab') }, isFromOpener: false }), /no key of the ring/)
})

test('each state has its number, and a member with another one is refused', () => {
  for (const state of ['alive', 'suspect', 'dead', 'left'] as const) {
    const exchange: PushPull = { ...EXCHANGE, members: [{ ...N3, state }] }
    assert.deepEqual(decodeAll([encodeStreamMessage(exchange)]), exchange)
  }
  const other = encodeStreamMessage({ ...EXCHANGE, members: [N3] })
  const at = other.length - 14
  assert.equal(other[at], 1)
  other[at] = 4
  assert.match(refused(other), /wrong or too long/)
})

test('what is beyond its limit is refused as soon as it is announced', () => {
  const header = (nodes: string, stateBytes: string): Uint8Array =>
    bytesOf(`0683 a44a6f696e c3 a54e6f646573 ${nodes} ac5573657253746174654c656e ${stateBytes}`)
  assert.match(refused(header('0b', '00'), { limits: SMALL }), /a push\/pull of 11 members/)
  assert.match(refused(header('00', 'cd07d1'), { limits: SMALL }), /2001 bytes of user state/)
  assert.match(refused(header('ce7fffffff', '00')), /a push\/pull of 2147483647 members/)
  assert.match(refused(header('ceffffffff', '00')), /wrong or too long/)
  assert.match(refused(header('ff', '00')), /wrong or too long/)
  assert.match(refused(header('00', 'ce7fffffff')), /2147483647 bytes of user state/)
  assert.match(refused(bytesOf('0881 aa557365724d73674c656e ce7fffffff')), /a message of 2147483647 bytes/)
  const framing: Framing = { ...PLAIN, encryption: encryptionWith([counting(16)]) }
  assert.match(refused(bytesOf('0affffffff'), { framing }), /a frame of 4294967295 bytes/)
  assert.match(refused(bytesOf('0a00001771'), { framing, limits: SMALL }), /a frame of 6001 bytes/)
  assert.match(refused(new Uint8Array(8001), { limits: SMALL }), /a stream of more than 8000 bytes/)
  assert.equal(decodeAll([header('0a', 'cd07d0')], { limits: SMALL }), undefined)
})

test('a member that does not end is given up', () => {
  const begun = bytesOf('0683 a44a6f696e c3 a54e6f646573 01 ac5573657253746174654c656e 00 82 a158')
  for (const huge of ['dbffffffff', 'ddffffffff', 'dfffffffff']) {
    const endless = concatBytes([begun, bytesOf(huge), new Uint8Array(10_000)])
    assert.match(refused(endless), /wrong or too long/)
    const result = decodeAll(pieces(endless, 100))
    assert.ok(isWireError(result))
  }
})

test('a bomb goes off within its bounds', () => {
  const bomb = compress(concatBytes([bytesOf('0881 aa557365724d73674c656e 03'), new Uint8Array(4 << 20)]))
  assert.ok(bomb.length < 30_000)
  const limits = { ...SMALL, maxMessageBytes: 100_000 }
  const grown = memoryTaken(() => {
    for (let i = 0; i < 20; i++) assert.match(refused(bomb, { limits }), /compressed bytes of more than 100000/)
  })
  assert.ok(grown < 32 << 20, `${grown} bytes`)
  assert.match(refused(compress(compress(vector('ack')))), /type 9/)
})

test('a message that ends before its compression or encryption does is an error', () => {
  const cut = vector('ack').subarray(0, 10)
  assert.match(refused(compress(cut)), /cut off/)
  assert.match(refused(compress(new Uint8Array(0))), /cut off/)
  assert.match(refused(bytesOf('0982 a4416c676f 01 a3427566 a3000302')), /unknown algorithm 1/)
})

test('types that no stream has are refused', () => {
  for (const type of [1, 3, 4, 5, 7, 11, 12, 14, 255]) assert.match(refused(Uint8Array.of(type, 0x80)), new RegExp(`type ${type},`))
})

/** Whatever comes is an error, or a message that can be said again, or waited for. */
function check(stream: Uint8Array, given: Given): void {
  const result = decodeAll([stream], given)
  if (result === undefined) return
  if (isWireError(result)) assert.equal(result.disposition, 'disconnect')
  else assert.deepEqual(decodeAll([encodeStreamMessage(result)]), result)
}

test('broken streams give errors or messages', () => {
  const framing: Framing = { ...PLAIN, encryption: encryptionWith([counting(16)], { isRequired: false }) }
  const streams = [
    ...['ping', 'ack', 'encrypted stream'].map(vector),
    encodeStreamMessage(EXCHANGE),
    composeStream(EXCHANGE, { ...PLAIN, isCompressing: true }, true),
    encodeStreamMessage({ type: 'error', reason: 'no' }),
  ]
  for (const stream of streams) for (const bytes of broken(stream)) check(bytes, { framing, limits: SMALL })
  const grown = memoryTaken(() => {
    for (const stream of streams) for (const bytes of exaggerated(stream)) check(bytes, { framing })
  })
  assert.ok(grown < 64 << 20, `${grown} bytes`)
})

test('streams with faults and made-up ones give errors or messages', () => {
  const streams = fc
    .tuple(anyMessage, fc.boolean())
    .map(([message, isCompressing]) => composeStream(message, { ...PLAIN, isCompressing }, true))
  fc.assert(
    fc.property(withFaults(streams), (stream) => check(stream, { limits: SMALL })),
    { numRuns: 2000 },
  )
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 15 }), fc.uint8Array({ maxLength: 200 }), (type, body) =>
      check(concatBytes([Uint8Array.of(type), body]), {}),
    ),
    { numRuns: 2000 },
  )
})
