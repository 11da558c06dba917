/**
 * What a message about a member changes: the rules of alive, suspect and dead. docs/specs/04-gossip.md §7; SWIM §4.2.
 *
 * Only the member itself raises its incarnation. An alive message counts when its incarnation is higher than what is known, suspect and
 * dead ones when theirs is at least as high; so a member that is accused contradicts by the next incarnation, and wins everywhere. What
 * counts is passed on. A suspected member is dead when its time is over.
 *
 * Beside memberlist's rules: an accusation of the highest incarnation there is could never be refuted, and is ignored.
 */
import { equalBytes } from '../lib/bytes.ts'
import { isEndpoint, sameEndpoint } from './endpoint.ts'
import { aliveMessage, isGone, recordOf, type Member } from './member-table.ts'
import type { Alive, Dead, ProtocolVersions, Suspect } from './messages.ts'
import { suspicionBounds, type Suspicion } from './suspicion.ts'
import type { SwimState } from './swim-state.ts'
import type { ProbeEvidence, Verdict, VerdictSource } from './verdict.ts'

const MAX_INCARNATION = 0xffffffff

export class MembershipRules {
  readonly #state: SwimState
  readonly #accused: (member: Member, now: number) => void

  /** `accused` is told of a member that somebody else suspects, when that is heard first. */
  constructor(state: SwimState, accused: (member: Member, now: number) => void) {
    this.#state = state
    this.#accused = accused
  }

  nextDeadline(): number {
    return this.#state.suspicions.nextDeadline()
  }

  /** Those whose time for refuting is over are dead. */
  handleTimeout(now: number): void {
    const { suspicions, table, self } = this.#state
    for (const node of suspicions.due(now)) {
      const member = table.get(node)
      if (member?.state !== 'suspect') suspicions.end(node)
      else this.dead({ type: 'dead', incarnation: member.incarnation, node, from: self.node }, 'time-out', now)
    }
  }

  /** This member tells of itself, at its start and when what it says has changed. */
  announce(): void {
    const { broadcasts, self } = this.#state
    broadcasts.add(self.node, aliveMessage(self))
  }

  /** This member was away for long enough to be suspected: it says that it is alive, by a new incarnation, before anybody has to ask. */
  reassert(now: number): void {
    const { self, isLeaving } = this.#state
    if (isLeaving) return
    this.#raise(self.incarnation, now)
    this.#spread(aliveMessage(self))
  }

  /** This member says something else of itself from now on. */
  update(meta: Uint8Array, now: number): void {
    const { self, isLeaving } = this.#state
    self.meta = meta
    if (isLeaving) return
    this.#raise(self.incarnation, now)
    this.announce()
  }

  /** This member says that it goes. */
  leave(now: number): void {
    const { broadcasts, self, table } = this.#state
    this.#state.isLeaving = true
    table.set(self, self.incarnation, 'left', now)
    broadcasts.add(self.node, { type: 'dead', incarnation: self.incarnation, node: self.node, from: self.node })
  }

  // ---- alive ----

  alive(message: Alive, now: number): void {
    const { self, table } = this.#state
    if (!this.#isPlausible(message)) return void this.#state.refusedMessages++
    const known = table.get(message.node)
    if (known === self) return this.#aliveSelf(message, now)
    const member = known ?? this.#take(message, now)
    if (member === undefined) return
    const endpoint = { address: message.address, port: message.port }
    const isMoved = !sameEndpoint(member.endpoint, endpoint)
    if (isMoved && !this.#isFree(member, now)) return this.#conflict(member, message)
    if (message.incarnation <= member.incarnation && !isMoved) return
    const lastState = member.state
    const hasOtherMeta = !equalBytes(member.meta, message.meta)
    this.#state.suspicions.end(member.node)
    // A contradiction runs against what it contradicts.
    if (lastState === 'suspect') this.#state.isUrgent = true
    table.set(member, message.incarnation, 'alive', now)
    member.endpoint = endpoint
    if (hasOtherMeta) member.meta = this.#state.metas.share(message.meta)
    member.versions = this.#sharedVersions(message.versions) ?? member.versions
    member.verdict = undefined
    // Made anew, so that what waits to be told holds nothing that the member does not hold as well.
    this.#state.broadcasts.add(member.node, aliveMessage(member))
    if (lastState === 'dead' || lastState === 'left') return this.#state.emit({ type: 'joined', member: recordOf(member) })
    if (lastState === 'suspect') this.#state.emit({ type: 'cleared', member: recordOf(member) })
    if (hasOtherMeta) this.#state.emit({ type: 'updated', member: recordOf(member) })
  }

  /** Whether another one may have a member's name. */
  #isFree({ state, changedAt }: Member, now: number): boolean {
    const { reclaimAfterMs } = this.#state.options
    return state === 'left' || (state === 'dead' && reclaimAfterMs !== undefined && now - changedAt >= reclaimAfterMs)
  }

  /** Somebody tells of this member: what it says itself, or of an earlier run of it, or of another by its name. */
  #aliveSelf(message: Alive, now: number): void {
    const { self, isLeaving } = this.#state
    if (isLeaving) return
    if (!sameEndpoint(self.endpoint, { address: message.address, port: message.port })) return this.#conflict(self, message)
    if (message.incarnation < self.incarnation) return
    if (message.incarnation === self.incarnation) {
      if (equalBytes(message.meta, self.meta) && sameVersions(message.versions, self.versions)) return
    }
    this.#refute('alive', message.incarnation, message.node, now)
  }

