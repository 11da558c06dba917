/** What goes into and comes out of the machine of reachability, its limits and its times. docs/specs/10-reach.md */
import type { BeaconCipher } from './group-datagram.ts'

/** One family on one interface: where datagrams to a group go as far as the switches let them. */
export interface ReachLink {
  /** Unique in this node. */
  readonly id: string
  readonly interface: string
  readonly family: 4 | 6
  /** Payload of a datagram that fits a packet of the interface. */
  readonly maxBytes: number
  readonly hasBroadcast: boolean
  /** False for one that is only listened at. */
  readonly isSending: boolean
}

/** Beyond this, receivers of a datagram lose it whole for each fragment of it: no Ethernet has larger packets. */
export const MAX_BEACON_BYTES = 8972

/** By which way a beacon came or goes: to the group, to everybody, to one node. */
export type ReachPath = 'group' | 'broadcast' | 'direct'

export type ReachInput =
  /** All links that there are now; those that are not in it are gone. */
  | { readonly type: 'links'; readonly links: readonly ReachLink[] }
  /** All other members that are alive, by name. */
  | { readonly type: 'members'; readonly names: readonly string[] }
  /** A datagram; `from` is where a datagram to its sender goes, opaque to the machine. */
  | { readonly type: 'packet'; readonly link: string; readonly path: ReachPath; readonly from: string; readonly bytes: Uint8Array }
  /** Somebody will soon send to many: who is reached is to be known as well as can be. */
  | { readonly type: 'wanted' }

export type ReachOutput =
  | { readonly type: 'send'; readonly link: string; readonly path: 'group' | 'broadcast'; readonly bytes: Uint8Array }
  | { readonly type: 'send'; readonly link: string; readonly path: 'direct'; readonly to: string; readonly bytes: Uint8Array }
  /** Leave the group and join it again: nothing comes any more. */
  | { readonly type: 'rejoin'; readonly link: string }
  /** How the path of multicast to this node stands has changed; for the log. */
  | { readonly type: 'path'; readonly link: ReachLink; readonly state: PathState; readonly silentMs: number }
  /** `table()` says something else now. */
  | { readonly type: 'changed' }

/**
 * Of the multicast that comes to this node on a link: nothing was heard yet; it comes; it stopped and the group is being joined again;
 * that did not help, and is tried on slowly.
 */
export type PathState = 'listening' | 'open' | 'rejoining' | 'blocked'

/** How one member is reached from this node over one of its links. */
export interface ReachEntry {
  readonly member: string
  readonly link: string
  readonly interface: string
  readonly family: 4 | 6
  /** Payload of the largest datagram to a group of this node that arrives there, bytes; 0 is none. */
  readonly multicastBytes: number
  readonly broadcast: boolean
  /** Share of datagrams to the group that do not arrive, 0 to 1. */
  readonly lossShare: number
}

export interface ReachOptions {
  /** This node's name. */
  readonly name: string
  /** Its cluster's name: beacons of others are dropped unread. */
  readonly cluster: string
  /** Grows with each start of the node, 48 bits: the time in ms since 1970. */
  readonly run: number
  readonly cipher: BeaconCipher
  readonly limits?: Partial<ReachLimits>
}

export interface ReachLimits {
  /** Links that are watched; of more, the first ones in the list are. */
  readonly maxLinks: number
  /** Nodes of one link that are remembered; of more, the one that was silent for the longest is forgotten. */
  readonly maxPeers: number
  /** Nodes of a link up to which everything that they say of each other is kept, for the matrix of the doctor. */
  readonly maxMatrixPeers: number
  /** Beacons per second that the nodes of a link that do not beat fast send together, as far as they know of each other. */
  readonly slowPacketsPerSec: number
  /** Nodes of a link that beat fast. */
  readonly fastNodes: number
  /** Datagrams to single nodes per second. */
  readonly directPerSec: number
}

export const REACH_LIMITS: ReachLimits = {
  maxLinks: 16,
  maxPeers: 4096,
  maxMatrixPeers: 64,
  slowPacketsPerSec: 35,
  fastNodes: 3,
  directPerSec: 20,
}

export interface ReachTimes {
  /** Between two small beacons of a node that beats fast. */
  readonly fastMs: number
  /** Between two rounds of the larger ones of a node that beats fast, and between two rounds of any other one at the least. */
  readonly roundMs: number
  /** Silence of all that beat fast after which the path counts as dead. */
  readonly silenceMs: number
  /** Between attempts to join again, and how many there are before the path counts as blocked. */
  readonly rejoinMs: number
  readonly rejoinAttempts: number
  /** Between attempts after that. */
  readonly blockedRejoinMs: number
  /** How long `wanted` makes a node beat fast. */
  readonly wantedMs: number
}

export const REACH_TIMES: ReachTimes = {
  fastMs: 500,
  roundMs: 2000,
  silenceMs: 2400,
  rejoinMs: 1000,
  rejoinAttempts: 3,
  blockedRejoinMs: 5000,
  wantedMs: 5000,
}

/** What one node said that it hears of another one. */
export interface MatrixEntry {
  /** Who hears, by name where it is known, and whom. */
  readonly by: string
  readonly of: string
  readonly multicastBytes: number
  readonly broadcast: boolean
  readonly lossShare: number
}

/** Everything that is known of one link, for the doctor. */
export interface LinkReport {
  readonly link: ReachLink
  readonly state: PathState
  /** For how long it has been in that state, ms. */
  readonly sinceMs: number
  /** How long multicast had come when it last stopped, since the group was joined or joined again; undefined where it never stopped. */
  readonly livedMs: number | undefined
  /** How often it came back as soon as the group was joined again. */
  readonly revivals: number
  readonly isFast: boolean
  readonly peers: readonly PeerView[]
  /** Beacons that no key of this cluster has sealed, or that were no beacons. */
  readonly unreadable: number
  readonly replayed: number
  /** What the nodes of this link say of each other, this node's own view among it; empty where they are too many. */
  readonly matrix: readonly MatrixEntry[]
}

/** One node as it is heard here, and what it says of this node. */
export interface PeerView {
  /** Undefined for one whose name is not known. */
  readonly member: string | undefined
  /** Where its last beacon came from. */
  readonly from: string
  readonly heardBytes: number
  /** The largest that it sends. */
  readonly sentBytes: number
  readonly isBroadcastHeard: boolean
  readonly lossShare: number
  /** It says that it hears no multicast at all. */
  readonly isDeaf: boolean
  /** What it hears of this node; undefined where it said nothing yet. */
  readonly hearsBytes: number | undefined
  readonly hearsBroadcast: boolean
  readonly hearsLossShare: number
}
