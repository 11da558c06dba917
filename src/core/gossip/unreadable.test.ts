import assert from 'node:assert/strict'
import test from 'node:test'
import { isWireError } from '../wire/wire-error.ts'
import type { Framing } from './framing.ts'
import { Keyring, NONCE_BYTES, TAG_BYTES, type Cipher } from './keyring.ts'
import { encodePacketMessage } from './memberlist-codec.ts'
import type { Ping } from './messages.ts'
import { composePacket, peelPacket } from './packet.ts'
import { composeStream, StreamDecoder } from './stream.ts'
import { unreadableCause } from './unreadable.ts'

/** Puts the first byte of the key behind the text instead of encrypting it: enough for one key not to open another's. */
const CIPHER: Cipher = {
  seal: (key, _nonce, plain) => Uint8Array.from([...plain, ...new Uint8Array(TAG_BYTES).fill(key[0] ?? 0)]),
  open: (key, _nonce, sealed) => (sealed.at(-1) === key[0] ? sealed.subarray(0, -TAG_BYTES) : undefined),
}
const BARE: Framing = { label: new Uint8Array(0), isCompressing: false, encryption: undefined }
const PING: Ping = { type: 'ping', sequence: 1, node: 'b' }

function sealed(key: number): Framing {
  const keyring = new Keyring([new Uint8Array(16).fill(key)])
  const nonce = (): Uint8Array => new Uint8Array(NONCE_BYTES)
  return { ...BARE, encryption: { keyring, cipher: CIPHER, nonce, version: 1, isSending: true, isRequired: true } }
}

function causes(from: Framing, to: Framing): unknown[] {
  const packet = peelPacket(composePacket([encodePacketMessage(PING)], from, false), to)
  const stream = new StreamDecoder(to, true).push(composeStream(PING, from, true))
  return [packet, stream].map((result) => (isWireError(result) ? unreadableCause(result.message) : result))
}

test('what decoders say of other labels, keys and missing encryption is understood', () => {
  const labelled: Framing = { ...BARE, label: Uint8Array.of(97) }
  assert.deepEqual(causes(labelled, BARE), ['label', 'label'])
  assert.deepEqual(causes(BARE, labelled), ['label', 'label'])
  assert.deepEqual(causes(labelled, { ...BARE, label: Uint8Array.of(98) }), ['label', 'label'])
  assert.deepEqual(causes(sealed(1), sealed(2)), ['key', 'key'])
  // A packet says nothing of whether it is encrypted.
  assert.deepEqual(causes(BARE, sealed(1)), ['key', 'plain'])
  assert.equal(causes(sealed(1), BARE)[1], 'sealed')
  assert.equal(unreadableCause('a compound that ends in its header'), 'damaged')
  assert.equal(unreadableCause('No installed keys could decrypt the message'), 'key')
})
