/**
 * What the parts of a `SerfMachine` share: clocks, the table of members, the queues, and the list of outputs. It decides nothing about
 * members; it knows how messages of this layer go out.
 */
import { assert } from '../../lib/assert.ts'
import type { Random } from '../../lib/random.ts'
import { decodeTags, encodeSerfMessage, MAX_EVENT_SLOTS } from '../serf-codec.ts'
import type { Endpoint, MemberRecord, MemberState, User } from '../messages.ts'
import type { SerfMessage } from '../serf-messages.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { sameEndpoint } from '../endpoint.ts'
import { LamportClock } from './lamport.ts'
import { SERF_TIMES, type SerfTimes } from './serf-profile.ts'
import { SerfQueues } from './serf-queues.ts'
import {
  DEFAULT_SERF_LIMITS,
  type MemberChange,
  type SerfLimits,
  type SerfMember,
  type SerfOptions,
  type SerfOutput,
  type SerfStatus,
} from './serf-types.ts'
import { aliveLine, isLineSafe } from './snapshot.ts'
import type { Verdict } from '../verdict.ts'

/** A member in the table. */
export type Entry = { -readonly [Key in keyof SerfMember]: SerfMember[Key] } & {
  /** When it is to be forgotten because somebody wants it so; Infinity for never. */
  pruneAt: number
  /** Why it is thought to be gone. */
  verdict: Verdict | undefined
}

const NO_TAGS: ReadonlyMap<string, string> = new Map()

export class SerfState {
  readonly options: SerfOptions
  readonly limits: SerfLimits
  readonly times: SerfTimes
  readonly random: Random
  readonly memberClock: LamportClock = new LamportClock()
  readonly eventClock: LamportClock = new LamportClock()
  readonly queryClock: LamportClock = new LamportClock()
  readonly queues: SerfQueues
  readonly members: Map<string, Entry> = new Map()
  readonly self: Entry
  isLeaving = false
  refusedMessages = 0
  /** Alive members that understand gossip alone; undefined when they are to be counted again. */
  #hasForeigners: boolean | undefined
  #outputs: SerfOutput[] = []

  constructor(options: SerfOptions, now: number) {
    const { node, endpoint, tags, versions, random, messageBytes } = options
    this.options = options
    this.limits = { ...DEFAULT_SERF_LIMITS, ...options.serfLimits }
    assert(this.limits.eventBuffer <= MAX_EVENT_SLOTS && this.limits.maxEventsAtOnce <= 1024, 'no more events than others take of a state')
    this.times = { ...SERF_TIMES, ...options.times }
    this.random = random.fork('serf')
    this.queues = new SerfQueues(messageBytes, this.limits.maxQueued)
    this.self = {
      name: node,
      address: endpoint.address,
      port: endpoint.port,
      tags,
      status: 'alive',
      isSuspect: false,
      incarnation: 1,
      versions,
      statusTime: 0,
      changedAt: now,
      lastRttMs: undefined,
      pruneAt: Infinity,
      verdict: undefined,
    }
    this.members.set(node, this.self)
    this.#know(options.members?.records ?? [], now)
  }

  /** Takes those that are known from the start; nothing is said of them. */
  #know(records: readonly MemberRecord[], now: number): void {
    for (const record of records) {
      if (record.node === this.self.name) continue
      const entry = newEntry(record, now)
      entry.tags = readTags(record.meta)
      entry.status = KNOWN_STATUS[record.state]
      this.members.set(record.node, entry)
    }
  }

  emit(output: SerfOutput): void {
    this.#outputs.push(output)
  }

  drain(): SerfOutput[] {
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  /** Says that a member is other than before, and counts anew who understands what. */
  changed(change: MemberChange, entry: Entry, verdict?: Verdict): void {
    this.#hasForeigners = undefined
    if (change === 'joined' || change === 'cleared') entry.verdict = undefined
    else entry.verdict = verdict ?? entry.verdict
    this.emit({ type: 'member', change, member: memberOf(entry), verdict })
    if (entry === this.self || !isLineSafe(entry.name)) return
    if (change === 'joined') this.emit({ type: 'snapshot', line: aliveLine(entry.name, entry) })
    if (change === 'left' || change === 'failed') this.emit({ type: 'snapshot', line: `not-alive: ${entry.name}` })
  }

  hasAliveOthers(): boolean {
    for (const entry of this.members.values()) if (entry !== this.self && entry.status === 'alive') return true
    return false
  }

  /** Whether an alive member understands no other way of spreading than gossip. */
  hasForeigners(): boolean {
    const { isPolycast } = this.options
    this.#hasForeigners ??= [...this.members.values()].some(
      (entry) => entry !== this.self && (entry.status === 'alive' || entry.status === 'leaving') && isPolycast?.(memberOf(entry)) !== true,
    )
    return this.#hasForeigners
  }

  /** Whether a member understands more than Serf. */
  isPeer(name: string): boolean {
    const entry = this.members.get(name)
    return entry !== undefined && this.options.isPolycast?.(memberOf(entry)) === true
  }

  isOwnEndpoint(endpoint: Endpoint): boolean {
    return sameEndpoint(this.options.endpoint, endpoint)
  }

  /** Whether a user message with these bytes goes into a packet. */
  fitsPacket(bytes: Uint8Array): boolean {
    return this.options.messageBytes({ type: 'user', bytes }) <= this.options.packetBytes
  }

  /** Sends bytes of this layer to one member. */
  sendUser(to: Endpoint, node: string | undefined, bytes: Uint8Array): void {
    const message: User = { type: 'user', bytes }
    if (this.fitsPacket(bytes)) this.emit({ type: 'send', to, node, messages: [message] })
    else this.emit({ type: 'send-stream', to, node, message })
  }

  /** Queues an intent about a member for all. */
  spreadIntent(about: string, message: SerfMessage): void {
    this.queues.intents.add(about, { type: 'user', bytes: encodeSerfMessage(message) })
  }
}

/** A copy of an entry, for those outside. */
export function memberOf(entry: Entry): SerfMember {
  const { pruneAt: _pruneAt, verdict: _verdict, ...member } = entry
  return member
}

/** What a member of a snapshot counts as. */
const KNOWN_STATUS: Readonly<Record<MemberState, SerfStatus>> = { alive: 'alive', suspect: 'alive', dead: 'failed', left: 'left' }

/** A member that was not known, before anything is known of its tags and intents. */
export function newEntry({ node, address, port, incarnation, versions }: MemberRecord, now: number): Entry {
  return {
    name: node,
    address,
    port,
    tags: NO_TAGS,
    status: 'alive',
    isSuspect: false,
    incarnation,
    versions,
    statusTime: 0,
    changedAt: now,
    lastRttMs: undefined,
    pruneAt: Infinity,
    verdict: undefined,
  }
}

/** A member as the membership machine tells of it; meta that cannot be read is no tags. */
export function takeRecord(entry: Entry, { address, port, meta, incarnation, versions }: MemberRecord): void {
  entry.address = address
  entry.port = port
  entry.tags = readTags(meta)
  entry.incarnation = incarnation
  entry.versions = versions
}

/** What was read already: the membership machine keeps meta that is the same once, so that the tags of most members are kept once too. */
const TAGS_OF: WeakMap<Uint8Array, ReadonlyMap<string, string>> = new WeakMap()

function readTags(meta: Uint8Array): ReadonlyMap<string, string> {
  const known = TAGS_OF.get(meta)
  if (known !== undefined) return known
  const decoded = decodeTags(meta)
  const tags = isWireError(decoded) ? NO_TAGS : decoded
  TAGS_OF.set(meta, tags)
  return tags
}
