/**
 * Beacons sealed under keys that are derived for them alone (`ring-cipher.ts`).
 *
 * With a hundred beacons a second a key lasts for a year before random nonces of 96 bits come near their limit of 2^32.
 */
import { NONCE_BYTES, TAG_BYTES, type Keyring } from '../../../core/gossip/keyring.ts'
import { PLAIN_BEACONS, type BeaconCipher } from '../../../core/multicast/reach/group-datagram.ts'
import { derivedKey, derivedOf, openWithAny, sealWith } from '../ring-cipher.ts'

const KEY_INFO = 'polycast multicast reach 1'
const KEY_BYTES = 16

/** The cipher of a cluster's beacons; without a key ring they are in the clear. */
export function beaconCipher(keyring: Keyring | undefined): BeaconCipher {
  if (keyring === undefined) return PLAIN_BEACONS
  const keys = derivedOf(keyring, (key) => derivedKey(key, KEY_INFO, KEY_BYTES))
  return {
    overheadBytes: NONCE_BYTES + TAG_BYTES,
    seal: (body, header) => sealWith(keys()[0]!, body, header),
    open: (sealed, header) => openWithAny(keys(), sealed, header),
  }
}
