/**
 * `polycast/gossip`: membership by SWIM with Lifeguard (`SwimMachine`), events, queries and keys above it (`SerfMachine`; docs/specs/04-gossip.md),
 * the state of nodes (`StateMachine`, docs/specs/05-state.md), trees for events (`BroadcastMachine`, docs/specs/06-broadcast.md), all of them
 * together (`GossipMachine`), and the wire format of HashiCorp's memberlist and Serf, as messages and bytes. Time, the cipher and random
 * nonces are handed in; nothing here does input or output.
 */
export { Random } from '../lib/random.ts'
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
export { SerfMachine } from './serf/serf.ts'
export { CLASSIC_SERF_TIMES, SERF_TIMES, type SerfTimes } from './serf/serf-profile.ts'
export { DEFAULT_SERF_LIMITS, SERF_EVENT_CAP_BYTES } from './serf/serf-types.ts'
export type * from './serf/serf-types.ts'
export { compileExpression, type Expression } from '../lib/expression.ts'
export { distance as coordinateDistance } from './serf/vivaldi.ts'
export { formatEndpoint, parseEndpoint } from './serf/snapshot.ts'
export { matches as matchesFilter } from './serf/queries.ts'
export { SwimMachine } from './swim.ts'
export type * from './swim-types.ts'
export { MAX_KEY_BYTES, MAX_VALUE_BYTES } from './state/state-codec.ts'
export { StateMachine } from './state/state-machine.ts'
export type { NodeDigest, StateMessageType } from './state/state-messages.ts'
export { DEFAULT_STATE_SETTINGS } from './state/state-types.ts'
export type * from './state/state-types.ts'
export { BroadcastMachine } from './broadcast/broadcast-machine.ts'
export { DEFAULT_BROADCAST_SETTINGS } from './broadcast/broadcast-types.ts'
export type * from './broadcast/broadcast-types.ts'
export { GossipMachine } from './gossip-machine.ts'
export type { GossipInput, GossipOptions, GossipOutput } from './gossip-machine.ts'
export { isPolycast, POLYCAST_TAG } from './polycast-tag.ts'
