import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../../lib/bytes.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { PLAIN_BEACONS, type BeaconCipher } from '../reach/group-datagram.ts'
import type { ReachEntry } from '../reach/reach-types.ts'
import { decodeEventDatagram, encodeEventDatagram, isEventDatagram } from './event-datagram.ts'
import { EventGroup, type EventGroupOptions } from './event-group.ts'

/** Seals by one byte, which stands for the key, and the header's sum. */
function toyCipher(key: number): BeaconCipher {
  const tagOf = (header: Uint8Array): number => header.reduce((sum, byte) => (sum + byte) & 0xff, key)
  return {
    overheadBytes: 1,
    seal: (body, header) => Uint8Array.of(tagOf(header), ...body),
    open: (sealed, header) => (sealed[0] === tagOf(header) ? sealed.subarray(1) : undefined),
  }
}

function groupOf(name: string, changes: Partial<EventGroupOptions> = {}): EventGroup {
  return new EventGroup({ name, cluster: 'c', run: 1000, cipher: PLAIN_BEACONS, ...changes })
}

function entry(member: string, link: string, multicastBytes: number, lossShare = 0): ReachEntry {
  return { member, link, interface: link, family: 4, multicastBytes, broadcast: true, lossShare }
}

const CONTENT = Uint8Array.of(6, 7, 8)

test('what is encoded comes back; random bytes give an error or a value', () => {
  const number = fc.nat(2 ** 48 - 1)
  fc.assert(
    fc.property(number, number, fc.nat(0xffffffff), fc.uint8Array({ maxLength: 50 }), (node, run, sequence, content) => {
      const event = { node, run, sequence, content }
      const datagram = encodeEventDatagram(event, 5, toyCipher(3))
      assert.ok(isEventDatagram(datagram))
      assert.deepEqual(decodeEventDatagram(datagram, 5, toyCipher(3)), event)
      assert.ok(isWireError(decodeEventDatagram(datagram, 6, toyCipher(3))))
      assert.ok(isWireError(decodeEventDatagram(datagram, 5, toyCipher(4))))
    }),
  )
  fc.assert(fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => void decodeEventDatagram(bytes, 5, PLAIN_BEACONS)))
  for (let length = 0; length < 22; length++) {
    const whole = encodeEventDatagram({ node: 1, run: 2, sequence: 3, content: CONTENT }, 5, PLAIN_BEACONS)
    assert.ok(isWireError(decodeEventDatagram(whole.subarray(0, length), 5, PLAIN_BEACONS)))
  }
})

test('vector', () => {
  const hex = 'b8011234567800010203040500000000ffff000000070607'
  const event = { node: 0x0001_0203_0405, run: 0xffff, sequence: 7, content: Uint8Array.of(6, 7) }
  assert.equal(toHex(encodeEventDatagram(event, 0x12345678, PLAIN_BEACONS)), hex)
  assert.deepEqual(decodeEventDatagram(fromHex(hex)!, 0x12345678, PLAIN_BEACONS), event)
})

test('a datagram is taken once, whoever sends it again; one of an earlier start of its sender never', () => {
  const a = groupOf('a')
  const b = groupOf('b')
  const [first, second, third] = [a.seal(CONTENT), a.seal(CONTENT), a.seal(CONTENT)] as const
  assert.deepEqual(
    [first, third, second].map((one) => b.open(one)),
    [CONTENT, CONTENT, CONTENT],
  )
  assert.deepEqual(
    [first, second, third].map((one) => b.open(one)),
    [undefined, undefined, undefined],
  )
  assert.equal(a.open(first), undefined)
  const restarted = groupOf('a', { run: 2000 })
  assert.deepEqual([b.open(restarted.seal(CONTENT)), b.open(a.seal(CONTENT))], [CONTENT, undefined])
  assert.deepEqual(b.counters, { unreadable: 0, repeated: 4 })
})

test('of another cluster, without the key, garbage: nothing, and it counts', () => {
  const b = groupOf('b', { cipher: toyCipher(1) })
  for (const datagram of [
    groupOf('a', { cluster: 'other', cipher: toyCipher(1) }).seal(CONTENT),
    groupOf('a').seal(CONTENT),
    Uint8Array.of(0xb8),
  ]) {
    assert.equal(b.open(datagram), undefined)
  }
  assert.deepEqual(b.counters, { unreadable: 3, repeated: 0 })
})

test('senders are remembered up to a limit', () => {
  const b = groupOf('b', { limits: { maxSenders: 2 } })
  const datagrams = ['x', 'y', 'z'].map((name) => groupOf(name).seal(CONTENT))
  for (const one of datagrams) assert.deepEqual(b.open(one), CONTENT)
  assert.deepEqual(
    datagrams.map((one) => b.open(one) !== undefined),
    [true, true, true],
    'x was forgotten for z, then y for x, then z for y',
  )
})

test('as few links as reach all; the smallest datagram counts; small ports, lossy ones and links for one are left to the tree', () => {
  const group = groupOf('a', { cipher: toyCipher(1) })
  const table = [
    entry('b', 'eth0/4', 8972),
    entry('c', 'eth0/4', 1472),
    entry('d', 'eth0/4', 200),
    entry('e', 'eth0/4', 8972, 0.6),
    entry('b', 'eth0/6', 8952),
    entry('f', 'eth0/6', 1452),
    entry('g', 'eth1/4', 1472),
    entry('h', 'eth1/4', 1300),
    entry('b', 'eth1/4', 1300),
    entry('c', 'eth1/4', 1472),
  ]
  const reached = group.follow(table)
  assert.deepEqual([[...reached.names].toSorted(), group.links], [['b', 'c', 'g', 'h'], ['eth1/4']])
  assert.equal(group.seal(new Uint8Array(reached.maxBytes)).length, 1300)
  const twoLinks = group.follow(table.filter(({ member, link }) => link !== 'eth1/4' || (member !== 'b' && member !== 'c')))
  assert.deepEqual(
    [[...twoLinks.names].toSorted(), group.links.toSorted()],
    [
      ['b', 'c', 'g', 'h'],
      ['eth0/4', 'eth1/4'],
    ],
  )
  assert.deepEqual([group.follow([entry('b', 'eth0/4', 1472)]), group.links], [{ names: new Set(), maxBytes: 0 }, []])
})
