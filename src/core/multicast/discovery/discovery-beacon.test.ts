import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { fromHex, toHex } from '../../lib/bytes.ts'
import { Random } from '../../lib/random.ts'
import { decodeDiscoveryBeacon, encodeDiscoveryBeacon } from './discovery-beacon-codec.ts'
import { DiscoveryBeacon, type DiscoveryBeaconOutput } from './discovery-beacon.ts'
import type { ClusterIdentity } from './membership-proof.ts'
import { toyKey } from './testing/toy-key.ts'

const plain: ClusterIdentity = { cluster: 'polycast', key: undefined }
const keyed: ClusterIdentity = { cluster: 'polycast', key: toyKey('a') }
const idOf = (number: number): Uint8Array => Uint8Array.of(0, 0, 0, 0, 0, 0, number >> 8, number & 255)
const n1 = { node: 'n1', id: idOf(1), address: Uint8Array.of(10, 0, 0, 1), port: 7946 }

test('what was written is read back, sealed or not, and by nobody else', () => {
  const read = { node: 'n1', id: '0000000000000001', endpoints: [{ address: n1.address, port: 7946 }] }
  for (const identity of [plain, keyed]) {
    const bytes = encodeDiscoveryBeacon(n1, identity)
    assert.deepEqual(decodeDiscoveryBeacon(bytes, identity), read)
    assert.equal(decodeDiscoveryBeacon(bytes, { ...identity, cluster: 'other' }), 'another cluster')
    assert.equal(decodeDiscoveryBeacon(bytes, { ...identity, key: toyKey('b') }), 'another key')
  }
  assert.equal(decodeDiscoveryBeacon(encodeDiscoveryBeacon(n1, keyed), plain), 'another key')
})

test('a beacon of a cluster without encryption, byte by byte', () => {
  const hex = ['5043424e', '01', '00', '6def1568', '08706f6c7963617374', '0000000000000001', '026e31', '040a000001', '1f0a'].join('')
  assert.equal(toHex(encodeDiscoveryBeacon(n1, plain)), hex)
  assert.notEqual(typeof decodeDiscoveryBeacon(fromHex(hex)!, plain), 'string')
})

test('bytes of anybody, and beacons that were changed, are refused without throwing', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void decodeDiscoveryBeacon(bytes, plain)))
  for (const identity of [plain, keyed]) {
    const whole = encodeDiscoveryBeacon(n1, identity)
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const bytes = Uint8Array.from(whole)
        bytes[at]! ^= change
        const read = decodeDiscoveryBeacon(bytes, identity)
        if (identity === keyed) assert.equal(typeof read, 'string')
        assert.equal(typeof decodeDiscoveryBeacon(whole.subarray(0, at), identity), 'string')
      }),
    )
  }
})

/** Nodes on one network that hear each other's beacons at once. */
class Network {
  readonly beacons: DiscoveryBeacon[] = []
  readonly sent: { at: number; from: number }[] = []
  readonly found: Map<string, number> = new Map()
  now = 0

  constructor(seed: string, count: number, isMember: (a: string, b: string) => boolean) {
    for (let k = 0; k < count; k++) {
      const endpoint = { address: Uint8Array.of(10, 0, k >> 8, k & 255), port: 7946 }
      const options = { identity: plain, node: `n${k}`, id: idOf(k), endpoint, random: new Random(`${seed}/${k}`) }
      this.beacons.push(new DiscoveryBeacon({ ...options, isMember: ({ node }) => isMember(`n${k}`, node) }, 0))
    }
  }

  runTo(at: number): void {
    for (;;) {
      const deadlines = this.beacons.map((beacon) => beacon.nextDeadline())
      const next = Math.min(...deadlines)
      if (next > at) break
      this.now = next
      this.beacons.forEach((beacon, k) => {
        if (deadlines[k]! > next) return
        beacon.handleTimeout(next)
        for (const output of beacon.drain()) this.#output(output, k)
      })
    }
    this.now = at
  }

  #output(output: DiscoveryBeaconOutput, from: number): void {
    if (output.type === 'found') this.found.set(`${from} ${output.found.node}`, this.now)
    if (output.type !== 'send') return
    this.sent.push({ at: this.now, from })
    this.beacons.forEach((beacon, k) => {
      beacon.handle({ type: 'packet', bytes: output.bytes }, this.now)
      for (const heard of beacon.drain()) this.#output(heard, k)
    })
  }
}

test('a node alone sends several beacons in the first seconds, then one in each eight', () => {
  const network = new Network('alone', 1, () => false)
  network.runTo(8000)
  assert.ok(network.sent.length >= 4 && network.sent.length <= 5)
  const before = network.sent.length
  network.runTo(88_000)
  assert.ok(Math.abs(network.sent.length - before - 10) <= 1)
  assert.equal(network.found.size, 0)
})

test('members silence each other: many send hardly more than a few', () => {
  const rates = [10, 300].map((count) => {
    const network = new Network('members', count, () => true)
    network.runTo(60_000)
    const before = network.sent.length
    network.runTo(140_000)
    return (network.sent.length - before) / 80
  })
  assert.ok(rates[0]! <= 1 && rates[1]! <= 1.5, `${rates.join(' and ')} beacons per second`)
})

test('two clusters on one network that do not know each other are not silenced: each hears of the other within an interval or two', () => {
  const network = new Network('islands', 40, (a, b) => Number(a.slice(1)) < 20 === Number(b.slice(1)) < 20)
  network.runTo(60_000)
  network.found.clear()
  network.runTo(76_000)
  for (let k = 0; k < 40; k++)
    assert.ok(
      [...network.found.keys()].some((key) => key.startsWith(`${k} `)),
      `n${k} heard of nobody`,
    )
})

test('so many beacons per second are looked at; strangers in masses make intervals longer', () => {
  const endpoint = { address: n1.address, port: 1 }
  const beacon = new DiscoveryBeacon(
    { identity: plain, node: 'n1', id: n1.id, endpoint, isMember: () => false, random: new Random('flood') },
    0,
  )
  const foreign = encodeDiscoveryBeacon(n1, { ...plain, cluster: 'foreign' })
  let sent = 0
  for (let now = 0; now < 1_000_000; now += 100) {
    for (let i = 0; i < 60; i++) beacon.handle({ type: 'packet', bytes: foreign }, now)
    beacon.handleTimeout(now)
    sent += beacon.drain().filter(({ type }) => type === 'send').length
  }
  assert.ok(sent >= 8 && sent <= 14, `${sent} beacons in 1000 s`)
  assert.ok(beacon.counters.dropped > 0)
})
