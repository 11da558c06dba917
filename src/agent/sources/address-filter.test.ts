import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AddressRefusedError, allowAllButMetadata, refuseLiteral } from './address-filter.ts'

const refused = [
  '169.254.169.254',
  '169.254.0.1',
  'fe80::1',
  'febf::1',
  '::ffff:169.254.169.254',
  '::ffff:a9fe:a9fe',
  'fd00:ec2::254',
  '100.100.100.200',
  'nonsense',
]
const allowed = ['127.0.0.1', '::1', '10.0.0.1', '192.168.1.1', '169.253.255.255', '169.255.0.0', '2001:db8::1', '::ffff:10.0.0.1']

for (const address of refused) test(`${address} is refused`, () => assert.equal(allowAllButMetadata(address), false))
for (const address of allowed) test(`${address} is allowed`, () => assert.equal(allowAllButMetadata(address), true))

// Every way to write an address in a URL that its parser takes.
for (const host of [
  '169.254.169.254',
  '2852039166',
  '0xa9fea9fe',
  '0251.0376.0251.0376',
  '169.254.43518',
  '[fe80::1]',
  '[::ffff:169.254.169.254]',
]) {
  test(`http://${host}/ is refused without a lookup`, () => {
    assert.throws(() => refuseLiteral(new URL(`http://${host}/`), allowAllButMetadata), AddressRefusedError)
  })
}
