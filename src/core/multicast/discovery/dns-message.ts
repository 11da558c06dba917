/**
 * Messages of the DNS as mDNS uses them (RFC 1035 §4, RFC 6762 §18), as values: names, questions, records. `dns-codec.ts` reads and writes
 * them.
 *
 * A name is a list of labels, the root's empty one left out. Labels are text and may hold dots and spaces, as the names of services do (RFC
 * 6763 §4.1.1); letters of ASCII count the same in both cases. Only class IN is known: the class's top bit is the question's wish
 * for a unicast answer, and the record's word that it replaces all others of its name and type.
 */
import { toHex } from '../../lib/bytes.ts'

export type DnsName = readonly string[]

/** Types of records that are understood, and the two types of questions beside them. */
export const DNS_TYPES = { A: 1, PTR: 12, TXT: 16, AAAA: 28, SRV: 33, NSEC: 47, ANY: 255 } as const

export type RecordData =
  /** A or AAAA: 4 or 16 bytes. */
  | { readonly kind: 'address'; readonly address: Uint8Array }
  | { readonly kind: 'pointer'; readonly target: DnsName }
  | { readonly kind: 'service'; readonly priority: number; readonly weight: number; readonly port: number; readonly target: DnsName }
  /** TXT: strings of at most 255 bytes. */
  | { readonly kind: 'texts'; readonly texts: readonly Uint8Array[] }
  /** NSEC: the types that a name has, ascending. */
  | { readonly kind: 'types'; readonly next: DnsName; readonly types: readonly number[] }
  /** Of a type that is not understood. */
  | { readonly kind: 'other'; readonly bytes: Uint8Array }

export interface DnsQuestion {
  readonly name: DnsName
  /** A value of `DNS_TYPES`, or another number. */
  readonly type: number
  /** QU: the answer may come by unicast. */
  readonly wantsUnicast: boolean
}

export interface DnsRecord {
  readonly name: DnsName
  readonly type: number
  /** The cache-flush bit: all other records of this name and type are void. */
  readonly isFlush: boolean
  /** 0 says that the record is void. */
  readonly ttlSec: number
  readonly data: RecordData
}

export interface DnsMessage {
  /** 0 in mDNS, but in answers to ordinary resolvers, who want their own back. */
  readonly id: number
  readonly isResponse: boolean
  /** TC: in a query, that more known answers follow. */
  readonly isTruncated: boolean
  readonly questions: readonly DnsQuestion[]
  readonly answers: readonly DnsRecord[]
  readonly authorities: readonly DnsRecord[]
  readonly additionals: readonly DnsRecord[]
}

/** A query or a response with what is given; nothing else is in it. */
export function dnsMessage(isResponse: boolean, parts: Partial<DnsMessage>): DnsMessage {
  return { id: 0, isTruncated: false, questions: [], answers: [], authorities: [], additionals: [], ...parts, isResponse }
}

/** Text that two names have in common when they are one. No label holds the byte that parts them here. */
export function nameKey(name: DnsName): string {
  let key = ''
  for (const label of name) key += `${NOT_PLAIN.test(label) ? plainLabel(label) : label}\0`
  return key
}

/** Nearly all labels are lower case already, and there are many of them. */
const NOT_PLAIN = /[A-Z\0]/

function plainLabel(label: string): string {
  return label.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase()).replaceAll('\0', '\u{fffd}')
}

export function isSameName(a: DnsName, b: DnsName): boolean {
  return a.length === b.length && a.every((label, index) => label === b[index] || plainLabel(label) === plainLabel(b[index]!))
}

/** A name for people: dots within a label are written with a backslash before them. */
export function nameText(name: DnsName): string {
  return name.map((label) => label.replaceAll(/[.\\]/g, '\\$&')).join('.')
}

/** Text that two records have in common that say the same, whatever their TTL. */
export function recordKey({ name, type, data }: DnsRecord): string {
  return `${nameKey(name)}\0/${type}/${dataKey(data)}`
}

function dataKey(data: RecordData): string {
  switch (data.kind) {
    case 'address':
      return toHex(data.address)
    case 'pointer':
      return nameKey(data.target)
    case 'service':
      return `${data.priority} ${data.weight} ${data.port} ${nameKey(data.target)}`
    case 'texts':
      return data.texts.map(toHex).join('.')
    case 'types':
      return `${nameKey(data.next)}\0${data.types.join('.')}`
    case 'other':
      return toHex(data.bytes)
  }
}
