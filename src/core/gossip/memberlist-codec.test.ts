/**
 * Every message of a packet: what is said arrives, and bytes that nobody honest sends give an error or another message that could have been
 * sent. Nothing throws (docs/specs/04-gossip.md §3, §8).
 */
import * as fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatBytes, toHex, utf8Encode } from '../lib/bytes.ts'
import { isWireError } from '../wire/wire-error.ts'
import {
  anyPacketMessage,
  broken,
  bytesOf,
  exaggerated,
  loopback,
  memoryTaken,
  PACKET_MESSAGES,
  vector,
  VECTORS,
  withFaults,
} from './fixtures.test.ts'
import { decodePacketMessage, encodePacketMessage, MAX_META_BYTES, MAX_NAME_BYTES } from './memberlist-codec.ts'
import type { PacketMessage } from './messages.ts'

/** Bytes are dropped with a reason, or are a message that can be said again. */
function check(bytes: Uint8Array): void {
  const message = decodePacketMessage(bytes)
  if (isWireError(message)) {
    assert.equal(message.disposition, 'ignore')
    assert.ok(message.message.length > 0)
  } else assert.deepEqual(decodePacketMessage(encodePacketMessage(message)), message)
}

function refused(bytes: Uint8Array): string {
  const error = decodePacketMessage(bytes)
  assert.ok(isWireError(error), JSON.stringify(error))
  return error.message
}

for (const [type, arbitrary] of Object.entries(PACKET_MESSAGES)) {
  test(`${type} arrives as it was said`, () => {
    fc.assert(
      fc.property(arbitrary, (message) => {
        assert.deepEqual(decodePacketMessage(encodePacketMessage(message)), message)
      }),
    )
  })
}

test('what is kept of a member is no view into the packet', () => {
  const packet = vector('alive')
  const message = decodePacketMessage(packet)
  assert.ok(!isWireError(message) && message.type === 'alive')
  assert.notEqual(message.address.buffer, packet.buffer)
  assert.notEqual(message.meta.buffer, packet.buffer)
  const user = decodePacketMessage(bytesOf('080102'))
  assert.deepEqual(user, { type: 'user', bytes: Uint8Array.of(1, 2) })
})

test('who says nothing of versions or an address is understood as far as it goes', () => {
  const alive: PacketMessage = {
    type: 'alive',
    incarnation: 1,
    node: 'n3',
    address: loopback(3),
    port: 7946,
    meta: new Uint8Array(0),
    versions: undefined,
  }
  const withoutBoth = bytesOf('0484 a441646472 a47f000003 ab496e6361726e6174696f6e 01 a44e6f6465 a26e33 a4506f7274 cd1f0a')
  assert.deepEqual(decodePacketMessage(withoutBoth), alive)
  assert.deepEqual(decodePacketMessage(bytesOf('0082 a44e6f6465 a26e31 a55365714e6f 01')), { type: 'ping', sequence: 1, node: 'n1' })
  assert.deepEqual(decodePacketMessage(bytesOf('0083 a44e6f6465 a26e31 a55365714e6f 01 aa536f7572636541646472 a0')), {
    type: 'ping',
    sequence: 1,
    node: 'n1',
  })
})

test('an ack of nothing and an ack of no bytes are told apart', () => {
  for (const payload of [undefined, new Uint8Array(0)]) {
    const ack: PacketMessage = { type: 'ack', sequence: 1, payload }
    assert.deepEqual(decodePacketMessage(encodePacketMessage(ack)), ack)
  }
})

test('what follows a message is not looked at', () => {
  assert.deepEqual(decodePacketMessage(concatBytes([vector('ack'), bytesOf('c1c1')])), decodePacketMessage(vector('ack')))
})

test('a message of another type, or of none, is refused', () => {
  assert.match(refused(new Uint8Array(0)), /empty message/)
  for (const type of [6, 7, 9, 10, 12, 13, 14, 244, 255]) assert.match(refused(Uint8Array.of(type, 0x80)), new RegExp(`type ${type},`))
})

test('what is beyond its limit, or not what its field holds, is refused', () => {
  const alive = toHex(vector('alive'))
  const change = (from: string, to: string): Uint8Array => {
    assert.ok(alive.includes(from))
    return bytesOf(alive.replace(from, to))
  }
  const raw = (count: number): string => `da${count.toString(16).padStart(4, '0')}${'61'.repeat(count)}`
  const meta = 'b2ff82a26463a3646333a4726f6c65a3776562'
  const cases: [string, string][] = [
    ['a47f000003', 'a57f00000300'],
    ['a47f000003', 'a0'],
    ['a6010502020505', 'a50105020205'],
    ['a6010502020505', 'a701050202050505'],
    ['cd1f0a', 'ce00010000'],
    ['6e01', '6ecf0000000100000000'],
    ['6e01', '6ecb3ff0000000000000'],
    ['6e01', '6eff'],
    ['a26e33', 'a0'],
    ['a26e33', 'a2c328'],
    ['a26e33', raw(MAX_NAME_BYTES + 1)],
    [meta, raw(MAX_META_BYTES + 1)],
  ]
  for (const [from, to] of cases) assert.match(refused(change(from, to)), /alive.*wrong or cut off/, `${from} -> ${to.slice(0, 20)}`)
  for (const [from, to] of [
    ['a26e33', raw(MAX_NAME_BYTES)],
    [meta, raw(MAX_META_BYTES)],
    ['a6010502020505', 'c0'],
  ] as const) {
    check(change(from, to))
    assert.ok(!isWireError(decodePacketMessage(change(from, to))))
  }
})

test('a message that is too long to be taken is not written', () => {
  const long = 'x'.repeat(MAX_NAME_BYTES + 1)
  assert.throws(() => encodePacketMessage({ type: 'suspect', incarnation: 1, node: long, from: 'a' }), /at most 512 bytes/)
  assert.throws(() => encodePacketMessage({ type: 'nack', sequence: -1 }), /an integer from 0/)
  assert.throws(() => encodePacketMessage({ type: 'nack', sequence: 1.5 }), /an integer/)
})

const MESSAGES = ['ping', 'ack', 'indirect ping', 'alive', 'query ack']

for (const name of MESSAGES) {
  test(`the vector ${name}, cut off or with any byte changed, is refused or another message`, () => {
    for (const bytes of broken(vector(name))) check(bytes)
  })
}

test('a few bytes that promise much make nothing large', () => {
  const grown = memoryTaken(() => {
    for (const bytes of VECTORS.values()) for (const huge of exaggerated(bytes)) check(huge)
  })
  assert.ok(grown < 64 << 20, `${grown} bytes`)
})

test('any message with faults is refused or another one', () => {
  fc.assert(fc.property(withFaults(anyPacketMessage.map(encodePacketMessage)), check), { numRuns: 3000 })
})

test('made-up bytes of any type are refused or a message', () => {
  const typed = fc.tuple(fc.integer({ min: 0, max: 15 }), fc.uint8Array({ maxLength: 200 }))
  fc.assert(
    fc.property(typed, ([type, body]) => check(concatBytes([Uint8Array.of(type), body]))),
    { numRuns: 3000 },
  )
  assert.match(refused(concatBytes([Uint8Array.of(0), utf8Encode('no map')])), /ping/)
})
