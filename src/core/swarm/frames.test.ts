/**
 * Every frame about a content: what is said arrives, and bytes that nobody honest sends (cut off, longer, changed, made up) give an error
 * or another frame that could have been sent. Nothing throws, and nothing is allocated by a length that was not checked (§2, §7).
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { concatBytes, toHex } from '../lib/bytes.ts'
import { isWireError } from '../wire/wire-error.ts'
import {
  dataFrameHead,
  decodeBody,
  encodeFrame,
  FRAME_HEADER_BYTES,
  FRAME_TYPES,
  frameTypeOf,
  MAX_CALL_BODY_BYTES,
  MAX_CONTROL_BODY_BYTES,
  MAX_DATA_BODY_BYTES,
  MAX_ID_BYTES,
  MAX_INVITATION_BYTES,
  MAX_NAMED_PEERS,
  MAX_REASON_BYTES,
  MAX_STRIPES,
  maxBodyBytes,
  writeFrameHeader,
  type SwarmMessage,
} from './frames.ts'
import { splitRanges, type Ranges } from './ranges.ts'

type Control = Exclude<SwarmMessage, { type: 'data' }>

// ---- what may be said ----

/** Plain objects, as decoders make them. */
function record<T>(fields: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record<T>(fields, { noNullPrototype: true })
}

const id = fc.string({ unit: 'grapheme', maxLength: 20 })
const chunk = fc.integer({ min: 0, max: 0xffffff })
const big = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER - 1 })
const ranges: fc.Arbitrary<Ranges> = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 1, max: 5000 })), { maxLength: 40 })
  .map((gaps) => {
    let end = 0
    return gaps.flatMap(([gap, count]) => {
      const first = end + gap
      end = first + count
      return [first, count]
    })
  })
const runChunks = fc.integer({ min: 1, max: 65536 })
const stripes = fc.integer({ min: 1, max: MAX_STRIPES })

const plan: fc.Arbitrary<Control> = fc
  .tuple(
    runChunks,
    fc.array(fc.integer({ min: -1, max: 5 }), { minLength: 1, maxLength: MAX_STRIPES }),
    fc.array(record({ id, address: id, isOrigin: fc.boolean() }), { minLength: 6, maxLength: 10 }),
  )
  .map(([run, parents, peers]) => ({ type: 'plan', runChunks: run, stripes: parents.length, parents, peers }))

const CONTROL: { readonly [Type in Control['type']]: fc.Arbitrary<Control> } = {
  open: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((swarmId) => ({ type: 'open', swarmId })),
  close: fc.string({ maxLength: 200 }).map((reason) => ({ type: 'close', reason })),
  have: ranges.map((list) => ({ type: 'have', ranges: list })),
  lost: ranges.map((list) => ({ type: 'lost', ranges: list })),
  request: ranges.map((list) => ({ type: 'request', ranges: list })),
  cancel: ranges.map((list) => ({ type: 'cancel', ranges: list })),
  withheld: ranges.map((list) => ({ type: 'withheld', ranges: list })),
  subscribe: record({
    type: fc.constant('subscribe'),
    runChunks,
    stripes,
    mask: fc.integer({ min: 0, max: 0xffffffff }),
    manifestFrom: fc.oneof(fc.constant(-1), big),
  }),
  clear: big.map((to) => ({ type: 'clear', to })),
  manifest: record({
    kind: fc.constantFrom('header', 'segment', 'seal', 'root', 'page'),
    index: big,
    bytes: fc.uint8Array({ maxLength: 300 }),
  }).map((part) => ({ type: 'manifest', part })),
  announce: record({
    type: fc.constant('announce'),
    address: id,
    zone: id,
    haveBytes: big,
    isComplete: fc.boolean(),
    lateStripes: fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: MAX_STRIPES }),
    slowPeers: fc.array(id, { maxLength: 5 }),
    lostPeers: fc.array(id, { maxLength: 5 }),
  }),
  plan,
  invite: fc.uint8Array({ maxLength: MAX_INVITATION_BYTES }).map((invitation) => ({ type: 'invite', invitation })),
  peers: fc.array(record({ id, address: id }), { maxLength: 8 }).map((peers) => ({ type: 'peers', peers })),
}
const anyControl = fc.oneof(...Object.values(CONTROL))
const anyData = record({ firstChunk: chunk, count: fc.integer({ min: 1, max: 1000 }), payload: fc.uint8Array({ maxLength: 300 }) })

