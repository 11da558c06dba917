/**
 * Beacons sealed with the keys of gossip: AES-GCM under a key that is derived for this alone (HKDF-SHA256, RFC 5869), so that nothing is
 * ever sealed twice under one nonce with gossip's packets. The primary key seals, each of the ring opens, as in gossip.
 *
 *   sealed = 12 bytes nonce, ciphertext, 16 bytes tag
 *
 * With a hundred beacons a second a key lasts for a year before random nonces of 96 bits come near their limit of 2^32.
 */
import { hkdfSync } from 'node:crypto'
import { NONCE_BYTES, TAG_BYTES, type Keyring } from '../../../core/gossip/keyring.ts'
import { concatBytes, toHex } from '../../../core/lib/bytes.ts'
import { PLAIN_BEACONS, type BeaconCipher } from '../../../core/multicast/reach/beacon.ts'
import { aesGcm, randomNonce } from '../../gossip/cipher.ts'

const KEY_INFO = 'polycast multicast reach 1'
const KEY_BYTES = 16

/** The cipher of a cluster's beacons; without a key ring they are in the clear. */
export function beaconCipher(keyring: Keyring | undefined): BeaconCipher {
  if (keyring === undefined) return PLAIN_BEACONS
  const derived = new Map<string, Uint8Array>()
  const derive = (key: Uint8Array): Uint8Array => {
    const name = toHex(key)
    let result = derived.get(name)
    if (result === undefined) {
      result = new Uint8Array(hkdfSync('sha256', key, new Uint8Array(0), KEY_INFO, KEY_BYTES))
      derived.set(name, result)
    }
    return result
  }
  return {
    overheadBytes: NONCE_BYTES + TAG_BYTES,
    seal: (body, header) => {
      const nonce = randomNonce()
      return concatBytes([nonce, aesGcm.seal(derive(keyring.keys[0]!), nonce, body, header)])
    },
    open: (sealed, header) => {
      const nonce = sealed.subarray(0, NONCE_BYTES)
      if (nonce.length < NONCE_BYTES) return undefined
      for (const key of keyring.keys) {
        const body = aesGcm.open(derive(key), nonce, sealed.subarray(NONCE_BYTES), header)
        if (body !== undefined) return body
      }
      return undefined
    },
  }
}
