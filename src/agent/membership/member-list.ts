/**
 * The membership as a list that the agents keep among themselves (docs/specs/03-membership-list.md), until gossip takes its place
 * behind the same interface. Meant for hundreds of members: every change goes to every member over TCP.
 *
 * A node links to those that it was told to join and to a few others at random, so that no single member holds the cluster
 * together. Over a link go a sign of life with each heartbeat and every record that is news. Who loses a link suspects the member
 * at its other end; a suspected member that hears of it contradicts with a higher incarnation, one that doesn't is dead after a
 * while. Members that no link leads to are probed, one at random at a time, so that nobody's end goes unseen.
 */

import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { formatAddress, parseAddress } from '../addresses.ts'
import { systemClock } from '../clock.ts'
import { fail, fromErrno } from '../errors.ts'
import { Dialer, targetAt, targetOf } from './dialer.ts'
import { Link } from './link.ts'
import { PROTOCOL, toMember } from './messages.ts'
import { DEFAULT_GOSSIP_PORT, DEFAULT_LIMITS } from './member-list-options.ts'
import { NameCheck } from './name-check.ts'
import { Roster, isLive } from './roster.ts'
import { Self } from './self.ts'
import type { Server, Socket } from 'node:net'
import type { Clock } from '../clock.ts'
import type { PolycastError } from '../errors.ts'
import type { Outcome, Target } from './dialer.ts'
import type { Member } from './member.ts'
import type { MemberListLimits, MemberListOptions, RefusalReason } from './member-list-options.ts'
import type { Membership } from './membership.ts'
import type { MemberRecord, Message } from './messages.ts'

/** Links that a node keeps up where there are so many members. */
const WANTED_LINKS = 4

/** The membership of one node. */
export class MemberList implements Membership {
  readonly #options: MemberListOptions
  readonly #limits: MemberListLimits
  readonly #clock: Clock
  readonly #random: () => number
  readonly #self: Self
  readonly #roster: Roster
  readonly #server: Server
  /** Every connection that is open, greeted or not. */
  readonly #links = new Set<Link>()
  readonly #openedAt = new Map<Link, number>()
  readonly #linkOf = new Map<string, Link>()
  readonly #joinTargets = new Map<string, Target>()
  readonly #dialer: Dialer
  readonly #nameCheck: NameCheck
  readonly #reportedInstances = new Set<string>()
  readonly #changeListeners = new Set<(member: Member) => void>()
  readonly #conflictListeners = new Set<(error: PolycastError) => void>()
  #onEmpty: (() => void) | undefined
  #cancelTick: (() => void) | undefined
  #lastTickAt = 0
  #nextProbeAt = 0
  #nextReviveAt = 0
  #state: 'new' | 'running' | 'leaving' | 'closed' = 'new'

