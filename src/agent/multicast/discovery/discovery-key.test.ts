import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Keyring } from '../../../core/gossip/keyring.ts'
import { toHex, utf8Encode } from '../../../core/lib/bytes.ts'
import { discoveryKey } from './discovery-key.ts'

const KEY = new Uint8Array(32).fill(1)
const OTHER = new Uint8Array(16).fill(2)
const MESSAGE = utf8Encode('message')
const NOTHING = new Uint8Array(0)

test('a proof is the same on all nodes, and nobody makes it without the key', () => {
  const key = discoveryKey(new Keyring([KEY]))
  // HKDF-SHA256 and HMAC-SHA256 of Python's library give the same.
  assert.equal(toHex(key.prove(MESSAGE)), 'e57577afd4ede1426f7ba7a3ea4a2ed8')
  assert.ok(key.check(MESSAGE, key.prove(MESSAGE)))
  assert.ok(!key.check(utf8Encode('massage'), key.prove(MESSAGE)))
  assert.ok(!discoveryKey(new Keyring([OTHER])).check(MESSAGE, key.prove(MESSAGE)))
  assert.ok(!key.check(MESSAGE, NOTHING))
})

test('what is sealed is opened with the same key and what goes with it alone', () => {
  const key = discoveryKey(new Keyring([KEY]))
  const sealed = key.seal(MESSAGE, KEY)
  assert.deepEqual(new Uint8Array(key.open(sealed, KEY)!), MESSAGE)
  assert.equal(key.open(sealed, OTHER), undefined)
  assert.equal(discoveryKey(new Keyring([OTHER])).open(sealed, KEY), undefined)
  for (const length of [0, 5, 12, 27]) assert.equal(key.open(sealed.subarray(0, length), KEY), undefined)
  assert.notDeepEqual(key.seal(MESSAGE, KEY), sealed)
})

test('while keys are changed, all of the ring are accepted and the first one is used', () => {
  const ring = new Keyring([KEY])
  const key = discoveryKey(ring)
  const [proof, sealed] = [key.prove(MESSAGE), key.seal(MESSAGE, NOTHING)]
  ring.add(OTHER)
  ring.use(OTHER)
  assert.notDeepEqual(key.prove(MESSAGE), proof)
  assert.ok(key.check(MESSAGE, proof))
  assert.notEqual(key.open(sealed, NOTHING), undefined)
  ring.remove(KEY)
  assert.ok(!key.check(MESSAGE, proof))
  assert.equal(key.open(sealed, NOTHING), undefined)
})
