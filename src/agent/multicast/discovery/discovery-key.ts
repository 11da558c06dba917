/**
 * What the keys of gossip do for discovery: proofs and seals by keys that are derived from them (HKDF-SHA256, RFC 5869), so that nothing
 * that is said on the network tells of the keys themselves. The primary key makes, each of the ring is accepted.
 * docs/specs/09-discovery.md §3.
 */
import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import { NONCE_BYTES, type Keyring } from '../../../core/gossip/keyring.ts'
import { concatBytes, toHex } from '../../../core/lib/bytes.ts'
import { PROOF_BYTES, type DiscoveryKey } from '../../../core/multicast/discovery/membership-proof.ts'
import { aesGcm, randomNonce } from '../../gossip/cipher.ts'

const KEY_BYTES = 32

interface Derived {
  readonly proof: Uint8Array
  readonly beacon: Uint8Array
}

/** Looks at the ring each time, which changes while the cluster runs. */
export function discoveryKey(keyring: Keyring): DiscoveryKey {
  let known: Map<string, Derived> = new Map()
  /** In the order of the ring; what is no longer in it is forgotten. */
  const derived = (): Derived[] => {
    const current = new Map(keyring.keys.map((key) => [toHex(key), known.get(toHex(key)) ?? derive(key)]))
    known = current
    return [...current.values()]
  }
  const prove = (message: Uint8Array, key: Uint8Array): Uint8Array =>
    createHmac('sha256', key).update(message).digest().subarray(0, PROOF_BYTES)
  return {
    prove: (message) => prove(message, derived()[0]!.proof),
    check: (message, proof) => proof.length === PROOF_BYTES && derived().some((key) => timingSafeEqual(prove(message, key.proof), proof)),
    seal: (plaintext, associated) => {
      const nonce = randomNonce()
      return concatBytes([nonce, aesGcm.seal(derived()[0]!.beacon, nonce, plaintext, associated)])
    },
    open: (sealed, associated) => {
      const nonce = sealed.subarray(0, NONCE_BYTES)
      if (nonce.length < NONCE_BYTES) return undefined
      for (const { beacon } of derived()) {
        const plaintext = aesGcm.open(beacon, nonce, sealed.subarray(NONCE_BYTES), associated)
        if (plaintext !== undefined) return plaintext
      }
      return undefined
    },
  }
}

function derive(key: Uint8Array): Derived {
  const of = (purpose: string): Uint8Array =>
    new Uint8Array(hkdfSync('sha256', key, new Uint8Array(0), `polycast multicast discovery ${purpose}`, KEY_BYTES))
  return { proof: of('proof'), beacon: of('beacon') }
}
