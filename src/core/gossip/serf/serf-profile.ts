/** The times of the Serf layer. docs/specs/04-gossip.md §7.7. */

export interface SerfTimes {
  /** How often a failed member is tried again, ms. Shorter: a parted cluster is one sooner; costs a connection attempt each. */
  readonly reconnectIntervalMs: number
  /** How often those that failed together with one that has come back are tried, ms; Infinity for never. */
  readonly healIntervalMs: number
  /** For how long failed members are tried again; then they are taken out of the table, ms. */
  readonly reconnectTimeoutMs: number
  /** For how long it is remembered that a member left, ms. */
  readonly tombstoneTimeoutMs: number
  /** How often the table is looked through for those, ms. */
  readonly reapIntervalMs: number
  /** For how long what somebody intends is kept before he is known, ms. */
  readonly recentIntentTimeoutMs: number
  /** How long the intent to leave has for spreading before the leave itself, ms. */
  readonly broadcastTimeoutMs: number
  /** How long a member stays after its leave was told, to tell it to all and to answer, ms. */
  readonly leavePropagateDelayMs: number
  /** A query is open for so many gossip intervals, times the logarithm of the cluster's size. */
  readonly queryTimeoutMult: number
  /** Clocks are noted in the snapshot at most that often, ms. */
  readonly snapshotClockIntervalMs: number
}

const DAY_MS = 24 * 3600 * 1000

/** As Serf, but for trying failed members again: Serf's own 30 s are how long a cluster stays parted after the network has healed. */
export const SERF_TIMES: SerfTimes = {
  reconnectIntervalMs: 2000,
  healIntervalMs: 500,
  reconnectTimeoutMs: DAY_MS,
  tombstoneTimeoutMs: DAY_MS,
  reapIntervalMs: 15_000,
  recentIntentTimeoutMs: 5 * 60_000,
  broadcastTimeoutMs: 5000,
  leavePropagateDelayMs: 1000,
  queryTimeoutMult: 16,
  snapshotClockIntervalMs: 500,
}

/** Serf's own. */
export const CLASSIC_SERF_TIMES: SerfTimes = { ...SERF_TIMES, reconnectIntervalMs: 30_000, healIntervalMs: Infinity }
