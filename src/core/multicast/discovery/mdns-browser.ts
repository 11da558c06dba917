/**
 * Finds on one link who offers a service, and goes on looking (RFC 6762 §5.2, RFC 6763 §4): asks for the type's instances after 1, 2, 4 …
 * seconds and at least every hour, takes the place of its question for asked when another host asks the same, and names what it knows so
 * that nobody repeats it. Not the responder, and no bytes.
 *
 * An instance is found once its host, port, texts and at least one address are known. Of those that nobody needs (they are members
 * already) the short-lived records may lapse unasked: on a link of a thousand hosts that is nearly all that there would be to ask.
 */
import type { Random } from '../../lib/random.ts'
import { utf8Encode } from '../../lib/bytes.ts'
import { DNS_TYPES, dnsMessage, isSameName, nameKey, recordKey } from './dns-message.ts'
import type { DnsMessage, DnsName, DnsQuestion, DnsRecord } from './dns-message.ts'
import { RecordCache } from './record-cache.ts'
import { serviceName } from './service-records.ts'

/** An instance of a service that somebody on the link offers. */
export interface FoundService {
  readonly instance: string
  readonly host: DnsName
  readonly port: number
  /** 4 or 16 bytes each; never empty. */
  readonly addresses: readonly Uint8Array[]
  readonly txt: readonly Uint8Array[]
}

export type BrowserInput =
  /** A query or response that came on the link. */
  { readonly type: 'message'; readonly message: DnsMessage }

export type BrowserOutput =
  | { readonly type: 'query'; readonly message: DnsMessage }
  /** New, or with other records than before. */
  | { readonly type: 'found'; readonly service: FoundService }
  | { readonly type: 'lost'; readonly instance: string }

export interface BrowserOptions {
  /** Such as `['_polycast', '_tcp']`. */
  readonly type: DnsName
  readonly random: Random
  /** Whether anybody wants to reach this instance; the others' addresses are not kept fresh. */
  readonly isNeeded: (instance: string) => boolean
  /** Whether this host says this itself. */
  readonly isOurs: (record: DnsRecord) => boolean
  /**
   * Asks as an ordinary resolver does, whose answers come to it alone, and every minute: for services whose responder knows no better. Such
   * answers hold for a short time, which is prolonged to the next question.
   */
  readonly isLegacy: boolean
}

const FIRST_DELAY_MS = [20, 120] as const
const FIRST_INTERVAL_MS = 1000
const MAX_INTERVAL_MS = 3_600_000
const LEGACY_INTERVAL_MS = 60_000
const LEGACY_TTL_SEC = 150
/** What an answer did not bring with it is asked for after this, then after twice as long each time. */
const RESOLVE_DELAY_MS = 150
const MAX_RESOLVE_MS = 60_000
const MAX_RECORDS = 8192
const MAX_INSTANCES = 2048
const MAX_QUESTIONS = 32
/** The rest waits for a second: somebody may have named what is not there. */
const MAX_QUESTIONS_AT_ONCE = 64
/** Known answers named in one query, in as many packets as that takes. */
const MAX_KNOWN_ANSWERS = 512
const PACKET_BYTES = 1300
/** Bytes of a pointer record beside its label, with compressed names. */
const POINTER_BYTES = 16

interface Instance {
  readonly name: DnsName
  /** What was said of it last; empty while it is not found. */
  told: string
  askAt: number
  askIntervalMs: number
  hostKey: string
}

export class MdnsBrowser {
  readonly #options: BrowserOptions
  readonly #name: DnsName
  readonly #cache: RecordCache
  readonly #instances: Map<string, Instance> = new Map()
  /** Hosts by name, with the instances that are on each. */
  readonly #hosts: Map<string, Set<string>> = new Map()
  #queryAt: number
  #intervalMs = FIRST_INTERVAL_MS
  #resolveAt = Infinity
  #outputs: BrowserOutput[] = []

