/**
 * The times of the membership protocol, for kinds of networks. docs/specs/04-gossip.md §7.8.
 *
 * `serf` has memberlist's times and rules alone. The others find a process that has ended sooner, by evidence and not by waiting less: a
 * process that stands still, or a network that drops packets, has more time than with memberlist.
 */

export interface GossipProfile {
  /** How long a probe takes until it accuses, ms, and the unit of the times for refuting. Shorter: failures are found sooner. */
  readonly probeIntervalMs: number
  /** How often the next member of the round is probed, ms: in turn, each probes all others. Shorter: costs a ping and an ack each. */
  readonly roundIntervalMs: number
  /**
   * How often the next member on the ring of names is probed, ms; Infinity for never. Each member has one that watches it so, whatever
   * the size of the cluster: that is what bounds when a failure is found first.
   */
  readonly watchIntervalMs: number
  /** How long the direct ping has before others are asked, ms. Shorter than a round trip under load: needless indirect pings. */
  readonly probeTimeoutMs: number
  /** It has a few times the last round trip to the member instead, and no less than this, ms. */
  readonly minProbeTimeoutMs: number
  /** How many others are asked to ping a member that does not answer. */
  readonly indirectChecks: number
  /** A suspected member has this many probe intervals, times the logarithm of the cluster's size, once enough others suspect it too. */
  readonly suspicionMult: number
  /** How many times longer it has when nobody else does. */
  readonly suspicionMaxTimeoutMult: number
  /**
   * The least time that a suspected member has, however many suspect it, ms; unless its process is gone. Longer: whoever stands still
   * for so long and comes again was never declared failed; a host that lost its power is, so much later.
   */
  readonly leastSuspicionMs: number
  /**
   * The time for refuting of a member whose process is gone, ms: its host refuses connections, and another member could not reach it
   * either. Shorter than news need to reach it and come back: it is wrong where something else refuses connections in its place.
   */
  readonly refusedSuspicionMs: number
  /**
   * About how many members probe at once one of whom they hear that it is suspected; they confirm it where its process is gone. More:
   * confirmed sooner; costs a probe each.
   */
  readonly confirmers: number
  /** How many members are told at once that this one is alive, when it was held up for longer than the probe interval. */
  readonly heldUpTells: number
  /** The health score stays below this; probes of a member that doubts itself take up to so many times longer. */
  readonly awarenessMaxMultiplier: number
  /** How often broadcasts go out of themselves, ms, and to how many members. More: faster spreading, more copies. */
  readonly gossipIntervalMs: number
  readonly gossipNodes: number
  /** The time between two gossips while somebody is accused, dead, or contradicts, ms. */
  readonly urgentGossipMs: number
  /** For how long a member that is dead still gets gossip, so that one which is not can refute, ms; then it is forgotten. */
  readonly gossipToTheDeadMs: number
  /** Each broadcast is sent this many times, times the logarithm of the cluster's size. */
  readonly retransmitMult: number
  /** How often two members exchange all that they know, ms, in clusters of up to 32. Repairs what gossip missed; costs the whole table. */
  readonly pushPullIntervalMs: number
  /** With members that tell the hash of their tables, as long as it is the same as here, only each n-th of these exchanges is made. */
  readonly agreedExchangeEvery: number
  /** How long a stream may take, ms. */
  readonly streamTimeoutMs: number
}

export type ProfileName = 'lan' | 'wan' | 'local' | 'serf'

const SERF: GossipProfile = {
  probeIntervalMs: 1000,
  roundIntervalMs: 1000,
  watchIntervalMs: Infinity,
  probeTimeoutMs: 500,
  minProbeTimeoutMs: 500,
  indirectChecks: 3,
  suspicionMult: 4,
  suspicionMaxTimeoutMult: 6,
  leastSuspicionMs: 0,
  refusedSuspicionMs: Infinity,
  confirmers: 0,
  heldUpTells: 0,
  awarenessMaxMultiplier: 8,
  gossipIntervalMs: 200,
  gossipNodes: 3,
  urgentGossipMs: 200,
  gossipToTheDeadMs: 30_000,
  retransmitMult: 4,
  pushPullIntervalMs: 30_000,
  agreedExchangeEvery: 1,
  streamTimeoutMs: 10_000,
}

const LAN: GossipProfile = {
  ...SERF,
  roundIntervalMs: 3000,
  watchIntervalMs: 1200,
  minProbeTimeoutMs: 200,
  leastSuspicionMs: 10_000,
  refusedSuspicionMs: 500,
  confirmers: 3,
  heldUpTells: 4,
  urgentGossipMs: 50,
  retransmitMult: 6,
  agreedExchangeEvery: 50,
}

export const GOSSIP_PROFILES: Readonly<Record<ProfileName, GossipProfile>> = {
  /** One site: round trips of a millisecond, hosts that are busy at times. */
  lan: LAN,
  /** Sites far apart. */
  wan: {
    ...LAN,
    probeIntervalMs: 5000,
    roundIntervalMs: 5000,
    watchIntervalMs: 5000,
    probeTimeoutMs: 3000,
    minProbeTimeoutMs: 1000,
    suspicionMult: 6,
    refusedSuspicionMs: 3000,
    gossipIntervalMs: 500,
    gossipNodes: 4,
    urgentGossipMs: 200,
    gossipToTheDeadMs: 60_000,
    pushPullIntervalMs: 60_000,
    streamTimeoutMs: 30_000,
  },
  /** One host. */
  local: {
    ...LAN,
    probeTimeoutMs: 200,
    indirectChecks: 1,
    suspicionMult: 3,
    gossipIntervalMs: 100,
    gossipToTheDeadMs: 15_000,
    retransmitMult: 2,
    pushPullIntervalMs: 15_000,
    streamTimeoutMs: 1000,
  },
  /** memberlist's for one site, and its rules: all that the others have beside those is off. */
  serf: SERF,
}

/** How often one broadcast is sent by one member, in a cluster of so many. */
export function retransmitLimit(profile: GossipProfile, members: number): number {
  return profile.retransmitMult * Math.ceil(Math.log10(members + 1))
}

/** Of the last round trip, that an answer may take: round trips differ by a few times, and seldom by more. */
const MOST_ROUND_TRIPS = 4

/** How long a ping is waited for where the last round trip took so long, ms; undefined: none is known. */
export function pingPatienceMs({ probeTimeoutMs, minProbeTimeoutMs }: GossipProfile, lastRttMs: number | undefined): number {
  if (lastRttMs === undefined) return probeTimeoutMs
  return Math.min(Math.max(MOST_ROUND_TRIPS * lastRttMs, minProbeTimeoutMs), probeTimeoutMs)
}

const PUSH_PULL_SCALE_FROM = 32

/** The push/pull interval in a cluster of so many, ms: longer for each doubling above 32, as each exchange is longer too. */
export function pushPullIntervalMs(profile: GossipProfile, members: number): number {
  if (members <= PUSH_PULL_SCALE_FROM) return profile.pushPullIntervalMs
  return profile.pushPullIntervalMs * (Math.ceil(Math.log2(members) - Math.log2(PUSH_PULL_SCALE_FROM)) + 1)
}
