/**
 * Layers of packets: what is put together comes apart in every framing, within the bytes that were counted; one bad part takes no other
 * with it; and what a packet can make its receiver do has bounds (docs/specs/04-gossip.md §4, §8).
 */
import * as fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 as zlibCrc32 } from 'node:zlib'
import { concatBytes, utf8Encode } from '../lib/bytes.ts'
import { isWireError } from '../wire/wire-error.ts'
import { compress } from './compression.ts'
import { crc32 } from './crc32.ts'
import {
  anyPacketMessage,
  broken,
  bytesOf,
  counting,
  encryptionWith,
  exaggerated,
  FRAMINGS,
  memoryTaken,
  PLAIN,
  vector,
  VECTORS,
  withFaults,
} from './fixtures.test.ts'
import type { Framing } from './framing.ts'
import { encodePacketMessage } from './memberlist-codec.ts'
import type { PacketMessage } from './messages.ts'
import {
  composePacket,
  DEFAULT_PACKET_BYTES,
  groupParts,
  MAX_INFLATED_PACKET_BYTES,
  MAX_LAYERS,
  MAX_MESSAGES_PER_PACKET,
  MAX_PARTS,
  packetRoom,
  PART_OVERHEAD_BYTES,
  peelPacket,
  type PacketContent,
} from './packet.ts'

function peeled(packet: Uint8Array, framing: Framing = PLAIN): PacketContent {
  const content = peelPacket(packet, framing)
  assert.ok(!isWireError(content), isWireError(content) ? content.message : '')
  return content
}

function refused(packet: Uint8Array, framing: Framing = PLAIN): string {
  const content = peelPacket(packet, framing)
  assert.ok(isWireError(content))
  assert.equal(content.disposition, 'ignore')
  return content.message
}

/** The errors of a packet whose outer layers are good. */
function errorsIn(packet: Uint8Array): string[] {
  return peeled(packet).errors.map((error) => error.message)
}

/** A compound of layers, as `composePacket` makes one of messages. */
function compoundOf(layers: readonly Uint8Array[]): Uint8Array {
  return concatBytes([Uint8Array.of(7, layers.length, ...layers.flatMap(({ length }) => [length >> 8, length & 0xff])), ...layers])
}

const nacks = (count: number): PacketMessage[] => Array.from({ length: count }, (_, sequence) => ({ type: 'nack', sequence }))

test('the checksum is the one of zlib', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      assert.equal(crc32(bytes), zlibCrc32(bytes))
    }),
  )
})

for (const framing of FRAMINGS) {
  const { label, isCompressing, encryption } = framing
  const name = `label ${label.length}, ${isCompressing ? 'compressed' : 'not compressed'}, encryption ${encryption?.version ?? 'off'}`
  test(`messages come apart as they were put together, in as many packets as need be: ${name}`, () => {
    fc.assert(
      fc.property(fc.array(anyPacketMessage, { minLength: 1, maxLength: 30 }), fc.boolean(), (messages, hasChecksum) => {
        const groups = groupParts(messages.map(encodePacketMessage), packetRoom(framing, hasChecksum))
        const packets = groups.map((group) => composePacket(group, framing, hasChecksum))
        for (const packet of packets) assert.ok(packet.length <= DEFAULT_PACKET_BYTES)
        const contents = packets.map((packet) => peeled(packet, framing))
        assert.deepEqual(
          contents.flatMap((content) => content.messages),
          messages,
        )
        assert.ok(contents.every((content) => content.errors.length === 0))
      }),
      { numRuns: 50 },
    )
  })
}

test('a packet that is filled to the last byte has the length that was counted', () => {
  for (const framing of FRAMINGS) {
    if (framing.isCompressing) continue
    for (const hasChecksum of [false, true]) {
      const room = packetRoom(framing, hasChecksum)
      const first = Math.floor(room / 2)
      const parts = [first, room - first].map((bytes) =>
        encodePacketMessage({ type: 'user', bytes: new Uint8Array(bytes - PART_OVERHEAD_BYTES - 1) }),
      )
      assert.equal(groupParts(parts, room).length, 1)
      assert.equal(groupParts(parts, room - 1).length, 2)
      const packet = composePacket(parts, framing, hasChecksum)
      // Version 0 fills up to whole blocks, so less than one may be left.
      const spare = framing.encryption?.version === 0 ? 16 : 1
      assert.ok(packet.length <= DEFAULT_PACKET_BYTES && packet.length > DEFAULT_PACKET_BYTES - spare, `${packet.length} bytes`)
    }
  }
})

