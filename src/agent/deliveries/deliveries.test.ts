import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { fail } from '../errors.ts'
import type { SendOrder } from './deliveries.ts'
import type { DeliveryEvent } from './delivery-info.ts'
import { idOf, PIECE_BYTES } from './fake-content.ts'
import { Bed, failsWith, KIB, receiptOf, URL_A } from './test-bed.ts'
import { pass, passUntil, until } from './test-time.ts'

test('a file that only the sender has comes to all others, with a receipt from each', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3'])
  const bytes = randomBytes(20 * KIB + 7)
  const info = await bed.send('n1', { source: await bed.file('app.bin', bytes), selector: 'all', dest: 'app.bin' })
  assert.equal(info.state, 'done')
  assert.equal(info.contentId, idOf(bytes))
  assert.ok(info.sentBytes > 0, 'what was sent is still told when it has ended')
  assert.equal(bed.of('n1').list()[0]?.sentBytes, info.sentBytes)
  assert.deepEqual(info.members.map((member) => member.name).toSorted(), ['n2', 'n3'])
  for (const name of ['n2', 'n3']) {
    assert.deepEqual(await bed.delivered(name, 'app.bin'), bytes)
    const receipt = receiptOf(info, name)
    assert.equal(receipt.status, 'done')
    assert.equal(receipt.receivedBytes, bytes.length)
    assert.equal(receipt.totalBytes, bytes.length)
    assert.equal(receipt.path, join(bed.directory, name, 'files', 'app.bin'))
  }
})

test('only those that will be invited by multicast are told to wait for it', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3', 'n4'])
  const waits = async (...reached: string[]): Promise<Record<string, number | undefined>> => {
    bed.reached.clear()
    for (const name of reached) bed.reached.add(name)
    const told: Record<string, number | undefined> = {}
    for (const name of ['n2', 'n3', 'n4']) {
      const node = bed.node(name)
      node.fetched = ({ multicastWaitMs }) => (told[name] = multicastWaitMs)
    }
    await bed.send('n1', { source: await bed.file('f', randomBytes(9 * KIB)), selector: 'all' })
    return told
  }
  assert.deepEqual(await waits('n2', 'n4'), { n2: 300, n3: undefined, n4: 300 })
  assert.deepEqual(await waits('n2'), { n2: undefined, n3: undefined, n4: undefined })
})

test('the events of a delivery: started, progress, a receipt each, done', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3'])
  let release = (): void => undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  bed.cluster.pieceGate = (_node, piece) => (piece === 3 ? held : Promise.resolve())
  const delivery = await bed.of('n1').send({ source: await bed.file('f', randomBytes(5 * KIB)), selector: 'all' })
  const events: DeliveryEvent[] = []
  delivery.follow((event) => events.push(event))
  await until(() => delivery.info().members.every((member) => member.haveBytes === 3 * KIB))
  await pass(bed.clock, 1_000)
  release()
  await delivery.ended
  assert.equal(events[0]?.event, 'started')
  assert.equal(events.at(-1)?.event, 'done')
  assert.equal(events.filter((event) => event.event === 'receipt').length, 2)
  const had = events.flatMap((event) => (event.event === 'progress' ? event.members : [])).filter((member) => member.haveBytes === 3 * KIB)
  // One of them may be in two lines: with its bytes, and again when its state changed.
  assert.deepEqual([...new Set(had.map((member) => member.name))].toSorted(), ['n2', 'n3'])
})

test('delivering again what they have moves no byte', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  const source = await bed.file('f', randomBytes(30 * KIB))
  await bed.send('n1', { source, selector: 'all' })
  const again = await bed.send('n1', { source, selector: 'all' })
  assert.equal(receiptOf(again, 'n2').receivedBytes, 0)
  assert.equal(again.state, 'done')
})

test('a file that did not change is not read again; one that changed is', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  const bytes = randomBytes(4 * KIB)
  const source = await bed.file('f', bytes)
  const { ctimeMs } = await stat(source)
  // Within a tick of its last change a file isn't recognised.
  await until(() => Date.now() - ctimeMs > 50)
  await bed.send('n1', { source, selector: 'all' })
  const again = await bed.send('n1', { source, selector: 'all', dest: 'again' })
  assert.equal(bed.node('n1').publishes, 1)
  assert.equal(receiptOf(again, 'n2').receivedBytes, 0)
  assert.deepEqual(await bed.delivered('n2', 'again'), bytes)
  bytes.reverse()
  await writeFile(source, bytes)
  await bed.send('n1', { source, selector: 'all', dest: 'new' })
  assert.equal(bed.node('n1').publishes, 2)
  assert.deepEqual(await bed.delivered('n2', 'new'), bytes)
})

