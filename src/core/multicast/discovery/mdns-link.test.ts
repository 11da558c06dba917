import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8Encode } from '../../lib/bytes.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { decodeDnsMessage, encodeDnsMessage } from './dns-codec.ts'
import { DNS_TYPES, dnsMessage, isSameName, recordKey, type DnsMessage, type DnsRecord } from './dns-message.ts'
import { MDNS_PORT } from './mdns-responder.ts'
import { offerOf, TYPE, VirtualLink, type Sent } from './testing/virtual-link.ts'

const SERVICE = [...TYPE, 'local']
const PTR_QUESTION = { name: SERVICE, type: DNS_TYPES.PTR, wantsUnicast: false }
const ASKER = { address: '10.0.0.99', port: MDNS_PORT }
const query = (parts: Partial<DnsMessage>): Uint8Array => encodeDnsMessage(dnsMessage(false, parts))
const response = (answers: readonly DnsRecord[]): Uint8Array => encodeDnsMessage(dnsMessage(true, { answers }))
const textOf = (...texts: Uint8Array[]): DnsRecord => ({
  name: ['a', ...SERVICE],
  type: DNS_TYPES.TXT,
  isFlush: false,
  ttlSec: 120,
  data: { kind: 'texts', texts },
})
const instancesOf = (host: { found: ReadonlyMap<string, unknown> }): string[] => [...host.found.keys()].sort()

/** A link with hosts that know each other, and what was sent since then. */
function settled(seed: string, ...names: string[]): { link: VirtualLink; since: () => Sent[] } {
  const link = new VirtualLink(seed)
  names.forEach((name, index) => link.host(index + 1, name))
  link.runTo(10_000)
  const mark = link.sent.length
  return { link, since: () => link.sent.slice(mark) }
}

test('hosts that start at once find each other, with address, port and texts', () => {
  const { link } = settled('find', 'a', 'b', 'c')
  for (const host of link.hosts) assert.equal(host.found.size, 2)
  const b = link.hosts[0]!.found.get('b')!
  assert.deepEqual([b.port, b.addresses, b.txt], [7946, [Uint8Array.of(10, 0, 0, 2)], [utf8Encode('txtvers=1'), utf8Encode('node=b')]])
})

test('a name is probed three times, 250 ms apart, before it is announced twice and more, at least a second apart', () => {
  const { link } = settled('probe', 'a')
  const probes = link.sent.filter(({ message }) => message.authorities.length > 0)
  const announcements = link.sent.filter(({ message }) => message.isResponse)
  assert.equal(probes.length, 3)
  assert.ok(probes[0]!.at <= 250)
  assert.ok(Math.abs(announcements[0]!.at - probes[0]!.at - 750) < 1)
  assert.ok(announcements.length >= 2)
  for (let i = 1; i < announcements.length; i++) assert.ok(announcements[i]!.at - announcements[i - 1]!.at >= 1000)
  const flush = new Map(announcements[0]!.message.answers.map(({ type, isFlush }) => [type, isFlush]))
  assert.deepEqual(
    [flush.get(DNS_TYPES.PTR), flush.get(DNS_TYPES.SRV), flush.get(DNS_TYPES.TXT), flush.get(DNS_TYPES.A)],
    [false, true, true, true],
  )
})

test('of two that claim a name at once one is called otherwise; so is who comes later', () => {
  for (const seed of ['one', 'two', 'three']) {
    const { link } = settled(seed, 'same', 'same')
    const names = link.hosts.map((host) => instancesOf(host)[0])
    assert.deepEqual(new Set(names), new Set(['same', 'same (2)']))
    link.host(3, 'same')
    link.runTo(30_000)
    assert.deepEqual(
      instancesOf(link.hosts[0]!)
        .concat(instancesOf(link.hosts[1]!))
        .filter((name) => name === 'same (3)').length,
      2,
    )
  }
})

