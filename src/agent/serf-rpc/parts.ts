/** What the parts of Serf's RPC are given, and what they count. */
import type { Gossip } from '../gossip/gossip.ts'
import type { LogRing } from './log-tap.ts'

/** What commands act on. */
export interface RpcParts {
  readonly gossip: Gossip
  readonly log: RpcLog
  /** Lines for `monitor`; without it there are none. */
  readonly logTap: LogRing | undefined
  /** What clients have to know; undefined where whoever reaches the port may give commands. */
  readonly authKey: string | undefined
  /** Whether gossip is encrypted, for `stats`. */
  readonly isEncrypted: boolean
  /** The node has left because a client said so; the answer is on its way. */
  readonly onLeft: () => void
  readonly counters: RpcCounters
}

/** The agent's logger, as far as it is used. */
export interface RpcLog {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Since the start. */
export interface RpcCounters {
  /** Connections taken, and refused because there were too many. */
  accepted: number
  refused: number
  /** Commands that were carried out. */
  requests: number
  /** Connections ended because what came is no request, or because nobody said who he is in time. */
  malformed: number
  late: number
  /** Connections ended because the client did not read. */
  closedForQueue: number
  /** Streams, monitors and queries refused because there were too many, and queries forgotten that wait for an answer. */
  refusedStreams: number
  forgottenQueries: number
}

export function newCounters(): RpcCounters {
  return { accepted: 0, refused: 0, requests: 0, malformed: 0, late: 0, closedForQueue: 0, refusedStreams: 0, forgottenQueries: 0 }
}
