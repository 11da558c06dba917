/** Keys of a ring, and what is encrypted with them (docs/specs/04-gossip.md §5). */
import * as fc from 'fast-check'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AssertionError } from '../lib/assert.ts'
import { bytesOf, CIPHER, counting, encryptionWith, vector } from './fixtures.test.ts'
import { decrypt, encrypt, encryptionOverhead, Keyring, MAX_KEYS, sealedBytes, type EncryptionVersion } from './keyring.ts'

const A = new Uint8Array(16).fill(1)
const B = new Uint8Array(24).fill(2)
const C = new Uint8Array(32).fill(3)
const NONE = new Uint8Array(0)

test('keys are exchanged by adding one, using it, and removing the old one', () => {
  const ring = new Keyring([A])
  assert.ok(ring.add(B))
  assert.deepEqual(ring.keys, [A, B])
  assert.ok(ring.use(B))
  assert.deepEqual(ring.primary, B)
  assert.ok(ring.remove(A))
  assert.deepEqual(ring.keys, [B])
})

test('what cannot be done with a key is refused', () => {
  const ring = new Keyring([A, B, A])
  assert.deepEqual(ring.keys, [A, B])
  assert.ok(ring.add(A), 'a key that is there is no harm')
  assert.deepEqual(ring.keys, [A, B])
  assert.ok(!ring.use(C), 'a key that is not in the ring')
  assert.ok(!ring.remove(A), 'the primary key')
  assert.ok(ring.remove(C), 'a key that is gone already')
  for (const length of [0, 15, 17, 33, 64]) assert.ok(!ring.add(new Uint8Array(length)), `${length} bytes`)
  assert.deepEqual(ring.keys, [A, B])
  assert.throws(() => new Keyring([]), AssertionError)
  assert.throws(() => new Keyring([new Uint8Array(5)]), AssertionError)
})

test('a ring has a limited number of keys', () => {
  const ring = new Keyring([A])
  for (let i = 0; i < 100; i++) ring.add(Uint8Array.from({ length: 16 }, () => 100 + i))
  assert.equal(ring.keys.length, MAX_KEYS)
})

test('a ring keeps its keys though their bytes are changed', () => {
  const key = Uint8Array.from(A)
  const ring = new Keyring([key])
  key.fill(9)
  assert.deepEqual(ring.primary, A)
})

test('what was encrypted comes back, in both versions and with keys of all sizes', () => {
  const cases = fc.tuple(
    fc.uint8Array({ maxLength: 200 }),
    fc.uint8Array({ maxLength: 20 }),
    fc.constantFrom<EncryptionVersion>(0, 1),
    fc.constantFrom(A, B, C),
  )
  fc.assert(
    fc.property(cases, ([plain, associated, version, key]) => {
      const encryption = encryptionWith([key], { version })
      const sealed = encrypt(plain, associated, encryption)
      assert.equal(sealed[0], version)
      assert.equal(sealed.length, sealedBytes(plain.length, version))
      assert.ok(sealed.length <= plain.length + encryptionOverhead(version))
      assert.deepEqual(decrypt(sealed, associated, encryption), plain)
      assert.equal(decrypt(sealed, Uint8Array.of(1, ...associated), encryption), undefined)
    }),
  )
})

test('every key of the ring decrypts, the first one encrypts', () => {
  const sealed = encrypt(Uint8Array.of(1, 2, 3), NONE, encryptionWith([B]))
  assert.deepEqual(decrypt(sealed, NONE, encryptionWith([A, C, B])), Uint8Array.of(1, 2, 3))
  assert.equal(decrypt(sealed, NONE, encryptionWith([A, C])), undefined)
  const ours = encrypt(Uint8Array.of(1), NONE, encryptionWith([A, B]))
  assert.deepEqual(decrypt(ours, NONE, encryptionWith([A])), Uint8Array.of(1))
})

test('what was changed, cut off or is of another version is not decrypted', () => {
  const encryption = encryptionWith([counting(16)])
  const sealed = vector('encrypted packet')
  for (let at = 0; at < sealed.length; at++) {
    const changed = Uint8Array.from(sealed)
    changed[at]! ^= 1
    assert.equal(decrypt(changed, NONE, encryption), undefined, `byte ${at}`)
    assert.equal(decrypt(sealed.subarray(0, at), NONE, encryption), undefined, `${at} bytes`)
  }
  for (const version of [2, 244, 255]) assert.equal(decrypt(Uint8Array.of(version, ...sealed.subarray(1)), NONE, encryption), undefined)
})

test('padding that is none is refused, though who has the key made it', () => {
  const key = counting(16)
  const nonce = counting(12)
  const padded = (hex: string): Uint8Array => Uint8Array.of(0, ...nonce, ...CIPHER.seal(key, nonce, bytesOf(hex), NONE))
  const open = (hex: string): Uint8Array | undefined => decrypt(padded(hex), NONE, encryptionWith([key]))
  assert.deepEqual(open(`${'07'.repeat(14)}0202`), bytesOf('07'.repeat(14)))
  assert.deepEqual(open('10'.repeat(16)), NONE)
  for (const last of ['00', '11', 'ff', '03']) assert.equal(open(`${'07'.repeat(15)}${last}`), undefined, last)
})