test('unchanged parts of a new version are reused', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  const bytes = randomBytes(16 * PIECE_BYTES)
  await bed.send('n1', { source: await bed.file('v1', bytes), selector: 'all' })
  bytes.fill(7, 0, PIECE_BYTES)
  const info = await bed.send('n1', { source: await bed.file('v2', bytes), selector: 'all' })
  assert.equal(receiptOf(info, 'n2').receivedBytes, PIECE_BYTES)
  assert.equal(receiptOf(info, 'n2').reusedBytes, 15 * PIECE_BYTES)
})

test('selectors: tags, names, nobody, nonsense', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'seed1'])
  const source = await bed.file('f', Buffer.from('x'))
  const members = async (selector: string): Promise<string[]> =>
    (await bed.send('n1', { source, selector })).members.map((member) => member.name)
  assert.deepEqual(await members('role=web'), ['n2'])
  assert.deepEqual(await members('role=seed'), ['seed1'])
  assert.deepEqual(await members('name=n2'), ['n2'])
  assert.deepEqual(await members('name=n1'), ['n1'], 'the sender itself, where it is named')
  await assert.rejects(bed.of('n1').send({ source, selector: 'role=db' }), failsWith('selector-empty'))
  await assert.rejects(bed.of('n1').send({ source, selector: 'role' }), failsWith('selector-invalid'))
})

test('a source that cannot be opened refuses the order', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  await assert.rejects(bed.of('n1').send({ source: join(bed.directory, 'none'), selector: 'all' }), failsWith('path-not-found'))
  await assert.rejects(bed.of('n1').send({ source: URL_A, selector: 'all' }), failsWith('source-not-found'))
  await assert.rejects(bed.of('n1').send({ source: 'a'.repeat(64), selector: 'all' }), failsWith('content-not-found'))
  assert.deepEqual(bed.of('n1').list(), [])
})

test('a member that may not write there is named with its reason; the others have it', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3'])
  await mkdir(join(bed.directory, 'n3', 'files', 'app'))
  const info = await bed.send('n1', { source: await bed.file('f', randomBytes(KIB)), selector: 'all', dest: 'app' })
  assert.equal(info.state, 'partial')
  assert.equal(receiptOf(info, 'n2').status, 'done')
  assert.equal(receiptOf(info, 'n3').status, 'failed')
  assert.equal(receiptOf(info, 'n3').error?.code, 'dest-exists-as-directory')
  assert.equal(info.error?.code, 'delivery-partial')
  assert.match(info.error?.message ?? '', /n3 \(dest-exists-as-directory\)/)
  assert.equal(bed.node('n3').disk.contents.size, 0, 'nothing is fetched for it')
})

test('a destination outside of the root is refused before anything is fetched', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  const info = await bed.send('n1', { source: await bed.file('f', randomBytes(KIB)), selector: 'all', dest: '../../evil' })
  assert.equal(info.state, 'failed')
  assert.equal(receiptOf(info, 'n2').error?.code, 'dest-outside-root')
  assert.equal(bed.node('n2').disk.contents.size, 0)
})

test('an order is idempotent by its id', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  const source = await bed.file('f', randomBytes(KIB))
  const order: SendOrder = { source, selector: 'all', id: 'order-1' }
  const [first, second] = await Promise.all([bed.of('n1').send(order), bed.of('n1').send(order)])
  assert.equal(first, second)
  await first.ended
  const third = await bed.of('n1').send(order)
  assert.equal(third.info().state, 'done')
  assert.equal(bed.node('n1').publishes, 1)
  await assert.rejects(bed.of('n1').send({ ...order, selector: 'name=n2' }), failsWith('bad-request'))
})

test('a member that joins before the end is included', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  let release = (): void => undefined
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  bed.cluster.source(URL_A, randomBytes(8 * KIB), gate)
  const delivery = await bed.of('n1').send({ source: URL_A, selector: 'all', dest: 'a' })
  await bed.start('n3', { role: 'web' })
  release()
  await delivery.ended
  assert.equal(receiptOf(delivery.info(), 'n3').status, 'done')
  assert.equal((await bed.delivered('n3', 'a')).length, 8 * KIB)
})

test('a member that leaves gets the receipt left; one that dies is unreachable after its time of grace', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3'])
  bed.cluster.source(URL_A, randomBytes(8 * KIB), new Promise(() => undefined))
  const delivery = await bed.of('n1').send({ source: URL_A, selector: 'all' })
  bed.crash('n2')
  bed.cluster.setStatus('n2', 'left')
  bed.crash('n3')
  bed.cluster.setStatus('n3', 'dead')
  await pass(bed.clock, 29_000)
  assert.equal(delivery.info().state, 'running')
  await passUntil(bed.clock, () => delivery.info().state !== 'running')
  const info = delivery.info()
  assert.equal(info.state, 'failed')
  assert.equal(receiptOf(info, 'n2').status, 'left')
  assert.equal(receiptOf(info, 'n3').status, 'unreachable')
  assert.equal(receiptOf(info, 'n3').error?.code, 'member-unreachable')
})