/** Type and body of a frame. */
interface Frame {
  readonly frameType: number
  readonly body: Uint8Array
}

function frameOf(message: SwarmMessage): Frame {
  if (message.type === 'data') {
    const head = dataFrameHead(0, message.firstChunk, message.count, message.payload.length)
    return { frameType: FRAME_TYPES.data, body: concatBytes([head.subarray(FRAME_HEADER_BYTES), message.payload]) }
  }
  return { frameType: frameTypeOf(message), body: encodeFrame(0, message).subarray(FRAME_HEADER_BYTES) }
}

/** Bytes are refused for good, or are what their message is encoded as. */
function check({ frameType, body }: Frame): void {
  const message = decodeBody(frameType, body)
  if (isWireError(message)) {
    assert.equal(message.disposition, 'disconnect')
    assert.ok(message.message.length > 0)
  } else assert.equal(toHex(frameOf(message).body), toHex(body))
}

// ---- what an honest node says ----

for (const [type, arbitrary] of Object.entries(CONTROL)) {
  test(`a ${type} arrives as it was said`, () => {
    fc.assert(
      fc.property(arbitrary, fc.integer({ min: 0, max: 0xffff }), (message, channel) => {
        const frame = encodeFrame(channel, message)
        const header = new DataView(frame.buffer, frame.byteOffset)
        assert.equal(header.getUint32(0), frame.length - FRAME_HEADER_BYTES)
        assert.deepEqual([header.getUint8(4), header.getUint8(5), header.getUint16(6)], [frameTypeOf(message), 0, channel])
        assert.deepEqual(decodeBody(header.getUint8(4), frame.subarray(FRAME_HEADER_BYTES)), message)
      }),
    )
  })
}

test('a data arrives as it was said, and its payload is a view', () => {
  fc.assert(
    fc.property(anyData, ({ firstChunk, count, payload }) => {
      const { frameType, body } = frameOf({ type: 'data', firstChunk, count, payload })
      const message = decodeBody(frameType, body)
      assert.ok(!isWireError(message) && message.type === 'data')
      assert.deepEqual([message.firstChunk, message.count], [firstChunk, count])
      assert.equal(toHex(message.payload), toHex(payload))
      assert.equal(message.payload.buffer, body.buffer)
    }),
  )
})

test('the header holds lengths and channels of any size', () => {
  const target = new Uint8Array(12)
  writeFrameHeader(target, 2, 0xfedcba98, 200, 0xabcd)
  assert.equal(toHex(target), '0000fedcba98c800abcd0000')
  assert.equal(toHex(dataFrameHead(3, 0x01020304, 0x05060708, 0x10)), '00000018200000030102030405060708')
})

test('what a frame may hold at the most is within its length', () => {
  const long = 'x'.repeat(MAX_ID_BYTES)
  const most: Control[] = [
    { type: 'close', reason: 'x'.repeat(MAX_REASON_BYTES) },
    { type: 'peers', peers: Array.from({ length: MAX_NAMED_PEERS }, () => ({ id: long, address: long })) },
    ...[...splitRanges(Array.from({ length: 8192 }, (_, i) => [i * 0x60000, 0x40000]).flat())].map((list): Control => ({
      type: 'have',
      ranges: list,
    })),
  ]
  for (const message of most) {
    const frame = frameOf(message)
    assert.ok(frame.body.length <= maxBodyBytes(frame.frameType), `${message.type}: ${frame.body.length}`)
    assert.deepEqual(decodeBody(frame.frameType, frame.body), message)
  }
})

test('long lists of ranges are split so that each part is taken', () => {
  const all = Array.from({ length: 20_000 }, (_, i) => [i * 3, 2]).flat()
  const parts = [...splitRanges(all)]
  assert.deepEqual(parts.flat(), all)
  for (const part of parts) assert.ok(!isWireError(decodeBody(FRAME_TYPES.have, frameOf({ type: 'have', ranges: part }).body)))
  assert.deepEqual([...splitRanges([])], [])
})

test('each type has its greatest length, and types that do not exist have none', () => {
  for (let type = 0; type < 256; type++) {
    const name = Object.entries(FRAME_TYPES).find(([, number]) => number === type)?.[0]
    const expected =
      name === undefined
        ? 0
        : name === 'data'
          ? MAX_DATA_BODY_BYTES
          : name === 'call' || name === 'reply'
            ? MAX_CALL_BODY_BYTES
            : name === 'hello' || name === 'bye'
              ? 4096
              : type < FRAME_TYPES.open
                ? 8
                : MAX_CONTROL_BODY_BYTES
    assert.equal(maxBodyBytes(type), expected, `type ${type}`)
  }
})

