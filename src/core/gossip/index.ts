/**
 * `polycast/gossip`: membership by SWIM with Lifeguard (`SwimMachine`), and the wire format of HashiCorp's memberlist and Serf, as
 * messages and bytes. Time, the cipher and random nonces are handed in; nothing here does input or output. See docs/specs/04-gossip.md.
 */
export { isWireError, type Disposition, type WireError } from '../wire/wire-error.ts'
export type { Framing } from './framing.ts'
export {
  decrypt,
  encrypt,
  isKey,
  Keyring,
  MAX_KEYS,
  NONCE_BYTES,
  TAG_BYTES,
  type Cipher,
  type Encryption,
  type EncryptionVersion,
} from './keyring.ts'
export { MAX_LABEL_BYTES } from './label.ts'
export { decodePacketMessage, encodePacketMessage, encodeStreamMessage, MAX_META_BYTES, MAX_NAME_BYTES } from './memberlist-codec.ts'
export { MemberSnapshot } from './member-snapshot.ts'
export * from './messages.ts'
export {
  composePacket,
  DEFAULT_PACKET_BYTES,
  groupParts,
  MAX_INFLATED_PACKET_BYTES,
  MAX_LAYERS,
  MAX_MESSAGES_PER_PACKET,
  MAX_PARTS,
  packetRoom,
  PART_OVERHEAD_BYTES,
  peelPacket,
  type PacketContent,
} from './packet.ts'
export {
  decodeCoordinate,
  decodeSerfMessage,
  decodeTags,
  encodeCoordinate,
  encodeSerfMessage,
  encodeTags,
  MAX_EVENT_SLOTS,
  MAX_FILTERS,
} from './serf-codec.ts'
export * from './serf-messages.ts'
export { composeStream, DEFAULT_STREAM_LIMITS, StreamDecoder, type StreamLimits } from './stream.ts'
export { GOSSIP_PROFILES, type GossipProfile, type ProfileName } from './profile.ts'
export { SwimMachine } from './swim.ts'
export type * from './swim-types.ts'
