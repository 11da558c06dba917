/**
 * The times of the membership protocol, for three kinds of network. docs/specs/04-gossip.md §7.
 *
 * They are memberlist's, so that a cluster of both kinds of members has one idea of how long is too long: a member that waits less
 * than the others accuses those that they think well of.
 */

export interface GossipProfile {
  /** How often a member is probed, ms. Shorter: failures are found sooner; costs a ping and an ack each. */
  readonly probeIntervalMs: number
  /** How long the direct ping has before others are asked, ms. Shorter than a round trip under load: needless indirect pings. */
  readonly probeTimeoutMs: number
  /** How many others are asked to ping a member that does not answer. */
  readonly indirectChecks: number
  /** A suspected member has this many probe intervals, times the logarithm of the cluster's size, once enough others suspect it too. */
  readonly suspicionMult: number
  /** How many times longer it has when nobody else does. */
  readonly suspicionMaxTimeoutMult: number
  /** The health score stays below this; probes of a member that doubts itself take up to so many times longer. */
  readonly awarenessMaxMultiplier: number
  /** How often broadcasts go out of themselves, ms, and to how many members. More: faster spreading, more copies. */
  readonly gossipIntervalMs: number
  readonly gossipNodes: number
  /** For how long a member that is dead still gets gossip, so that one which is not can refute, ms; then it is forgotten. */
  readonly gossipToTheDeadMs: number
  /** Each broadcast is sent this many times, times the logarithm of the cluster's size. */
  readonly retransmitMult: number
  /** How often two members exchange all that they know, ms, in clusters of up to 32. Repairs what gossip missed; costs the whole table. */
  readonly pushPullIntervalMs: number
  /** How long a stream may take, ms. */
  readonly streamTimeoutMs: number
}

export type ProfileName = 'lan' | 'wan' | 'local'

const LAN: GossipProfile = {
  probeIntervalMs: 1000,
  probeTimeoutMs: 500,
  indirectChecks: 3,
  suspicionMult: 4,
  suspicionMaxTimeoutMult: 6,
  awarenessMaxMultiplier: 8,
  gossipIntervalMs: 200,
  gossipNodes: 3,
  gossipToTheDeadMs: 30_000,
  retransmitMult: 4,
  pushPullIntervalMs: 30_000,
  streamTimeoutMs: 10_000,
}

export const GOSSIP_PROFILES: Readonly<Record<ProfileName, GossipProfile>> = {
  /** One site: round trips of a millisecond, hosts that are busy at times. */
  lan: LAN,
  /** Sites far apart. */
  wan: {
    ...LAN,
    probeIntervalMs: 5000,
    probeTimeoutMs: 3000,
    suspicionMult: 6,
    gossipIntervalMs: 500,
    gossipNodes: 4,
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
}

/** How often one broadcast is sent by one member, in a cluster of so many. */
export function retransmitLimit(profile: GossipProfile, members: number): number {
  return profile.retransmitMult * Math.ceil(Math.log10(members + 1))
}

const PUSH_PULL_SCALE_FROM = 32

/** The push/pull interval in a cluster of so many, ms: longer for each doubling above 32, as each exchange is longer too. */
export function pushPullIntervalMs(profile: GossipProfile, members: number): number {
  if (members <= PUSH_PULL_SCALE_FROM) return profile.pushPullIntervalMs
  return profile.pushPullIntervalMs * (Math.ceil(Math.log2(members) - Math.log2(PUSH_PULL_SCALE_FROM)) + 1)
}
