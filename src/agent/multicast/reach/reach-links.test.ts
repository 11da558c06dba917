import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { NetworkInterface } from '../sockets/interfaces.ts'
import { chooseLinks } from './reach-links.ts'

function via(name: string, address: string, change: Partial<NetworkInterface> = {}): NetworkInterface {
  const family = address.includes(':') ? 6 : 4
  return {
    name,
    family,
    address,
    netmask: '',
    prefixBits: family === 4 ? 24 : 64,
    broadcast: family === 4 ? address.replace(/\d+$/, '255') : undefined,
    mtu: 1500,
    isLoopback: name === 'lo',
    isLinkLocal: address.startsWith('fe80'),
    scopeId: family === 6 ? 2 : 0,
    ...change,
  }
}

const INTERFACES = [
  via('lo', '127.0.0.1'),
  via('lo', '::1'),
  via('eth0', '10.0.0.1'),
  via('eth0', '10.0.0.9'),
  via('eth0', '2001:db8::1'),
  via('eth0', 'fe80::1'),
  via('eth1', '192.168.0.1', { mtu: 9000 }),
]

function chosen(bind: string): string[] {
  return chooseLinks(INTERFACES, bind).map(
    ({ link, interface: { address } }) =>
      `${link.id} ${address} ${link.maxBytes}${link.hasBroadcast ? ' broadcast' : ''}${link.isSending ? '' : ' listens'}`,
  )
}

test('bound to every address: all interfaces, IPv6 by the address of the link', () => {
  assert.deepEqual(chosen('0.0.0.0'), ['eth0/4 10.0.0.1 1472 broadcast', 'eth0/6 fe80::1 1452', 'eth1/4 192.168.0.1 8972 broadcast'])
})

test('bound to one address: its interface, with that address; the others are listened at', () => {
  assert.deepEqual(chosen('10.0.0.9'), [
    'eth0/4 10.0.0.9 1472 broadcast',
    'eth0/6 fe80::1 1452',
    'eth1/4 192.168.0.1 8972 broadcast listens',
  ])
  assert.deepEqual(chosen('2001:db8::1').slice(0, 2), ['eth0/4 10.0.0.1 1472 broadcast', 'eth0/6 fe80::1 1452'])
})

test('bound to loopback: that alone', () => {
  assert.deepEqual(chosen('127.0.0.1'), ['lo/4 127.0.0.1 1472', 'lo/6 ::1 1452'])
})

test('another MTU or address is another link', () => {
  const [first] = chooseLinks([via('eth0', '10.0.0.1')], '0.0.0.0')
  const [second] = chooseLinks([via('eth0', '10.0.0.1', { mtu: 9000 })], '0.0.0.0')
  const [third] = chooseLinks([via('eth0', '10.0.0.2')], '0.0.0.0')
  assert.equal(new Set([first!.key, second!.key, third!.key]).size, 3)
})