test('who loses against a probe of the same moment waits a second and probes again; who wins goes on', () => {
  for (const isLater of [true, false]) {
    const link = new VirtualLink('contest')
    link.host(1, 'a')
    link.runTo(300)
    const authorities = [isLater ? textOf(new Uint8Array(255)) : textOf()]
    link.inject(query({ questions: [{ name: ['a', ...SERVICE], type: DNS_TYPES.ANY, wantsUnicast: false }], authorities }), ASKER)
    link.runTo(5000)
    const probes = link.sent.filter(({ message }) => message.authorities.length > 0).map(({ at }) => at)
    const after = probes.filter((at) => at > 300)
    assert.equal(after[0]! >= 1300, isLater)
    assert.ok(probes.length >= 3)
  }
})

test('two halves that were joined with one name in both: one of them gives way', () => {
  const link = new VirtualLink('halves')
  const a = link.host(1, 'same')
  a.isConnected = false
  link.runTo(5000)
  const b = link.host(2, 'same')
  link.runTo(12_000)
  a.isConnected = true
  // Nothing is said of itself for long; a question brings the two together.
  link.inject(query({ questions: [{ name: ['same', ...SERVICE], type: DNS_TYPES.SRV, wantsUnicast: false }] }), ASKER)
  link.runTo(30_000)
  const renamed = [a, b].flatMap(({ outputs }) => outputs).filter(({ type }) => type === 'renamed')
  assert.deepEqual(renamed, [{ type: 'renamed', from: 'same', to: 'same (2)' }])
})

test('a host that stops takes everything back, and is lost within seconds', () => {
  const { link, since } = settled('goodbye', 'a', 'b')
  link.tell(link.hosts[1]!, { type: 'stop' })
  assert.ok(since().some(({ message }) => message.answers.length >= 4 && message.answers.every(({ ttlSec }) => ttlSec === 0)))
  link.runTo(link.now + 1500)
  assert.deepEqual(instancesOf(link.hosts[0]!), [])
  const mark = link.sent.length
  link.inject(query({ questions: [PTR_QUESTION] }), ASKER)
  link.runTo(link.now + 3000)
  assert.ok(link.sent.slice(mark).every(({ from }) => from !== '10.0.0.2'))
})

test('a host that dies without a word is lost once its address has lapsed, if anybody needs it', () => {
  const { link } = settled('dies', 'a', 'b')
  link.hosts[1]!.isConnected = false
  link.runTo(link.now + 60_000)
  assert.deepEqual(instancesOf(link.hosts[0]!), ['b'])
  link.runTo(link.now + 65_000)
  assert.deepEqual(instancesOf(link.hosts[0]!), [])
  link.hosts[1]!.isConnected = true
  link.runTo(link.now + 65_000)
  assert.deepEqual(instancesOf(link.hosts[0]!), ['b'])
})

test('what is nearly over is asked for again, but not of those whom nobody needs', () => {
  for (const isNeeded of [true, false]) {
    const link = new VirtualLink('refresh')
    link.host(1, 'a', { isNeeded: () => isNeeded })
    link.host(2, 'b', { isNeeded: () => false })
    link.runTo(90_000)
    const mark = link.sent.length
    link.runTo(125_000)
    const asked = link.sent.slice(mark).flatMap(({ from, message }) => (from === '10.0.0.1' ? message.questions : []))
    assert.equal(
      asked.some(({ type }) => type === DNS_TYPES.SRV),
      isNeeded,
    )
    assert.deepEqual(instancesOf(link.hosts[0]!), ['b'])
  }
})

test('questions go out ever more seldom, and one host asks for all', () => {
  const { link } = settled('intervals', 'a', 'b', 'c', 'd')
  link.runTo(600_000)
  const asked = link.sent.filter(({ message }) => message.questions.some(({ type }) => type === DNS_TYPES.PTR))
  // 1, 2, 4 … s: ten in ten minutes for one host, and hardly more for four.
  assert.ok(asked.length >= 8 && asked.length <= 14, `${asked.length} questions`)
})

test('an answer that the asker says it knows is not given', () => {
  const { link, since } = settled('known', 'a')
  const pointer = link.hosts[0]!.link.records.find(({ type, name }) => type === DNS_TYPES.PTR && isSameName(name, SERVICE))!
  link.inject(query({ questions: [PTR_QUESTION], answers: [pointer] }), ASKER)
  link.runTo(link.now + 600)
  assert.deepEqual(
    since().filter(({ message }) => message.isResponse),
    [],
  )
  link.inject(query({ questions: [PTR_QUESTION], answers: [{ ...pointer, ttlSec: 2000 }] }), ASKER)
  link.runTo(link.now + 600)
  assert.equal(since().filter(({ message }) => message.isResponse).length, 1)
})

