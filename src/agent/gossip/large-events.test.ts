/** Events with payloads that go by another way: what is announced, fetched, told of, lost and reported. The carrier is one in memory. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pass, passUntil, until } from '../deliveries/test-time.ts'
import { fail, isPolycastError } from '../errors.ts'
import { ManualClock } from '../manual-clock.ts'
import type { EventReport, LostEvent, UserEventRecord } from './gossip.ts'
import { LargeEvents, PAYLOAD_EVENT, type PayloadCarrier, type PayloadReceipt, type PayloadReference } from './large-events.ts'
import { QUIET_MS } from './payload-reports.ts'

const MAX_BYTES = 1000

/** A node whose events are heard by itself alone, until a test hands them to another one. */
class Node {
  readonly name: string
  readonly large: LargeEvents
  readonly sent: UserEventRecord[] = []
  readonly told: string[] = []
  readonly lost: LostEvent[] = []
  readonly log: string[] = []
  readonly receipts: [to: string, PayloadReceipt][] = []
  /** Held back until it settles, by content id. */
  readonly gates: Map<string, Promise<void>> = new Map()
  missing: string[] = []
  receipt: (from: string, receipt: PayloadReceipt) => void = () => undefined

  constructor(name: string, store: Map<string, Uint8Array>, clock: ManualClock, receivers: () => string[]) {
    this.name = name
    const carrier: PayloadCarrier = {
      share: (payload) => {
        const contentId = String(store.size).padStart(64, '0')
        store.set(contentId, payload)
        return Promise.resolve({ contentId, bytes: payload.length, node: name, trackers: ['127.0.0.1:7947'] })
      },
      fetch: async ({ contentId }: PayloadReference) => {
        await this.gates.get(contentId)
        const bytes = store.get(contentId)
        if (bytes === undefined) throw fail('content-not-found', { id: contentId, where: 'on any live member' })
        return bytes
      },
      acknowledge: (to, receipt) => {
        this.receipts.push([to, receipt])
        return Promise.resolve()
      },
      onReceipt: (listener) => {
        this.receipt = listener
      },
    }
    this.large = new LargeEvents({
      carrier,
      clock,
      maxBytes: MAX_BYTES,
      self: name,
      receivers,
      send: (event, payload, { canCoalesce = false, wantsReport = false }) => {
        this.sent.push({ name: event, payload, time: this.sent.length + 1, canCoalesce })
        const report: EventReport = { reached: 0, of: 0, missing: this.missing }
        return Promise.resolve(wantsReport ? report : undefined)
      },
      deliver: ({ name: event, payload, time, canCoalesce }) =>
        void this.told.push(`${event} ${Buffer.from(payload).toString()} ${time}${canCoalesce ? ' coalesced' : ''}`),
      lose: (event) => void this.lost.push(event),
      log: (_level, message) => void this.log.push(message),
    })
  }
}

function nodes(...names: string[]): { list: Node[]; store: Map<string, Uint8Array>; clock: ManualClock; alive: Set<string> } {
  const store = new Map<string, Uint8Array>()
  const clock = new ManualClock()
  const alive = new Set(names)
  const list = names.map((name) => new Node(name, store, clock, () => [...alive].filter((other) => other !== name)))
  return { list, store, clock, alive }
}

test('a payload is announced, fetched, and told of under its own name', async () => {
  const [a, b] = nodes('a', 'b').list as [Node, Node]
  assert.equal(await a.large.send('deploy', Buffer.from('payload'), { canCoalesce: true }), undefined)
  const [event] = a.sent as [UserEventRecord]
  assert.equal(event.name, PAYLOAD_EVENT)
  for (const node of [a, b]) {
    assert.ok(node.large.take(event))
    await until(() => node.told.length === 1)
    assert.deepEqual(node.told, ['deploy payload 1 coalesced'])
  }
  assert.deepEqual([...a.receipts, ...b.receipts], [], 'nobody wants a report')
  assert.equal(a.large.take({ ...event, name: 'deploy' }), false, 'any other event is not taken')
})