test('the timeout names what each member had, and tells them to stop', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  bed.cluster.source(URL_A, randomBytes(8 * KIB), new Promise(() => undefined))
  const delivery = await bed.of('n1').send({ source: URL_A, selector: 'all', timeoutMs: 60_000 })
  await until(() => delivery.info().members[0]?.haveBytes === 3 * KIB)
  await pass(bed.clock, 60_000)
  await delivery.ended
  const { error } = receiptOf(delivery.info(), 'n2')
  assert.equal(error?.code, 'delivery-timeout')
  assert.equal(error?.params['have'], 3 * KIB)
  await until(() => bed.node('n2').transfers.size === 0)
})

test('a URL is fetched by its owner among the seeds, once, and the receivers tell their progress', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3', 'seed1'])
  let release = (): void => undefined
  const source = bed.cluster.source(
    URL_A,
    randomBytes(8 * KIB),
    new Promise((resolve) => {
      release = resolve
    }),
  )
  const delivery = await bed.of('n1').send({ source: URL_A, selector: 'role=web', dest: 'a' })
  await until(() => delivery.info().members.some((member) => member.haveBytes > 0))
  await until(() => bed.cluster.calls.includes('n2>n1 delivery.progress'))
  release()
  await passUntil(bed.clock, () => delivery.info().state !== 'running')
  assert.equal(delivery.info().state, 'done')
  assert.equal(delivery.info().contentId, idOf(source.bytes))
  assert.equal(source.fetches, 1)
  assert.equal(bed.node('n1').disk.contents.size, 0, 'the sender itself is no receiver')
})

test('an owner that dies during a delivery is replaced by the next seed', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3', 'seed1', 'seed2'])
  const source = bed.cluster.source(URL_A, randomBytes(8 * KIB), new Promise(() => undefined))
  const delivery = await bed.of('n1').send({ source: URL_A, selector: 'role=web', dest: 'a' })
  const owner = /^n1>(\w+) content\.open$/.exec(bed.cluster.calls[0] ?? '')?.[1] ?? ''
  await until(() => ['n2', 'n3'].every((name) => [...bed.node(name).disk.contents.values()].some((content) => content.have.size === 3)))
  bed.cluster.source(URL_A, source.bytes)
  bed.crash(owner)
  bed.cluster.setStatus(owner, 'dead')
  await passUntil(bed.clock, () => delivery.info().state !== 'running')
  assert.equal(delivery.info().state, 'done', bed.logged.join('\n'))
  assert.deepEqual(await bed.delivered('n3', 'a'), source.bytes)
  assert.equal(receiptOf(delivery.info(), 'n3').reusedBytes, 3 * KIB)
})

test('a source that fails at its owner fails the delivery with its reason', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'seed1'])
  let failIt = (_error: Error): void => undefined
  bed.cluster.source(
    URL_A,
    randomBytes(8 * KIB),
    new Promise((_resolve, reject) => {
      failIt = reject
    }),
  )
  const delivery = await bed.of('n1').send({ source: URL_A, selector: 'name=n2' })
  failIt(fail('source-changed', { url: URL_A, reason: 'its ETag changed' }))
  await passUntil(bed.clock, () => delivery.info().state !== 'running')
  assert.equal(delivery.info().error?.code, 'source-changed')
})

test('a source that fails half-way fails the delivery with its reason', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  let failIt = (_error: Error): void => undefined
  bed.cluster.source(
    URL_A,
    randomBytes(8 * KIB),
    new Promise((_resolve, reject) => {
      failIt = reject
    }),
  )
  const delivery = await bed.of('n1').send({ source: URL_A, selector: 'all' })
  failIt(fail('source-short', { url: URL_A, expected: 8192, received: 100 }))
  await delivery.ended
  const info = delivery.info()
  assert.equal(info.state, 'failed')
  assert.equal(info.error?.code, 'source-short')
  assert.equal(receiptOf(info, 'n2').error?.code, 'source-short')
})

test('cancel ends it, and members give up', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  bed.cluster.source(URL_A, randomBytes(8 * KIB), new Promise(() => undefined))
  const delivery = await bed.of('n1').send({ source: URL_A, selector: 'all' })
  await until(() => bed.node('n2').transfers.size === 1)
  delivery.cancel('the test wants it')
  await delivery.ended
  assert.equal(delivery.info().state, 'cancelled')
  assert.equal(receiptOf(delivery.info(), 'n2').error?.code, 'cancelled')
  await until(() => bed.node('n2').transfers.size === 0)
})
