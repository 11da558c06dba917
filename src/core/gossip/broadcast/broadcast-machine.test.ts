/**
 * One machine and what others, some of them hostile, do to it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Random } from '../../lib/random.ts'
import { isWireError } from '../../wire/wire-error.ts'
import { decodeBroadcastMessage, encodeBroadcastMessage } from './broadcast-codec.ts'
import { BroadcastMachine } from './broadcast-machine.ts'
import type { BroadcastMessage, Gossip } from './broadcast-messages.ts'
import type { BroadcastOutput, BroadcastSettings } from './broadcast-types.ts'

/** A machine with a clock, and eyes for what it sends. */
class Subject {
  readonly machine: BroadcastMachine
  now = 0

  constructor(members: readonly string[], settings: Partial<BroadcastSettings> = {}) {
    this.machine = new BroadcastMachine({ node: 'self', random: new Random('subject'), settings })
    for (const node of members) this.machine.handle({ type: 'member-up', node }, 0)
  }

  get(from: string, message: BroadcastMessage): void {
    this.machine.handle({ type: 'message', from, bytes: encodeBroadcastMessage(message) }, this.now)
  }

  pass(ms: number): void {
    const until = this.now + ms
    while (this.machine.nextDeadline() <= until) {
      this.now = Math.max(this.now, this.machine.nextDeadline())
      this.machine.handleTimeout(this.now)
    }
    this.now = until
  }

  outputs(): BroadcastOutput[] {
    return this.machine.drain()
  }

  sent(): { to: string; message: BroadcastMessage }[] {
    return this.outputs().flatMap((output) => {
      if (output.type !== 'send') return []
      const message = decodeBroadcastMessage(output.bytes)
      assert.ok(!isWireError(message))
      return [{ to: output.to, message }]
    })
  }

  /** Makes neighbours of members, by their asking. */
  link(...nodes: string[]): void {
    for (const node of nodes) this.get(node, { type: 'neighbour', wish: 'ring' })
    this.outputs()
  }
}

function gossip(sequence: number, changes: Partial<Gossip> = {}): Gossip {
  const payload = Uint8Array.of(sequence & 0xff)
  return {
    type: 'gossip',
    origin: 'abcd',
    sequence,
    hops: 0,
    isRepair: false,
    isMulticast: false,
    reportMs: undefined,
    originNode: 'o',
    payload,
    ...changes,
  }
}

const MANY = Array.from({ length: 50 }, (_, i) => `m${i}`)

test('random bytes and messages in any order: nothing is thrown, tables stay within their limits', () => {
  const settings = { maxMissing: 20, maxOrigins: 10, maxCachedMessages: 10, maxRelayedReports: 3 }
  const step = fc.record({
    from: fc.constantFrom('a', 'b', 'c', 'stranger'),
    kind: fc.nat(14),
    sequence: fc.integer({ min: 1, max: 30 }),
    origin: fc.constantFrom('abcd', 'efgh', ...Array.from({ length: 20 }, (_, i) => `org${String.fromCharCode(65 + i)}`)),
    flag: fc.boolean(),
    bytes: fc.uint8Array({ maxLength: 40 }),
    ms: fc.nat(100),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const subject = new Subject(['a', 'b', 'c', 'o'], settings)
      for (const { from, kind, sequence, origin, flag, bytes, ms } of steps) {
        if (kind === 0) subject.machine.handle({ type: 'message', from, bytes }, subject.now)
        else subject.get(from, messageOf(kind, origin, sequence, flag, bytes))
        subject.pass(ms)
        const { missing, origins, cachedMessages, neighbours } = subject.machine.stats()
        assert.ok(missing <= 20 && origins <= 10 && cachedMessages <= 10 && neighbours <= 4)
      }
      subject.pass(1000)
    }),
    { numRuns: 100 },
  )
})

