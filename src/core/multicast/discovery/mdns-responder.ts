/**
 * Says on one link what this host offers (RFC 6762): claims its names, announces its records, answers questions, defends what it has, and
 * takes it back in the end. Not the browser, and no bytes: `mdns-link.ts` puts the two together.
 *
 * Names are claimed by three probes; whoever has a name already answers, and of two that probe at once the one with the later records
 * stays (`probe-contest.ts`). A name that is taken is claimed again as `name (2)`. Answers wait 20 to 120 ms where others may give the
 * same, go out together, leave out what the asker says it knows and what somebody else has just said, and none goes to the group twice
 * within a second. Questions from other ports than mDNS's own come from ordinary resolvers, which are answered directly, as ever.
 *
 * Departures: probes ask for answers to the group, not to this host alone (§8.1 prefers the latter), since the socket of the group does
 * not hear unicast packets where it shares the port with another responder. All names are probed together: one that is lost has the others
 * probed again.
 */
import type { Random } from '../../lib/random.ts'
import { PerSecondLimit } from './per-second-limit.ts'
import { contestProbe } from './probe-contest.ts'
import { DNS_TYPES, dnsMessage, isSameName, nameKey, recordKey } from './dns-message.ts'
import type { DnsMessage, DnsName, DnsQuestion, DnsRecord } from './dns-message.ts'
import { additionalsTo, answersTo, claimedLabel, offerRecords, type Offer, type OfferRecords } from './service-records.ts'

/** Where a packet came from, or goes to. An address of IPv6 has its zone. */
export interface MdnsPeer {
  readonly address: string
  readonly port: number
}

export type ResponderInput =
  | { readonly type: 'message'; readonly message: DnsMessage; readonly from: MdnsPeer }
  /** What this host offers from now on. */
  | { readonly type: 'offer'; readonly offer: Offer }
  /** Takes everything back; nothing is said after that. */
  | { readonly type: 'stop' }

export type ResponderOutput =
  /** To the group, unless there is a peer. */
  | { readonly type: 'send'; readonly message: DnsMessage; readonly to: MdnsPeer | undefined }
  /** Another host of the link has the name. */
  | { readonly type: 'renamed'; readonly from: string; readonly to: string }

export interface ResponderOptions {
  readonly offer: Offer
  readonly random: Random
  /** Whether this very host says this on another link: two of its interfaces may be on one network, and it is not in its own way. */
  readonly isOurs: (record: DnsRecord) => boolean
}

export const MDNS_PORT = 5353
const PROBES = 3
const PROBE_INTERVAL_MS = 250
const LOST_CONTEST_MS = 1000
/** Conflicts within the window, from which on each costs a pause (§8.1). */
const MANY_CONFLICTS = 15
const CONFLICT_WINDOW_MS = 10_000
const CONFLICT_PAUSE_MS = 5000
/** Announcements: the first one, and then after these. */
const ANNOUNCE_PAUSES_MS = [1000, 2000] as const
const MIN_REPEAT_MS = 1000
/** The same where a name is to be defended against a probe. */
const MIN_DEFENCE_REPEAT_MS = 250
const SHARED_DELAY_MS = [20, 120] as const
const TRUNCATED_DELAY_MS = [400, 500] as const
const LEGACY_TTL_SEC = 10
/** Queries in several packets that are waited for; more are answered as they are. */
const MAX_TRUNCATED = 64
/** Known answers of one query in several packets; more are taken for unknown. */
const MAX_KNOWN_ANSWERS = 2048
/** Answers by unicast per second; beyond it they are left out, and whoever needs one asks again. */
const MAX_UNICAST_PER_SEC = 100

interface Pending {
  readonly record: DnsRecord
  readonly dueAt: number
  /** Not before, whatever else goes out: it was said a moment ago. */
  readonly earliestAt: number
}

interface PartialQuery {
  readonly questions: readonly DnsQuestion[]
  readonly from: MdnsPeer
  knownAnswers: readonly DnsRecord[]
  dueAt: number
}

export class MdnsResponder {
  /** Answers left out by a limit. */
  droppedAnswers = 0
  readonly #random: Random
  readonly #isOurs: (record: DnsRecord) => boolean
  #offer: Offer
  #records: OfferRecords
  /** By what is named, how often it had to be renamed. */
  readonly #claims: Map<string, number> = new Map()
  #phase: 'probing' | 'running' | 'stopped' = 'probing'
  #probesSent = 0
  #announcementsSent = 0
  #hasAnnounced = false
  readonly #timers: { probe: number; announce: number } = { probe: Infinity, announce: Infinity }
  readonly #pending: Map<string, Pending> = new Map()
  readonly #lastSaid: Map<string, number> = new Map()
  readonly #partial: Map<string, PartialQuery> = new Map()
  #conflicts: number[] = []
  readonly #unicast: PerSecondLimit = new PerSecondLimit(MAX_UNICAST_PER_SEC)
  #outputs: ResponderOutput[] = []