  constructor(options: BrowserOptions, now: number) {
    this.#options = options
    this.#name = serviceName(options.type)
    const { random, isLegacy } = options
    this.#cache = new RecordCache({ random, maxRecords: MAX_RECORDS, minTtlSec: isLegacy ? LEGACY_TTL_SEC : 0 })
    this.#queryAt = now + FIRST_DELAY_MS[0] + random.float() * (FIRST_DELAY_MS[1] - FIRST_DELAY_MS[0])
  }

  /** Records held, and left out for want of room. */
  get counters(): { readonly records: number; readonly dropped: number } {
    return { records: this.#cache.size, dropped: this.#cache.dropped }
  }

  handle({ message }: BrowserInput, now: number): void {
    if (message.isResponse) this.#heardResponse(message, now)
    else this.#heardQuery(message, now)
  }

  handleTimeout(now: number): void {
    const questions: DnsQuestion[] = []
    if (now >= this.#cache.nextSweepAt) questions.push(...this.#sweep(now))
    if (now >= this.#resolveAt) questions.push(...this.#unresolved(now))
    if (now >= this.#queryAt) {
      this.#planQuery(now)
      questions.push(this.#question)
    }
    this.#ask(questions, now)
  }

  nextDeadline(): number {
    return Math.min(this.#queryAt, this.#resolveAt, this.#cache.nextSweepAt)
  }

  drain(): BrowserOutput[] {
    const outputs = this.#outputs
    this.#outputs = []
    return outputs
  }

  get #question(): DnsQuestion {
    return { name: this.#name, type: DNS_TYPES.PTR, wantsUnicast: false }
  }

  #planQuery(now: number): void {
    this.#queryAt = now + this.#intervalMs * (1 + this.#options.random.float() * 0.02)
    this.#intervalMs = Math.min(this.#options.isLegacy ? LEGACY_INTERVAL_MS : MAX_INTERVAL_MS, this.#intervalMs * 2)
  }

  // ---- asking ----

  #ask(wanted: readonly DnsQuestion[], now: number): void {
    const questions = [...new Map(wanted.map((question) => [`${question.type} ${nameKey(question.name)}`, question])).values()]
    const hasPointer = questions.some(({ type }) => type === DNS_TYPES.PTR)
    const known = hasPointer && !this.#options.isLegacy ? this.#knownAnswers(now) : []
    for (let i = 0; i < questions.length || known.length > 0; i += MAX_QUESTIONS) {
      const answers: DnsRecord[] = []
      let room = PACKET_BYTES - Math.min(MAX_QUESTIONS, Math.max(0, questions.length - i)) * POINTER_BYTES
      while (known.length > 0 && room > 0) {
        const record = known.pop()!
        room -= POINTER_BYTES + (record.data.kind === 'pointer' ? utf8Encode(record.data.target[0] ?? '').length : 0)
        answers.push(record)
      }
      const id = this.#options.isLegacy ? this.#options.random.below(0x10000) : 0
      const message = dnsMessage(false, { id, questions: questions.slice(i, i + MAX_QUESTIONS), answers, isTruncated: known.length > 0 })
      this.#outputs.push({ type: 'query', message })
    }
  }

  /** Those that hold for at least half of their time, with what is left of it (§7.1). */
  #knownAnswers(now: number): DnsRecord[] {
    const answers: DnsRecord[] = []
    for (const { record, expiresAt } of this.#cache.records(this.#name, DNS_TYPES.PTR)) {
      const leftSec = Math.floor((expiresAt - now) / 1000)
      if (leftSec > record.ttlSec / 2 && answers.length < MAX_KNOWN_ANSWERS) answers.push({ ...record, ttlSec: leftSec })
    }
    return answers
  }

  /** Ends what is over; what is needed and nearly over is asked for again. */
  #sweep(now: number): DnsQuestion[] {
    const { ended, stale } = this.#cache.sweep(now)
    this.#review(ended, now)
    if (this.#options.isLegacy) return []
    const isWanted = ({ name, type }: DnsRecord): boolean => {
      if (type === DNS_TYPES.PTR) return true
      const key = nameKey(name)
      const concerned = this.#instances.has(key) ? [key] : [...(this.#hosts.get(key) ?? [])]
      return concerned.some((one) => this.#isNeeded(this.#instances.get(one)!))
    }
    return stale.filter(isWanted).map(({ name, type }) => ({ name, type, wantsUnicast: false }))
  }

  #isNeeded({ name }: Instance): boolean {
    return this.#options.isNeeded(name[0]!)
  }

  /** What is missing of instances that are needed. */
  #unresolved(now: number): DnsQuestion[] {
    const questions: DnsQuestion[] = []
    this.#resolveAt = Infinity
    for (const instance of this.#instances.values()) {
      if (now >= instance.askAt && questions.length >= MAX_QUESTIONS_AT_ONCE) {
        instance.askAt = now + FIRST_INTERVAL_MS
      } else if (now >= instance.askAt) {
        const missing = this.#isNeeded(instance) ? this.#missing(instance) : []
        questions.push(...missing)
        // Somebody who is a member now may be none later: it is looked at again, and only then asked for.
        const isOpen = instance.told === ''
        instance.askAt = isOpen ? now + instance.askIntervalMs : Infinity
        instance.askIntervalMs = Math.min(MAX_RESOLVE_MS, instance.askIntervalMs * 2)
      }
      this.#resolveAt = Math.min(this.#resolveAt, instance.askAt)
    }
    return questions
  }

  #missing({ name }: Instance): DnsQuestion[] {
    const questions: DnsQuestion[] = []
    const want = (name: DnsName, types: readonly number[]): void => {
      for (const type of types) questions.push({ name, type, wantsUnicast: false })
    }
    const host = this.#hostOf(name)
    if (host === undefined) want(name, [DNS_TYPES.SRV])
    else if (this.#addressesOf(host).length === 0) want(host, [DNS_TYPES.A, DNS_TYPES.AAAA])
    if (this.#cache.records(name, DNS_TYPES.TXT).length === 0) want(name, [DNS_TYPES.TXT])
    return questions
  }

  // ---- hearing ----

  /** Another host asks what this one is about to ask, and leaves out nothing that this one would want to hear (§7.3). */
  #heardQuery({ questions, answers, isTruncated }: DnsMessage, now: number): void {
    const isSame = ({ name, type, wantsUnicast }: DnsQuestion): boolean =>
      type === DNS_TYPES.PTR && !wantsUnicast && isSameName(name, this.#name)
    if (this.#options.isLegacy || isTruncated || !questions.some(isSame)) return
    if (answers.every((record) => this.#cache.has(record) || this.#options.isOurs(record))) this.#planQuery(now)
  }

  /** Each kind of record leads to the names of the next: only those are taken. */
  #heardResponse({ answers, additionals }: DnsMessage, now: number): void {
    const records = [...answers, ...additionals]
    const pointers = records.filter(({ name, data }) => data.kind === 'pointer' && data.target.length > 0 && isSameName(name, this.#name))
    const fits = pointers.filter((record) => this.#instances.size < MAX_INSTANCES || this.#cache.has(record))
    const added = this.#cache.take(fits, now)
    for (const { data } of added) if (data.kind === 'pointer') this.#begin(data.target, now)
    const ofInstances = records.filter(({ name, data }) => {
      return (data.kind === 'service' || data.kind === 'texts') && this.#instances.has(nameKey(name))
    })
    added.push(...this.#cache.take(ofInstances, now))
    for (const { name, data } of ofInstances) if (data.kind === 'service') this.#moveTo(nameKey(name), nameKey(data.target))
    const addresses = records.filter(({ name, data }) => data.kind === 'address' && this.#hosts.has(nameKey(name)))
    added.push(...this.#cache.take(addresses, now))
    this.#review(added, now)
  }

  #begin(name: DnsName, now: number): void {
    const key = nameKey(name)
    if (this.#instances.has(key)) return
    const askAt = now + RESOLVE_DELAY_MS
    this.#instances.set(key, { name, told: '', askAt, askIntervalMs: FIRST_INTERVAL_MS, hostKey: '' })
    this.#resolveAt = Math.min(this.#resolveAt, askAt)
  }

  /** Notes the host of an instance; an empty one for none. */
  #moveTo(key: string, hostKey: string): void {
    const instance = this.#instances.get(key)!
    if (instance.hostKey === hostKey) return
    const before = this.#hosts.get(instance.hostKey)
    before?.delete(key)
    if (before?.size === 0) this.#hosts.delete(instance.hostKey)
    instance.hostKey = hostKey
    if (hostKey === '') return
    const on = this.#hosts.get(hostKey)
    if (on === undefined) this.#hosts.set(hostKey, new Set([key]))
    else on.add(key)
  }

  /** Looks at the instances that these records, new or ended, are of. */
  #review(changed: readonly DnsRecord[], now: number): void {
    if (changed.length === 0) return
    const keys = new Set(changed.flatMap(({ name }) => [nameKey(name), ...(this.#hosts.get(nameKey(name)) ?? [])]))
    for (const { data } of changed) if (data.kind === 'pointer') keys.add(nameKey(data.target))
    for (const key of keys) {
      const instance = this.#instances.get(key)
      if (instance === undefined) continue
      const service = this.#resolve(instance)
      const told = service === undefined ? '' : fingerprint(service)
      const isGone = !this.#cache.has(this.#pointerTo(instance.name))
      if (isGone) {
        this.#moveTo(key, '')
        this.#instances.delete(key)
      }
      if (service !== undefined && !isGone) {
        if (told !== instance.told) this.#outputs.push({ type: 'found', service })
        instance.told = told
        continue
      }
      // Whoever is not needed may lapse without a word; who is, did not answer any more.
      if (instance.told !== '' && (isGone || this.#isNeeded(instance))) this.#outputs.push({ type: 'lost', instance: instance.name[0]! })
      if (isGone || instance.told === '') continue
      instance.told = ''
      instance.askIntervalMs = FIRST_INTERVAL_MS
      instance.askAt = now + FIRST_INTERVAL_MS
      this.#resolveAt = Math.min(this.#resolveAt, instance.askAt)
    }
  }

  #pointerTo(target: DnsName): DnsRecord {
    return { name: this.#name, type: DNS_TYPES.PTR, isFlush: false, ttlSec: 0, data: { kind: 'pointer', target } }
  }

  #hostOf(name: DnsName): DnsName | undefined {
    const data = this.#cache.records(name, DNS_TYPES.SRV).at(-1)?.record.data
    return data?.kind === 'service' ? data.target : undefined
  }

  #addressesOf(host: DnsName): Uint8Array[] {
    const records = [...this.#cache.records(host, DNS_TYPES.A), ...this.#cache.records(host, DNS_TYPES.AAAA)]
    return records.flatMap(({ record: { data } }) => (data.kind === 'address' ? [data.address] : []))
  }

  #resolve({ name }: Instance): FoundService | undefined {
    const service = this.#cache.records(name, DNS_TYPES.SRV).at(-1)?.record.data
    const texts = this.#cache.records(name, DNS_TYPES.TXT).at(-1)?.record.data
    if (service?.kind !== 'service' || texts?.kind !== 'texts') return undefined
    const addresses = this.#addressesOf(service.target)
    if (addresses.length === 0) return undefined
    return { instance: name[0]!, host: service.target, port: service.port, addresses, txt: texts.texts }
  }
}

function fingerprint({ host, port, addresses, txt }: FoundService): string {
  const name = host
  return [
    recordKey({ name, type: 0, isFlush: false, ttlSec: 0, data: { kind: 'texts', texts: txt } }),
    port,
    ...addresses.map((address) => recordKey({ name, type: 0, isFlush: false, ttlSec: 0, data: { kind: 'address', address } })),
  ].join(' ')
}
