/**
 * Reads and writes DNS messages (RFC 1035 §4.1, with the bits of RFC 6762 §18). Not for zones, EDNS or anything beyond mDNS: what is not
 * understood in a record is kept as bytes, other classes than IN are left out.
 *
 *   message = u16 id, u16 flags, u16 × 4 counts, questions, records (answers, authorities, additionals)
 *   question = name, u16 type, u16 class          record = name, u16 type, u16 class, u32 ttl, u16 length, data
 *   name = { u8 length 1..63, bytes } 0  |  { label } u16 0xc000 + offset of the rest
 *
 * Whatever comes is read in bounded time: a pointer must point before the place where its name began, a name has at most 255 bytes,
 * and all names of a message together at most `MAX_LABELS` labels, so that pointers cannot multiply what was sent. The target of an SRV
 * record is never written compressed: resolvers of old may not read it (RFC 6762 §18.14), and one form is enough.
 */
import { copyBytes, utf8Decode, utf8Encode } from '../../lib/bytes.ts'
import { wireError, type WireError } from '../../wire/wire-error.ts'
import { Writer } from '../../wire/writer.ts'
import { assert } from '../../lib/assert.ts'
import { DNS_TYPES, nameKey, type DnsMessage, type DnsName, type DnsQuestion, type DnsRecord, type RecordData } from './dns-message.ts'

/** RFC 6762 §17: no message is longer. */
export const MAX_MESSAGE_BYTES = 9000
const MAX_NAME_BYTES = 255
export const MAX_LABEL_BYTES = 63
const MAX_LABELS = 4096
const HEADER_BYTES = 12
/** Where a pointer can still point to. */
const MAX_POINTER = 0x3fff

const RESPONSE_BIT = 0x8000
const OPCODE_MASK = 0x7800
const AUTHORITATIVE_BIT = 0x0400
const TRUNCATED_BIT = 0x0200
const RESPONSE_CODE_MASK = 0x000f
const CLASS_IN = 1
const CLASS_ANY = 255
const CLASS_TOP_BIT = 0x8000

/** The message; what is no DNS query or response without an error is to be ignored. */
export function decodeDnsMessage(bytes: Uint8Array): DnsMessage | WireError {
  if (bytes.length > MAX_MESSAGE_BYTES) return wireError('ignore', 'a DNS message beyond 9000 bytes')
  const reader = new DnsReader(bytes)
  const id = reader.u16()
  const flags = reader.u16()
  const counts = [reader.u16(), reader.u16(), reader.u16(), reader.u16()] as const
  if ((flags & (OPCODE_MASK | RESPONSE_CODE_MASK)) !== 0) return wireError('ignore', 'a DNS message with an operation or an error')
  const questions: DnsQuestion[] = []
  for (let i = 0; i < counts[0] && !reader.failed; i++) {
    const question = reader.question()
    if (question !== undefined) questions.push(question)
  }
  const [answers, authorities, additionals] = [counts[1], counts[2], counts[3]].map((count) => {
    const records: DnsRecord[] = []
    for (let i = 0; i < count && !reader.failed; i++) {
      const record = reader.record()
      if (record !== undefined) records.push(record)
    }
    return records
  }) as [DnsRecord[], DnsRecord[], DnsRecord[]]
  if (reader.failed) return wireError('ignore', 'a DNS message that is cut off or malformed')
  const isResponse = (flags & RESPONSE_BIT) !== 0
  return { id, isResponse, isTruncated: (flags & TRUNCATED_BIT) !== 0, questions, answers, authorities, additionals }
}

