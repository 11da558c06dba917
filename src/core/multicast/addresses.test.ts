import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ethernetAddress, isAlwaysFlooded, pickGroup, wellKnownGroups } from './addresses.ts'

test('Ethernet addresses of groups', () => {
  assert.equal(ethernetAddress('224.0.0.251'), '01:00:5e:00:00:fb')
  assert.equal(ethernetAddress('239.255.1.2'), '01:00:5e:7f:01:02')
  assert.equal(ethernetAddress('ff02::fb'), '33:33:00:00:00:fb')
  assert.equal(ethernetAddress('ff35::8123:4567'), '33:33:81:23:45:67')
  assert.equal(ethernetAddress('ff15:0:0:0:0:0:8000:1'), '33:33:80:00:00:01')
})

test('all 32 groups of an Ethernet address are one', () => {
  const classes = Array.from({ length: 16 }, (_, first) => 224 + first).flatMap((first) => [`${first}.5.6.7`, `${first}.133.6.7`])
  assert.equal(classes.length, 32)
  assert.equal(new Set(classes.map(ethernetAddress)).size, 1)
  const picked = pickGroup('some session', 'ssm', 4, [])!
  const [, second, third, fourth] = picked.split('.').map(Number)
  for (let first = 224; first < 240; first++) {
    for (const twin of [second!, second! | 0x80]) {
      const other = pickGroup('some session', 'ssm', 4, [`${first}.${twin}.${third}.${fourth}`])!
      assert.notEqual(ethernetAddress(other), ethernetAddress(picked))
    }
  }
})

test('what shares its Ethernet address with 224.0.0.0/24 is flooded always', () => {
  for (const group of ['224.0.0.1', '239.0.0.7', '232.128.0.9', '239.128.0.255', 'ff02::1']) assert.ok(isAlwaysFlooded(group), group)
  for (const group of ['239.0.1.1', '239.192.0.1', '232.1.0.5', 'ff02::fb', '224.1.0.1']) assert.ok(!isAlwaysFlooded(group), group)
})

test('a session gets a group of its range that nobody else has on the wire', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9a-f]{16}$/), fc.uniqueArray(fc.string({ minLength: 4 }), { maxLength: 40 }), (id, others) => {
      for (const kind of ['ssm', 'asm'] as const) {
        const observed = others.map((other) => pickGroup(other, kind, 4, [])!)
        const four = pickGroup(id, kind, 4, [...observed, pickGroup(id, kind, 4, observed)!])!
        assert.match(four, kind === 'ssm' ? /^232\.(\d{1,2}|1[01]\d|12[0-7])\./ : /^239\.19[2-5]\./)
        assert.ok(!isAlwaysFlooded(four))
        assert.ok(!observed.map(ethernetAddress).includes(ethernetAddress(four)))
        assert.equal(four, pickGroup(id, kind, 4, [...observed, pickGroup(id, kind, 4, observed)!]))
        const six = pickGroup(id, kind, 6, [])!
        assert.match(six, kind === 'ssm' ? /^ff35::[89a-f][0-9a-f]{3}:/ : /^ff15::[89a-f][0-9a-f]{3}:/)
        assert.notEqual(pickGroup(id, kind, 6, [six]), six)
      }
    }),
    { numRuns: 60 },
  )
})

test('where all is taken, there is none', () => {
  const taken: string[] = []
  for (;;) {
    const group = pickGroup('x', 'ssm', 4, taken)
    if (group === undefined) break
    taken.push(group)
  }
  assert.ok(taken.length > 60 && taken.length <= 64)
})

test('clusters meet in groups of their own', () => {
  const reach = wellKnownGroups('one', 'reach')
  const discovery = wellKnownGroups('one', 'discovery')
  assert.deepEqual(reach, wellKnownGroups('one', 'reach'))
  assert.match(reach.ipv4, /^239\.255\.(?!0\.|255\.)\d+\.\d+$/)
  assert.match(reach.ipv6Link, /^ff12::[89a-f]/)
  const addresses = [reach, discovery, wellKnownGroups('two', 'reach')].flatMap(({ ipv4, ipv6Link }) => [
    ethernetAddress(ipv4),
    ethernetAddress(ipv6Link),
  ])
  assert.equal(new Set(addresses).size, 6)
})
