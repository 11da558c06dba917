/** What a member list is made with, and what it takes from others. */

import type { Clock } from '../clock.ts'
import type { Logger } from '../log.ts'

/** The port of an address to join that has none. */
export const DEFAULT_GOSSIP_PORT = 7946

/** Bounds of what a node takes from others; the defaults are `DEFAULT_LIMITS`. */
export interface MemberListLimits {
  readonly maxMembers: number
  /** Established links; further ones are told of other members and turned away. */
  readonly maxLinks: number
  /** Accepted connections that have not greeted yet. */
  readonly maxPending: number
  /** Names that are verified at the same time. */
  readonly maxVerifying: number
  readonly maxQueuedBytes: number
  readonly burst: number
  readonly refill: number
}

/** Enough for a few thousand members that all come at once. */
export const DEFAULT_LIMITS: MemberListLimits = {
  maxMembers: 16_384,
  maxLinks: 4096,
  maxPending: 256,
  maxVerifying: 16,
  maxQueuedBytes: 8_388_608,
  burst: 65_536,
  refill: 16_384,
}

/** Everything that a member list is made with; times are the options of the group Membership. */
export interface MemberListOptions {
  readonly name: string
  readonly bind: string
  /** The address that the others are told; `bind` if it isn't given. */
  readonly advertise?: string
  /** 0 takes any free one. */
  readonly gossipPort: number
  readonly swarmPort: number
  readonly tags: Readonly<Record<string, string>>
  readonly heartbeatIntervalMs: number
  readonly suspectTimeoutMs: number
  readonly deadTimeoutMs: number
  readonly forgetTimeoutMs: number
  readonly dialTimeoutMs: number
  readonly redialMaxMs: number
  readonly clock?: Clock
  readonly log?: Logger
  /** Called with the reason of everything refused, for the metrics. */
  readonly onRefused?: (reason: RefusalReason) => void
  readonly limits?: Partial<MemberListLimits>
  /** At least 0 and less than 1; for tests. */
  readonly random?: () => number
}

/** What was beyond a limit or against a rule. */
export type RefusalReason = 'protocol' | 'flood' | 'slow' | 'connections' | 'members' | 'name-conflict'
