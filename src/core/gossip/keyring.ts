/**
 * The keys that a cluster shares, and what is encrypted with them (docs/specs/04-gossip.md §5). The cipher itself, AES-GCM, and the random
 * nonces are handed in.
 *
 *   sealed = u8 version, 12 bytes nonce, ciphertext, 16 bytes tag
 *
 * Version 1 encrypts the message as it is; version 0, for members that speak protocol 1 alone, fills it up to whole blocks of 16 bytes as of
 * PKCS #7. The first key of the ring encrypts, each of them decrypts, so that keys can be exchanged while members talk.
 */
import { assert } from '../lib/assert.ts'
import { concatBytes, copyBytes } from '../lib/bytes.ts'

export const NONCE_BYTES = 12
export const TAG_BYTES = 16
/** Keys of one ring: what is undecipherable costs as many attempts. */
export const MAX_KEYS = 16
const BLOCK_BYTES = 16
const KEY_BYTES: readonly number[] = [16, 24, 32]

/** 0 is for members of protocol 1. */
export type EncryptionVersion = 0 | 1

/** AES in Galois/counter mode (NIST SP 800-38D) with the key's size, 12 bytes of nonce and 16 of tag. Neither function throws. */
export interface Cipher {
  /** The ciphertext with the tag behind it. */
  seal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, associated: Uint8Array): Uint8Array
  /** The plaintext; undefined where the tag does not fit. */
  open(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array, associated: Uint8Array): Uint8Array | undefined
}

/** How a member encrypts. */
export interface Encryption {
  readonly keyring: Keyring
  readonly cipher: Cipher
  /** 12 random bytes that were never used before with any key of the ring. */
  readonly nonce: () => Uint8Array
  readonly version: EncryptionVersion
  /** Whether what is sent is encrypted; false while a cluster is being given keys. */
  readonly isSending: boolean
  /** Whether what comes in plain is refused; false while a cluster is being given keys. */
  readonly isRequired: boolean
}

/** Whether a key has a length that AES has. */
export function isKey(key: Uint8Array): boolean {
  return KEY_BYTES.includes(key.length)
}

/** The keys in their order; the first one, the primary, encrypts. Never empty. */
export class Keyring {
  #keys: readonly Uint8Array[]

  /** Throws unless all of them are keys, the primary one first, `MAX_KEYS` at most. */
  constructor(keys: readonly Uint8Array[]) {
    assert(keys.length > 0 && keys.length <= MAX_KEYS && keys.every(isKey), `1 to ${MAX_KEYS} keys of 16, 24 or 32 bytes`)
    this.#keys = keys.filter((key, index) => keys.findIndex((other) => isSameKey(other, key)) === index).map(copyBytes)
  }

  get keys(): readonly Uint8Array[] {
    return this.#keys
  }

  get primary(): Uint8Array {
    return this.#keys[0] as Uint8Array
  }

  /** Adds a key for decrypting, if it is new; false for what is no key, and when the ring is full. */
  add(key: Uint8Array): boolean {
    if (!isKey(key)) return false
    if (this.#has(key)) return true
    if (this.#keys.length >= MAX_KEYS) return false
    this.#keys = [...this.#keys, copyBytes(key)]
    return true
  }

  /** Makes a key of the ring the primary one; false when it is not in it. */
  use(key: Uint8Array): boolean {
    if (!this.#has(key)) return false
    this.#keys = [copyBytes(key), ...this.#keys.filter((other) => !isSameKey(other, key))]
    return true
  }

  /** Takes a key out, if it is in the ring; false for the primary one, which stays. */
  remove(key: Uint8Array): boolean {
    if (isSameKey(key, this.primary)) return false
    this.#keys = this.#keys.filter((other) => !isSameKey(other, key))
    return true
  }

  #has(key: Uint8Array): boolean {
    return this.#keys.some((other) => isSameKey(other, key))
  }
}

/** Bytes that encrypting adds at the most. */
export function encryptionOverhead(version: EncryptionVersion): number {
  return 1 + NONCE_BYTES + TAG_BYTES + (version === 0 ? BLOCK_BYTES : 0)
}

/** The length of what `plainBytes` are encrypted to. */
export function sealedBytes(plainBytes: number, version: EncryptionVersion): number {
  const padding = version === 0 ? BLOCK_BYTES - (plainBytes % BLOCK_BYTES) : 0
  return plainBytes + padding + encryptionOverhead(1)
}

/** `plaintext` encrypted with the primary key. */
export function encrypt(plaintext: Uint8Array, associated: Uint8Array, { keyring, cipher, nonce, version }: Encryption): Uint8Array {
  const number = nonce()
  assert(number.length === NONCE_BYTES, `a nonce of ${NONCE_BYTES} bytes`)
  const padded = version === 0 ? pad(plaintext) : plaintext
  return concatBytes([Uint8Array.of(version), number, cipher.seal(keyring.primary, number, padded, associated)])
}

/** What was encrypted with any key of the ring; undefined for everything else. */
export function decrypt(sealed: Uint8Array, associated: Uint8Array, { keyring, cipher }: Encryption): Uint8Array | undefined {
  const version = sealed[0]
  if ((version !== 0 && version !== 1) || sealed.length < encryptionOverhead(version)) return undefined
  const nonce = sealed.subarray(1, 1 + NONCE_BYTES)
  const rest = sealed.subarray(1 + NONCE_BYTES)
  for (const key of keyring.keys) {
    const plaintext = cipher.open(key, nonce, rest, associated)
    if (plaintext !== undefined) return version === 0 ? unpad(plaintext) : plaintext
  }
  return undefined
}

function pad(bytes: Uint8Array): Uint8Array {
  const count = BLOCK_BYTES - (bytes.length % BLOCK_BYTES)
  return concatBytes([bytes, new Uint8Array(count).fill(count)])
}

/** Undefined where the padding is none. It was authenticated before, so how long this takes tells nobody anything. */
function unpad(bytes: Uint8Array): Uint8Array | undefined {
  const count = bytes.at(-1) ?? 0
  const end = bytes.length - count
  if (count === 0 || count > BLOCK_BYTES || end < 0) return undefined
  return bytes.subarray(end).every((byte) => byte === count) ? bytes.subarray(0, end) : undefined
}

/** Compares in a time that tells nothing of where they differ. */
function isSameKey(a: Uint8Array, b: Uint8Array): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= (a[i] as number) ^ (b[i] ?? 0)
  return difference === 0
}