  constructor({ offer, random, isOurs }: ResponderOptions, now: number) {
    this.#random = random
    this.#isOurs = isOurs
    this.#offer = offer
    this.#records = offerRecords(this.#claimed(offer))
    this.#probe(now + this.#random.float() * PROBE_INTERVAL_MS)
  }

  /** Everything that it says, once its names are claimed. */
  get records(): readonly DnsRecord[] {
    return [...this.#records.shared, ...this.#records.unique]
  }

  get isAnnounced(): boolean {
    return this.#phase === 'running' && this.#announcementsSent > 0
  }

  handle(input: ResponderInput, now: number): void {
    if (this.#phase === 'stopped') return
    switch (input.type) {
      case 'message':
        if (input.message.isResponse) this.#heardResponse(input.message, now)
        else this.#heardQuery(input.message, input.from, now)
        return
      case 'offer':
        return this.#change(input.offer, now)
      case 'stop':
        if (this.#hasAnnounced) this.#sayGoodbye(this.records)
        this.#phase = 'stopped'
        this.#pending.clear()
        this.#partial.clear()
        this.#timers.probe = this.#timers.announce = Infinity
    }
  }

  handleTimeout(now: number): void {
    if (now >= this.#timers.probe) this.#nextProbe(now)
    if (now >= this.#timers.announce) this.#announce(now)
    for (const [address, query] of this.#partial) {
      if (now < query.dueAt) continue
      this.#partial.delete(address)
      this.#answer(query.questions, query.knownAnswers, query.from, 0, false, now)
    }
    this.#sayDue(now)
  }

  nextDeadline(): number {
    let deadline = Math.min(this.#timers.probe, this.#timers.announce)
    for (const { dueAt } of this.#pending.values()) deadline = Math.min(deadline, dueAt)
    for (const { dueAt } of this.#partial.values()) deadline = Math.min(deadline, dueAt)
    return deadline
  }

  drain(): ResponderOutput[] {
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  // ---- names ----

  #claimed(offer: Offer): Offer {
    return {
      ...offer,
      host: claimedLabel(offer.host, this.#claims.get('host') ?? 1, true),
      services: offer.services.map((service, index) => ({
        ...service,
        instance: claimedLabel(service.instance, this.#claims.get(`service ${index}`) ?? 1, false),
      })),
    }
  }

  #change(offer: Offer, now: number): void {
    const before = this.records
    const namesBefore = this.#records.names.map(nameKey)
    const wasAnnounced = this.isAnnounced
    this.#offer = offer
    this.#records = offerRecords(this.#claimed(offer))
    const kept = new Set(this.records.map(recordKey))
    if (this.records.length === before.length && before.every((record) => kept.has(recordKey(record)))) return
    this.#pending.clear()
    for (const key of this.#lastSaid.keys()) if (!kept.has(key)) this.#lastSaid.delete(key)
    // What is said anew of a unique name and type replaces the rest by itself; everything else has to be taken back.
    const isReplaced = (old: DnsRecord): boolean =>
      old.isFlush && this.#records.unique.some(({ name, type }) => type === old.type && isSameName(name, old.name))
    if (wasAnnounced) {
      this.#sayGoodbye(before.filter((record) => !kept.has(recordKey(record)) && !isReplaced(record)))
    }
    if (this.#records.names.some((name) => !namesBefore.includes(nameKey(name))))
      this.#probe(now + this.#random.float() * PROBE_INTERVAL_MS)
    else if (this.#phase === 'running') this.#beginAnnouncing(now)
  }

  #probe(at: number): void {
    this.#phase = 'probing'
    this.#probesSent = 0
    this.#timers.probe = at
    this.#timers.announce = Infinity
    this.#pending.clear()
  }

  #nextProbe(now: number): void {
    if (this.#probesSent >= PROBES || this.#records.names.length === 0) {
      this.#timers.probe = Infinity
      this.#phase = 'running'
      return this.#beginAnnouncing(now)
    }
    this.#probesSent++
    this.#timers.probe = now + PROBE_INTERVAL_MS
    const questions = this.#records.names.map((name) => ({ name, type: DNS_TYPES.ANY, wantsUnicast: false }))
    const authorities = this.#records.unique.map((record) => ({ ...record, isFlush: false }))
    this.#send(dnsMessage(false, { questions, authorities }))
  }

  /** Somebody else has the name: it is called otherwise from now on. */
  #rename(name: DnsName, now: number): void {
    const before = this.#claimed(this.#offer)
    const claim = (what: string): void => void this.#claims.set(what, (this.#claims.get(what) ?? 1) + 1)
    if (name.length === 2 && isSameName(name.slice(0, 1), [before.host])) claim('host')
    before.services.forEach(({ instance, type }, index) => {
      if (isSameName(name.slice(0, -1), [instance, ...type])) claim(`service ${index}`)
    })
    const after = this.#claimed(this.#offer)
    this.#records = offerRecords(after)
    if (after.host !== before.host) this.#outputs.push({ type: 'renamed', from: before.host, to: after.host })
    after.services.forEach(({ instance }, index) => {
      const from = before.services[index]!.instance
      if (from !== instance) this.#outputs.push({ type: 'renamed', from, to: instance })
    })
    this.#conflicts = [...this.#conflicts.filter((at) => at > now - CONFLICT_WINDOW_MS), now].slice(-MANY_CONFLICTS)
    this.#probe(now + (this.#conflicts.length >= MANY_CONFLICTS ? CONFLICT_PAUSE_MS : this.#random.float() * PROBE_INTERVAL_MS))
  }

  // ---- saying ----

  #beginAnnouncing(now: number): void {
    this.#announcementsSent = 0
    this.#announce(now)
  }

  #announce(now: number): void {
    this.#hasAnnounced = true
    this.#multicast(this.records, [], now)
    this.#timers.announce = now + (ANNOUNCE_PAUSES_MS[this.#announcementsSent] ?? Infinity)
    this.#announcementsSent++
  }

  #sayGoodbye(records: readonly DnsRecord[]): void {
    // That there is such a type is not this host's to take back: others may offer it.
    const ours = records.filter(({ name }) => name[0] !== '_services')
    if (ours.length > 0) this.#send(dnsMessage(true, { answers: ours.map((record) => ({ ...record, ttlSec: 0 })) }))
  }

  /** Once one answer is due, all that wait go with it, but those that were said a moment ago. */
  #sayDue(now: number): void {
    if (![...this.#pending.values()].some(({ dueAt }) => now >= dueAt)) return
    const ready = [...this.#pending].filter(([, { earliestAt }]) => now >= earliestAt)
    for (const [key] of ready) this.#pending.delete(key)
    const answers = ready.map(([, { record }]) => record)
    const additionals = additionalsTo(answers, this.#records).filter((record) => this.#mayBeSaid(record, MIN_REPEAT_MS, now))
    if (answers.length > 0) this.#multicast(answers, additionals, now)
  }

  #mayBeSaid(record: DnsRecord, repeatMs: number, now: number): boolean {
    return now >= (this.#lastSaid.get(recordKey(record)) ?? -Infinity) + repeatMs
  }

  #multicast(answers: readonly DnsRecord[], additionals: readonly DnsRecord[], now: number): void {
    for (const record of [...answers, ...additionals]) this.#lastSaid.set(recordKey(record), now)
    this.#send(dnsMessage(true, { answers, additionals }))
  }

  #send(message: DnsMessage, to?: MdnsPeer): void {
    this.#outputs.push({ type: 'send', message, to })
  }

  // ---- hearing ----

  #heardQuery(message: DnsMessage, from: MdnsPeer, now: number): void {
    const { questions, answers: knownAnswers, authorities } = message
    if (this.#phase === 'probing') return this.#heardProbe(authorities, now)
    if (from.port !== MDNS_PORT) return this.#answerLegacy(message, from, now)
    const earlier = this.#partial.get(from.address)
    if (earlier !== undefined && questions.length === 0) {
      earlier.knownAnswers = [...earlier.knownAnswers, ...knownAnswers].slice(0, MAX_KNOWN_ANSWERS)
      if (message.isTruncated) earlier.dueAt = now + this.#between(TRUNCATED_DELAY_MS)
      return
    }
    if (message.isTruncated && earlier === undefined && this.#partial.size < MAX_TRUNCATED) {
      this.#partial.set(from.address, { questions, from, knownAnswers, dueAt: now + this.#between(TRUNCATED_DELAY_MS) })
      return
    }
    this.#answer(questions, knownAnswers, from, this.#between(SHARED_DELAY_MS), authorities.length > 0, now)
  }

  #answer(
    questions: readonly DnsQuestion[],
    knownAnswers: readonly DnsRecord[],
    from: MdnsPeer,
    sharedDelayMs: number,
    isProbe: boolean,
    now: number,
  ): void {
    const wanted = questions.map((question) => answersTo(question, this.#records))
    if (wanted.every((records) => records.length === 0)) return
    const known = new Map(knownAnswers.map((record) => [recordKey(record), record.ttlSec]))
    const unicast: DnsRecord[] = []
    const repeatMs = isProbe ? MIN_DEFENCE_REPEAT_MS : MIN_REPEAT_MS
    for (const [index, { wantsUnicast }] of questions.entries()) {
      for (const record of wanted[index]!) {
        const key = recordKey(record)
        if ((known.get(key) ?? -1) >= record.ttlSec / 2) continue
        const saidAt = this.#lastSaid.get(key) ?? -Infinity
        // Who asks for unicast gets it as long as the others have heard it lately themselves (§5.4).
        if (wantsUnicast && now < saidAt + (record.ttlSec * 1000) / 4) {
          unicast.push(record)
          continue
        }
        const earliestAt = Math.max(now, saidAt + repeatMs)
        const dueAt = Math.max(earliestAt, now + (record.isFlush && questions.length === 1 ? 0 : sharedDelayMs))
        const pending = this.#pending.get(key)
        if (pending === undefined || dueAt < pending.dueAt) this.#pending.set(key, { record, dueAt, earliestAt })
      }
    }
    if (unicast.length > 0 && this.#mayUnicast(now)) {
      this.#send(dnsMessage(true, { answers: unicast, additionals: additionalsTo(unicast, this.#records) }), from)
    }
    this.#sayDue(now)
  }

  /** As an ordinary server answers (§6.7): directly, with the question, and to be kept for a short while. */
  #answerLegacy({ id, questions }: DnsMessage, from: MdnsPeer, now: number): void {
    const answers = questions.flatMap((question) => answersTo(question, this.#records))
    if (answers.length === 0 || !this.#mayUnicast(now)) return
    const plain = (record: DnsRecord): DnsRecord => ({ ...record, isFlush: false, ttlSec: Math.min(record.ttlSec, LEGACY_TTL_SEC) })
    const additionals = additionalsTo(answers, this.#records)
    const asked = questions.map((question) => ({ ...question, wantsUnicast: false }))
    this.#send(dnsMessage(true, { id, questions: asked, answers: answers.map(plain), additionals: additionals.map(plain) }), from)
  }

  #mayUnicast(now: number): boolean {
    if (this.#unicast.take(1, now)) return true
    this.droppedAnswers++
    return false
  }

  /** Another host claims names while this one does. */
  #heardProbe(authorities: readonly DnsRecord[], now: number): void {
    for (const name of this.#records.names) {
      const theirs = authorities.filter((record) => isSameName(record.name, name) && !this.#isOurs(record))
      const ours = this.#records.unique.filter((record) => isSameName(record.name, name))
      if (theirs.length > 0 && contestProbe(ours, theirs) < 0) return this.#probe(now + LOST_CONTEST_MS)
    }
  }

  #heardResponse({ answers, additionals }: DnsMessage, now: number): void {
    for (const record of [...answers, ...additionals]) {
      const key = recordKey(record)
      const own = this.#records.byKey.get(key)
      if (own === undefined) {
        if (!this.#isConflict(record)) continue
        // One that is held already is claimed anew first: the other may be gone, or an echo of an earlier life.
        if (this.#phase === 'probing') return this.#rename(record.name, now)
        return this.#probe(now + this.#random.float() * PROBE_INTERVAL_MS)
      }
      if (this.#phase !== 'running') continue
      if (record.ttlSec <= own.ttlSec / 2) {
        // Others are told that it ends soon, which is not so (§6.6).
        const earliestAt = Math.max(now, (this.#lastSaid.get(key) ?? -Infinity) + MIN_REPEAT_MS)
        if (!this.#pending.has(key)) this.#pending.set(key, { record: own, dueAt: earliestAt + this.#between(SHARED_DELAY_MS), earliestAt })
      } else if (record.ttlSec >= own.ttlSec) {
        if (this.#pending.delete(key)) this.#lastSaid.set(key, now)
      }
    }
  }

  #isConflict(record: DnsRecord): boolean {
    if (record.ttlSec === 0 || record.type === DNS_TYPES.NSEC || this.#isOurs(record)) return false
    if (!this.#records.names.some((name) => isSameName(name, record.name))) return false
    return this.#phase === 'probing' || this.#records.unique.some(({ name, type }) => type === record.type && isSameName(name, record.name))
  }

  #between([from, to]: readonly [number, number]): number {
    return from + this.#random.float() * (to - from)
  }
}