// ---- what others send ----

/** One of each type, as a peer in order sends them. */
const RECORDED: readonly SwarmMessage[] = [
  { type: 'open', swarmId: new Uint8Array(32).fill(7) },
  { type: 'subscribe', runChunks: 16, stripes: 4, mask: 0b101, manifestFrom: 300 },
  {
    type: 'announce',
    address: '10.0.0.7:7420',
    zone: 'rack 7',
    haveBytes: 123_456_789,
    isComplete: false,
    lateStripes: [0, 3],
    slowPeers: ['ann'],
    lostPeers: ['bob', 'zoë'],
  },
  {
    type: 'plan',
    runChunks: 16,
    stripes: 2,
    parents: [0, -1],
    peers: [
      { id: 'seed', address: '10.0.0.1:7420', isOrigin: true },
      { id: 'ann', address: '10.0.0.2:7420', isOrigin: false },
    ],
  },
  { type: 'manifest', part: { kind: 'segment', index: 0, bytes: Uint8Array.from({ length: 60 }, (_, i) => i) } },
  { type: 'clear', to: 4096 },
  { type: 'have', ranges: [0, 16, 300, 1, 1000, 100_000] },
  { type: 'request', ranges: [32, 16, 64, 16] },
  { type: 'cancel', ranges: [64, 16] },
  { type: 'withheld', ranges: [128, 64] },
  { type: 'data', firstChunk: 48, count: 16, payload: Uint8Array.from({ length: 40 }, (_, i) => 255 - i) },
  { type: 'lost', ranges: [5, 1] },
  { type: 'peers', peers: [{ id: 'ann', address: '10.0.0.2:7420' }] },
  { type: 'invite', invitation: Uint8Array.of(1, 2, 3) },
  { type: 'close', reason: 'the agent stops' },
]

/** Their bodies may end anywhere: the rest is a payload, or bytes that somebody else decodes. */
const OPEN_ENDED = new Set(['data', 'manifest', 'invite'])

for (const message of RECORDED) {
  const { frameType, body } = frameOf(message)
  const { type } = message

  test(`a ${type} that is cut off or longer is refused`, () => {
    for (let length = 0; length < body.length; length++) {
      const cut = { frameType, body: body.subarray(0, length) }
      if (OPEN_ENDED.has(type)) check(cut)
      else assert.ok(isWireError(decodeBody(frameType, cut.body)), `cut off at ${length}`)
    }
    const longer = { frameType, body: concatBytes([body, Uint8Array.of(0)]) }
    if (OPEN_ENDED.has(type)) check(longer)
    else assert.ok(isWireError(decodeBody(frameType, longer.body)))
  })

  test(`a ${type} with any byte changed to any other is refused or another one`, () => {
    for (let at = 0; at < body.length; at++) {
      const changed = Uint8Array.from(body)
      for (let value = 0; value < 256; value++) {
        changed[at] = value
        check({ frameType, body: changed })
      }
    }
  })
}

/** One fault: bytes put over others, cut out, put in between, or the greatest numbers there are. */
const fault = record({
  kind: fc.constantFrom('set', 'cut', 'insert', 'huge'),
  at: fc.nat(),
  bytes: fc.uint8Array({ minLength: 1, maxLength: 4 }),
})
const HUGE = [
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0x80, 0x80, 0x80, 0x08],
].map((bytes) => Uint8Array.from(bytes))

function withFaults(bytes: Uint8Array, faults: readonly { kind: string; at: number; bytes: Uint8Array }[]): Uint8Array {
  let result = bytes
  for (const { kind, at, bytes: given } of faults) {
    const from = at % (result.length + 1)
    const put = kind === 'cut' ? new Uint8Array(0) : kind === 'huge' ? HUGE[given[0]! % HUGE.length]! : given
    const removed = kind === 'insert' ? 0 : kind === 'huge' ? 1 : given.length
    result = concatBytes([result.subarray(0, from), put, result.subarray(from + removed)])
  }
  return result
}

