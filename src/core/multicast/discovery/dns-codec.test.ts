import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex, utf8Encode } from '../../lib/bytes.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { decodeDnsMessage, encodeDnsMessage, MAX_MESSAGE_BYTES } from './dns-codec.ts'
import { DNS_TYPES, dnsMessage, nameText, recordKey, type DnsMessage, type DnsRecord, type RecordData } from './dns-message.ts'

const label = fc
  .oneof(fc.constantFrom('a', 'b', 'local', '_tcp', 'Ünïcode', 'with.dot'), fc.string({ minLength: 1, maxLength: 12 }))
  .filter((text) => {
    return text.length > 0 && !text.includes('\0') && utf8Encode(text).length < 64
  })
const name = fc.array(label, { minLength: 1, maxLength: 5 })
const u16 = fc.integer({ min: 0, max: 0xffff })
const data: fc.Arbitrary<{ type: number; data: RecordData }> = fc.oneof(
  fc.uint8Array({ minLength: 4, maxLength: 4 }).map((address) => ({ type: DNS_TYPES.A, data: { kind: 'address' as const, address } })),
  fc.uint8Array({ minLength: 16, maxLength: 16 }).map((address) => ({ type: DNS_TYPES.AAAA, data: { kind: 'address' as const, address } })),
  name.map((target) => ({ type: DNS_TYPES.PTR, data: { kind: 'pointer' as const, target } })),
  fc.tuple(u16, u16, u16, name).map(([priority, weight, port, target]) => ({
    type: DNS_TYPES.SRV,
    data: { kind: 'service' as const, priority, weight, port, target },
  })),
  fc.array(fc.uint8Array({ minLength: 1, maxLength: 255 }), { maxLength: 3 }).map((texts) => ({
    type: DNS_TYPES.TXT,
    data: { kind: 'texts' as const, texts },
  })),
  fc.tuple(name, fc.uniqueArray(fc.integer({ min: 1, max: 1000 }), { maxLength: 5 })).map(([next, types]) => ({
    type: DNS_TYPES.NSEC,
    data: { kind: 'types' as const, next, types: types.sort((a, b) => a - b) },
  })),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => ({ type: 99, data: { kind: 'other' as const, bytes } })),
)
const record: fc.Arbitrary<DnsRecord> = fc
  .tuple(name, fc.boolean(), fc.integer({ min: 0, max: 0xffffffff }), data)
  .map(([name, isFlush, ttlSec, rest]) => ({ name, isFlush, ttlSec, ...rest }))
const records = fc.array(record, { maxLength: 6 })
const message: fc.Arbitrary<DnsMessage> = fc.record({
  id: u16,
  isResponse: fc.boolean(),
  isTruncated: fc.boolean(),
  questions: fc.array(fc.record({ name, type: u16, wantsUnicast: fc.boolean() }), { maxLength: 4 }),
  answers: records,
  authorities: records,
  additionals: records,
})

/** Compressed names take the case of those that they point at. */
const comparable = ({ answers, authorities, additionals, ...rest }: DnsMessage): unknown => ({
  ...rest,
  questions: rest.questions.map((question) => ({ ...question, name: nameText(question.name).toLowerCase() })),
  records: [answers, authorities, additionals].map((list) => list.map((one) => [recordKey(one), one.isFlush, one.ttlSec])),
})

test('what was written is read back', () => {
  fc.assert(
    fc.property(message, (original) => {
      const read = decodeDnsMessage(encodeDnsMessage(original))
      assert.ok(!isWireError(read))
      assert.deepEqual(comparable(read), comparable(original))
    }),
  )
})

test('any bytes are read without throwing, and so are messages with changed or missing ones', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void decodeDnsMessage(bytes)))
  fc.assert(
    fc.property(
      message,
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 }),
      fc.nat(),
      (original, changes, cut) => {
        const bytes = encodeDnsMessage(original)
        for (const [at, value] of changes) bytes[at % bytes.length] = value
        decodeDnsMessage(bytes)
        decodeDnsMessage(bytes.subarray(0, cut % bytes.length))
      },
    ),
  )
})

test('a query of avahi-browse, byte by byte', () => {
  const query = dnsMessage(false, { questions: [{ name: ['_polycast', '_tcp', 'local'], type: DNS_TYPES.PTR, wantsUnicast: false }] })
  const hex = '000000000001000000000000095f706f6c7963617374045f746370056c6f63616c00000c0001'
  assert.equal(toHex(encodeDnsMessage(query)), hex)
  assert.deepEqual(decodeDnsMessage(fromHex(hex)!), query)
})

test('names that point at what follows, or at themselves, are refused; so is what is too long', () => {
  const header = '000084000000000100000000'
  const rest = '000c0001000000780002c00c'
  for (const [what, hex] of [
    ['a loop', `${header}c00c${rest}`],
    ['forward', `${header}c020${rest}`],
    ['a label type that is none', `${header}80ff00${rest}`],
    ['cut off', `${header}0361`],
    ['a length beyond the end', `${header}000001000100000078ffff0a`],
    ['an address of three bytes', `${header}000001000100000078000301020300`],
  ] as const) {
    assert.ok(isWireError(decodeDnsMessage(fromHex(hex)!)), what)
  }
  assert.ok(isWireError(decodeDnsMessage(new Uint8Array(MAX_MESSAGE_BYTES + 1))))
})

test('pointers cannot multiply what was sent: a message of many long names that all point at one is given up', () => {
  const long = Array.from({ length: 126 }, () => '0161').join('')
  const pointing = (count: number): Uint8Array => {
    const records = Array.from({ length: count }, () => 'c00c000100010000000000047f000001').join('')
    return fromHex(`000084000001${count.toString(16).padStart(4, '0')}00000000${long}00000c0001${records}`)!
  }
  assert.ok(!isWireError(decodeDnsMessage(pointing(20))))
  assert.ok(pointing(500).length <= MAX_MESSAGE_BYTES)
  assert.ok(isWireError(decodeDnsMessage(pointing(500))))
})

test('records of other classes are left out; what is not UTF-8 is read and does not end the message', () => {
  const hex = '000084000000000200000000016100000100030000007800040102030402ff61000001000100000078000401020304'
  const read = decodeDnsMessage(fromHex(hex)!)
  assert.ok(!isWireError(read))
  assert.deepEqual(
    read.answers.map(({ name }) => name),
    [['\u{fffd}ÿa']],
  )
})
