import assert from 'node:assert/strict'
import { test } from 'node:test'
import { memberRecord } from './member-record.ts'

test('a member is told as Serf tells it', () => {
  const member = {
    name: 'n1',
    address: '127.0.0.1',
    port: 7946,
    tags: { role: 'web' },
    status: 'leaving',
    isSuspect: true,
    incarnation: 3,
    versions: [1, 5, 2, 3, 6, 4],
    isPolycast: false,
    changedAt: 0,
    lastRttMs: undefined,
  } as const
  assert.deepEqual(memberRecord(member), {
    Name: 'n1',
    Addr: Uint8Array.of(127, 0, 0, 1),
    Port: 7946,
    Tags: new Map([['role', 'web']]),
    Status: 'leaving',
    ProtocolMin: 1,
    ProtocolMax: 5,
    ProtocolCur: 2,
    DelegateMin: 3,
    DelegateMax: 6,
    DelegateCur: 4,
  })
  assert.equal(memberRecord({ ...member, address: 'fd00::2' }).Addr.length, 16)
  assert.equal(memberRecord({ ...member, address: 'no address', versions: [] }).Addr.length, 0)
})