test('a compound has at most 255 messages, and what is too long goes alone', () => {
  const small = Uint8Array.of(8)
  assert.deepEqual(
    groupParts(
      Array.from({ length: 600 }, () => small),
      100_000,
    ).map(({ length }) => length),
    [MAX_PARTS, MAX_PARTS, 600 - 2 * MAX_PARTS],
  )
  const large = new Uint8Array(2000).fill(8)
  assert.deepEqual(groupParts([small, large, small, small], 1000), [[small], [large], [small, small]])
  assert.deepEqual(groupParts([], 1000), [])
})

test('a packet is compressed only where that makes it smaller', () => {
  const framing: Framing = { ...PLAIN, isCompressing: true }
  assert.equal(composePacket([vector('ack')], framing, false)[0], 2)
  const repeated = encodePacketMessage({ type: 'user', bytes: new Uint8Array(500) })
  const packet = composePacket([repeated], framing, false)
  assert.equal(packet[0], 9)
  assert.ok(packet.length < 100)
  // A receiver that compresses nothing itself takes it all the same.
  assert.deepEqual(peeled(packet).messages, [{ type: 'user', bytes: new Uint8Array(500) }])
})

test('a truncated compound gives the messages that are whole', () => {
  const parts = nacks(3).map(encodePacketMessage)
  const packet = composePacket(parts, PLAIN, false)
  const header = 2 + 2 * parts.length
  for (let length = header; length < packet.length; length++) {
    const whole = Math.floor((length - header) / parts[0]!.length)
    const { messages, errors } = peeled(packet.subarray(0, length))
    assert.deepEqual(messages, nacks(whole))
    assert.deepEqual(
      errors.map(({ message }) => message),
      [`a compound that is cut off: ${3 - whole} of 3 messages are missing`],
    )
  }
  for (let length = 1; length < header; length++) assert.match(errorsIn(packet.subarray(0, length))[0]!, /ends in its header/)
  assert.deepEqual(peeled(concatBytes([packet, Uint8Array.of(1, 2, 3)])), { messages: nacks(3), errors: [] })
})

test('a bad message of a compound takes no other with it', () => {
  const [first, second] = nacks(2).map(encodePacketMessage) as [Uint8Array, Uint8Array]
  const { messages, errors } = peeled(compoundOf([first, bytesOf('04c1'), new Uint8Array(0), bytesOf('0d80'), second]))
  assert.deepEqual(messages, nacks(2))
  assert.equal(errors.length, 3)
})

test('layers may be in one another, up to a depth', () => {
  let packet = encodePacketMessage({ type: 'nack', sequence: 1 })
  for (let depth = 0; depth < MAX_LAYERS; depth++) {
    packet = depth % 2 === 0 ? compoundOf([packet, vector('ack')]) : compress(packet)
  }
  assert.deepEqual(peeled(packet).errors, [])
  assert.deepEqual(peeled(packet).messages[0], { type: 'nack', sequence: 1 })
  assert.match(errorsIn(compoundOf([packet]))[0]!, /more than 4 layers/)
  assert.match(errorsIn(compress(packet))[0]!, /more than 4 layers/)
})

test('a checksum that does not fit, or stands where none belongs, is refused', () => {
  const packet = vector('user event with checksum')
  for (let at = 1; at < packet.length; at++) {
    const changed = Uint8Array.from(packet)
    changed[at]! ^= 0x10
    assert.match(refused(changed), /checksum/)
  }
  assert.match(refused(packet.subarray(0, 5)), /checksum/)
  assert.match(errorsIn(compoundOf([packet, vector('ack')]))[0]!, /type 12,/)
})

test('a label keeps clusters apart', () => {
  const labelled = (label: string): Framing => ({ ...PLAIN, label: utf8Encode(label) })
  const packet = composePacket([vector('ack')], labelled('blue'), false)
  assert.equal(peeled(packet, labelled('blue')).messages.length, 1)
  for (const framing of [PLAIN, labelled('lab'), labelled('pink')]) assert.match(refused(packet, framing), /another label/)
  assert.match(refused(vector('ack'), labelled('blue')), /another label/)
  assert.match(refused(bytesOf('f400 0282'), PLAIN), /an empty label/)
  for (let length = 0; length < 6; length++) assert.ok(refused(packet.subarray(0, length), labelled('blue')))
})

test('encryption is required unless it is being introduced', () => {
  const encryption = encryptionWith([counting(16)])
  const required: Framing = { ...PLAIN, encryption }
  const introduced: Framing = { ...PLAIN, encryption: { ...encryption, isSending: false, isRequired: false } }
  assert.match(refused(vector('ack'), required), /no key of the ring/)
  assert.deepEqual(peeled(vector('ack'), introduced).messages.length, 1)
  assert.deepEqual(peeled(vector('encrypted packet'), introduced).messages.length, 1)
  assert.deepEqual(composePacket([vector('ack')], introduced, false), vector('ack'))
  assert.equal(packetRoom(introduced, false), packetRoom(PLAIN, false))
  const stranger: Framing = { ...PLAIN, encryption: encryptionWith([counting(32)]) }
  assert.match(refused(vector('encrypted packet'), stranger), /no key of the ring/)
  for (const packet of broken(vector('encrypted packet'))) {
    const content = peelPacket(packet, required)
    assert.ok(isWireError(content) || content.messages.length === 1)
  }
})

