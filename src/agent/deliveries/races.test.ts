/** What depends on the order in which calls come: one side of each call is played by the test. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { fail, serialiseError } from '../errors.ts'
import { Deliveries } from './deliveries.ts'
import { Bed, failsWith, KIB, URL_A } from './test-bed.ts'
import { until } from './test-time.ts'

const SILENT = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

test('calls that come before the interrupted deliveries are taken up again wait for that', async (t) => {
  const bed = await Bed.open(t, ['n2'])
  const node = await bed.cluster.start('n1')
  bed.cluster.announce(node)
  const service = await Deliveries.open({
    dataDirectory: node.disk.directory,
    dataPlane: node,
    membership: node.membership,
    log: SILENT,
    clock: bed.clock,
  })
  t.after(() => service.close())
  let isAnswered = false
  const asked = bed.node('n2').call(node.address, 'delivery.ask', { id: 'd' }, { timeoutMs: 1000 })
  void asked.then(() => {
    isAnswered = true
  })
  await until(() => bed.cluster.calls.includes('n2>n1 delivery.ask'))
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(isAnswered, false)
  await service.start()
  assert.deepEqual(await asked, { state: 'unknown' })
})

test('a receipt that changes while an older one is being told is told too', async (t) => {
  const bed = await Bed.open(t, ['n2'])
  const origin = await bed.cluster.start('n1')
  bed.cluster.announce(origin)
  const receipts: string[] = []
  let release = (): void => undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  origin.onCall('delivery.receipt', async (params) => {
    const { attempt, receipt } = params as { attempt: number; receipt: { status: string } }
    receipts.push(`${attempt} ${receipt.status}`)
    if (attempt === 0) await held
    return {}
  })
  const lost = { swarmId: 'ab'.repeat(32), trackers: [origin.address], name: 'f' }
  const offer = { id: 'd', name: 'f', dest: 'f', createDirectories: false, progressMs: 0 }
  const call = (params: object): Promise<unknown> => origin.call(bed.node('n2').address, 'delivery.offer', params, { timeoutMs: 1000 })
  assert.deepEqual(await call({ ...offer, ticket: lost, attempt: 0 }), { state: 'running' })
  await until(() => receipts.length === 1)
  const { ticket } = await origin.publish({ path: await bed.file('f', randomBytes(KIB)) }, {})
  assert.deepEqual(await call({ ...offer, ticket, attempt: 1 }), { state: 'running' })
  await until(() => bed.node('n2').outputs === 1)
  const ask = (): Promise<unknown> => origin.call(bed.node('n2').address, 'delivery.ask', { id: 'd' }, { timeoutMs: 1000 })
  while (((await ask()) as { state: string }).state !== 'ended') assert.deepEqual(receipts, ['0 failed'])
  // The new receipt is on the disk by now, and still waits for the old one.
  for (let turn = 0; turn < 50; turn++) await ask()
  release()
  await until(() => receipts.length === 2)
  assert.deepEqual(receipts, ['0 failed', '1 done'])
  const again = (await call({ ...offer, ticket, attempt: 1 })) as { state: string }
  assert.equal(again.state, 'ended', 'the same offer again tells how it ended')
  assert.equal(bed.node('n2').outputs, 1)
})

test('an owner that says that the source failed ends a get whose transfer would wait for ever', async (t) => {
  const bed = await Bed.open(t, ['n1'])
  const owner = await bed.cluster.start('seed1', { role: 'seed' })
  bed.cluster.announce(owner)
  bed.cluster.source(URL_A, randomBytes(8 * KIB), new Promise(() => undefined))
  owner.onCall('content.open', async () => ({ ticket: (await owner.publish({ url: URL_A }, {})).ticket }))
  let end = (_error: Error): void => undefined
  owner.onCall(
    'content.sealed',
    () =>
      new Promise((_resolve, reject) => {
        end = reject
      }),
  )
  const get = bed.of('n1').get({ source: URL_A })
  await until(() => get.info().haveBytes > 0)
  end(fail('source-short', { url: URL_A, expected: 8192, received: 100 }))
  await assert.rejects(get.done, failsWith('source-short'))
  await until(() => bed.node('n1').transfers.size === 0)
})

test('only the node that ordered a delivery may change or see it', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3'])
  bed.cluster.source(URL_A, randomBytes(8 * KIB), new Promise(() => undefined))
  const delivery = await bed.of('n1').send({ source: URL_A, selector: 'name=n2', id: 'd' })
  await until(() => bed.node('n2').transfers.size === 1)
  const [origin, receiver, stranger] = [bed.node('n1'), bed.node('n2'), bed.node('n3')]
  const options = { timeoutMs: 1000 }
  assert.deepEqual(await stranger.call(receiver.address, 'delivery.ask', { id: 'd' }, options), { state: 'unknown' })
  const error = serialiseError(fail('cancelled', { reason: 'a stranger says so' }))
  await stranger.call(receiver.address, 'delivery.cancel', { id: 'd', error }, options)
  assert.equal(receiver.transfers.size, 1)
  const receipt = { member: 'n2', status: 'done', totalBytes: 1, receivedBytes: 1, reusedBytes: 0, durationMs: 1, at: 1 }
  await assert.rejects(
    stranger.call(origin.address, 'delivery.receipt', { id: 'd', attempt: 0, receipt }, options),
    failsWith('delivery-not-found'),
  )
  assert.equal(delivery.info().state, 'running')
})

test('nonsense from another node is refused by name', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  await mkdir(join(bed.directory, 'x'))
  const ticket = { swarmId: 'ab'.repeat(32), trackers: ['127.0.0.1:1'], name: 'f' }
  const offer = { id: 'd', ticket, attempt: 0, name: 'f', dest: 'f', createDirectories: false, progressMs: 0 }
  const cases: [method: string, params: unknown][] = [
    ['delivery.offer', undefined],
    ['delivery.offer', { ...offer, id: '' }],
    ['delivery.offer', { ...offer, id: 'x'.repeat(1000) }],
    ['delivery.offer', { ...offer, dest: 'x'.repeat(5000) }],
    ['delivery.offer', { ...offer, ticket: { ...ticket, swarmId: '../../x' } }],
    ['delivery.offer', { ...offer, ticket: { ...ticket, trackers: [] } }],
    ['delivery.offer', { ...offer, remainingMs: -1 }],
    ['delivery.receipt', { id: 'd', attempt: 0, receipt: { status: 'done' } }],
    ['delivery.progress', { id: 'd', haveBytes: 'many' }],
    ['delivery.cancel', { id: 'd', error: 'x' }],
    ['content.open', {}],
    ['content.open', { id: 'zz' }],
    ['content.sealed', { swarmId: 7 }],
  ]
  for (const [method, params] of cases) {
    await assert.rejects(
      bed.node('n1').call(bed.node('n2').address, method, params ?? null, { timeoutMs: 1000 }),
      failsWith('bad-request'),
      method,
    )
  }
})
