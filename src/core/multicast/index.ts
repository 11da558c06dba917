/**
 * `polycast/multicast`: what a reliable multicast session is made of. Time, random numbers, cipher and sockets are handed in; nothing here
 * does input or output.
 */
export type * from './session-types.ts'
export type * from './session-machine-types.ts'
export { DATA_HEADER_BYTES } from './data-packet.ts'
export { loadKernel, type Kernel } from './fec/load-kernel.ts'
export { MulticastReceiver } from './multicast-receiver.ts'
export { MulticastSender } from './multicast-sender.ts'
export { DEFAULT_RECEIVER_LIMITS, DEFAULT_SENDER_LIMITS } from './session-machine-types.ts'
export { type Invitation, MAX_INVITATION_BYTES, decodeInvitation, encodeInvitation } from './invitation.ts'
export { MAX_APP_BYTES, MAX_NAME_BYTES } from './session-packets.ts'
export {
  decodeBlock,
  MAX_BLOCK_BYTES,
  MAX_BLOCK_CHUNKS,
  MAX_CHUNK_BYTES,
  MAX_SEGMENTS,
  writeSegment,
  type BlockSegment,
  type ManifestPiece,
  type PieceKind,
} from './content-block.ts'
export { BlockBuilder, MIN_BLOCK_BYTES } from './block-builder.ts'
export {
  ContentAssembler,
  DEFAULT_ASSEMBLER_LIMITS,
  type AssembledContent,
  type AssemblerLimits,
  type AssemblerOutput,
  type AssemblerStatus,
} from './content-assembler.ts'
export { decodeNeeds, encodeNeeds, MAX_NEEDS_BYTES, type HeldRanges } from './needs.ts'
export { DEFAULT_SEND_PLAN_OPTIONS, SendPlan, type PlannedRun, type SendPlanOptions, type SendPlanStatus } from './send-plan.ts'
export { SessionRate, type RateStatus } from './rate-control.ts'
export { DEFAULT_RATE_OPTIONS, type RateOptions } from './rate-options.ts'
export { ethernetAddress, isAlwaysFlooded, pickGroup, wellKnownGroups, type GroupKind, type WellKnownGroups } from './addresses.ts'
export { EVENT_GROUP_LIMITS, EventGroup, type EventGroupLimits, type EventGroupOptions, type ReachedMembers } from './events/event-group.ts'
export { ImpairmentModel, parseImpairment, type ImpairmentOptions } from './impairment-model.ts'
export { PLAIN_BEACONS, type BeaconCipher } from './reach/group-datagram.ts'
export { ReachMachine } from './reach/reach-machine.ts'
export {
  REACH_LIMITS,
  REACH_TIMES,
  type LinkReport,
  type MatrixEntry,
  type PathState,
  type PeerView,
  type ReachEntry,
  type ReachInput,
  type ReachLimits,
  type ReachLink,
  type ReachOptions,
  type ReachOutput,
  type ReachPath,
  type ReachTimes,
} from './reach/reach-types.ts'
export {
  DiscoveryBeacon,
  type DiscoveryBeaconInput,
  type DiscoveryBeaconOptions,
  type DiscoveryBeaconOutput,
} from './discovery/discovery-beacon.ts'
export {
  decodeDiscoveryBeacon,
  encodeDiscoveryBeacon,
  MAX_DISCOVERY_BEACON_BYTES,
  type DiscoveryBeaconContent,
} from './discovery/discovery-beacon-codec.ts'
export { decodeDnsMessage, encodeDnsMessage } from './discovery/dns-codec.ts'
export * from './discovery/dns-message.ts'
export * from './discovery/join-candidates.ts'
export { MdnsBrowser, type BrowserInput, type BrowserOptions, type BrowserOutput, type FoundService } from './discovery/mdns-browser.ts'
export * from './discovery/mdns-link.ts'
export { MDNS_PORT, MdnsResponder, type MdnsPeer } from './discovery/mdns-responder.ts'
export type { ResponderInput, ResponderOptions, ResponderOutput } from './discovery/mdns-responder.ts'
export * from './discovery/membership-proof.ts'
export type { Offer, OfferedService } from './discovery/service-records.ts'