function messageOf(kind: number, origin: string, sequence: number, flag: boolean, payload: Uint8Array): BroadcastMessage {
  const id = { origin, sequence }
  const simple = ['accept', 'refuse', 'disconnect', 'prune'] as const
  const messages: BroadcastMessage[] = [
    { type: 'neighbour', wish: flag ? 'lonely' : 'ring' },
    { type: simple[sequence % 4] ?? 'accept' },
    { type: 'pulse', root: flag ? 'a' : 'self', sequence, hops: sequence, isParent: flag },
    gossip(sequence, { origin, payload, isRepair: flag, reportMs: flag ? 200 : undefined }),
    { type: 'ihave', isAgain: flag, isOverdue: false, ids: [id, { origin, sequence: sequence + 1 }] },
    { type: 'graft', isLink: flag, ids: [id] },
    { type: 'summary', hash: sequence, isNew: flag, isReply: !flag },
    { type: 'digest', isNew: flag, origins: [{ origin, upTo: sequence, ahead: [[sequence + 5, 3]] }] },
    { type: 'receipts', ...id, part: 1, isLast: flag, hashes: [1, 2, 3] },
    { type: 'receipts-ack', ...id, part: 1 },
    { type: 'ask', ...id },
  ]
  return messages[kind % messages.length] ?? { type: 'prune' }
}

test('only members are listened to', () => {
  const subject = new Subject(['a'])
  subject.get('stranger', gossip(1))
  subject.get('stranger', { type: 'neighbour', wish: 'more' })
  assert.deepEqual(subject.sent(), [{ to: 'stranger', message: { type: 'refuse' } }])
  assert.equal(subject.machine.stats().dropped.strangers, 2)
})

test('what is no message is refused and counted', () => {
  const subject = new Subject(['a'])
  subject.machine.handle({ type: 'message', from: 'a', bytes: Uint8Array.of(99) }, 0)
  assert.deepEqual(subject.outputs(), [{ type: 'refused', from: 'a', reason: 'not a broadcast message' }])
  assert.equal(subject.machine.stats().dropped.malformed, 1)
})

test('a flood of ids fills no more than its share of the table, and another member is still heard', () => {
  const subject = new Subject(['a', 'b'], { maxMissing: 100, maxMissingPerMember: 60 })
  subject.link('a', 'b')
  for (let i = 0; i < 100; i++)
    subject.get('a', { type: 'ihave', isAgain: false, isOverdue: false, ids: [{ origin: 'fake', sequence: i + 1 }] })
  const { missing, dropped } = subject.machine.stats()
  assert.deepEqual([missing, dropped.announcements], [60, 40])
  subject.get('b', { type: 'ihave', isAgain: true, isOverdue: false, ids: [{ origin: 'true', sequence: 1 }] })
  subject.pass(0)
  const graft = subject.sent().find(({ to, message }) => to === 'b' && message.type === 'graft')?.message
  assert.deepEqual(graft?.type === 'graft' && graft.ids, [{ origin: 'true', sequence: 1 }])
  subject.pass(600_000)
  assert.equal(subject.machine.stats().missing, 0, 'what nobody sends is not asked for for ever')
})

test('a flood of grafts is answered up to its quota', () => {
  const subject = new Subject(['a', 'b'], { maxGraftsPerSec: 5 })
  subject.link('a', 'b')
  subject.get('b', gossip(1))
  subject.outputs()
  const graft: BroadcastMessage = { type: 'graft', isLink: false, ids: [{ origin: 'abcd', sequence: 1 }] }
  for (let i = 0; i < 20; i++) subject.get('a', graft)
  assert.equal(subject.sent().filter(({ message }) => message.type === 'gossip').length, 5)
  assert.equal(subject.machine.stats().dropped.grafts, 15)
  subject.now += 1000
  subject.get('a', graft)
  assert.equal(subject.sent().filter(({ message }) => message.type === 'gossip').length, 1)
})

test('requests of many members make a view no larger than its limit, those of one are counted', () => {
  const subject = new Subject(MANY, { activeView: 5, viewSlack: 3 })
  for (const node of MANY) subject.get(node, { type: 'neighbour', wish: 'more' })
  assert.equal(subject.machine.neighbours().length, 8)
  for (const node of MANY) subject.get(node, { type: 'neighbour', wish: 'lonely' })
  for (const node of MANY) subject.get(node, { type: 'neighbour', wish: 'ring' })
  assert.ok(subject.machine.neighbours().length <= 10)
  const linked = new Set(subject.machine.neighbours().map(({ node }) => node))
  const other = MANY.find((node) => !linked.has(node))!
  subject.now = 5000
  for (let i = 0; i < 30; i++) subject.get(other, { type: 'neighbour', wish: 'more' })
  assert.equal(subject.machine.stats().dropped.requests, 20)
})

