/**
 * What the tests of this folder share: the agent's hash, an author with a fixed key, contents from a seed. Named as a test so
 * that it is compiled with Node's types; the tests here hold it to published vectors.
 */
import { blake3 } from '@napi-rs/blake-hash'
import assert from 'node:assert/strict'
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { test } from 'node:test'
import { fromHex, toHex } from '../lib/bytes.ts'
import { Random } from '../lib/random.ts'
import { isWireError, type Disposition, type WireError } from '../wire/wire-error.ts'
import type { HashFunction, Signer, VerifySignature } from './primitives.ts'

const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

/** BLAKE3-256, as in the agent. */
export const hash: HashFunction = (bytes) => blake3(bytes)

/** Ed25519 from a secret key of 32 bytes. */
export function signerOf(secret: Uint8Array): Signer {
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, secret]), format: 'der', type: 'pkcs8' })
  const publicKey = new Uint8Array(createPublicKey(key).export({ format: 'der', type: 'spki' }).subarray(SPKI_PREFIX.length))
  return { publicKey, sign: (message) => new Uint8Array(sign(null, message, key)) }
}

export const verifySignature: VerifySignature = (publicKey, message, signature) => {
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' })
  return verify(null, message, key, signature)
}

/** The author of the tests: the secret key is 32 times 0x01. */
export const author: Signer = signerOf(new Uint8Array(32).fill(1))
/** Somebody else: 32 times 0x02. */
export const stranger: Signer = signerOf(new Uint8Array(32).fill(2))
/** The nonce of the tests: 16 times 0x03. */
export const nonce: Uint8Array = new Uint8Array(16).fill(3)

/** Bytes that a seed decides. */
export function randomBytes(seed: number | string, count: number): Uint8Array {
  const random = new Random(seed)
  const words = Uint32Array.from({ length: Math.ceil(count / 4) }, () => random.uint32())
  const bytes = new Uint8Array(words.length * 4)
  const view = new DataView(bytes.buffer)
  words.forEach((word, i) => view.setUint32(4 * i, word))
  return bytes.subarray(0, count)
}

/** Made-up entries: lengths from 1 to `longest`, hashes that are random bytes. */
export function randomEntries(seed: number | string, count: number, longest: number = 1024): { lengths: number[]; hashes: Uint8Array } {
  const random = new Random(seed).fork('lengths')
  return { lengths: Array.from({ length: count }, () => 1 + random.below(longest)), hashes: randomBytes(seed, 32 * count) }
}

/** The value that is no wire error. */
export function valid<T>(value: T | WireError): T {
  if (isWireError(value)) assert.fail(`a wire error: ${value.message}`)
  return value
}

/** Checks for a wire error of that disposition whose message fits. */
export function assertRefused(value: unknown, disposition: Disposition, message: RegExp): void {
  assert.ok(isWireError(value), 'no wire error')
  assert.match(value.message, message)
  assert.equal(value.disposition, disposition, value.message)
}

test('the hash of the tests is BLAKE3', () => {
  assert.equal(toHex(hash(Buffer.from('abc'))), '6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85')
})

test('the signatures of the tests are Ed25519 (RFC 8032 §7.1, test 2)', () => {
  const signer = signerOf(fromHex('4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb') as Uint8Array)
  assert.equal(toHex(signer.publicKey), '3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c')
  const signature = signer.sign(Uint8Array.of(0x72))
  assert.match(toHex(signature), /^92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da/)
  assert.equal(verifySignature(signer.publicKey, Uint8Array.of(0x72), signature), true)
  assert.equal(verifySignature(author.publicKey, Uint8Array.of(0x72), signature), false)
})
