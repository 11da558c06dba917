import assert from 'node:assert/strict'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { Catalog } from './catalog.ts'
import type { GetRecord, OrderRecord } from './catalog.ts'
import type { Receipt } from './delivery-info.ts'

const ID = 'ab'.repeat(32)
const TICKET = { swarmId: ID, trackers: ['127.0.0.1:1'], name: 'f' }

async function inTemp(t: { after: (clean: () => Promise<void>) => void }): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'polycast-catalog-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return join(directory, 'catalog')
}

function order(id: string): OrderRecord {
  return {
    id,
    source: { kind: 'path', path: '/f' },
    name: 'f',
    selector: 'all',
    dest: '',
    createDirectories: false,
    timeoutMs: 0,
    createdAt: 1,
    ticket: TICKET,
    isTracker: true,
    attempt: 0,
    members: { n1: null, __proto__: null },
  }
}

function receipt(member: string, status: Receipt['status'] = 'done'): Receipt {
  return { member, status, totalBytes: 1, receivedBytes: 1, reusedBytes: 0, durationMs: 1, at: 2 }
}

function get(id: string): GetRecord {
  return { id, source: { kind: 'id', id: ID }, isFresh: false, createdAt: 1 }
}

test('what was recorded is there after a restart', async (t) => {
  const path = await inTemp(t)
  const first = await Catalog.open(path)
  await first.record({ t: 'name', url: 'http://a/', contentId: ID })
  await first.record({ t: 'digest', digest: 'sha256:00', contentId: ID })
  await first.record({ t: 'order', order: order('d1') })
  await first.record({ t: 'order-member', id: 'd1', member: '__proto__' })
  await first.record({ t: 'order-receipt', id: 'd1', receipt: receipt('__proto__') })
  await first.record({ t: 'order-receipt', id: 'd1', receipt: receipt('n1', 'failed') })
  await first.record({ t: 'order-again', id: 'd1', member: 'n1' })
  await first.record({ t: 'order-sealed', id: 'd1', contentId: ID, totalBytes: 5 })
  await first.record({ t: 'order-ticket', id: 'd1', ticket: { ...TICKET, name: 'g' }, isTracker: false, attempt: 1 })
  await first.record({ t: 'order-ended', id: 'd1', at: 9, isCancelled: false, sentBytes: 5 })
  await first.record({ t: 'get', get: get('g1') })
  await first.record({ t: 'get-ended', id: 'g1', at: 3, isCancelled: true })
  await first.record({
    t: 'inbound',
    inbound: {
      id: 'i1',
      origin: { name: 'n9', address: 'x' },
      ticket: TICKET,
      attempt: 0,
      name: 'f',
      dest: '',
      createDirectories: false,
      receivedAt: 1,
      progressMs: 0,
      isAcknowledged: false,
    },
  })
  await first.record({ t: 'inbound-receipt', id: 'i1', receipt: receipt('n1') })
  const seen = JSON.stringify([[...first.orders], [...first.inbounds], [...first.gets]])
  await first.close()

  const second = await Catalog.open(path)
  assert.equal(JSON.stringify([[...second.orders], [...second.inbounds], [...second.gets]]), seen)
  assert.equal(second.contentOfUrl('http://a/'), ID)
  assert.equal(second.contentOfDigest('sha256:00'), ID)
  const found = second.orders.get('d1')
  assert.equal(found?.members['__proto__']?.status, 'done')
  assert.equal(found?.members['n1'], null)
  assert.equal(found?.ticket.name, 'g')
  assert.equal(found?.ended?.at, 9)
  await second.close()
})

test('what has ended is dropped beyond the limit, what runs never; names go in the order of their use', async (t) => {
  const catalog = await Catalog.open(await inTemp(t), { names: 2, ended: 3 })
  await catalog.record({ t: 'order', order: order('runs') })
  for (let count = 0; count < 10; count++) {
    await catalog.record({ t: 'order', order: order(`d${count}`) })
    await catalog.record({ t: 'order-ended', id: `d${count}`, at: count, isCancelled: false, sentBytes: 5 })
  }
  assert.deepEqual([...catalog.orders.keys()], ['runs', 'd7', 'd8', 'd9'])
  for (const name of ['a', 'b', 'a', 'c']) await catalog.record({ t: 'name', url: name, contentId: ID })
  assert.deepEqual(
    ['a', 'b', 'c'].map((name) => catalog.contentOfUrl(name)),
    [ID, undefined, ID],
  )
  await catalog.close()
})

test('a long log is rewritten at start, with the same state', async (t) => {
  const path = await inTemp(t)
  const first = await Catalog.open(path)
  const writes: Promise<void>[] = []
  for (let count = 0; count < 20_000; count++) writes.push(first.record({ t: 'name', url: 'http://a/', contentId: ID }))
  await Promise.all(writes)
  await first.close()
  const before = (await stat(path)).size
  const second = await Catalog.open(path)
  assert.equal(second.contentOfUrl('http://a/'), ID)
  await second.record({ t: 'unname', url: 'http://a/' })
  await second.close()
  assert.ok((await stat(path)).size < before / 100)
  const third = await Catalog.open(path)
  assert.equal(third.contentOfUrl('http://a/'), undefined)
  await third.close()
})
