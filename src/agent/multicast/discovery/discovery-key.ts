/**
 * What the keys of gossip do for discovery: proofs and seals by keys that are derived from them (`ring-cipher.ts`), so that nothing that is
 * said on the network tells of the keys themselves. The primary key makes, each of the ring is accepted. docs/specs/09-discovery.md §3.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Keyring } from '../../../core/gossip/keyring.ts'
import { PROOF_BYTES, type DiscoveryKey } from '../../../core/multicast/discovery/membership-proof.ts'
import { derivedKey, derivedOf, openWithAny, sealWith } from '../ring-cipher.ts'

const KEY_BYTES = 32

interface Derived {
  readonly proof: Uint8Array
  readonly beacon: Uint8Array
}

export function discoveryKey(keyring: Keyring): DiscoveryKey {
  const derived = derivedOf(keyring, derive)
  return {
    prove: (message) => prove(message, derived()[0]!.proof),
    check: (message, proof) => proof.length === PROOF_BYTES && derived().some((key) => timingSafeEqual(prove(message, key.proof), proof)),
    seal: (plaintext, associated) => sealWith(derived()[0]!.beacon, plaintext, associated),
    open: (sealed, associated) =>
      openWithAny(
        derived().map(({ beacon }) => beacon),
        sealed,
        associated,
      ),
  }
}

function derive(key: Uint8Array): Derived {
  const of = (purpose: string): Uint8Array => derivedKey(key, `polycast multicast discovery ${purpose}`, KEY_BYTES)
  return { proof: of('proof'), beacon: of('beacon') }
}

function prove(message: Uint8Array, key: Uint8Array): Uint8Array {
  return createHmac('sha256', key).update(message).digest().subarray(0, PROOF_BYTES)
}
