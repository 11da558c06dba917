import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { encodePacketMessage, encodeStreamMessage } from '../../core/gossip/memberlist-codec.ts'
import type { PacketMessage, StreamMessage } from '../../core/gossip/messages.ts'
import { composePacket } from '../../core/gossip/packet.ts'
import { messageBytes, packetBytes, streamBytes } from './message-bytes.ts'

const name = fc.string({ unit: fc.constantFrom('a', 'b', '-', '7'), minLength: 1, maxLength: 60 })
const number32 = fc.oneof(fc.nat(300), fc.nat(70_000), fc.integer({ min: 0, max: 0xffffffff }))
const bytes = fc.uint8Array({ maxLength: 300 })
const address = fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 }))
const port = fc.integer({ min: 256, max: 65535 })
const source = fc.record({ sourceAddress: address, sourcePort: port, sourceNode: name })
const member = fc.record({
  node: name,
  incarnation: number32,
  address,
  port,
  meta: bytes,
  versions: fc.constant([1, 5, 5, 2, 5, 5] as const),
})

const message: fc.Arbitrary<PacketMessage> = fc.oneof(
  fc.record({ type: fc.constant('ping' as const), sequence: number32, node: name, isBrief: fc.boolean(), wantsTableHash: fc.boolean() }),
  fc.tuple(number32, name, source).map(([sequence, node, from]) => ({ type: 'ping' as const, sequence, node, ...from })),
  fc.tuple(number32, name, source, address, port, fc.boolean()).map(([sequence, node, from, target, to, nack]) => ({
    type: 'indirect-ping' as const,
    sequence,
    node,
    target,
    port: to,
    nack,
    ...from,
  })),
  fc.record({ type: fc.constant('ack' as const), sequence: number32, payload: fc.option(bytes, { nil: undefined }) }),
  fc.record({ type: fc.constant('ack' as const), sequence: number32, payload: fc.constant(undefined), tableHash: number32 }),
  fc.record({ type: fc.constant('nack' as const), sequence: number32 }),
  fc.record({ type: fc.constantFrom('suspect' as const, 'dead' as const), incarnation: number32, node: name, from: name }),
  member.map((fields) => ({ type: 'alive' as const, ...fields })),
  fc.record({ type: fc.constant('user' as const), bytes }),
)

test('the length of a message is what the encoder makes of it', () => {
  fc.assert(fc.property(message, (given) => assert.equal(messageBytes(given), encodePacketMessage(given).length)))
})

test('the length of a packet is what composing makes of it', () => {
  fc.assert(
    fc.property(fc.array(message, { minLength: 1, maxLength: 5 }), (messages) => {
      const parts = messages.map((given) => encodePacketMessage(given))
      const packet = composePacket(parts, { label: new Uint8Array(0), encryption: undefined, isCompressing: false }, true)
      assert.equal(packetBytes(messages), packet.length)
    }),
  )
})

test('the length of what a stream carries is what the encoder makes of it', () => {
  const members = fc.array(
    member.map((fields) => ({ ...fields, state: 'alive' as const })),
    { maxLength: 200, size: 'max' },
  )
  const exchange: fc.Arbitrary<StreamMessage> = fc.record({
    type: fc.constant('push-pull' as const),
    isJoin: fc.boolean(),
    members,
    userState: bytes,
  })
  fc.assert(
    fc.property(exchange, (given) => assert.equal(streamBytes(given), encodeStreamMessage(given).length)),
    { numRuns: 30 },
  )
})
