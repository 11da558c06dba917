/**
 * The records by which a host offers services on a link (RFC 6763 §4, §6, §9), and which of them answer a question.
 *
 *   _services._dns-sd._udp.local  PTR  TYPE.local                  shared: others may say the same
 *   TYPE.local                    PTR  INSTANCE.TYPE.local         shared
 *   INSTANCE.TYPE.local           SRV  HOST.local, port; TXT       unique: this host alone
 *   HOST.local                    A, AAAA                          unique
 *
 * For a unique name, a question for a type that it does not have is answered by NSEC: there is none (RFC 6762 §6.1).
 */
import { utf8Encode } from '../../lib/bytes.ts'
import { MAX_LABEL_BYTES } from './dns-codec.ts'
import { DNS_TYPES, isSameName, recordKey, type DnsName, type DnsQuestion, type DnsRecord, type RecordData } from './dns-message.ts'

/** One service that this host offers. */
export interface OfferedService {
  /** Such as `['_polycast', '_tcp']`. */
  readonly type: DnsName
  /** The name that people see; at most 63 bytes of it are used. */
  readonly instance: string
  readonly port: number
  /** `key=value` texts, 255 bytes at most each. */
  readonly txt: readonly string[]
}

/** What a host says on one link. */
export interface Offer {
  /** The first label of the host's name. */
  readonly host: string
  /** Addresses that it is reached at on this link, 4 or 16 bytes. */
  readonly addresses: readonly Uint8Array[]
  readonly services: readonly OfferedService[]
}

export interface OfferRecords {
  readonly shared: readonly DnsRecord[]
  readonly unique: readonly DnsRecord[]
  /** The names of the unique ones, each once. */
  readonly names: readonly DnsName[]
  /** All of them by `recordKey`. */
  readonly byKey: ReadonlyMap<string, DnsRecord>
}

/** RFC 6762 §10: of what hangs on the host's name or address, and of the rest. */
export const HOST_TTL_SEC = 120
export const OTHER_TTL_SEC = 4500
const LOCAL = 'local'
const ENUMERATION: DnsName = ['_services', '_dns-sd', '_udp', LOCAL]

/** The whole name of a service type: `_polycast._tcp.local`. */
export function serviceName(type: DnsName): DnsName {
  return [...type, LOCAL]
}

/** `name`, the `claim`-th of its kind: claim 1 as it is, then `name (2)` or, for hosts, `name-2` (RFC 6762 §9), cut to 63 bytes. */
export function claimedLabel(name: string, claim: number, isHost: boolean): string {
  const suffix = claim === 1 ? '' : isHost ? `-${claim}` : ` (${claim})`
  let base = name
  while (utf8Encode(base + suffix).length > MAX_LABEL_BYTES) base = Array.from(base).slice(0, -1).join('')
  return base + suffix
}

export function offerRecords({ host, addresses, services }: Offer): OfferRecords {
  const record = (name: DnsName, type: number, ttlSec: number, data: RecordData, isFlush = true): DnsRecord => ({
    name,
    type,
    isFlush,
    ttlSec,
    data,
  })
  const hostName = [host, LOCAL]
  const shared: DnsRecord[] = []
  const unique: DnsRecord[] = []
  for (const { type, instance, port, txt } of services) {
    const typeName = serviceName(type)
    const name = [instance, ...typeName]
    shared.push(record(typeName, DNS_TYPES.PTR, OTHER_TTL_SEC, { kind: 'pointer', target: name }, false))
    shared.push(record(ENUMERATION, DNS_TYPES.PTR, OTHER_TTL_SEC, { kind: 'pointer', target: typeName }, false))
    unique.push(record(name, DNS_TYPES.SRV, HOST_TTL_SEC, { kind: 'service', priority: 0, weight: 0, port, target: hostName }))
    unique.push(record(name, DNS_TYPES.TXT, OTHER_TTL_SEC, { kind: 'texts', texts: txt.map(utf8Encode) }))
  }
  for (const address of addresses) {
    unique.push(record(hostName, address.length === 4 ? DNS_TYPES.A : DNS_TYPES.AAAA, HOST_TTL_SEC, { kind: 'address', address }))
  }
  const names = unique.map(({ name }) => name)
  return {
    shared,
    unique,
    names: names.filter((name, index) => names.findIndex((other) => isSameName(name, other)) === index),
    byKey: new Map([...shared, ...unique].map((one) => [recordKey(one), one])),
  }
}

/** The records that answer a question. */
export function answersTo(question: DnsQuestion, { shared, unique, names }: OfferRecords): DnsRecord[] {
  const isAsked = ({ name, type }: DnsRecord): boolean =>
    (question.type === DNS_TYPES.ANY || question.type === type) && isSameName(name, question.name)
  const found = [...shared, ...unique].filter(isAsked)
  if (found.length > 0) return found
  return names.filter((name) => isSameName(name, question.name)).map((name) => absence(name, unique))
}

/** Records that who asked for these will ask for next (RFC 6763 §12, RFC 6762 §6.2). */
export function additionalsTo(answers: readonly DnsRecord[], { unique, names }: OfferRecords): DnsRecord[] {
  const added: DnsRecord[] = []
  const add = (name: DnsName, types: readonly number[]): void => {
    for (const record of unique) {
      const isNew = !answers.includes(record) && !added.includes(record)
      if (isNew && types.includes(record.type) && isSameName(record.name, name)) added.push(record)
    }
  }
  for (const { data } of answers) if (data.kind === 'pointer') add(data.target, [DNS_TYPES.SRV, DNS_TYPES.TXT])
  for (const { data } of [...answers, ...added]) if (data.kind === 'service') add(data.target, [DNS_TYPES.A, DNS_TYPES.AAAA])
  const hosts = [...answers, ...added].filter(({ data }) => data.kind === 'address').map(({ name }) => name)
  for (const name of names.filter((name) => hosts.some((host) => isSameName(host, name)))) {
    add(name, [DNS_TYPES.A, DNS_TYPES.AAAA])
    const types = typesOf(name, unique)
    if (!types.includes(DNS_TYPES.A) || !types.includes(DNS_TYPES.AAAA)) added.push(absence(name, unique))
  }
  return added
}

function typesOf(name: DnsName, unique: readonly DnsRecord[]): number[] {
  const types = new Set(unique.filter((record) => isSameName(record.name, name)).map(({ type }) => type))
  return [...types].sort((a, b) => a - b)
}

/** NSEC: the name has these types and no other. */
function absence(name: DnsName, unique: readonly DnsRecord[]): DnsRecord {
  const types = typesOf(name, unique)
  return { name, type: DNS_TYPES.NSEC, isFlush: true, ttlSec: HOST_TTL_SEC, data: { kind: 'types', next: name, types } }
}