  constructor(options: MemberListOptions) {
    this.#options = options
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits }
    this.#clock = options.clock ?? systemClock
    this.#random = options.random ?? Math.random
    this.#roster = new Roster({ ...options, maxMembers: this.#limits.maxMembers })
    this.#self = new Self({
      name: options.name,
      address: options.advertise ?? options.bind,
      gossipPort: options.gossipPort,
      swarmPort: options.swarmPort,
      tags: options.tags,
      instance: randomBytes(16).toString('hex'),
      startedAt: this.#clock.now(),
    })
    this.#dialer = new Dialer({
      clock: this.#clock,
      random: this.#random,
      dialTimeoutMs: options.dialTimeoutMs,
      redialMinMs: options.heartbeatIntervalMs,
      redialMaxMs: options.redialMaxMs,
      open: (socket, target) => this.#greetAt(socket, target),
      onOutcome: (target, outcome) => this.#onDialed(target, outcome),
    })
    this.#nameCheck = new NameCheck(this.#limits.maxVerifying, options.dialTimeoutMs / 2, this.#clock)
    this.#server = createServer((socket) => this.#accept(socket))
  }

  get self(): Member {
    return toMember(this.#self.record)
  }

  /** Links to other members that are established. */
  get linkCount(): number {
    return this.#linkOf.size
  }

  members(): Member[] {
    const all = [this.#self.record, ...this.#roster.records()].map(toMember)
    return all.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  onChange(listener: (member: Member) => void): () => void {
    this.#changeListeners.add(listener)
    return () => this.#changeListeners.delete(listener)
  }

  onConflict(listener: (error: PolycastError) => void): () => void {
    this.#conflictListeners.add(listener)
    return () => this.#conflictListeners.delete(listener)
  }

  async start(): Promise<{ gossipPort: number }> {
    const { bind, gossipPort } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => {
        reject(fromErrno(error, { doing: 'listen', address: formatAddress(bind, gossipPort), purpose: 'gossip' }))
      })
      this.#server.listen(gossipPort, bind, () => resolve())
    })
    this.#server.removeAllListeners('error')
    this.#server.on('error', (error) => this.#options.log?.error({ err: error }, 'the gossip port failed'))
    const address = this.#server.address()
    if (address !== null && typeof address === 'object') this.#self.listensAt(address.port)
    this.#state = 'running'
    this.#lastTickAt = this.#clock.now()
    this.#cancelTick = this.#clock.schedule(this.#options.heartbeatIntervalMs, () => this.#tick())
    return { gossipPort: this.#self.record.gossipPort }
  }

  async join(addresses: readonly string[]): Promise<number> {
    const targets = addresses.map((text) => {
      const address = parseAddress(text, DEFAULT_GOSSIP_PORT)
      if (address === undefined) throw fail('join-failed', { reason: `"${text}" is no address: it is to be HOST or HOST:PORT` })
      return targetAt(address.host, address.port)
    })
    for (const target of targets) if (!this.#joinTargets.has(target.key)) this.#joinTargets.set(target.key, target)
    const outcomes = await Promise.all(targets.map((target) => this.#dialer.dial(this.#joinTargets.get(target.key) ?? target)))
    for (const outcome of outcomes) if (outcome.kind === 'conflict') throw this.#conflict(outcome.address)
    const joined = outcomes.filter((outcome) => outcome.kind === 'linked').length
    const failures = outcomes.flatMap((outcome, index) =>
      outcome.kind === 'failed' ? [`${targets[index]?.key ?? ''}: ${outcome.reason}`] : [],
    )
    if (joined === 0 && failures.length > 0) throw fail('join-failed', { reason: failures.join('; ') })
    return joined
  }

  async leave(): Promise<void> {
    if (this.#state !== 'running') return this.close()
    this.#state = 'leaving'
    this.#self.leave()
    this.#emit(this.#self.record)
    const everyoneKnows = new Promise<void>((resolve) => {
      this.#onEmpty = resolve
    })
    const cancel = this.#clock.schedule(this.#options.dialTimeoutMs, () => this.#onEmpty?.())
    for (const link of this.#links) {
      if (link.member === undefined) link.destroy('this node leaves')
      link.sendRecords([this.#self.record])
      link.bye('left', 'this node leaves')
    }
    if (this.#links.size > 0) await everyoneKnows
    cancel()
    await this.close()
  }

  async close(): Promise<void> {
    if (this.#state === 'closed') return
    const wasListening = this.#state !== 'new'
    this.#state = 'closed'
    this.#dialer.stop()
    this.#cancelTick?.()
    for (const link of this.#links) link.destroy('this node closes')
    if (wasListening) await new Promise<void>((resolve) => this.#server.close(() => resolve()))
  }

  // Connections.

  #accept(socket: Socket): void {
    const pending = [...this.#links].filter((link) => link.direction === 'in' && link.member === undefined).length
    if (this.#state !== 'running' || pending >= this.#limits.maxPending) {
      this.#refused('connections')
      socket.on('error', () => socket.destroy())
      socket.destroy()
      return
    }
    this.#open(socket, 'in', formatAddress(socket.remoteAddress ?? '?', socket.remotePort ?? 0))
  }

  #open(socket: Socket, direction: 'in' | 'out', remote: string): Link {
    const events = {
      onMessage: (link: Link, message: Message) => this.#onMessage(link, message),
      onClosed: (link: Link, reason: string) => this.#onClosed(link, reason),
      isKnown: (record: Readonly<Record<string, unknown>>) => this.#isKnown(record),
      onRefused: (reason: RefusalReason) => this.#refused(reason),
    }
    const link = new Link(socket, direction, remote, events, this.#limits, () => this.#clock.now())
    this.#links.add(link)
    this.#openedAt.set(link, this.#clock.now())
    return link
  }

  #greetAt(socket: Socket, target: Target): Link {
    const link = this.#open(socket, 'out', target.key)
    socket.once('connect', () => link.send({ type: 'hello', protocol: PROTOCOL, member: copyOf(this.#self.record) }))
    return link
  }

  #onDialed(target: Target, outcome: Outcome): void {
    if (outcome.kind === 'self') this.#joinTargets.delete(target.key)
    if (outcome.kind === 'conflict') this.#reportConflict(outcome.address, outcome.address)
    if (outcome.kind !== 'failed') return
    this.#options.log?.debug({ address: target.key, reason: outcome.reason }, 'a member cannot be reached')
    for (const record of this.#roster.records()) {
      if (keyOf(record) === target.key && !this.#linkOf.has(record.name)) this.#suspect(record, outcome.reason)
    }
  }

  #onClosed(link: Link, reason: string): void {
    this.#links.delete(link)
    this.#openedAt.delete(link)
    if (this.#links.size === 0) this.#onEmpty?.()
    this.#dialer.settle(link, this.#outcomeOf(link, reason))
    const record = link.member
    if (record === undefined || this.#linkOf.get(record.name) !== link) return
    this.#linkOf.delete(record.name)
    const said = link.farewell?.reason
    if (this.#state !== 'running' || said === 'left' || said === 'duplicate') return
    const known = this.#roster.get(record.name)
    if (known?.instance !== record.instance || !isLive(known.status)) return
    this.#suspect(known, reason)
    void this.#dialer.dial(targetOf(known))
  }

  #outcomeOf(link: Link, reason: string): Outcome {
    const said = link.farewell
    if (said?.reason === 'self') return { kind: 'self' }
    if (said?.reason === 'name-conflict') return { kind: 'conflict', address: said.text }
    if (said?.reason === 'full' && this.#roster.records().length > 0) return { kind: 'linked' }
    if (link.member !== undefined && this.#linkOf.has(link.member.name)) return { kind: 'linked' }
    return { kind: 'failed', reason: said === undefined ? reason : said.text }
  }

  // Messages.

  #onMessage(link: Link, message: Message): void {
    const isFirst = !link.isGreeted
    link.isGreeted = true
    if (isFirst && message.type === 'hello' && link.direction === 'in') void this.#greet(link, message)
    else if (isFirst && message.type === 'who' && link.direction === 'in') {
      link.send({ type: 'iam', name: this.#self.record.name, instance: this.#self.record.instance })
      link.end('asked who is here')
    } else if (isFirst && message.type === 'welcome' && link.direction === 'out') this.#welcomed(link, message)
    else if (message.type === 'bye') {
      link.farewell = message
      link.end(message.text)
    } else if (message.type === 'members' && (link.direction === 'out' || link.member !== undefined)) {
      for (const record of message.members) this.#take(record, link)
    } else if (message.type === 'synced' && link.member !== undefined) this.#dialer.settle(link, { kind: 'linked' })
    else if (message.type !== 'ping' || link.member === undefined) {
      this.#refused('protocol')
      link.bye('protocol', `the message ${message.type} has no place here`)
    }
  }

  async #greet(link: Link, { protocol, member }: Extract<Message, { type: 'hello' }>): Promise<void> {
    const own = this.#self.record
    if (protocol !== PROTOCOL) return link.bye('protocol', `this agent speaks version ${PROTOCOL} of the protocol, not ${protocol}`)
    if (member.status !== 'alive') return link.bye('protocol', 'an agent that greets is alive')
    if (member.instance === own.instance) return link.bye('self', 'it is this very agent')
    if (member.name === own.name) return this.#refuseName(link, member, keyOf(own))
    const known = this.#roster.get(member.name)
    if (known !== undefined && known.instance !== member.instance && isLive(known.status) && keyOf(known) !== keyOf(member)) {
      const isThere = await this.#nameCheck.isThere(known)
      if (isThere === undefined) return link.bye('full', 'busy with others; try again')
      if (isThere) return this.#refuseName(link, member, keyOf(known))
      if (!link.isOpen || this.#state !== 'running') return
    }
    if (this.#linkOf.size >= this.#limits.maxLinks && !this.#linkOf.has(member.name)) {
      this.#refused('connections')
      const others = [own, ...this.#roster.records().filter((record) => isLive(record.status))]
      link.sendRecords(this.#pick(others, 32))
      return link.bye('full', 'this agent has as many links as it takes')
    }
    link.send({ type: 'welcome', protocol: PROTOCOL, member: copyOf(own) })
    this.#establish(link, member)
  }

  #welcomed(link: Link, { protocol, member }: Extract<Message, { type: 'welcome' }>): void {
    if (protocol !== PROTOCOL) return link.bye('protocol', `this agent speaks version ${PROTOCOL} of the protocol, not ${protocol}`)
    if (member.name === this.#self.record.name) return link.bye('self', 'an agent does not link to its own name')
    const target = this.#dialer.targetOf(link)
    if (target !== undefined) target.memberName = member.name
    this.#establish(link, member)
  }

  #establish(link: Link, record: MemberRecord): void {
    link.member = record
    const existing = this.#linkOf.get(record.name)
    if (existing?.isOpen === true && this.#keeps(existing, link)) return link.bye('duplicate', 'there is a link already')
    this.#linkOf.set(record.name, link)
    existing?.bye('duplicate', 'a newer link takes its place')
    this.#options.log?.debug({ member: record.name, address: link.remote, direction: link.direction }, 'linked')
    this.#take(record, link)
    link.sendRecords([this.#self.record, ...this.#roster.records()])
    link.send({ type: 'synced' })
  }

  /** Two links between the same two: both sides keep the one that was dialed by the smaller name; of two in one direction, the newer. */
  #keeps(existing: Link, link: Link): boolean {
    if (existing.member?.instance !== link.member?.instance || existing.direction === link.direction) return false
    const isSmaller = this.#self.record.name < (link.member?.name ?? '')
    return (existing.direction === 'out') === isSmaller
  }

  // Records.

  #take(record: MemberRecord, from: Link | undefined): void {
    if (record.name === this.#self.record.name) return this.#hear(record)
    const verdict = this.#roster.apply(record, this.#clock.now())
    if (verdict === 'full') this.#refused('members')
    if (verdict !== 'newer') return
    this.#emit(record)
    this.#spread(record, from)
  }

  #isKnown({ name, instance, incarnation, status }: Readonly<Record<string, unknown>>): boolean {
    const own = this.#self.record
    const known = name === own.name ? own : this.#roster.get(String(name))
    if (known === undefined || typeof incarnation !== 'number') return false
    return incarnation < known.incarnation || (incarnation === known.incarnation && status === known.status && instance === known.instance)
  }

  #spread(record: MemberRecord, except?: Link): void {
    for (const link of this.#linkOf.values()) if (link !== except) link.queue(record)
  }

  #suspect(record: MemberRecord, reason: string): void {
    if (record.status !== 'alive' || this.#state !== 'running') return
    this.#options.log?.info({ member: record.name, reason }, 'a member is suspected')
    this.#take({ ...record, status: 'suspect' }, undefined)
  }

  #hear(record: MemberRecord): void {
    const judgement = this.#self.judge(record)
    if (judgement === 'contradict') this.#riseAbove(record.incarnation)
    if (judgement !== 'verify') return
    void this.#nameCheck.isThere(record).then((isThere) => {
      if (this.#state !== 'running' || isThere === undefined) return
      if (isThere) this.#reportConflict(record.instance, keyOf(record))
      // Against a live agent, only the one that started first insists: both doing so would never end.
      if (!isThere || this.#self.keepsNameAgainst(record)) this.#riseAbove(record.incarnation)
    })
  }

  /** Contradicts what was said of this node at that incarnation. */
  #riseAbove(incarnation: number): void {
    if (!this.#self.riseAbove(incarnation)) return
    this.#emit(this.#self.record)
    this.#spread(this.#self.record)
  }

  #refuseName(link: Link, member: MemberRecord, holder: string): void {
    this.#refused('name-conflict')
    this.#options.log?.warn({ member: member.name, refused: link.remote, holder }, 'an agent was refused: its name belongs to a live one')
    link.bye('name-conflict', holder)
  }

  #conflict(address: string): PolycastError {
    return fail('name-conflict', { name: this.#self.record.name, address })
  }

  #reportConflict(instance: string, address: string): void {
    if (this.#reportedInstances.has(instance) || this.#reportedInstances.size >= 1000) return
    this.#reportedInstances.add(instance)
    const error = this.#conflict(address)
    this.#options.log?.error({ err: error }, error.message)
    for (const listener of this.#conflictListeners) listener(error)
  }

  #emit(record: MemberRecord): void {
    const member = toMember(record)
    for (const listener of this.#changeListeners) listener(member)
  }

  #refused(reason: RefusalReason): void {
    this.#options.onRefused?.(reason)
  }

  // Time.

  #tick(): void {
    const { heartbeatIntervalMs, suspectTimeoutMs, dialTimeoutMs } = this.#options
    const now = this.#clock.now()
    this.#cancelTick = this.#clock.schedule(heartbeatIntervalMs, () => this.#tick())
    const lateMs = now - this.#lastTickAt - heartbeatIntervalMs
    this.#lastTickAt = now
    // This process stood still: the silence was its own, and what others have sent meanwhile is read after this.
    if (lateMs > suspectTimeoutMs / 2) {
      this.#roster.postpone(lateMs)
      for (const link of this.#links) link.lastHeardAt = Math.min(now, link.lastHeardAt + lateMs)
      for (const [link, openedAt] of this.#openedAt) this.#openedAt.set(link, openedAt + lateMs)
    }
    for (const link of this.#links) {
      link.refill()
      const isEstablished = link.isOpen && link.member !== undefined
      if (isEstablished && now - link.lastHeardAt >= suspectTimeoutMs) link.destroy(`no sign of life for ${now - link.lastHeardAt} ms`)
      else if (isEstablished) link.send({ type: 'ping' })
      else if (now - Math.max(link.lastHeardAt, this.#openedAt.get(link) ?? 0) >= dialTimeoutMs) link.destroy('it did not greet in time')
    }
    for (const record of this.#roster.expire(now)) {
      this.#options.log?.info({ member: record.name }, 'a member is dead')
      this.#emit(record)
      this.#spread(record)
    }
    this.#keepLinks(now)
    this.#probe(now)
  }

  #keepLinks(now: number): void {
    for (const target of this.#joinTargets.values()) {
      const isLinked = target.memberName !== undefined && this.#linkOf.has(target.memberName)
      if (!isLinked && this.#dialer.isDue(target.key, now)) void this.#dialer.dial(target)
    }
    const live = this.#roster.records().filter((record) => isLive(record.status))
    const missing = Math.min(WANTED_LINKS, live.length) - this.#linkOf.size - this.#dialer.size
    const candidates = live.filter((record) => !this.#linkOf.has(record.name) && this.#dialer.isDue(keyOf(record), now))
    for (const record of this.#pick(candidates, missing)) void this.#dialer.dial(targetOf(record))
    // After a partition the members of the other side are dead here: one of them answering brings all back.
    if (now < this.#nextReviveAt) return
    this.#nextReviveAt = now + this.#options.redialMaxMs
    const dead = this.#roster.records().filter((record) => record.status === 'dead')
    for (const record of this.#pick(dead, 1)) void this.#dialer.dial(targetOf(record))
    this.#dialer.prune(this.#limits.maxMembers)
  }

  #probe(now: number): void {
    if (now < this.#nextProbeAt) return
    this.#nextProbeAt = now + this.#options.suspectTimeoutMs
    const unlinked = this.#roster.records().filter((record) => record.status === 'alive' && !this.#linkOf.has(record.name))
    for (const record of this.#pick(unlinked, 1)) {
      void this.#nameCheck.isThere(record).then((isThere) => {
        const known = this.#roster.get(record.name)
        if (isThere === false && known?.instance === record.instance) this.#suspect(known, 'it did not answer a probe')
      })
    }
  }

  #pick<T>(from: readonly T[], count: number): T[] {
    const rest = [...from]
    const picked: T[] = []
    while (picked.length < count && rest.length > 0) picked.push(...rest.splice(Math.floor(this.#random() * rest.length), 1))
    return picked
  }
}

function keyOf(record: MemberRecord): string {
  return formatAddress(record.address, record.gossipPort)
}

/** The record as a message takes it. */
function copyOf(record: MemberRecord): MemberRecord & { tags: Record<string, string> } {
  return { ...record, tags: { ...record.tags } }
}
