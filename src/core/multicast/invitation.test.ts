import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { toHex } from '../lib/bytes.ts'
import { isWireError } from '../wire/wire-error.ts'
import { type Invitation, MAX_INVITATION_BYTES, decodeInvitation, encodeInvitation } from './invitation.ts'

const invitations: fc.Arbitrary<Invitation> = fc.record({
  sessionId: fc.uint8Array({ minLength: 8, maxLength: 8 }).map(toHex),
  group: fc.constantFrom('232.17.4.9', 'ff35::8000:1234'),
  groupPort: fc.integer({ min: 1, max: 65_535 }),
  sender: fc.constantFrom('10.0.0.1', 'fe80::1%eth0', 'x'.repeat(64)),
  controlPort: fc.integer({ min: 1, max: 65_535 }),
  datagramBytes: fc.integer({ min: 256, max: 65_507 }),
  blockSymbols: fc.integer({ min: 1, max: 255 }),
  invited: fc.integer({ min: 0, max: 100_000 }),
  salt: fc.uint8Array({ maxLength: 32 }),
  keyId: fc.uint8Array({ maxLength: 32 }),
  app: fc.uint8Array({ maxLength: 192 }),
})

test('an invitation is read as it was written, and is short', () => {
  fc.assert(
    fc.property(invitations, (invitation) => {
      const bytes = encodeInvitation(invitation)
      assert.ok(bytes.length <= MAX_INVITATION_BYTES)
      const read = decodeInvitation(bytes)
      assert.ok(!isWireError(read))
      assert.deepEqual(
        { ...read, salt: [...read.salt], keyId: [...read.keyId], app: [...read.app] },
        { ...invitation, salt: [...invitation.salt], keyId: [...invitation.keyId], app: [...invitation.app] },
      )
    }),
  )
})

test('an invitation that is cut off, too long or not plausible is none', () => {
  const invitation: Invitation = {
    sessionId: '0011223344556677',
    group: '232.17.4.9',
    groupPort: 7000,
    sender: '10.0.0.1',
    controlPort: 7001,
    datagramBytes: 1432,
    blockSymbols: 200,
    invited: 3,
    salt: new Uint8Array([1, 2]),
    keyId: new Uint8Array([3]),
    app: new Uint8Array(0),
  }
  const bytes = encodeInvitation(invitation)
  assert.equal(toHex(bytes), '0100112233445566770a3233322e31372e342e391b580831302e302e302e311b590598c803020102010300')
  for (let length = 0; length < bytes.length; length++) assert.ok(isWireError(decodeInvitation(bytes.subarray(0, length))))
  assert.ok(isWireError(decodeInvitation(new Uint8Array([...bytes, 0]))))
  assert.ok(isWireError(decodeInvitation(new Uint8Array(MAX_INVITATION_BYTES + 1).fill(1))))
  assert.ok(isWireError(decodeInvitation(bytes.with(0, 2))), 'another version')
  const datagramAt = 1 + 8 + 11 + 2 + 9 + 2
  assert.ok(isWireError(decodeInvitation(bytes.with(datagramAt, 0))), 'datagrams too short for a control packet')
  assert.ok(isWireError(decodeInvitation(bytes.with(datagramAt + 2, 0))), 'blocks without symbols')
})

test('no bytes make the decoder throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
      decodeInvitation(bytes)
      decodeInvitation(bytes.length === 0 ? bytes : bytes.with(0, 1))
    }),
  )
})
