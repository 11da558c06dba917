/**
 * One node on a fake membership, that hears what it says itself. A query is acknowledged by every live member that it is for, and answered
 * by those that have an answer.
 */
import type { Finding } from '../diagnosis.ts'
import { fail } from '../../errors.ts'
import type {
  DoctorReport,
  EventOptions,
  EventReport,
  Examination,
  GossipMember,
  KeyReport,
  MemberEvent,
  QueryOptions,
  QueryReply,
} from '../gossip.ts'
import type { Member } from '../../membership/member.ts'
import type { Membership } from '../../membership/membership.ts'
import { FakeNodeGossip, MAX_BYTES, tooLong } from './fake-node.ts'

export class FakeGossip extends FakeNodeGossip {
  /** By member, what it answers to any query. */
  readonly answers: Map<string, Uint8Array> = new Map()
  readonly forgotten: { name: string; isPrune: boolean }[] = []
  readonly responses: { id: number; payload: Uint8Array }[] = []
  readonly keyCalls: { operation: string; key: string | undefined }[] = []
  /** Members that an event does not reach. */
  missing: string[] = []
  /** Held back until it settles: queries that go on. */
  queryEnd: Promise<void> = Promise.resolve()
  /** Of any target. */
  findings: Finding[] = []
  keyErrors: Record<string, string> = {}
  keyAbsent: string[] = []
  tags: Readonly<Record<string, string>> | undefined
  readonly #membership: Membership
  #time = 0

  constructor(membership: Membership) {
    super()
    this.#membership = membership
  }

  /** How many follow what happens. */
  get followers(): number {
    return this.memberEvents.count + this.stateChanges.count
  }

  override get self(): Member {
    const { self } = this.#membership
    return this.tags === undefined ? self : { ...self, tags: this.tags }
  }

  override members(): Member[] {
    return this.#membership.members()
  }

  override onChange(listener: (member: Member) => void): () => void {
    return this.#membership.onChange(listener)
  }

  override join(addresses: readonly string[]): Promise<number> {
    if (addresses.includes('nobody:1')) return Promise.reject(fail('join-failed', { reason: 'nobody is there' }))
    this.joined.push(...addresses)
    return Promise.resolve(addresses.length)
  }

  override leave(): Promise<void> {
    return this.#membership.leave()
  }

  override start(): Promise<{ gossipPort: number }> {
    return this.#membership.start()
  }

  override close(): Promise<void> {
    return this.#membership.close()
  }

  override gossipMembers(): GossipMember[] {
    return this.members().map(({ name, address, gossipPort, tags, status, incarnation }) => ({
      name,
      address,
      port: gossipPort,
      tags,
      status: status === 'left' ? 'left' : status === 'dead' ? 'failed' : 'alive',
      isSuspect: status === 'suspect',
      incarnation,
      versions: [1, 5, 2, 2, 5, 4],
      isPolycast: true,
      changedAt: 1_700_000_000_000,
      lastRttMs: name === this.self.name ? undefined : 1.25,
    }))
  }

  tellMember(change: MemberEvent['change'], name: string): void {
    const member = this.gossipMembers().find((one) => one.name === name)
    if (member !== undefined) this.memberEvents.call({ change, member, verdict: this.verdicts.get(name) })
  }

  override async setTags(tags: Readonly<Record<string, string>>): Promise<void> {
    this.tags = tags
  }

  override async forget(name: string, { isPrune }: { readonly isPrune: boolean }): Promise<void> {
    this.forgotten.push({ name, isPrune })
  }

  override async event(name: string, payload: Uint8Array, options: EventOptions = {}): Promise<EventReport | undefined> {
    if (payload.length > MAX_BYTES) throw tooLong('event', payload.length, MAX_BYTES)
    this.events.call({ name, payload, time: ++this.#time, canCoalesce: options.canCoalesce === true })
    const of = this.members().length
    return options.wantsReport === true ? { reached: of - this.missing.length, of, missing: this.missing } : undefined
  }

  override async query(
    name: string,
    payload: Uint8Array,
    options: QueryOptions,
    onReply: (reply: QueryReply) => void,
    signal?: AbortSignal,
  ): Promise<{ acks: number; responses: number }> {
    if (payload.length > MAX_BYTES) throw tooLong('query', payload.length, MAX_BYTES)
    this.queries.push({ name, payload, options })
    const meant = this.members().filter((member) => member.status === 'alive' && isMeant(options, member))
    const answering = meant.filter((member) => this.answers.has(member.name))
    if (options.wantsAck === true) for (const member of meant) onReply({ type: 'ack', from: member.name })
    for (const member of answering)
      onReply({ type: 'response', from: member.name, payload: this.answers.get(member.name) ?? new Uint8Array() })
    await Promise.race([this.queryEnd, new Promise((resolve) => signal?.addEventListener('abort', resolve))])
    return { acks: options.wantsAck === true ? meant.length : 0, responses: answering.length }
  }

  override async respond(id: number, payload: Uint8Array): Promise<void> {
    this.responses.push({ id, payload })
  }

  override async keys(operation: 'install' | 'use' | 'remove' | 'list', key?: Uint8Array): Promise<KeyReport> {
    const text = key === undefined ? undefined : Buffer.from(key).toString('base64')
    this.keyCalls.push({ operation, key: text })
    const members = this.members().length
    const known = { [Buffer.alloc(32, 1).toString('base64')]: members }
    return {
      members,
      responses: members,
      errors: Object.keys(this.keyErrors).length,
      absent: this.keyAbsent,
      messages: this.keyErrors,
      keys: known,
      primaryKeys: known,
    }
  }

  override async doctor(target?: string): Promise<DoctorReport> {
    const { name, address, gossipPort } = this.self
    const examined: Examination[] = [{ name, address: `${address}:${gossipPort}`, status: 'self', findings: [] }]
    if (target !== undefined) examined.push({ name: target, address: target, status: 'unknown', findings: this.findings })
    return { node: name, examined, skipped: 0, multicast: undefined }
  }
}

function isMeant({ filters = [] }: QueryOptions, { name, tags }: Member): boolean {
  return filters.every((filter) => {
    if (filter.type === 'nodes') return filter.nodes.includes(name)
    return filter.type === 'tag' && new RegExp(filter.expression).test(tags[filter.tag] ?? '')
  })
}
