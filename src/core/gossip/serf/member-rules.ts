/**
 * What membership and intents make of a member: alive, leaving, left, failed. docs/specs/04-gossip.md §7.2.
 *
 * Membership alone cannot tell a member that left from one that crashed when it hears of it late. So a member that goes says so before,
 * as an intent with a Lamport time; who left and by which time is told in each push/pull. Of two intents about a member the later counts. An
 * intent about somebody unknown waits until he is known. A member that hears that it has left, and has not, joins again by a later time.
 *
 * Beside Serf's rules: a member's own word to membership that it leaves counts as that even where the intent did not come; and a member
 * whose forgetting was asked for while it was leaving is forgotten only if it has gone.
 */
import type { MemberRecord } from '../messages.ts'
import type { JoinIntent, LeaveIntent } from '../serf-messages.ts'
import { DEFAULT_SWIM_LIMITS } from '../swim-types.ts'
import type { Verdict } from '../verdict.ts'
import { isLamportTime } from './lamport.ts'
import { newEntry, takeRecord, type Entry, type SerfState } from './serf-state.ts'

interface RecentIntent {
  readonly type: 'join' | 'leave'
  readonly time: number
  readonly at: number
}

/** Who else has to know. */
export interface MemberHooks {
  /** A member was taken out of the table. */
  forgotten(name: string): void
  /** One that had failed is there again. */
  returned(failedAt: number, now: number): void
}

export class MemberRules {
  readonly #state: SerfState
  readonly #hooks: MemberHooks
  /** Of names that are not known; the oldest first. */
  readonly #recent: Map<string, RecentIntent> = new Map()
  #reapAt: number

  constructor(state: SerfState, hooks: MemberHooks, now: number) {
    this.#state = state
    this.#hooks = hooks
    this.#reapAt = now + state.times.reapIntervalMs
  }

  nextDeadline(): number {
    return this.#reapAt
  }

