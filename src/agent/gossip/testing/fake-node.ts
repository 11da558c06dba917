/**
 * What every gossip of the tests has, in memory: listeners of each kind, the state of nodes, what was asked of it, for tests to look at. Tests
 * say what happens by the listeners of each kind. Who is there, and what becomes of events, queries and keys, is the matter of the two
 * that are made of it: one node on a fake membership (fake-gossip.ts), and several in a cluster (fake-gossip-cluster.ts).
 */
import type { Coordinate } from '../../../core/gossip/serf-messages.ts'
import type { Verdict } from '../../../core/gossip/verdict.ts'
import { fail } from '../../errors.ts'
import { Listeners } from '../../listeners.ts'
import type { Member } from '../../membership/member.ts'
import type {
  DoctorReport,
  EventOptions,
  EventReport,
  Gossip,
  GossipMember,
  IncomingQuery,
  KeyReport,
  LostEvent,
  MemberEvent,
  QueryOptions,
  QueryReply,
  StateChange,
  UserEventRecord,
} from '../gossip.ts'

/** A value, and name and payload of an event, have no more bytes. */
export const MAX_BYTES = 512

export abstract class FakeNodeGossip implements Gossip {
  readonly memberEvents: Listeners<MemberEvent> = new Listeners()
  readonly events: Listeners<UserEventRecord> = new Listeners()
  readonly lostEvents: Listeners<LostEvent> = new Listeners()
  readonly incomingQueries: Listeners<IncomingQuery> = new Listeners()
  readonly stateChanges: Listeners<StateChange> = new Listeners()
  readonly verdicts: Map<string, Verdict> = new Map()
  readonly coordinates: Map<string, Coordinate> = new Map()
  /** By node. */
  readonly states: Map<string, Map<string, Uint8Array>> = new Map()
  /** Addresses that it was told to join. */
  readonly joined: string[] = []
  readonly queries: { name: string; payload: Uint8Array; options: QueryOptions }[] = []
  #stateVersion = 0

  abstract readonly self: Member
  abstract members(): Member[]
  abstract gossipMembers(): GossipMember[]
  abstract onChange(listener: (member: Member) => void): () => void
  abstract join(addresses: readonly string[]): Promise<number>
  abstract leave(): Promise<void>
  abstract start(): Promise<{ gossipPort: number }>
  abstract close(): Promise<void>
  abstract setTags(tags: Readonly<Record<string, string>>): Promise<void>
  abstract forget(name: string, options: { readonly isPrune: boolean }): Promise<void>
  abstract event(name: string, payload: Uint8Array, options?: EventOptions): Promise<EventReport | undefined>
  abstract query(
    name: string,
    payload: Uint8Array,
    options: QueryOptions,
    onReply: (reply: QueryReply) => void,
    signal?: AbortSignal,
  ): Promise<{ acks: number; responses: number }>
  abstract respond(id: number, payload: Uint8Array): Promise<void>
  abstract keys(operation: 'install' | 'use' | 'remove' | 'list', key?: Uint8Array): Promise<KeyReport>

  /** Those who follow what happens to members, events and queries. */
  get listenerCount(): number {
    return this.memberEvents.count + this.events.count + this.incomingQueries.count
  }

  onConflict(): () => void {
    return () => undefined
  }

  onMemberEvent(listener: (event: MemberEvent) => void): () => void {
    return this.memberEvents.add(listener)
  }

  onEvent(listener: (event: UserEventRecord) => void): () => void {
    return this.events.add(listener)
  }

  onLostEvent(listener: (event: LostEvent) => void): () => void {
    return this.lostEvents.add(listener)
  }

  onQuery(listener: (query: IncomingQuery) => void): () => void {
    return this.incomingQueries.add(listener)
  }

  onState(listener: (change: StateChange) => void): () => void {
    return this.stateChanges.add(listener)
  }

  async explain(name: string): Promise<Verdict | undefined> {
    return this.verdicts.get(name)
  }

  async state(node: string): Promise<ReadonlyMap<string, Uint8Array>> {
    return new Map(this.states.get(node))
  }

  async setState(key: string, value: Uint8Array, _ttlMs?: number): Promise<void> {
    if (value.length > MAX_BYTES) throw tooLong('value', value.length, MAX_BYTES)
    const node = this.self.name
    const own = this.states.get(node) ?? new Map<string, Uint8Array>()
    this.states.set(node, own.set(key, value))
    this.stateChanges.call({ node, key, value, generation: 1, version: ++this.#stateVersion })
  }

  async removeState(key: string): Promise<void> {
    const node = this.self.name
    this.states.get(node)?.delete(key)
    this.stateChanges.call({ node, key, value: undefined, generation: 1, version: ++this.#stateVersion })
  }

  async coordinate(name: string = this.self.name): Promise<Coordinate | undefined> {
    return this.coordinates.get(name)
  }

  async doctor(_target?: string): Promise<DoctorReport> {
    return { node: this.self.name, examined: [], skipped: 0, multicast: undefined }
  }

  async gossipStats(): Promise<Record<string, number>> {
    return {}
  }
}

/** As gossip refuses it. */
export function tooLong(what: string, bytes: number, most: number): Error {
  return fail('bad-request', { reason: `the ${what} has ${bytes} bytes, and ${most} is the most` })
}