test('who is alone is taken in at the expense of another, who is told', () => {
  const subject = new Subject(MANY, { activeView: 5, viewSlack: 3 })
  for (const node of MANY) subject.get(node, { type: 'neighbour', wish: 'more' })
  const linked = new Set(subject.machine.neighbours().map(({ node }) => node))
  const alone = MANY.find((node) => !linked.has(node))!
  subject.outputs()
  subject.get(alone, { type: 'neighbour', wish: 'lonely' })
  const sent = subject.sent()
  assert.equal(sent.filter(({ message }) => message.type === 'disconnect').length, 1)
  assert.ok(sent.some(({ to, message }) => to === alone && message.type === 'accept'))
  assert.equal(subject.machine.neighbours().length, 8)
})

test('an id that is announced is asked for after a while, of another when the first does not answer', () => {
  const subject = new Subject(['a', 'b'])
  subject.link('a', 'b')
  const ids = [{ origin: 'abcd', sequence: 1 }]
  subject.get('a', { type: 'ihave', isAgain: false, isOverdue: false, ids })
  subject.get('b', { type: 'ihave', isAgain: false, isOverdue: false, ids })
  subject.pass(99)
  const grafts = (): string[] => subject.sent().flatMap(({ to, message }) => (message.type === 'graft' ? [to] : []))
  assert.deepEqual(grafts(), [])
  subject.pass(2)
  const first = grafts()
  subject.pass(101)
  const second = grafts()
  assert.deepEqual(
    [...first, ...second].sort((x, y) => (x < y ? -1 : 1)),
    ['a', 'b'],
  )
  subject.get('a', gossip(1, { isRepair: true }))
  subject.outputs()
  subject.pass(1000)
  assert.deepEqual(grafts(), [])
})

test('an event is delivered once, whoever sends it how often; the cache holds the newest', () => {
  const subject = new Subject(['a', 'b'], { maxCachedMessages: 3, maxCachedBytes: 2000 })
  subject.link('a', 'b')
  for (const from of ['a', 'b', 'a']) for (let i = 1; i <= 5; i++) subject.get(from, gossip(i))
  const delivered = subject.outputs().flatMap((output) => (output.type === 'deliver' ? [output.payload[0]] : []))
  assert.deepEqual(delivered, [1, 2, 3, 4, 5])
  assert.deepEqual([subject.machine.stats().cachedMessages, subject.machine.stats().dropped.evictedMessages], [3, 2])
  subject.get('a', gossip(6, { payload: new Uint8Array(1999) }))
  assert.deepEqual([subject.machine.stats().cachedMessages, subject.machine.stats().cachedBytes], [2, 2000])
  subject.pass(125_000)
  assert.equal(subject.machine.stats().cachedMessages, 0)
})

/** In a tree: b is its parent, c its child, a neither; and none of what was sent so far is left to be seen. */
function inTree(): Subject {
  const subject = new Subject(['a', 'b', 'c', 'root'])
  subject.link('a', 'b', 'c')
  subject.get('a', pulse(5))
  subject.get('b', pulse(2))
  subject.get('c', pulse(7, true))
  subject.pass(600)
  return subject
}

function pulse(hops: number, isParent: boolean = false): BroadcastMessage {
  return { type: 'pulse', root: 'root', sequence: 1, hops, isParent }
}

function eager(subject: Subject): string[] {
  return subject.machine.neighbours().flatMap(({ node, isEager }) => (isEager ? [node] : []))
}

test('a pulse is passed on at once, the parent is the one with the fewest hops, and is told; links that nobody chose become lazy', () => {
  const subject = inTree()
  assert.deepEqual(eager(subject), ['b', 'c'])
  const pulses = subject.sent().flatMap(({ to, message }) => (message.type === 'pulse' ? [[to, message.hops, message.isParent]] : []))
  assert.deepEqual(pulses, [
    ['b', 6, false],
    ['c', 6, false],
    ['b', 6, true],
  ])
})

test('without its parent a node takes the next best, but none as far from the root as itself: it may be below', () => {
  const subject = inTree()
  subject.outputs()
  subject.get('b', { type: 'disconnect' })
  const told = (): string[] => subject.sent().flatMap(({ to, message }) => (message.type === 'pulse' && message.isParent ? [to] : []))
  assert.deepEqual(told(), ['a'])
  subject.get('a', { type: 'disconnect' })
  assert.deepEqual(told(), [])
})

