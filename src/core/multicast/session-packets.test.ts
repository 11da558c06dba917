import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../lib/bytes.ts'
import { isWireError } from '../wire/wire-error.ts'
import { loadKernel } from './fec/load-kernel.ts'
import {
  CONTROL_HEADER_BYTES,
  type ControlPacket,
  MAX_ANNOUNCED,
  MAX_NACKED,
  type NackPacket,
  SENDER_ID,
  decodeControlHeader,
  encodeControl,
  openControl,
} from './session-packets.ts'
import type { SessionCipher } from './session-types.ts'
import { testCipher } from './testing/test-cipher.ts'

const SESSION = fromHex('0011223344556677') as Uint8Array
const cipher = testCipher(loadKernel(), 1)

/** Seals nothing: what is sent is the body, so that the bytes can be read and changed. */
const open: SessionCipher = {
  ...cipher,
  controlOverheadBytes: 0,
  sealControl: (_id, _counter, _header, body) => body,
  openControl: (_id, _counter, _header, body) => body,
}

const u8 = fc.integer({ min: 0, max: 255 })
const u32 = fc.integer({ min: 0, max: 0xffffffff })
const u31 = fc.integer({ min: 0, max: 0x7fffffff })
const u48 = fc.integer({ min: 1, max: 2 ** 48 - 1 })
const bytesUpTo = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength })
const position = { receiver: u32, echoUs: u32, holdUs: u32, sequence: u32, firstMissing: u31 }

const status: fc.Arbitrary<ControlPacket> = fc
  .record({
    timestampUs: u32,
    isEnd: fc.boolean(),
    isOver: fc.boolean(),
    isPoll: fc.boolean(),
    isStopped: fc.boolean(),
    sequence: u32,
    firstBlock: u31,
    ahead: fc.integer({ min: 0, max: 1000 }),
    grttUs: u32,
    backoffUs: u32,
    aggregateUs: u32,
    reportMs: u32,
    groupSize: u32,
    usualNeed: u8,
    repairs: fc.array(fc.record({ ahead: u8, symbols: u8 }), { maxLength: MAX_ANNOUNCED }),
  })
  .map(({ ahead, repairs, ...rest }) => ({
    type: 'status' as const,
    ...rest,
    nextBlock: rest.firstBlock + ahead,
    repairs: repairs.map((repair) => ({ block: rest.firstBlock + repair.ahead, symbols: repair.symbols })),
  }))

const nack: fc.Arbitrary<ControlPacket> = fc
  .record({
    ...position,
    backoff: u8,
    blocks: fc.array(fc.record({ gap: u8, missing: fc.integer({ min: 1, max: 255 }), held: bytesUpTo(32) }), { maxLength: MAX_NACKED }),
  })
  .map(({ blocks, ...rest }): NackPacket => {
    let next = rest.firstMissing
    return {
      type: 'nack',
      ...rest,
      blocks: blocks.map(({ gap, missing, held }) => {
        const block = next + gap
        next = block + 1
        return { block, missing, held }
      }),
    }
  })

const packets: fc.Arbitrary<ControlPacket> = fc.oneof(
  status,
  nack,
  fc.record({
    type: fc.constant('welcome' as const),
    timestampUs: u32,
    groupSize: u32,
    reportMs: u32,
    members: fc.array(fc.record({ senderId: u48, receiver: u32, firstBlock: u32 }), { maxLength: 64 }),
  }),
  fc.record({
    type: fc.constant('expel' as const),
    members: fc.array(fc.record({ receiver: u32, reason: fc.constantFrom('slow' as const, 'silent' as const, 'unreached' as const) }), {
      maxLength: 64,
    }),
  }),
  fc.record({ type: fc.constant('join' as const), name: fc.string({ maxLength: 60 }), app: bytesUpTo(512) }),
  fc.record({
    type: fc.constant('report' as const),
    ...position,
    isComplete: fc.boolean(),
    receivedPackets: u32,
    lostPackets: u32,
    lossBursts: u32,
    overrunPackets: u32,
    queueUs: u32,
    receivedBytesPerSec: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
  }),
  fc.record({ type: fc.constant('leave' as const), receiver: u32 }),
)

function senderOf(packet: ControlPacket): number {
  return packet.type === 'status' || packet.type === 'welcome' || packet.type === 'expel' ? SENDER_ID : 5_000_000_000
}

/** What a reader makes of bytes: the packet, or undefined for anything but one. */
function read(by: SessionCipher, bytes: Uint8Array): ControlPacket | undefined {
  const header = decodeControlHeader(bytes)
  if (isWireError(header)) return undefined
  const packet = openControl(by, bytes, header)
  return packet === undefined || isWireError(packet) ? undefined : packet
}

test('each control packet is read as it was written (docs/specs/07-multicast.md §3)', () => {
  fc.assert(
    fc.property(packets, u32, (packet, counter) => {
      const senderId = senderOf(packet)
      const bytes = encodeControl(cipher, SESSION, senderId, counter, packet)
      const header = decodeControlHeader(bytes)
      assert.ok(!isWireError(header))
      assert.deepEqual(header, { senderId, counter, isOfReceiver: senderId !== SENDER_ID })
      const opened = openControl(cipher, bytes, header)
      assert.ok(opened !== undefined && !isWireError(opened))
      assert.deepEqual(plain(opened), plain(packet))
    }),
  )
})

