import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { pickGroup } from '../../../core/multicast/addresses.ts'
import { isSessionGroup } from './groups.ts'

void test('the group that is picked for a session may be joined', () => {
  fc.assert(
    fc.property(fc.string(), fc.constantFrom(4 as const, 6 as const), (id, family) => {
      const group = pickGroup(id, 'ssm', family, [])
      assert.ok(group !== undefined && isSessionGroup(group), group)
    }),
  )
})

void test('what is no group of sessions is not joined', () => {
  for (const group of [
    '224.0.0.251',
    '239.255.1.1',
    '232.0.0.5',
    '232.128.3.4',
    '10.0.0.1',
    'ff02::1',
    'ff35::7fff:1',
    'ff35::1:8000:1',
    'x',
  ])
    assert.ok(!isSessionGroup(group), group)
})
