/** `polycast/multicast`: what one send that reaches a whole LAN is made of. */
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
export { ethernetAddress, isAlwaysFlooded, pickGroup, wellKnownGroups, type GroupKind, type WellKnownGroups } from './addresses.ts'
export { ImpairmentModel, parseImpairment, type ImpairmentOptions } from './impairment-model.ts'
export { PLAIN_BEACONS, type BeaconCipher } from './reach/beacon.ts'
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