/** Cuts a stream as a link does, up to where it would end the connection. */
function framesIn(stream: Uint8Array): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at + FRAME_HEADER_BYTES <= stream.length;) {
    const view = new DataView(stream.buffer, stream.byteOffset + at)
    const frameType = view.getUint8(4)
    const end = at + FRAME_HEADER_BYTES + view.getUint32(0)
    if (view.getUint32(0) > maxBodyBytes(frameType) || end > stream.length) return frames
    frames.push({ frameType, body: stream.subarray(at + FRAME_HEADER_BYTES, end) })
    at = end
  }
  return frames
}

test('a recorded stream with faults gives errors or other frames', () => {
  const stream = concatBytes(
    RECORDED.flatMap((message) => {
      const { frameType, body } = frameOf(message)
      const header = new Uint8Array(FRAME_HEADER_BYTES)
      writeFrameHeader(header, 0, body.length, frameType, 1)
      return [header, body]
    }),
  )
  assert.equal(framesIn(stream).length, RECORDED.length)
  fc.assert(
    fc.property(fc.array(fault, { minLength: 1, maxLength: 8 }), (faults) => {
      for (const frame of framesIn(withFaults(stream, faults))) check(frame)
    }),
    { numRuns: 2000 },
  )
})

test('any frame with faults is refused or another one', () => {
  fc.assert(
    fc.property(anyControl, fc.array(fault, { minLength: 1, maxLength: 6 }), (message, faults) => {
      const { frameType, body } = frameOf(message)
      check({ frameType, body: withFaults(body, faults) })
    }),
    { numRuns: 3000 },
  )
})

test('made-up bytes of any type are refused or a frame', () => {
  const types = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(...Object.values(FRAME_TYPES)))
  fc.assert(
    fc.property(types, fc.uint8Array({ maxLength: 300 }), (frameType, body) => check({ frameType, body })),
    { numRuns: 3000 },
  )
})

test('a few bytes that promise much make nothing large', () => {
  const before = process.memoryUsage().heapUsed
  for (const message of RECORDED) {
    const { frameType, body } = frameOf(message)
    for (let at = 0; at < body.length; at++) {
      for (let which = 0; which < HUGE.length; which++) {
        const huge = withFaults(body, [{ kind: 'huge', at, bytes: Uint8Array.of(which) }])
        check({ frameType, body: huge })
        const decoded = decodeBody(frameType, huge)
        if (!isWireError(decoded) && 'ranges' in decoded) assert.ok(decoded.ranges.length <= body.length)
      }
    }
  }
  const grown = process.memoryUsage().heapUsed - before
  assert.ok(grown < 64 << 20, `${grown} bytes`)
})

test('what is beyond its limit is refused, and said', () => {
  const cases: [SwarmMessage, RegExp][] = [
    [{ type: 'have', ranges: Array.from({ length: 8193 }, (_, i) => [i * 2, 1]).flat() }, /8193 ranges in one frame/],
    [{ type: 'request', ranges: [5, 0] }, /a range that is empty/],
    [{ type: 'cancel', ranges: [0xffffffff, 1] }, /past the greatest chunk/],
    [{ type: 'subscribe', runChunks: 0, stripes: 4, mask: 1, manifestFrom: -1 }, /impossible geometry/],
    [{ type: 'subscribe', runChunks: 65537, stripes: 4, mask: 1, manifestFrom: -1 }, /impossible geometry/],
    [{ type: 'subscribe', runChunks: 1, stripes: 33, mask: 1, manifestFrom: -1 }, /impossible geometry/],
    [{ type: 'plan', runChunks: 1, stripes: 0, parents: [], peers: [] }, /impossible geometry/],
    [{ type: 'plan', runChunks: 1, stripes: 1, parents: [0], peers: [] }, /names a parent it does not list/],
    [{ type: 'data', firstChunk: 0, count: 0, payload: new Uint8Array(1) }, /of no chunk/],
    [{ type: 'close', reason: 'x'.repeat(MAX_REASON_BYTES + 1) }, /ends before its fields do/],
    [{ type: 'peers', peers: Array.from({ length: MAX_NAMED_PEERS + 1 }, () => ({ id: 'a', address: 'b' })) }, /ends before its fields do/],
  ]
  for (const [message, expected] of cases) {
    const { frameType, body } = frameOf(message)
    const decoded = decodeBody(frameType, body)
    assert.ok(isWireError(decoded), JSON.stringify(message).slice(0, 80))
    assert.match(decoded.message, expected)
  }
})
