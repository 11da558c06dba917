/**
 * Sealing by keys that are derived from those of gossip (HKDF-SHA256, RFC 5869), so that nothing that is sealed or proven here is ever under a
 * key of gossip's packets. The primary key seals, each of the ring opens, as in gossip.
 *
 *   sealed = 12 bytes nonce, ciphertext, 16 bytes tag
 */
import { hkdfSync } from 'node:crypto'
import { NONCE_BYTES, type Keyring } from '../../core/gossip/keyring.ts'
import { concatBytes, toHex } from '../../core/lib/bytes.ts'
import { aesGcm, randomNonce } from '../gossip/cipher.ts'

/** A key for one purpose, of a gossip key. */
export function derivedKey(key: Uint8Array, info: string, bytes: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', key, new Uint8Array(0), info, bytes))
}

/**
 * What is derived from each key of a ring, the primary one's first: made once per key, and forgotten with it. The ring is looked at with each
 * call, as it changes while the cluster runs.
 */
export function derivedOf<T>(keyring: Keyring, derive: (key: Uint8Array) => T): () => readonly T[] {
  let known: ReadonlyMap<string, T> = new Map()
  return () => {
    known = new Map(keyring.keys.map((key) => [toHex(key), known.get(toHex(key)) ?? derive(key)]))
    return [...known.values()]
  }
}

/** AES-GCM with a random nonce. */
export function sealWith(key: Uint8Array, plaintext: Uint8Array, associated: Uint8Array): Uint8Array {
  const nonce = randomNonce()
  return concatBytes([nonce, aesGcm.seal(key, nonce, plaintext, associated)])
}

/** Undefined where none of the keys has sealed it. */
export function openWithAny(keys: Iterable<Uint8Array>, sealed: Uint8Array, associated: Uint8Array): Uint8Array | undefined {
  const nonce = sealed.subarray(0, NONCE_BYTES)
  if (nonce.length < NONCE_BYTES) return undefined
  for (const key of keys) {
    const plaintext = aesGcm.open(key, nonce, sealed.subarray(NONCE_BYTES), associated)
    if (plaintext !== undefined) return plaintext
  }
  return undefined
}
