import assert from 'node:assert/strict'
import { SocketAddress } from 'node:net'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ipBytes, ipText } from './ip-bytes.ts'

test('addresses are read and written as they are', () => {
  const cases: [text: string, hex: string][] = [
    ['10.1.2.255', '0a0102ff'],
    ['::', '00'.repeat(16)],
    ['::1', `${'00'.repeat(15)}01`],
    ['fe80::1:0:0:2', 'fe800000000000000001000000000002'],
    ['2001:db8:0:1:1:1:1:1', '20010db8000000010001000100010001'],
    ['64:ff9b::c000:201', '0064ff9b0000000000000000c0000201'],
  ]
  for (const [text, hex] of cases) {
    assert.equal(Buffer.from(ipBytes(text)!).toString('hex'), hex)
    assert.equal(ipText(new Uint8Array(Buffer.from(hex, 'hex'))), text)
  }
  assert.equal(Buffer.from(ipBytes('64:ff9b::192.0.2.1')!).toString('hex'), '0064ff9b0000000000000000c0000201')
  assert.equal(Buffer.from(ipBytes('fe80::1%eth0')!).toString('hex'), `fe80${'00'.repeat(13)}01`)
  assert.equal(ipText(ipBytes('::ffff:127.0.0.1')!), '127.0.0.1')
  for (const text of ['', 'n1', '1.2.3', '1.2.3.4.5', 'fe80:::1', '300.1.1.1']) assert.equal(ipBytes(text), undefined, text)
})

test('every address comes back from its text, which Node reads as the same', () => {
  const address = fc.oneof(
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    fc.array(fc.constantFrom(0, 0, 1), { minLength: 16, maxLength: 16 }),
  )
  fc.assert(
    fc.property(address, (list) => {
      const bytes = Uint8Array.from(list)
      const text = ipText(bytes)
      if (text.includes('.')) return
      assert.deepEqual(ipBytes(text), bytes)
      assert.equal(new SocketAddress({ address: text, family: 'ipv6' }).address.length > 0, true)
    }),
  )
})