test('the label is authenticated', () => {
  const packet = vector('encrypted packet with label')
  const encryption = encryptionWith([counting(16)])
  assert.match(refused(packet.subarray(5), { ...PLAIN, encryption }), /no key of the ring/)
  const moved = concatBytes([bytesOf('f403'), utf8Encode('bad'), packet.subarray(5)])
  assert.match(refused(moved, { ...PLAIN, encryption, label: utf8Encode('bad') }), /no key of the ring/)
})

test('a bomb goes off within its bounds', () => {
  const bomb = compress(concatBytes([Uint8Array.of(8), new Uint8Array(8 << 20)]))
  assert.ok(bomb.length < 65_536)
  const many = compoundOf(Array.from({ length: 200 }, () => compress(concatBytes([Uint8Array.of(8), new Uint8Array(50_000)]))))
  assert.ok(many.length < 200_000)
  const grown = memoryTaken(() => {
    assert.match(errorsIn(bomb)[0]!, /compressed bytes of more than 262144/)
    const { messages, errors } = peeled(many)
    assert.equal(messages.length, Math.floor(MAX_INFLATED_PACKET_BYTES / 50_001))
    assert.equal(errors.length, 200 - messages.length)
  })
  assert.ok(grown < 64 << 20, `${grown} bytes`)
})

test('a packet of compounds of compounds has a bounded number of messages', () => {
  const ack = bytesOf('0280')
  const inner = compoundOf(Array.from({ length: 255 }, () => ack))
  const { messages, errors } = peeled(compoundOf(Array.from({ length: 60 }, () => inner)))
  assert.ok(messages.length <= MAX_MESSAGES_PER_PACKET && messages.length > MAX_MESSAGES_PER_PACKET - 10)
  assert.ok(errors.length <= 10 && errors.every(({ message }) => message.startsWith('more than 1024 messages')))
  const empty = compress(concatBytes([bytesOf('07ff'), new Uint8Array(510)]))
  const bad = peeled(compoundOf(Array.from({ length: 200 }, () => empty)))
  assert.ok(bad.messages.length + bad.errors.length < MAX_MESSAGES_PER_PACKET + 250)
})

test('another algorithm, and compressed bytes that are none, are refused', () => {
  assert.match(errorsIn(bytesOf('0982 a4416c676f 01 a3427566 a3000302'))[0]!, /unknown algorithm 1/)
  assert.match(errorsIn(bytesOf('0982 a4416c676f 00 a3427566 c0'))[0]!, /cut off/)
  assert.match(errorsIn(bytesOf('0982 a4416c676f 00 a3427566 a3000302'))[0]!, /empty message/)
  assert.match(errorsIn(bytesOf('0982 a4416c676f 00 a3427566 dbffffffff'))[0]!, /wrong or cut off/)
})

/** Whatever comes is an error, or messages and errors within the bounds. */
function check(packet: Uint8Array, framing: Framing): void {
  const content = peelPacket(packet, framing)
  if (isWireError(content)) return
  assert.ok(content.messages.length <= MAX_MESSAGES_PER_PACKET)
  assert.ok(content.errors.every(({ disposition }) => disposition === 'ignore'))
}

test('broken packets of every kind give an error or messages', () => {
  const compressed = compress(compoundOf([vector('ping'), vector('alive')]))
  const open: Framing = { ...PLAIN, encryption: encryptionWith([counting(16)], { isRequired: false }) }
  const packets = [...VECTORS.values(), compressed]
  for (const packet of packets) for (const bytes of broken(packet)) check(bytes, PLAIN)
  const grown = memoryTaken(() => {
    for (const packet of packets) for (const bytes of exaggerated(packet)) check(bytes, open)
  })
  assert.ok(grown < 64 << 20, `${grown} bytes`)
})

test('packets with faults and made-up ones give an error or messages', () => {
  const packets = fc
    .tuple(fc.array(anyPacketMessage.map(encodePacketMessage), { minLength: 1, maxLength: 8 }), fc.constantFrom(...FRAMINGS), fc.boolean())
    .map(([parts, framing, hasChecksum]) => composePacket(parts, { ...framing, encryption: undefined }, hasChecksum))
  for (const framing of [PLAIN, { ...PLAIN, label: utf8Encode('lab') }]) {
    fc.assert(
      fc.property(withFaults(packets), (packet) => check(packet, framing)),
      { numRuns: 1500 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (packet) => check(packet, framing)),
      { numRuns: 1500 },
    )
  }
})
