import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NetworkInterface } from '../sockets/interfaces.ts'
import { ipText } from '../../gossip/ip-bytes.ts'
import { wantedLinks } from './discovery.ts'

function one(name: string, address: string, prefixBits: number): NetworkInterface {
  const family = address.includes(':') ? 6 : 4
  const isLoopback = name === 'lo'
  const broadcast = family === 4 ? '10.255.255.255' : undefined
  return {
    name,
    family,
    address,
    netmask: '',
    prefixBits,
    broadcast,
    mtu: 1500,
    isLoopback,
    isLinkLocal: address.startsWith('fe80'),
    scopeId: 0,
  }
}

const ALL = [
  one('eth0', '10.0.0.1', 8),
  one('eth0', 'fd00::1', 64),
  one('eth0', 'fe80::1', 64),
  one('eth1', '10.1.0.1', 16),
  one('eth1', '10.1.0.2', 16),
  one('eth2', 'fe80::2', 64),
  one('lo', '127.0.0.1', 8),
  one('lo', '::1', 128),
]

/** Per link: interface, the address that it speaks from, and what it announces. */
const links = (bind: string, all: readonly NetworkInterface[] = ALL): string[] =>
  [...wantedLinks(all, bind).values()].map(({ via, addresses }) => `${via.name} ${via.address}: ${addresses.map(ipText).join(' ')}`)

test('a node that listens on every address is announced on every interface with the addresses of that interface', () => {
  assert.deepEqual(links('0.0.0.0'), ['eth0 10.0.0.1: 10.0.0.1', 'eth1 10.1.0.1: 10.1.0.1'])
  assert.deepEqual(links('::'), ['eth0 10.0.0.1: 10.0.0.1 fd00::1', 'eth0 fe80::1: 10.0.0.1 fd00::1', 'eth1 10.1.0.1: 10.1.0.1'])
})

test('a node that listens on one address is announced where that is', () => {
  assert.deepEqual(links('10.1.0.2'), ['eth1 10.1.0.2: 10.1.0.2'])
  assert.deepEqual(links('fd00:0::1'), ['eth0 fe80::1: fd00::1'])
  assert.deepEqual(links('10.9.9.9'), [])
})

test('an interface without an address that gossip can use has no link', () => {
  assert.deepEqual(links('::', ALL.slice(5)), [])
})
