import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ipBytes } from '../../gossip/ip-bytes.ts'
import { isSessionGroup, sessionGroup } from './groups.ts'

const sessionId = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString('hex'))

void test('each session has a source-specific group of each family that may be joined', () => {
  fc.assert(
    fc.property(sessionId, fc.constantFrom(4 as const, 6 as const), (id, family) => {
      const group = sessionGroup(id, family)
      assert.equal(ipBytes(group)?.length, family === 4 ? 4 : 16)
      assert.ok(isSessionGroup(group), group)
    }),
  )
})

void test('no IPv4 group shares its Ethernet address with 224.0.0.0/24, and two groups share none', () => {
  assert.equal(sessionGroup('000000ff00000000', 4), '232.0.255.0')
  assert.equal(sessionGroup('0000000000000000', 4), '232.1.1.1')
  assert.equal(sessionGroup('8000010000000000', 4), sessionGroup('0000010000000000', 4))
})

void test('what is no group of sessions is not joined', () => {
  for (const group of ['224.0.0.251', '239.255.1.1', '232.0.0.5', '232.128.3.4', '10.0.0.1', 'ff02::1', 'ff35::7fff:1', 'ff35::1:8000:1', 'x'])
    assert.ok(!isSessionGroup(group), group)
})
