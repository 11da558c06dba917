import assert from 'node:assert/strict'
import { createCipheriv, hkdfSync } from 'node:crypto'
import { test } from 'node:test'
import type { SessionCipher } from '../../../core/multicast/session-types.ts'
import { groupCipher, keyById, keyIdOf, OPEN_CIPHER, type TagMaker } from './cipher.ts'

const KEY = Uint8Array.from({ length: 32 }, (_, i) => i)
const OTHER_KEY = Uint8Array.from({ length: 16 }, (_, i) => 255 - i)
const SEED = { sessionId: '0102030405060708', salt: Uint8Array.from({ length: 16 }, (_, i) => 100 + i) }
const PAYLOAD = Uint8Array.from({ length: 1000 }, (_, i) => i % 251)
const HEADER = Uint8Array.of(1, 2, 3)

/** The sum of key and packet: enough to see which key it was made with. */
const sums: TagMaker = (key) => (packet) => [key.reduce((sum, byte) => sum + byte, 0), packet.length]

const cipherOf = (key: Uint8Array, sessionId: string = SEED.sessionId): SessionCipher => groupCipher(key, { ...SEED, sessionId }, sums)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

void test('what one seals another opens, and only for the same block of the same session', () => {
  const sealed = cipherOf(KEY).sealBlock(7, PAYLOAD)
  assert.equal(sealed.length, PAYLOAD.length + cipherOf(KEY).blockOverheadBytes)
  assert.deepEqual(cipherOf(KEY).openBlock(7, sealed), Buffer.from(PAYLOAD))
  assert.equal(cipherOf(KEY).openBlock(8, sealed), undefined)
  assert.equal(cipherOf(OTHER_KEY).openBlock(7, sealed), undefined)
  assert.equal(cipherOf(KEY, '0102030405060709').openBlock(7, sealed), undefined)
  assert.equal(cipherOf(KEY).openBlock(7, sealed.subarray(1)), undefined)
  assert.equal(cipherOf(KEY).openBlock(7, new Uint8Array(3)), undefined)
  const changed = Uint8Array.from(sealed)
  changed[500]! ^= 1
  assert.equal(cipherOf(KEY).openBlock(7, changed), undefined)
})

void test('a block is AES-128-GCM under a key by HKDF-SHA256, with the block as the nonce', () => {
  const salt = Buffer.concat([Buffer.from(SEED.sessionId, 'hex'), SEED.salt])
  const key = new Uint8Array(hkdfSync('sha256', KEY, salt, 'polycast multicast session 1', 48)).subarray(0, 16)
  const aes = createCipheriv('aes-128-gcm', key, Buffer.from('000000000000000000010203', 'hex'))
  const expected = Buffer.concat([aes.update(PAYLOAD), aes.final(), aes.getAuthTag()])
  assert.equal(hex(cipherOf(KEY).sealBlock(0x010203, PAYLOAD)), hex(expected))
})

void test('the vectors of the specification', () => {
  assert.equal(hex(keyIdOf(KEY)), VECTORS.keyId)
  assert.equal(hex(cipherOf(KEY).sealBlock(1, Uint8Array.of(1, 2, 3, 4))), VECTORS.block)
  assert.equal(hex(cipherOf(KEY).sealControl(5, 6, HEADER, Uint8Array.of(9))), VECTORS.control)
  assert.equal(hex(OPEN_CIPHER.sealControl(5, 6, HEADER, Uint8Array.of(9))), VECTORS.openControl)
})

const VECTORS = {
  keyId: 'add8e1fd',
  block: '1a388a09a6c6353411c3ac48351f1174de16cff2',
  control: 'e7a3ddf6500f1581f69d01f3f71b1c8112',
  openControl: 'd1176bbd92b0c29209',
}

for (const [name, cipher] of [
  ['with a key', cipherOf(KEY)],
  ['without a key', OPEN_CIPHER],
] as const) {
  void test(`control packets ${name} are bound to who sent them, their number and their header`, () => {
    const sealed = cipher.sealControl(2 ** 47, 2 ** 31, HEADER, PAYLOAD)
    assert.equal(sealed.length, PAYLOAD.length + cipher.controlOverheadBytes)
    assert.deepEqual(new Uint8Array(cipher.openControl(2 ** 47, 2 ** 31, HEADER, sealed)!), PAYLOAD)
    assert.equal(cipher.openControl(4, 2 ** 31, HEADER, sealed), undefined)
    assert.equal(cipher.openControl(2 ** 47, 2 ** 31 + 1, HEADER, sealed), undefined)
    assert.equal(cipher.openControl(2 ** 47, 2 ** 31, HEADER.subarray(1), sealed), undefined)
    assert.equal(cipher.openControl(2 ** 47, 2 ** 31, HEADER, sealed.subarray(1)), undefined)
    assert.equal(cipher.openControl(2 ** 47, 2 ** 31, HEADER, new Uint8Array(2)), undefined)
  })
}

void test('blocks and control packets of the same number have nothing in common', () => {
  const cipher = cipherOf(KEY)
  assert.notEqual(hex(cipher.sealControl(0, 1, new Uint8Array(0), PAYLOAD)), hex(cipher.sealBlock(1, PAYLOAD)))
})

void test('without a key blocks are as they are', () => {
  assert.equal(OPEN_CIPHER.blockOverheadBytes, 0)
  assert.deepEqual(OPEN_CIPHER.openBlock(1, OPEN_CIPHER.sealBlock(1, PAYLOAD)), PAYLOAD)
})

void test('each session has a key of its own for the authenticators of packets', () => {
  assert.notDeepEqual(cipherOf(KEY).tagData(PAYLOAD), cipherOf(KEY, 'ffffffffffffffff').tagData(PAYLOAD))
})

void test('any key of the ring is found by its id', () => {
  assert.equal(keyById([OTHER_KEY, KEY], keyIdOf(KEY)), KEY)
  assert.equal(keyById([OTHER_KEY], keyIdOf(KEY)), undefined)
})
