/** What a member has configured of the layers around messages, the same for packets and streams (docs/specs/04-gossip.md §4). */
import type { Encryption } from './keyring.ts'

export interface Framing {
  /** Of the cluster, at most 255 bytes; empty for none. */
  readonly label: Uint8Array
  /** Whether what is sent is compressed. What comes in may be so in any case. */
  readonly isCompressing: boolean
  readonly encryption: Encryption | undefined
}
