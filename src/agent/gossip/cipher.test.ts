import assert from 'node:assert/strict'
import { test } from 'node:test'
import { aesGcm, randomNonce } from './cipher.ts'

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'))

test('what is sealed is what a real agent seals, and opens again', () => {
  // docs/specs/04-gossip.md, the vector of a packet without label.
  const key = hex('000102030405060708090a0b0c0d0e0f')
  const nonce = hex('000102030405060708090a0b')
  const plaintext = hex('080585a5466c61677301a446726f6da26e33a24944ce384c4023a54c54696d6501a75061796c6f6164c0')
  const sealed = aesGcm.seal(key, nonce, plaintext, new Uint8Array(0))
  assert.equal(sealed.length, plaintext.length + 16)
  assert.deepEqual(new Uint8Array(aesGcm.open(key, nonce, sealed, new Uint8Array(0))!), plaintext)
})

test('another key, other associated bytes, a changed byte or too few bytes open nothing', () => {
  for (const bytes of [16, 24, 32]) {
    const key = new Uint8Array(bytes).fill(7)
    const nonce = randomNonce()
    const sealed = aesGcm.seal(key, nonce, hex('0102'), hex('aa'))
    assert.deepEqual(new Uint8Array(aesGcm.open(key, nonce, sealed, hex('aa'))!), hex('0102'))
    assert.equal(aesGcm.open(new Uint8Array(bytes).fill(8), nonce, sealed, hex('aa')), undefined)
    assert.equal(aesGcm.open(key, nonce, sealed, hex('ab')), undefined)
    assert.equal(aesGcm.open(key, randomNonce(), sealed, hex('aa')), undefined)
    const changed = Uint8Array.from(sealed)
    changed[0]! ^= 1
    assert.equal(aesGcm.open(key, nonce, changed, hex('aa')), undefined)
    assert.equal(aesGcm.open(key, nonce, sealed.subarray(0, 15), hex('aa')), undefined)
  }
})