test('a payload that was here already prunes its link, unless it is a repair or the link is one of parent and child', () => {
  const subject = inTree()
  const pruned = (): string[] => subject.sent().flatMap(({ to, message }) => (message.type === 'prune' ? [to] : []))
  subject.get('b', gossip(1))
  subject.outputs()
  subject.get('a', gossip(1, { isRepair: true }))
  subject.get('b', gossip(1))
  assert.deepEqual(pruned(), [])
  subject.get('a', { type: 'graft', isLink: true, ids: [] })
  assert.deepEqual(eager(subject), ['a', 'b', 'c'])
  subject.get('a', gossip(1))
  assert.deepEqual([pruned(), eager(subject)], [['a'], ['b', 'c']])
  subject.get('a', gossip(2))
  subject.get('b', gossip(2))
  assert.deepEqual([pruned(), eager(subject)], [['a'], ['b', 'c']], 'the parent stays, the first goes')
  subject.get('c', { type: 'prune' })
  assert.deepEqual(eager(subject), ['b'])
})

test('who does not say that it has an event gets it again if it is small, and its id if it is not', () => {
  for (const [bytes, type] of [
    [512, 'gossip'],
    [513, 'ihave'],
  ] as const) {
    const subject = inTree()
    subject.get('b', gossip(1, { payload: new Uint8Array(bytes) }))
    subject.pass(45)
    subject.get('a', { type: 'ihave', isAgain: false, isOverdue: false, ids: [{ origin: 'abcd', sequence: 1 }] })
    subject.outputs()
    subject.pass(5000)
    const again = subject
      .sent()
      .flatMap(({ to, message }) => (message.type === 'gossip' || message.type === 'ihave' ? [[to, message.type]] : []))
    assert.deepEqual(
      again,
      Array.from({ length: 6 }, () => ['c', type]),
    )
  }
})

test('a digest is answered with the ids that it lacks, and what lacks here is asked for', () => {
  const subject = inTree()
  subject.get('a', { type: 'summary', hash: 0, isNew: false, isReply: true })
  for (const sequence of [1, 2, 3]) subject.get('b', gossip(sequence))
  subject.pass(100)
  subject.outputs()
  const upTo = (origin: string, most: number): BroadcastMessage => ({
    type: 'digest',
    isNew: false,
    origins: [{ origin, upTo: most, ahead: [] }],
  })
  subject.get('a', { type: 'summary', hash: 1, isNew: false, isReply: false })
  assert.deepEqual(subject.sent(), [{ to: 'a', message: upTo('abcd', 3) }])
  subject.get('a', upTo('abcd', 1))
  const ids = [2, 3].map((sequence) => ({ origin: 'abcd', sequence }))
  assert.deepEqual(subject.sent(), [{ to: 'a', message: { type: 'ihave', isAgain: false, isOverdue: false, ids } }])
  subject.get('a', upTo('abcd', 5))
  subject.pass(100)
  const graft = subject.sent().find(({ message }) => message.type === 'graft')?.message
  assert.deepEqual(graft?.type === 'graft' && graft.ids.map(({ sequence }) => sequence), [4, 5])
})

test('reports have a limit; alone, one is there at once', () => {
  const subject = new Subject(['a'], { maxReports: 1 })
  const event = { type: 'broadcast', payload: Uint8Array.of(1), wantsReport: true } as const
  subject.machine.handle({ ...event, broadcast: 1 }, 0)
  subject.machine.handle({ ...event, broadcast: 2 }, 0)
  assert.ok(subject.outputs().some((output) => output.type === 'refused' && output.reason.includes('broadcast 2')))
  subject.pass(3000)
  assert.deepEqual(
    subject.outputs().filter(({ type }) => type === 'report'),
    [{ type: 'report', broadcast: 1, reached: 0, of: 1, missing: ['a'] }],
  )
  const alone = new Subject([])
  alone.machine.handle({ ...event, broadcast: 3 }, 0)
  alone.pass(0)
  assert.deepEqual(alone.outputs(), [{ type: 'report', broadcast: 3, reached: 0, of: 0, missing: [] }])
})

test('names that fit into no message are refused', () => {
  const subject = new Subject(['x'.repeat(256)])
  assert.equal(subject.outputs()[0]?.type, 'refused')
  assert.equal(subject.machine.stats().members, 0)
})

test('a list that was taken does not grow', () => {
  const subject = new Subject([])
  const before = subject.outputs()
  subject.machine.handle({ type: 'broadcast', broadcast: 1, payload: new Uint8Array(1_000_000), wantsReport: false }, 0)
  assert.equal(before.length, 0)
  assert.equal(subject.outputs().length, 1)
})
