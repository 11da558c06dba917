import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Keyring } from '../../../core/gossip/keyring.ts'
import { beaconCipher } from './beacon-cipher.ts'

const OLD = new Uint8Array(32).fill(1)
const NEW = new Uint8Array(16).fill(2)
const HEADER = Uint8Array.from([1, 2, 3])
const BODY = new TextEncoder().encode('a beacon')

test('the primary key seals, each of the ring opens, as keys are changed', () => {
  const before = beaconCipher(new Keyring([OLD]))
  const after = beaconCipher(new Keyring([NEW, OLD]))
  const sealed = before.seal(BODY, HEADER)
  assert.equal(sealed.length, BODY.length + before.overheadBytes)
  assert.deepEqual(new Uint8Array(after.open(sealed, HEADER)!), BODY)
  assert.equal(before.open(after.seal(BODY, HEADER), HEADER), undefined)
  assert.notDeepEqual(before.seal(BODY, HEADER), sealed, 'never the same bytes twice')
})

test('what was changed, cut off or given another header does not open', () => {
  const cipher = beaconCipher(new Keyring([OLD]))
  const sealed = cipher.seal(BODY, HEADER)
  assert.equal(cipher.open(sealed, Uint8Array.from([1, 2, 4])), undefined)
  for (let at = 0; at < sealed.length; at++) {
    const changed = Uint8Array.from(sealed)
    changed[at]! ^= 1
    assert.equal(cipher.open(changed, HEADER), undefined)
    assert.equal(cipher.open(sealed.subarray(0, at), HEADER), undefined)
  }
})

test('without a key ring all is in the clear', () => {
  const cipher = beaconCipher(undefined)
  assert.deepEqual(cipher.open(cipher.seal(BODY, HEADER), HEADER), BODY)
})