/** Reads forward; after the first thing that is wrong everything is 0 and empty, and `failed` is set. */
class DnsReader {
  failed = false
  readonly #bytes: Uint8Array
  #at = 0
  #labels = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  u8(): number {
    return this.#has(1) ? this.#bytes[this.#at++]! : 0
  }

  u16(): number {
    return this.u8() * 0x100 + this.u8()
  }

  u32(): number {
    return this.u16() * 0x10000 + this.u16()
  }

  /** Undefined for another class than IN. */
  question(): DnsQuestion | undefined {
    const name = this.name()
    const type = this.u16()
    const wholeClass = this.u16()
    const dnsClass = wholeClass & ~CLASS_TOP_BIT
    if (dnsClass !== CLASS_IN && dnsClass !== CLASS_ANY) return undefined
    return { name, type, wantsUnicast: (wholeClass & CLASS_TOP_BIT) !== 0 }
  }

  /** Undefined for another class than IN. */
  record(): DnsRecord | undefined {
    const name = this.name()
    const type = this.u16()
    const wholeClass = this.u16()
    const ttlSec = this.u32()
    const end = this.u16() + this.#at
    if (end > this.#bytes.length) this.#fail()
    if (this.failed) return undefined
    if ((wholeClass & ~CLASS_TOP_BIT) !== CLASS_IN) {
      this.#at = end
      return undefined
    }
    const data = this.#data(type, end)
    if (this.#at !== end) this.#fail()
    return { name, type, isFlush: (wholeClass & CLASS_TOP_BIT) !== 0, ttlSec, data }
  }

  name(): DnsName {
    const labels: string[] = []
    let at = this.#at
    let bound = at
    let bytes = 1
    let hasJumped = false
    for (;;) {
      const length = this.#bytes[at]
      if (length === undefined) return this.#failName()
      if (length === 0) {
        if (!hasJumped) this.#at = at + 1
        return labels
      }
      if (length >= 0xc0) {
        const target = (length & 0x3f) * 0x100 + (this.#bytes[at + 1] ?? 0x100 * 0x100)
        if (target >= bound) return this.#failName()
        if (!hasJumped) this.#at = at + 2
        hasJumped = true
        bound = target
        at = target
        continue
      }
      const end = at + 1 + length
      bytes += 1 + length
      if (length > MAX_LABEL_BYTES || end > this.#bytes.length || bytes > MAX_NAME_BYTES) return this.#failName()
      if (++this.#labels > MAX_LABELS) return this.#failName()
      labels.push(labelText(this.#bytes.subarray(at + 1, end)))
      at = end
    }
  }

  #data(type: number, end: number): RecordData {
    const length = end - this.#at
    switch (type) {
      case DNS_TYPES.A:
      case DNS_TYPES.AAAA:
        if (length !== (type === DNS_TYPES.A ? 4 : 16)) this.#fail()
        return { kind: 'address', address: this.#take(end) }
      case DNS_TYPES.PTR:
        return { kind: 'pointer', target: this.name() }
      case DNS_TYPES.SRV:
        return { kind: 'service', priority: this.u16(), weight: this.u16(), port: this.u16(), target: this.name() }
      case DNS_TYPES.TXT: {
        const texts: Uint8Array[] = []
        while (this.#at < end && !this.failed) {
          const textEnd = this.u8() + this.#at
          if (textEnd > end) this.#fail()
          const text = this.#take(textEnd)
          // RFC 6763 §6.1: a single empty string stands for none.
          if (text.length > 0) texts.push(text)
        }
        return { kind: 'texts', texts }
      }
      case DNS_TYPES.NSEC:
        return { kind: 'types', next: this.name(), types: this.#typeBitmap(end) }
      default:
        return { kind: 'other', bytes: this.#take(end) }
    }
  }

  /** RFC 4034 §4.1.2: windows of 256 types. */
  #typeBitmap(end: number): number[] {
    const types: number[] = []
    let lastWindow = -1
    while (this.#at < end && !this.failed) {
      const window = this.u8()
      const length = this.u8()
      if (length === 0 || length > 32 || window <= lastWindow || this.#at + length > end) this.#fail()
      lastWindow = window
      this.#take(Math.min(end, this.#at + length)).forEach((byte, index) => {
        for (let bit = 0; bit < 8; bit++) if ((byte & (0x80 >> bit)) !== 0) types.push(window * 256 + index * 8 + bit)
      })
    }
    return types
  }

  #take(end: number): Uint8Array {
    if (this.failed || end < this.#at || end > this.#bytes.length) {
      this.#fail()
      return new Uint8Array(0)
    }
    const taken = copyBytes(this.#bytes.subarray(this.#at, end))
    this.#at = end
    return taken
  }

  #has(count: number): boolean {
    if (!this.failed && this.#at + count <= this.#bytes.length) return true
    this.#fail()
    return false
  }

  #failName(): DnsName {
    this.#fail()
    return []
  }

  #fail(): void {
    this.failed = true
    this.#at = this.#bytes.length
  }
}

/** What is not UTF-8 is somebody else's name: it is read so that it stays apart from others, and never written. */
function labelText(bytes: Uint8Array): string {
  return utf8Decode(bytes) ?? `\u{fffd}${String.fromCharCode(...bytes)}`
}

/** The bytes of a message. Labels of what is written have 1 to 63 bytes, names 255 at the most: else it is a bug. */
export function encodeDnsMessage(message: DnsMessage): Uint8Array {
  const writer = new DnsWriter()
  const { id, isResponse, isTruncated, questions, answers, authorities, additionals } = message
  writer.u16(id)
  writer.u16((isResponse ? RESPONSE_BIT | AUTHORITATIVE_BIT : 0) | (isTruncated ? TRUNCATED_BIT : 0))
  for (const list of [questions, answers, authorities, additionals]) writer.u16(list.length)
  for (const { name, type, wantsUnicast } of questions) {
    writer.name(name)
    writer.u16(type)
    writer.u16(CLASS_IN | (wantsUnicast ? CLASS_TOP_BIT : 0))
  }
  for (const records of [answers, authorities, additionals]) for (const record of records) writer.record(record)
  return writer.finish()
}

/** The data of a record without compression, by which two claims to a name are compared (RFC 6762 §8.2). */
export function recordDataBytes(data: RecordData): Uint8Array {
  const writer = new DnsWriter()
  writer.data(data, false)
  return writer.finish()
}

class DnsWriter {
  readonly #writer: Writer = new Writer(512)
  /** Where names and the ends of names stand. */
  readonly #offsets: Map<string, number> = new Map()

  u16(value: number): void {
    this.#writer.u16(value)
  }

  finish(): Uint8Array {
    return this.#writer.finish()
  }

  record({ name, type, isFlush, ttlSec, data }: DnsRecord): void {
    this.name(name)
    this.#writer.u16(type)
    this.#writer.u16(CLASS_IN | (isFlush ? CLASS_TOP_BIT : 0))
    this.#writer.u32(ttlSec)
    // The length stands before the data, whose names may point at what was written until now: it is tried, then written.
    const length = this.#lengthOf(data)
    this.#writer.u16(length)
    const start = this.#writer.length
    this.data(data, true)
    assert(this.#writer.length - start === length, 'the data of a record as long as was said')
  }

  data(data: RecordData, canCompress: boolean): void {
    const writer = this.#writer
    switch (data.kind) {
      case 'address':
        return writer.bytes(data.address)
      case 'pointer':
        return this.#putName(data.target, canCompress)
      case 'service':
        writer.u16(data.priority)
        writer.u16(data.weight)
        writer.u16(data.port)
        return this.#putName(data.target, false)
      case 'texts':
        for (const text of data.texts.length === 0 ? [new Uint8Array(0)] : data.texts) {
          writer.u8(text.length)
          writer.bytes(text)
        }
        return
      case 'types':
        this.#putName(data.next, canCompress)
        return writer.bytes(typeBitmap(data.types))
      case 'other':
        return writer.bytes(data.bytes)
    }
  }

  name(name: DnsName): void {
    this.#putName(name, true)
  }

  #putName(name: DnsName, canCompress: boolean): void {
    const writer = this.#writer
    let bytes = 1
    for (let i = 0; i < name.length; i++) {
      const key = nameKey(name.slice(i))
      const offset = this.#offsets.get(key)
      if (canCompress && offset !== undefined) return writer.u16(0xc000 | offset)
      if (offset === undefined && writer.length >= HEADER_BYTES && writer.length <= MAX_POINTER) this.#offsets.set(key, writer.length)
      const label = utf8Encode(name[i]!)
      bytes += 1 + label.length
      assert(label.length >= 1 && label.length <= MAX_LABEL_BYTES && bytes <= MAX_NAME_BYTES, 'a name that DNS can carry')
      writer.u8(label.length)
      writer.bytes(label)
    }
    writer.u8(0)
  }

  #lengthOf(data: RecordData): number {
    if (data.kind === 'pointer') return this.#nameLength(data.target)
    if (data.kind === 'types') return this.#nameLength(data.next) + typeBitmap(data.types).length
    return recordDataBytes(data).length
  }

  #nameLength(name: DnsName): number {
    let length = 0
    for (let i = 0; i < name.length; i++) {
      if (this.#offsets.has(nameKey(name.slice(i)))) return length + 2
      length += 1 + utf8Encode(name[i]!).length
    }
    return length + 1
  }
}

function typeBitmap(types: readonly number[]): Uint8Array {
  const writer = new Writer(16)
  for (const window of new Set(types.map((type) => type >>> 8))) {
    const within = types.filter((type) => type >>> 8 === window).map((type) => type & 0xff)
    const bits = new Uint8Array((Math.max(...within) >>> 3) + 1)
    for (const type of within) bits[type >>> 3]! |= 0x80 >> (type & 7)
    writer.u8(window)
    writer.u8(bits.length)
    writer.bytes(bits)
  }
  return writer.finish()
}
