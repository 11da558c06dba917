import assert from 'node:assert/strict'
import { mock, test } from 'node:test'
import {
  interfaceArgument,
  isInSubnet,
  listInterfaces,
  watchInterfaces,
  zoned,
  type InterfaceChange,
  type NetworkInterface,
} from './interfaces.ts'

const V4: NetworkInterface = {
  name: 'eth0',
  family: 4,
  address: '10.77.1.2',
  netmask: '255.255.240.0',
  prefixBits: 20,
  broadcast: '10.77.15.255',
  mtu: 1500,
  isLoopback: false,
  isLinkLocal: false,
  scopeId: 0,
}
const V6: NetworkInterface = { ...V4, family: 6, address: 'fe80::1', prefixBits: 64, broadcast: undefined, isLinkLocal: true, scopeId: 3 }

test('the loopback interface of this machine', () => {
  const loopback = listInterfaces().find(({ address }) => address === '127.0.0.1')
  assert.ok(loopback !== undefined)
  assert.deepEqual([loopback.isLoopback, loopback.family, loopback.prefixBits, loopback.broadcast], [true, 4, 8, '127.255.255.255'])
  if (process.platform === 'linux') assert.ok(loopback.mtu! >= 1500)
})

test('what is in the subnet of an interface', () => {
  for (const address of ['10.77.0.1', '10.77.15.9']) assert.ok(isInSubnet(address, V4), address)
  for (const address of ['10.77.16.1', '10.78.1.2', 'fe80::2', 'no address']) assert.ok(!isInSubnet(address, V4), address)
  assert.ok(isInSubnet('fe80::2%eth0', V6))
  assert.ok(!isInSubnet('fe80::2%eth1', V6))
  assert.ok(isInSubnet('fe80::2', V6))
  assert.ok(!isInSubnet('fd00::2', V6))
})

test('how an interface is named to the system', { skip: process.platform === 'win32' }, () => {
  assert.equal(interfaceArgument(V4), '10.77.1.2')
  assert.equal(interfaceArgument(V6), '::%eth0')
  assert.equal(zoned('ff12::1', V6), 'ff12::1%eth0')
})

test('changes: what came, what went, and nothing while nothing changes', () => {
  mock.timers.enable({ apis: ['setInterval'] })
  try {
    let interfaces = [V4]
    const changes: InterfaceChange[] = []
    const glance = (): string => interfaces.map(({ address }) => address).join()
    const stop = watchInterfaces({ pollMs: 1000, list: () => interfaces, glance }, (change) => changes.push(change))
    mock.timers.tick(3000)
    assert.equal(changes.length, 0)
    interfaces = [{ ...V4, mtu: 9000 }, V6]
    mock.timers.tick(1000)
    interfaces = []
    mock.timers.tick(1000)
    interfaces = [V4]
    mock.timers.tick(1000)
    interfaces = [{ ...V4, mtu: 9000 }]
    mock.timers.tick(5000)
    stop()
    interfaces = [V6]
    mock.timers.tick(5000)
    assert.deepEqual(
      changes.map(({ added, removed, all }) => [added.length, removed.length, all.length]),
      [
        [2, 1, 2],
        [0, 2, 0],
        [1, 0, 1],
        [1, 1, 1],
      ],
    )
  } finally {
    mock.timers.reset()
  }
})
