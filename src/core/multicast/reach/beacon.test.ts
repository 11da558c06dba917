import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { toHex } from '../../lib/bytes.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { decodeBeacon, encodeBeacon, reportRoom, type Beacon } from './beacon.ts'
import { PLAIN_BEACONS, type BeaconCipher } from './group-datagram.ts'

/** Objects as a decoder makes them. */
const plain = <T>(model: { [Key in keyof T]: fc.Arbitrary<T[Key]> }): fc.Arbitrary<T> =>
  fc.record(model, { noNullPrototype: true }) as fc.Arbitrary<T>
const NODES = fc.integer({ min: 0, max: 2 ** 48 - 1 })
const BEACONS: fc.Arbitrary<Beacon> = plain({
  size: fc.integer({ min: 0, max: 255 }),
  isFast: fc.boolean(),
  isDeaf: fc.boolean(),
  wantsReports: fc.boolean(),
  node: NODES,
  run: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  sequence: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  smallIntervalMs: fc.integer({ min: 0, max: 65535 }).map((units) => units * 100),
  largeIntervalMs: fc.integer({ min: 0, max: 65535 }).map((units) => units * 100),
  peers: fc.integer({ min: 0, max: 65535 }),
  maxBytes: fc.integer({ min: 0, max: 65535 }),
  reports: fc.array(
    plain({
      node: NODES,
      multicastBytes: fc.integer({ min: 0, max: 65535 }),
      isBroadcastHeard: fc.boolean(),
      lossShare: fc.integer({ min: 0, max: 100 }).map((hundredths) => hundredths / 100),
    }),
    { maxLength: reportRoom(200, PLAIN_BEACONS) },
  ),
})

test('a beacon comes out as it went in, of the size that was asked for', () => {
  fc.assert(
    fc.property(BEACONS, fc.constantFrom(200, 1472, 8972), (beacon, bytes) => {
      const datagram = encodeBeacon(beacon, 7, bytes, PLAIN_BEACONS)
      assert.equal(datagram.length, bytes)
      assert.deepEqual(decodeBeacon(datagram, 7, PLAIN_BEACONS), beacon)
    }),
    { numRuns: 200 },
  )
})

test('vector of docs/specs/10-reach.md §8', () => {
  const beacon: Beacon = {
    size: 0,
    isFast: true,
    isDeaf: false,
    wantsReports: false,
    node: 0x0102_0304_0506,
    run: 7,
    sequence: 9,
    smallIntervalMs: 500,
    largeIntervalMs: 2000,
    peers: 1,
    maxBytes: 1472,
    reports: [{ node: 0x0a0b_0c0d_0e0f, multicastBytes: 1472, isBroadcastHeard: true, lossShare: 0.02 }],
  }
  const datagram = encodeBeacon(beacon, 0x11223344, 48, PLAIN_BEACONS)
  assert.equal(
    toHex(datagram),
    'b70111223344' +
      '0001' +
      '010203040506' +
      '000000000007' +
      '00000009' +
      '0005' +
      '0014' +
      '0001' +
      '05c0' +
      '01' +
      '0a0b0c0d0e0f' +
      '05c0' +
      '82' +
      '000000000000',
  )
})

test('whatever comes is a beacon or an error, never an exception, and reports are not taken on faith', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, hasHeader) => {
      const datagram = hasHeader ? Uint8Array.from([0xb7, 1, 0, 0, 0, 7, ...bytes]) : bytes
      const beacon = decodeBeacon(datagram, 7, PLAIN_BEACONS)
      if (!isWireError(beacon)) assert.ok(beacon.reports.length * 9 <= datagram.length)
    }),
    { numRuns: 500 },
  )
  const whole = encodeBeacon({ ...fc.sample(BEACONS, { numRuns: 1, seed: 5 })[0]!, reports: [] }, 7, 200, PLAIN_BEACONS)
  for (let length = 0; length < 33; length++)
    assert.ok(isWireError(decodeBeacon(whole.subarray(0, length), 7, PLAIN_BEACONS)), String(length))
  assert.ok(isWireError(decodeBeacon(whole, 8, PLAIN_BEACONS)))
})

test('what is sealed is as long, and opens with the header that it was sealed with alone', () => {
  const cipher: BeaconCipher = {
    overheadBytes: 2,
    seal: (body, header) => Uint8Array.from([header[5]!, 99, ...body]),
    open: (sealed, header) => (sealed[0] === header[5] && sealed[1] === 99 ? sealed.subarray(2) : undefined),
  }
  const [beacon] = fc.sample(BEACONS, { numRuns: 1, seed: 9 })
  const datagram = encodeBeacon({ ...beacon!, reports: [] }, 7, 200, cipher)
  assert.equal(datagram.length, 200)
  assert.deepEqual(decodeBeacon(datagram, 7, cipher), { ...beacon!, reports: [] })
  datagram[6] = 8
  assert.ok(isWireError(decodeBeacon(datagram, 7, cipher)))
})