  #isPlausible({ node, incarnation, address, port, meta, versions }: Alive): boolean {
    const { maxNameLength, maxMetaBytes } = this.#state.limits
    if (node.length === 0 || node.length > maxNameLength || meta.length > maxMetaBytes) return false
    if (!isEndpoint({ address, port }) || incarnation < 1 || incarnation > MAX_INCARNATION) return false
    return versions === undefined || (versions[0] > 0 && versions[1] > 0 && versions[0] <= versions[1])
  }

  /** A name that was not known. It counts as dead until its message is applied, so that the same code says that it joined. */
  #take({ node, address, port, meta, versions }: Alive, now: number): Member | undefined {
    const { table, limits, metas } = this.#state
    if (table.size >= limits.maxMembers) {
      this.#state.refusedMessages++
      return undefined
    }
    const member: Member = {
      node,
      endpoint: { address, port },
      meta: metas.share(meta),
      versions: this.#sharedVersions(versions),
      incarnation: 0,
      state: 'dead',
      changedAt: now,
      verdict: undefined,
      lastRttMs: undefined,
    }
    table.add(member)
    return member
  }

  /** Most members speak the same versions as this one: then they are kept once. */
  #sharedVersions(versions: ProtocolVersions | undefined): ProtocolVersions | undefined {
    const own = this.#state.self.versions
    return sameVersions(versions, own) ? own : versions
  }

  #conflict(member: Member, { node, address, port, meta, incarnation, versions }: Alive): void {
    const other = { node, address, port, meta, incarnation, state: 'alive', versions } as const
    this.#state.emit({ type: 'conflict', member: recordOf(member), other })
  }

  // ---- suspect ----

  suspect(message: Suspect, source: VerdictSource, now: number, probe?: ProbeEvidence): void {
    const { suspicions, self, table, profile } = this.#state
    const member = table.get(message.node)
    if (member === undefined || !canBeRefuted(message.incarnation) || message.incarnation < member.incarnation) return
    const suspicion = suspicions.get(message.node)
    if (suspicion !== undefined) {
      if (probe !== undefined) suspicions.noteProbe(message.node, probe, now)
      const isNew = suspicions.confirm(message.node, message.from, now)
      if (isNew) this.#spread(message)
      if (isNew || probe !== undefined) member.verdict = verdictOf(message, 'suspect', source, suspicion, now)
      return
    }
    if (member.state !== 'alive') return
    if (member === self) return this.#refute('suspect', message.incarnation, message.from, now)
    this.#spread(message)
    table.set(member, message.incarnation, 'suspect', now)
    const started = suspicions.start(message.node, message.from, suspicionBounds(profile, table.size), now)
    if (probe !== undefined) suspicions.noteProbe(message.node, probe, now)
    const verdict = verdictOf(message, 'suspect', source, started, now)
    member.verdict = verdict
    this.#state.emit({ type: 'suspected', member: recordOf(member), verdict })
    if (probe === undefined) this.#accused(member, now)
    // Who may have little time is told at once, and not only when gossip happens to come by.
    else if (profile.refusedSuspicionMs < Infinity) this.#state.send(member.endpoint, member.node, [message])
  }

  // ---- dead ----

  dead(message: Dead, source: VerdictSource, now: number): void {
    const { suspicions, self, table } = this.#state
    const member = table.get(message.node)
    if (member === undefined || !canBeRefuted(message.incarnation) || message.incarnation < member.incarnation) return
    if (isGone(member)) return
    if (member === self) return this.#refute('dead', message.incarnation, message.from, now)
    const suspicion = suspicions.get(message.node)
    suspicions.end(message.node)
    this.#spread(message)
    const state = message.from === message.node ? 'left' : 'dead'
    table.set(member, message.incarnation, state, now)
    const verdict = verdictOf(message, state, source, suspicion, now)
    member.verdict = verdict
    this.#state.emit({ type: state === 'left' ? 'left' : 'failed', member: recordOf(member), verdict })
  }

  /** Queues a message that others are to have soon. */
  #spread(message: Alive | Suspect | Dead): void {
    this.#state.broadcasts.add(message.node, message)
    this.#state.isUrgent = true
  }

  /** This member's own incarnation is above this one from now on. */
  #raise(incarnation: number, now: number): void {
    const { self, table } = this.#state
    table.set(self, Math.min(incarnation + 1, MAX_INCARNATION), self.state, now)
  }

  // ---- refuting ----

  /** Contradicts, by an incarnation above what was said; and takes it as a sign that this member is slow. */
  #refute(accusation: 'suspect' | 'dead' | 'alive', incarnation: number, by: string, now: number): void {
    const { self, awareness } = this.#state
    this.#raise(Math.max(self.incarnation, incarnation), now)
    awareness.apply(1)
    this.#spread(aliveMessage(self))
    this.#state.emit({ type: 'refuted', accusation, by, incarnation: self.incarnation })
  }
}

function canBeRefuted(incarnation: number): boolean {
  return incarnation < MAX_INCARNATION
}

function sameVersions(a: ProtocolVersions | undefined, b: ProtocolVersions | undefined): boolean {
  if (a === undefined || b === undefined) return a === b
  return a.every((version, index) => version === b[index])
}

function verdictOf(
  { node, incarnation, from }: Suspect | Dead,
  state: Verdict['state'],
  source: VerdictSource,
  suspicion: Suspicion | undefined,
  now: number,
): Verdict {
  return {
    about: node,
    state,
    incarnation,
    from,
    source,
    at: now,
    accusers: suspicion?.accusers ?? [],
    grounds: suspicion?.grounds,
    timeoutMs: suspicion?.timeoutMs,
    probe: suspicion?.probe,
  }
}