test('those that are ready are told of first, and few are fetched at a time', async () => {
  const { list, store } = nodes('a', 'b')
  const [a, b] = list as [Node, Node]
  let open: () => void = () => undefined
  b.gates.set('0'.repeat(64), new Promise((resolve) => (open = resolve)))
  for (let i = 0; i < 3; i++) await a.large.send(`e${i}`, Buffer.from('x'), {})
  for (const event of a.sent) b.large.take(event)
  await until(() => b.told.length === 2)
  assert.deepEqual(b.told, ['e1 x 2', 'e2 x 3'])
  open()
  await until(() => b.told.length === 3)
  assert.equal(store.size, 3)
})

test('a payload that cannot be fetched, or is too long here, is a lost event', async () => {
  const { list, store } = nodes('a', 'b')
  const [a, b] = list as [Node, Node]
  void a.large.send('gone', Buffer.from('x'), { wantsReport: true })
  await until(() => a.sent.length === 1)
  store.clear()
  const [event] = a.sent as [UserEventRecord]
  b.large.take(event)
  await until(() => b.lost.length === 1)
  assert.deepEqual([b.lost[0]?.name, b.lost[0]?.from, b.lost[0]?.error.code], ['gone', 'a', 'content-not-found'])
  assert.deepEqual([b.receipts[0]?.[0], b.receipts[0]?.[1].isHere], ['a', false])
  const content = JSON.parse(Buffer.from(event.payload).toString()) as object
  const take = (changed: object): boolean => b.large.take({ ...event, payload: Buffer.from(JSON.stringify({ ...content, ...changed })) })
  take({ bytes: MAX_BYTES + 1 })
  assert.equal(b.lost[1]?.error.code, 'bad-request')
  // What no node of Polycast sends is none of its events, nor any other.
  for (const changed of [{ contentId: 'x' }, { bytes: -1 }, { trackers: [] }]) assert.ok(take(changed))
  assert.ok(b.large.take({ ...event, payload: Uint8Array.of(0xff) }))
  assert.equal(b.lost.length, 2)
  assert.equal(b.log.filter((line) => line.includes('cannot be read')).length, 4)
  assert.deepEqual(b.told, [])
})

test('a payload that is too long is refused before it is shared', async () => {
  const { list, store } = nodes('a')
  await assert.rejects(list[0]!.large.send('e', new Uint8Array(MAX_BYTES + 1), {}), (error) => isPolycastError(error, 'bad-request'))
  assert.equal(store.size, 0)
})

test('a report has those that have the payload', async () => {
  const { list, clock, alive } = nodes('a', 'b', 'c', 'd', 'e')
  const a = list[0]!
  let ended: EventReport | undefined
  void a.large.send('e', Buffer.from('x'), { wantsReport: true }).then((report) => (ended = report))
  await until(() => a.sent.length === 1)
  const { report: number } = JSON.parse(Buffer.from(a.sent[0]!.payload).toString()) as { report: string }
  a.receipt('b', { report: number, isHere: true })
  a.receipt('b', { report: number, isHere: false })
  a.receipt('c', { report: number, isHere: false })
  a.receipt('x', { report: number, isHere: true })
  a.receipt('d', { report: 'another', isHere: true })
  alive.delete('e')
  a.receipt('d', { report: number, isHere: true })
  await passUntil(clock, () => ended !== undefined)
  assert.deepEqual(ended, { reached: 2, of: 4, missing: ['c', 'e'] })
})

test('a report ends where nothing is heard any more, and waits for nobody who does not know', async () => {
  const { list, clock } = nodes('a', 'b', 'c')
  const a = list[0]!
  let ended: EventReport | undefined
  void a.large.send('e', Buffer.from('x'), { wantsReport: true }).then((report) => (ended = report))
  await until(() => a.sent.length === 1)
  await pass(clock, QUIET_MS - 1000)
  assert.equal(ended, undefined)
  await passUntil(clock, () => ended !== undefined)
  assert.deepEqual(ended, { reached: 0, of: 2, missing: ['b', 'c'] })
  a.missing = ['b', 'c']
  assert.deepEqual(await a.large.send('e', Buffer.from('x'), { wantsReport: true }), { reached: 0, of: 2, missing: ['b', 'c'] })
})