test('known answers may come in several packets', () => {
  const { link, since } = settled('truncated', 'a')
  const pointer = link.hosts[0]!.link.records.find(({ type, name }) => type === DNS_TYPES.PTR && isSameName(name, SERVICE))!
  link.inject(query({ questions: [PTR_QUESTION], isTruncated: true }), ASKER)
  link.runTo(link.now + 300)
  link.inject(query({ answers: [pointer] }), ASKER)
  link.runTo(link.now + 1000)
  assert.deepEqual(
    since().filter(({ message }) => message.isResponse),
    [],
  )
  link.inject(query({ questions: [PTR_QUESTION], isTruncated: true }), ASKER)
  link.runTo(link.now + 1000)
  assert.equal(since().filter(({ message }) => message.isResponse).length, 1)
})

test('an answer that somebody else has just given is not given again', () => {
  const { link, since } = settled('duplicate', 'a')
  const enumeration = link.hosts[0]!.link.records.find(({ name }) => name[0] === '_services')!
  const questions = [{ name: enumeration.name, type: DNS_TYPES.PTR, wantsUnicast: false }]
  link.inject(query({ questions }), ASKER)
  link.inject(response([enumeration]), ASKER)
  link.runTo(link.now + 500)
  assert.deepEqual(
    since().filter(({ message }) => message.isResponse),
    [],
  )
})

test('no record goes to the group twice within a second, however often it is asked for', () => {
  const { link, since } = settled('limit', 'a')
  const start = link.now
  for (let i = 0; i < 300; i++) {
    link.inject(query({ questions: [PTR_QUESTION] }), { address: `10.0.1.${i % 250}`, port: MDNS_PORT })
    link.runTo(start + i * 10)
  }
  const answers = since().filter(({ message, to }) => message.isResponse && to === 'group')
  assert.ok(answers.length >= 2 && answers.length <= 4, `${answers.length} answers in 3 s`)
  const said = new Map<string, number>()
  for (const { at, message } of answers) {
    for (const record of [...message.answers, ...message.additionals]) {
      assert.ok(at >= (said.get(recordKey(record)) ?? -Infinity) + 1000)
      said.set(recordKey(record), at)
    }
  }
})

test('who asks for unicast gets it when the group has heard the answer lately; ordinary resolvers get theirs always', () => {
  const { link, since } = settled('unicast', 'a')
  link.inject(query({ questions: [{ ...PTR_QUESTION, wantsUnicast: true }] }), ASKER)
  link.runTo(link.now + 500)
  assert.deepEqual(
    since().map(({ to }) => to),
    [ASKER.address],
  )
  link.inject(query({ id: 77, questions: [PTR_QUESTION] }), { address: '10.0.0.98', port: 40_000 })
  link.runTo(link.now + 500)
  const { message, to } = since().at(-1)!
  assert.deepEqual([to, message.id, message.questions], ['10.0.0.98', 77, [PTR_QUESTION]])
  assert.ok([...message.answers, ...message.additionals].every(({ ttlSec, isFlush }) => ttlSec <= 10 && !isFlush))
  assert.ok(message.additionals.some(({ type }) => type === DNS_TYPES.A))
})

test('ordinary resolvers get so many answers per second, so that nobody is flooded by false addresses', () => {
  const { link, since } = settled('amplify', 'a')
  for (let i = 0; i < 1000; i++) link.inject(query({ questions: [PTR_QUESTION] }), { address: '10.0.0.66', port: 1 + i })
  assert.ok(since().length <= 100)
})

test('a name is said to have no other types than it has', () => {
  const { link, since } = settled('absent', 'a')
  link.inject(query({ questions: [{ name: ['host-1', 'local'], type: DNS_TYPES.AAAA, wantsUnicast: false }] }), ASKER)
  link.runTo(link.now + 500)
  const [answer] = since().at(-1)!.message.answers
  assert.equal(answer!.type, DNS_TYPES.NSEC)
  assert.ok(answer!.data.kind === 'types' && answer!.data.types.join() === String(DNS_TYPES.A))
})

