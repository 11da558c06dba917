/** A key for tests: its proofs and seals tell holders from others, and would stop nobody. */
import { concatBytes, equalBytes, utf8Encode } from '../../../lib/bytes.ts'
import type { DiscoveryKey } from '../membership-proof.ts'

export function toyKey(secret: string): DiscoveryKey {
  const prove = (message: Uint8Array): Uint8Array => {
    const proof = new Uint8Array(16)
    concatBytes([utf8Encode(secret), message]).forEach((byte, index) => {
      proof[index % 16] = Math.imul(proof[index % 16]! + index, 31) + byte + (proof[(index + 7) % 16] ?? 0)
    })
    return proof
  }
  return {
    prove,
    check: (message, proof) => equalBytes(prove(message), proof),
    seal: (plaintext, associated) => concatBytes([prove(concatBytes([associated, plaintext])), plaintext]),
    open: (sealed, associated) => {
      const plaintext = sealed.subarray(16)
      return equalBytes(prove(concatBytes([associated, plaintext])), sealed.subarray(0, 16)) ? plaintext : undefined
    },
  }
}
