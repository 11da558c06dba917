/**
 * What the Serf layer adds to a push/pull: by which time each member last changed its mind, who has left, the ring of events, and the
 * clocks. docs/specs/04-gossip.md §7.2.
 */
import { isWireError } from '../../wire/wire-error.ts'
import { decodeSerfMessage, encodeSerfMessage } from '../serf-codec.ts'
import type { Events } from './events.ts'
import type { MemberRules } from './member-rules.ts'
import type { SerfState } from './serf-state.ts'

export function encodeUserState(state: SerfState, events: Events): Uint8Array {
  const { members, memberClock, eventClock, queryClock } = state
  const entries = [...members.values()]
  return encodeSerfMessage({
    type: 'push-pull',
    time: memberClock.time,
    statusTimes: new Map(entries.map(({ name, statusTime }) => [name, statusTime])),
    leftMembers: entries.filter(({ status }) => status === 'left').map(({ name }) => name),
    eventTime: eventClock.time,
    events: events.told(),
    queryTime: queryClock.time,
  })
}

/** @param ignoresOldEvents whether what happened before this counts for nothing here */
export function mergeUserState(
  state: SerfState,
  rules: MemberRules,
  events: Events,
  bytes: Uint8Array,
  ignoresOldEvents: boolean,
  now: number,
): void {
  const theirs = decodeSerfMessage(bytes)
  if (isWireError(theirs) || theirs.type !== 'push-pull') return void state.refusedMessages++
  // Their clocks say what comes next: nothing was said by that time yet.
  state.memberClock.witness(theirs.time - 1)
  state.eventClock.witness(theirs.eventTime - 1)
  state.queryClock.witness(theirs.queryTime - 1)
  const left = new Set(theirs.leftMembers)
  for (const node of left) rules.leave({ type: 'leave', time: theirs.statusTimes.get(node) ?? 0, node, isPrune: false }, now)
  for (const [node, time] of theirs.statusTimes) if (!left.has(node)) rules.join({ type: 'join', time, node }, now)
  if (ignoresOldEvents) events.ignoreBefore(theirs.eventTime)
  events.merge(theirs.events)
}