test('a probe for a name that is taken is answered at once', () => {
  const { link, since } = settled('defend', 'a')
  const name = ['a', ...SERVICE]
  const authorities = [{ name, type: DNS_TYPES.TXT, isFlush: false, ttlSec: 120, data: { kind: 'texts', texts: [] } } as const]
  link.inject(query({ questions: [{ name, type: DNS_TYPES.ANY, wantsUnicast: false }], authorities }), ASKER)
  assert.deepEqual(
    since().map(({ message }) => message.answers.map(({ type }) => type)),
    [[DNS_TYPES.SRV, DNS_TYPES.TXT]],
  )
})

test('an address that changed replaces the old one everywhere', () => {
  const { link } = settled('address', 'a', 'b')
  const address = Uint8Array.of(10, 0, 0, 77)
  link.tell(link.hosts[1]!, { type: 'offer', offer: { host: 'host-2', addresses: [address], services: [offerOf('b')] } })
  link.runTo(link.now + 2000)
  assert.deepEqual(link.hosts[0]!.found.get('b')?.addresses, [address])
})

test('somebody who says that our records are over is contradicted', () => {
  const { link } = settled('rescue', 'a', 'b')
  const records = link.hosts[1]!.link.records
  link.inject(response(records.map((record) => ({ ...record, ttlSec: 0 }))), ASKER)
  link.runTo(link.now + 5000)
  assert.deepEqual(instancesOf(link.hosts[0]!), ['b'])
})

test('what a hostile host says is bounded: instances, records, and responses from other ports are not taken at all', () => {
  const { link } = settled('hostile', 'a')
  const pointers = (from: number): DnsRecord[] =>
    Array.from({ length: 50 }, (_, index) => ({
      name: SERVICE,
      type: DNS_TYPES.PTR,
      isFlush: false,
      ttlSec: 4500,
      data: { kind: 'pointer', target: [`x${from + index}`, ...SERVICE] },
    }))
  const mark = link.sent.length
  link.inject(response(pointers(0)), { address: '10.0.0.66', port: 9999 })
  link.runTo(link.now + 1000)
  assert.equal(link.sent.length, mark)
  for (let i = 0; i < 100; i++) link.inject(response(pointers(i * 50)), ASKER)
  link.runTo(link.now + 60_000)
  const questions = link.sent.slice(mark).flatMap(({ message }) => message.questions.map(({ name }) => name[0]))
  assert.ok(new Set(questions).size > 300 && new Set(questions).size <= 2050, `${new Set(questions).size} names asked for`)
  assert.ok(questions.length <= 60 * 70, `${questions.length} questions in a minute`)
})

test('many hosts that start at once find each other with few packets each', () => {
  const link = new VirtualLink('many')
  const count = 40
  for (let i = 1; i <= count; i++) link.host(i, `n${i}`)
  link.runTo(15_000)
  for (const host of link.hosts) assert.equal(host.found.size, count - 1)
  assert.ok(link.sent.length <= count * 14, `${link.sent.length} packets`)
  for (const { bytes } of link.sent) assert.ok(bytes <= 1440, `${bytes} bytes`)
})

test('so many packets per second are looked at, and the next second is a new one', () => {
  const { link } = settled('flood', 'a')
  const flood = query({ questions: [{ name: ['x'], type: DNS_TYPES.A, wantsUnicast: false }] })
  link.runTo(20_000)
  for (let i = 0; i < 6000; i++) link.inject(flood, ASKER)
  assert.equal(link.hosts[0]!.link.stats()['droppedPackets'], 1000)
  link.runTo(21_000)
  link.inject(flood, ASKER)
  assert.equal(link.hosts[0]!.link.stats()['droppedPackets'], 1000)
})

test('bytes of anybody do not end it', () => {
  const { link } = settled('bytes', 'a')
  for (let length = 0; length < 60; length++) link.inject(new Uint8Array(length).fill(length * 5), ASKER)
  link.inject(query({ questions: [PTR_QUESTION] }), ASKER)
  link.runTo(link.now + 1500)
  assert.ok(!isWireError(decodeDnsMessage(query({ questions: [PTR_QUESTION] }))))
  assert.ok(link.sent.at(-1)!.message.isResponse)
})