test('a packet that is cut off, or that something follows, is none', () => {
  fc.assert(
    fc.property(packets, (packet) => {
      const bytes = encodeControl(open, SESSION, senderOf(packet), 1, packet)
      for (const length of [0, 8, CONTROL_HEADER_BYTES - 1, bytes.length - 1])
        assert.equal(read(open, bytes.subarray(0, length)), undefined)
      assert.equal(read(open, new Uint8Array([...bytes, 0])), undefined)
    }),
  )
})

test('no byte of a sealed packet can be changed', () => {
  fc.assert(
    fc.property(packets, fc.nat(), fc.integer({ min: 1, max: 255 }), (packet, where, change) => {
      const bytes = encodeControl(cipher, SESSION, senderOf(packet), 1, packet)
      const at = 8 + (where % (bytes.length - 8))
      assert.equal(read(cipher, bytes.with(at, (bytes[at] as number) ^ change)), undefined)
    }),
  )
})

test('no bytes make the decoder throw, nor give more than fits them', () => {
  const types = fc.constantFrom(2, 3, 4, 16, 17, 18, 19, 20, 99)
  fc.assert(
    fc.property(types, bytesUpTo(300), (type, body) => {
      const senderId = type < 16 ? [0, 0, 0, 0, 0, 0] : [0, 0, 0, 0, 0, 9]
      const packet = read(open, new Uint8Array([...SESSION, type, ...senderId, 0, 0, 0, 1, ...body]))
      if (packet?.type === 'nack') assert.ok(packet.blocks.length <= MAX_NACKED)
      if (packet?.type === 'status') assert.ok(packet.repairs.length <= MAX_ANNOUNCED && packet.firstBlock <= packet.nextBlock)
    }),
    { numRuns: 500 },
  )
})

test('hostile counts and lengths are refused before anything is made of them', () => {
  const position = new Array<number>(20).fill(0)
  const receiver = (type: number, ...body: number[]): Uint8Array =>
    new Uint8Array([...SESSION, type, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, ...body])
  const huge = [0xff, 0xff, 0xff, 0xff, 0x0f]
  assert.equal(read(open, receiver(17, ...position, 0, ...huge)), undefined, 'blocks of a nack')
  assert.equal(read(open, receiver(17, ...position, 0, 1, 0, 0, 0)), undefined, 'a block that lacks nothing')
  assert.equal(
    read(open, receiver(17, ...position, 0, 1, 0, 1, 33, ...new Array<number>(33).fill(0))),
    undefined,
    'more symbols than there are',
  )
  assert.equal(read(open, receiver(16, ...huge)), undefined, 'a name')
  assert.equal(read(open, receiver(16, 1, 65, ...huge)), undefined, 'needs')
  assert.equal(read(open, receiver(2, ...new Array<number>(40).fill(0))), undefined, "a sender's packet of a receiver")
})

test("a receiver's packet under the sender's id is none", () => {
  const bytes = encodeControl(open, SESSION, 9, 1, { type: 'leave', receiver: 3 })
  bytes.fill(0, 9, 15)
  assert.equal(read(open, bytes), undefined)
})

test('the vectors of the specification', () => {
  const nackBytes = encodeControl(open, SESSION, 0x010203040506, 7, {
    type: 'nack',
    receiver: 2,
    echoUs: 0x11223344,
    holdUs: 250,
    sequence: 1000,
    firstMissing: 4,
    backoff: 128,
    blocks: [
      { block: 4, missing: 3, held: new Uint8Array(0) },
      { block: 6, missing: 1, held: new Uint8Array([0xff, 0x01]) },
    ],
  })
  assert.equal(
    toHex(nackBytes),
    '0011223344556677' +
      '11' +
      '010203040506' +
      '00000007' +
      '00000002' +
      '11223344' +
      '000000fa' +
      '000003e8' +
      '00000004' +
      '8002' +
      '000300' +
      '010102ff01',
  )
  const statusBytes = encodeControl(open, SESSION, SENDER_ID, 8, {
    type: 'status',
    timestampUs: 0x01020304,
    isEnd: true,
    isOver: false,
    isPoll: true,
    isStopped: false,
    sequence: 500,
    firstBlock: 1,
    nextBlock: 3,
    grttUs: 200,
    backoffUs: 5000,
    aggregateUs: 2700,
    reportMs: 113,
    groupSize: 10,
    usualNeed: 6,
    repairs: [{ block: 2, symbols: 5 }],
  })
  assert.equal(
    toHex(statusBytes),
    '0011223344556677' +
      '02' +
      '000000000000' +
      '00000008' +
      '01020304' +
      '05' +
      '000001f4' +
      '00000001' +
      '00000003' +
      'c801' +
      '8827' +
      '8c15' +
      '71' +
      '0a' +
      '06' +
      '010105',
  )
})

/** With plain arrays for bytes: what is read are views, what was written are arrays of their own. */
function plain(packet: ControlPacket): unknown {
  return JSON.parse(JSON.stringify(packet, (_, value: unknown) => (value instanceof Uint8Array ? [...value] : value)))
}
