/** Multicast as a library: see docs/specs/07-multicast.md and 09-discovery.md. */
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
