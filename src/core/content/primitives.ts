/**
 * The cryptography that contents are built on, as functions that the shell hands in; core computes none itself.
 */

/** A 32-byte hash of the bytes: BLAKE3-256 in the agent. Must not throw, nor keep or change its argument. */
export type HashFunction = (bytes: Uint8Array) => Uint8Array

/** An Ed25519 key pair (RFC 8032): a 32-byte public key, and 64-byte signatures over whole messages. */
export interface Signer {
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
}

/** Whether a 64-byte Ed25519 signature fits; must give false, not throw, for a public key that is none. */
export type VerifySignature = (publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean

/** Length of a hash, and so of a content id and a growing id. */
export const HASH_BYTES = 32
/** Length of a public key. */
export const PUBLIC_KEY_BYTES = 32
/** Length of a signature. */
export const SIGNATURE_BYTES = 64
/** Length of the nonce in a growing header. */
export const NONCE_BYTES = 16
