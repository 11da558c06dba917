/** AES in Galois/counter mode for the key ring, by Node's crypto. */
import { createCipheriv, createDecipheriv, randomFillSync } from 'node:crypto'
import type { CipherGCMTypes } from 'node:crypto'
import { NONCE_BYTES, TAG_BYTES, type Cipher } from '../../core/gossip/keyring.ts'

/** The cipher that gossip is encrypted with. */
export const aesGcm: Cipher = {
  seal(key, nonce, plaintext, associated) {
    const cipher = createCipheriv(algorithmOf(key), key, nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(associated)
    return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
  },
  open(key, nonce, sealed, associated) {
    if (sealed.length < TAG_BYTES) return undefined
    const decipher = createDecipheriv(algorithmOf(key), key, nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(associated)
    decipher.setAuthTag(sealed.subarray(sealed.length - TAG_BYTES))
    try {
      return Buffer.concat([decipher.update(sealed.subarray(0, sealed.length - TAG_BYTES)), decipher.final()])
    } catch {
      // The tag does not fit: the key is another one, or the bytes were changed. That is an answer, not a failure.
      return undefined
    }
  },
}

/** 12 random bytes. With one key, 2^32 packets are the most that NIST SP 800-38D §8.3 allows for random nonces. */
export function randomNonce(): Uint8Array {
  return randomFillSync(new Uint8Array(NONCE_BYTES))
}

function algorithmOf(key: Uint8Array): CipherGCMTypes {
  return key.length === 16 ? 'aes-128-gcm' : key.length === 24 ? 'aes-192-gcm' : 'aes-256-gcm'
}
