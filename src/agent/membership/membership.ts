/**
 * The membership as the rest of the agent sees it: who is there, in what state, and word of every change.
 *
 * Not here: how that is found out, which is gossip's (`agent/gossip`).
 */

import type { PolycastError } from '../errors.ts'
import type { Member } from './member.ts'

export type { Member } from './member.ts'

/** The view that one node has of the cluster. */
export interface Membership {
  /** This node itself, as the others are told. */
  readonly self: Member
  /** Every member known, this node included, dead and left ones until they are forgotten; sorted by name. */
  members(): Member[]
  /** Calls back with the new record of each member that changes in any way; the function returned ends it. */
  onChange(listener: (member: Member) => void): () => void
  /** Calls back when a live agent elsewhere claims this node's name (`name-conflict`); the function returned ends it. */
  onConflict(listener: (error: PolycastError) => void): () => void
  /**
   * Joins the agents at these gossip addresses (`host` or `host:port`) and goes on trying those that don't answer, until
   * `leave` or `close`. Resolves with how many answered, the whole list of members learned from them; this node's own address
   * counts for nothing. Rejects with `join-failed` if none of the others answered, with `name-conflict` if this node's name
   * belongs to a live agent.
   */
  join(addresses: readonly string[]): Promise<number>
  /** Tells the members that this node leaves, waits for that to be sent, and closes. */
  leave(): Promise<void>
  /** Listens. Rejects with `address-in-use` or `address-unusable`. */
  start(): Promise<{ gossipPort: number }>
  /** Stops at once and tells nobody: the others notice. */
  close(): Promise<void>
}
