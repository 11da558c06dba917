import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toHex } from '../../core/lib/bytes.ts'
import { addressBytes } from './member-record.ts'

test('addresses become the bytes that Go has for them', () => {
  for (const [address, hex] of [
    ['127.0.0.1', '7f000001'],
    ['::', '00000000000000000000000000000000'],
    ['::1', '00000000000000000000000000000001'],
    ['fd00::2', 'fd000000000000000000000000000002'],
    ['fe80::1%eth0', 'fe800000000000000000000000000001'],
    ['1:2:3:4:5:6:7:8', '00010002000300040005000600070008'],
    ['1::', '00010000000000000000000000000000'],
    ['::ffff:10.0.0.1', '00000000000000000000ffff0a000001'],
    ['not an address', ''],
  ] as const) {
    assert.equal(toHex(addressBytes(address)), hex, address)
  }
})