  handleTimeout(now: number): void {
    if (now < this.#reapAt) return
    const { times, members } = this.#state
    for (const [name, { at }] of this.#recent) {
      if (now - at <= times.recentIntentTimeoutMs) break
      this.#recent.delete(name)
    }
    for (const entry of members.values()) {
      const keptMs = entry.status === 'failed' ? times.reconnectTimeoutMs : times.tombstoneTimeoutMs
      if (isGone(entry) && entry !== this.#state.self && (now - entry.changedAt > keptMs || now >= entry.pruneAt)) this.#erase(entry)
    }
    this.#reapAt = now + times.reapIntervalMs
    for (const { pruneAt } of members.values()) if (pruneAt > now) this.#reapAt = Math.min(this.#reapAt, pruneAt)
  }

  // ---- what this member says ----

  /** Says that this member is here, by the present time: when it has joined, and against what says that it left. */
  announceJoin(now: number): void {
    const { memberClock, self } = this.#state
    const intent: JoinIntent = { type: 'join', time: memberClock.time, node: self.name }
    this.join(intent, now)
    this.#state.spreadIntent(self.name, intent)
  }

  /** Says that this member is going to leave; whether there is anybody to tell. */
  announceLeave(now: number): boolean {
    const { memberClock, self } = this.#state
    const intent: LeaveIntent = { type: 'leave', time: memberClock.next(), node: self.name, isPrune: false }
    this.leave(intent, now)
    const isHeard = this.#state.hasAliveOthers()
    if (isHeard) this.#state.spreadIntent(self.name, intent)
    return isHeard
  }

  /** Has another member, a failed one, count as left. */
  forceLeave(node: string, isPrune: boolean, now: number): void {
    const intent: LeaveIntent = { type: 'leave', time: this.#state.memberClock.next(), node, isPrune }
    this.leave(intent, now)
    if (this.#state.hasAliveOthers()) this.#state.spreadIntent(node, intent)
  }

  // ---- intents ----

  /** @returns whether it is news, to be passed on. */
  join({ time, node }: JoinIntent, now: number): boolean {
    const entry = this.#admit('join', time, node, now)
    if (typeof entry === 'boolean') return entry
    entry.statusTime = time
    entry.pruneAt = Infinity
    if (entry.status === 'leaving' && !(entry === this.#state.self && this.#state.isLeaving)) this.#set('updated', entry, 'alive', now)
    return true
  }

  /** @returns whether it is news, to be passed on. */
  leave({ time, node, isPrune }: LeaveIntent, now: number): boolean {
    const entry = this.#admit('leave', time, node, now)
    if (typeof entry === 'boolean') return entry
    if (entry === this.#state.self && !this.#state.isLeaving) {
      this.announceJoin(now)
      return false
    }
    entry.statusTime = time
    if (entry.status === 'alive') this.#set('leaving', entry, 'leaving', now)
    else if (entry.status === 'failed') this.#set('left', entry, 'left', entry.changedAt)
    if (isPrune && entry !== this.#state.self) this.#prune(entry, now)
    return true
  }

  /** The member that an intent is about, if the intent is later than what is known; else whether to pass it on. */
  #admit(type: 'join' | 'leave', time: number, node: string, now: number): Entry | boolean {
    if (!isLamportTime(time) || node.length === 0) {
      this.#state.refusedMessages++
      return false
    }
    this.#state.memberClock.witness(time)
    const entry = this.#state.members.get(node)
    if (entry !== undefined) return time > entry.statusTime && entry
    const last = this.#recent.get(node)
    if (last !== undefined && time <= last.time) return false
    this.#recent.delete(node)
    this.#recent.set(node, { type, time, at: now })
    if (this.#recent.size > this.#state.limits.maxIntents) for (const [oldest] of this.#recent) return this.#recent.delete(oldest)
    return true
  }

  // ---- membership ----

  joined(record: MemberRecord, now: number): void {
    const known = this.#state.members.get(record.node)
    const entry = known ?? this.#take(record, now)
    takeRecord(entry, record)
    entry.isSuspect = false
    entry.pruneAt = Infinity
    if (known?.status === 'failed') this.#hooks.returned(known.changedAt, now)
    if (known !== undefined) entry.status = 'alive'
    entry.changedAt = now
    this.#state.changed('joined', entry)
  }

  updated(record: MemberRecord): void {
    const entry = this.#state.members.get(record.node)
    if (entry === undefined) return
    takeRecord(entry, record)
    this.#state.changed('updated', entry)
  }

  suspected(record: MemberRecord, isSuspect: boolean, verdict: Verdict | undefined): void {
    const entry = this.#state.members.get(record.node)
    if (entry === undefined) return
    entry.incarnation = record.incarnation
    entry.isSuspect = isSuspect
    this.#state.changed(isSuspect ? 'suspected' : 'cleared', entry, verdict)
  }

  /** Membership knows it as dead, or as left by its own word. */
  gone(record: MemberRecord, hasLeft: boolean, verdict: Verdict, now: number): void {
    const entry = this.#state.members.get(record.node)
    if (entry === undefined || isGone(entry)) return
    entry.isSuspect = false
    entry.incarnation = record.incarnation
    const status = hasLeft || entry.status === 'leaving' ? 'left' : 'failed'
    this.#set(status, entry, status, now, verdict)
  }

  #take(record: MemberRecord, now: number): Entry {
    const { members, options } = this.#state
    const intent = this.#recent.get(record.node)
    this.#recent.delete(record.node)
    if (members.size >= (options.limits?.maxMembers ?? DEFAULT_SWIM_LIMITS.maxMembers)) this.#eraseOldest()
    const entry = newEntry(record, now)
    entry.status = intent?.type === 'leave' ? 'leaving' : 'alive'
    entry.statusTime = intent?.time ?? 0
    members.set(entry.name, entry)
    return entry
  }

  #set(change: 'updated' | 'leaving' | 'left' | 'failed', entry: Entry, status: Entry['status'], at: number, verdict?: Verdict): void {
    entry.status = status
    entry.changedAt = at
    this.#state.changed(change, entry, verdict)
  }

  // ---- forgetting ----

  /** Forgets one that is gone; one that is still leaving, when it had its time for that. */
  #prune(entry: Entry, now: number): void {
    if (isGone(entry)) return this.#erase(entry)
    const { broadcastTimeoutMs, leavePropagateDelayMs } = this.#state.times
    entry.pruneAt = now + broadcastTimeoutMs + leavePropagateDelayMs
    this.#reapAt = Math.min(this.#reapAt, entry.pruneAt)
  }

  #erase(entry: Entry): void {
    this.#state.members.delete(entry.name)
    this.#hooks.forgotten(entry.name)
    this.#state.changed('reaped', entry)
  }

  #eraseOldest(): void {
    let oldest: Entry | undefined
    for (const entry of this.#state.members.values()) {
      if (isGone(entry) && (oldest === undefined || entry.changedAt < oldest.changedAt)) oldest = entry
    }
    if (oldest !== undefined && oldest !== this.#state.self) this.#erase(oldest)
  }
}

function isGone({ status }: Entry): boolean {
  return status === 'left' || status === 'failed'
}
