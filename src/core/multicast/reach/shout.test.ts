import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isWireError } from '../../wire/wire-error.ts'
import { PLAIN_BEACONS, type BeaconCipher } from './beacon.ts'
import type { ReachEntry } from './reach-types.ts'
import { decodeShout, encodeShout, isShout, planShout, SHOUT_DATAGRAM_BYTES, shoutRoom } from './shout.ts'

function entry(member: string, link: string, multicastBytes = 1472, lossShare = 0): ReachEntry {
  return { member, link, interface: link, family: 4, multicastBytes, broadcast: true, lossShare }
}

test('as few links as reach all, and nobody who is reached badly', () => {
  const plan = planShout([
    entry('a', 'eth0/6'),
    entry('a', 'eth0/4'),
    entry('b', 'eth0/4'),
    entry('c', 'eth1/4'),
    entry('small', 'eth0/4', 200),
    entry('lossy', 'eth0/4', 1472, 0.5),
    entry('deaf', 'eth0/4', 0),
  ])
  assert.deepEqual(plan.links, ['eth0/4', 'eth1/4'])
  assert.deepEqual([...plan.members].toSorted(), ['a', 'b', 'c'])
  assert.deepEqual(planShout([]), { links: [], members: new Set() })
})

test('a shout comes out as it went in, for its own cluster and key alone', () => {
  const cipher: BeaconCipher = {
    overheadBytes: 2,
    seal: (body, header) => Uint8Array.from([header[5]!, 99, ...body]),
    open: (sealed, header) => (sealed[0] === header[5] && sealed[1] === 99 ? sealed.subarray(2) : undefined),
  }
  const bytes = Uint8Array.from({ length: shoutRoom(cipher) }, (_, index) => index)
  const datagram = encodeShout(bytes, 7, cipher)
  assert.equal(datagram.length, SHOUT_DATAGRAM_BYTES)
  assert.ok(isShout(datagram))
  assert.deepEqual(decodeShout(datagram, 7, cipher), bytes)
  assert.ok(isWireError(decodeShout(datagram, 8, cipher)))
  assert.ok(isWireError(decodeShout(datagram.with(7, 1), 7, cipher)))
  for (let length = 0; length < 8; length++) assert.ok(isWireError(decodeShout(datagram.subarray(0, length), 7, cipher)))
  assert.deepEqual(decodeShout(encodeShout(bytes, 7, PLAIN_BEACONS), 7, PLAIN_BEACONS), bytes)
})
