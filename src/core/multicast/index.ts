/** `polycast/multicast`: what one send that reaches a whole LAN is made of. */
export { ethernetAddress, isAlwaysFlooded, pickGroup, wellKnownGroups, type GroupKind, type WellKnownGroups } from './addresses.ts'
export { EVENT_GROUP_LIMITS, EventGroup, type EventGroupLimits, type EventGroupOptions, type ReachedMembers } from './events/event-group.ts'
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
