import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { isPolycastError } from '../errors.ts'
import type { ServiceLog } from './calls.ts'
import { Deliveries } from './deliveries.ts'
import type { SendOrder } from './deliveries.ts'
import type { DeliveryEvent, DeliveryInfo, Receipt } from './delivery-info.ts'
import type { Clock } from '../clock.ts'
import { ManualClock } from '../manual-clock.ts'
import { pass, passUntil, until } from './test-time.ts'
import { FakeCluster, idOf, PIECE_BYTES } from './fake-cluster.ts'
import type { FakeNode } from './fake-cluster.ts'

const KIB = 1024
const URL_A = 'http://127.0.0.1:9/files/a.bin'

/** A cluster with a delivery service on each node, cleaned up at the end of the test. */
class Bed {
  readonly cluster: FakeCluster
  readonly clock: ManualClock = new ManualClock(1_700_000_000_000)
  readonly services: Map<string, Deliveries> = new Map()
  readonly nodes: Map<string, FakeNode> = new Map()
  readonly logged: string[] = []
  readonly directory: string
  readonly #crashed: Deliveries[] = []

  constructor(directory: string) {
    this.directory = directory
    this.cluster = new FakeCluster(directory)
  }

  static async open(t: { after: (clean: () => Promise<void>) => void }, names: string[]): Promise<Bed> {
    const bed = new Bed(await mkdtemp(join(tmpdir(), 'polycast-deliveries-')))
    t.after(async () => {
      bed.cluster.end()
      for (const service of [...bed.services.values(), ...bed.#crashed]) await service.close()
      await rm(bed.directory, { recursive: true, force: true })
    })
    for (const name of names) await bed.start(name, name.startsWith('seed') ? { role: 'seed' } : { role: 'web' })
    return bed
  }

  async start(name: string, tags: Record<string, string> = {}): Promise<Deliveries> {
    const node = await this.cluster.start(name, tags)
    const keep = (fields: object, message: string): void => {
      this.logged.push(`${name}: ${message} ${JSON.stringify(fields)}`)
    }
    const log: ServiceLog = { debug: keep, info: keep, warn: keep, error: keep }
    const clock: Clock = {
      now: () => this.clock.now(),
      schedule: (delayMs, callback) =>
        this.clock.schedule(delayMs, () => {
          if (node.isAlive) callback()
        }),
    }
    const service = await Deliveries.open({ dataDirectory: node.disk.directory, dataPlane: node, membership: node.membership, log, clock })
    this.services.set(name, service)
    this.nodes.set(name, node)
    await service.start()
    this.cluster.announce(node)
    return service
  }

  /** kill -9; what it had written stays. */
  crash(name: string): void {
    this.cluster.crash(this.node(name))
    this.#crashed.push(this.of(name))
    this.services.delete(name)
  }

  of(name: string): Deliveries {
    const service = this.services.get(name)
    assert.ok(service, `no service ${name}`)
    return service
  }

  node(name: string): FakeNode {
    const node = this.nodes.get(name)
    assert.ok(node, `no node ${name}`)
    return node
  }

  async file(name: string, bytes: Buffer): Promise<string> {
    const path = join(this.directory, name)
    await writeFile(path, bytes)
    return path
  }

  /** Orders a delivery and waits for its end. */
  async send(from: string, order: SendOrder): Promise<DeliveryInfo> {
    const delivery = await this.of(from).send(order)
    await delivery.ended
    return delivery.info()
  }

  delivered(name: string, dest: string): Promise<Buffer> {
    return readFile(join(this.directory, name, 'files', dest))
  }
}

function receiptOf(info: DeliveryInfo, member: string): Receipt {
  const receipt = info.members.find(({ name }) => name === member)?.receipt
  assert.ok(receipt, `no receipt of ${member}`)
  return receipt
}

/** Rejects as `fail(code)` does. */
function failsWith(code: string): (error: unknown) => boolean {
  return (error) => {
    assert.ok(isPolycastError(error), String(error))
    assert.equal(error.code, code)
    return true
  }
}

test('a file that only the sender has comes to all others, with a receipt from each', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3'])
  const bytes = randomBytes(20 * KIB + 7)
  const info = await bed.send('n1', { source: await bed.file('app.bin', bytes), selector: 'all', dest: 'app.bin' })
  assert.equal(info.state, 'done')
  assert.equal(info.contentId, idOf(bytes))
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
  assert.deepEqual(had.map((member) => member.name).toSorted(), ['n2', 'n3'])
})

test('delivering again what they have moves no byte', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  const source = await bed.file('f', randomBytes(30 * KIB))
  await bed.send('n1', { source, selector: 'all' })
  const again = await bed.send('n1', { source, selector: 'all' })
  assert.equal(receiptOf(again, 'n2').receivedBytes, 0)
  assert.equal(again.state, 'done')
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
  const { fail } = await import('../errors.ts')
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

test('a receiver that is killed and started again goes on and sends its receipt', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  const bytes = randomBytes(20 * KIB)
  bed.cluster.pieceGate = (_node, piece) => (piece === 10 ? new Promise(() => undefined) : Promise.resolve())
  const delivery = await bed.of('n1').send({ source: await bed.file('f', bytes), selector: 'all' })
  await until(
    () =>
      bed.node('n2').find(idOf(bytes))?.have.size === 10 ||
      [...bed.node('n2').disk.contents.values()].some((content) => content.have.size === 10),
  )
  bed.crash('n2')
  bed.cluster.setStatus('n2', 'dead')
  bed.cluster.pieceGate = undefined
  await bed.start('n2', { role: 'web' })
  await passUntil(bed.clock, () => delivery.info().state !== 'running')
  const receipt = receiptOf(delivery.info(), 'n2')
  assert.equal(receipt.status, 'done')
  assert.equal(receipt.receivedBytes, 10 * KIB, 'only what was missing is fetched again')
  assert.deepEqual(await bed.delivered('n2', 'f'), bytes)
})

test('a receipt that the origin could not take is told when it is back; the delivery tells the truth after a restart of the origin', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3'])
  const bytes = randomBytes(12 * KIB)
  let release = (): void => undefined
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  bed.cluster.pieceGate = (_node, piece) => (piece === 5 ? held : Promise.resolve())
  const delivery = await bed.of('n1').send({ source: await bed.file('f', bytes), selector: 'all', id: 'd1', dest: 'f' })
  await until(() => bed.node('n2').transfers.size === 1 && bed.node('n3').transfers.size === 1)
  await until(() => delivery.info().contentId !== undefined)
  bed.crash('n1')
  bed.cluster.setStatus('n1', 'dead')
  // n2 has all but what n1 took with it; n3 the same: both stall, nobody can be told.
  release()
  await pass(bed.clock, 1_000)
  bed.cluster.pieceGate = undefined
  await bed.start('n1', { role: 'web' })
  const again = bed.of('n1').find('d1')
  assert.ok(again)
  await passUntil(bed.clock, () => again.info().state !== 'running')
  assert.equal(again.info().state, 'done', [...bed.logged, JSON.stringify(again.info().members)].join('\n'))
  assert.deepEqual(await bed.delivered('n2', 'f'), bytes)
  assert.deepEqual(await bed.delivered('n3', 'f'), bytes)
})

test('members that finished while the origin was dead are believed; what is lost is said to be lost', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3'])
  bed.cluster.source(URL_A, randomBytes(6 * KIB), new Promise(() => undefined))
  const delivery = await bed.of('n1').send({ source: URL_A, selector: 'all', id: 'd2', dest: 'f' })
  await until(() => delivery.info().members.every((member) => member.haveBytes === 2 * KIB))
  bed.cluster.cuts.add(`${bed.node('n2').address} ${bed.node('n3').address}`)
  const [content] = bed.node('n2').disk.contents.values()
  assert.ok(content)
  // n2 gets the rest by another way before anybody notices; nobody else ever will.
  bed.crash('n1')
  for (let piece = 0; piece < 6; piece++) content.have.add(piece)
  bed.node('n2').seal(content)
  await passUntil(bed.clock, () => bed.node('n2').outputs === 1 && bed.node('n3').transfers.size === 0)
  bed.node('n2').disk.contents.clear()
  bed.cluster.disks.get('n1')?.contents.clear()
  bed.cluster.sources.clear()
  await bed.start('n1', { role: 'web' })
  const again = bed.of('n1').find('d2')
  assert.ok(again)
  await passUntil(bed.clock, () => again.info().state !== 'running')
  assert.equal(receiptOf(again.info(), 'n2').status, 'done')
  assert.equal(receiptOf(again.info(), 'n3').error?.code, 'transfer-stalled')
  assert.equal(again.info().state, 'partial')
})

test('a source that is gone after a restart of the origin is not needed where a receiver has the content', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3'])
  const bytes = randomBytes(6 * KIB)
  const source = await bed.file('f', bytes)
  bed.cluster.pieceGate = (node, piece) => (node === 'n3' && piece === 2 ? new Promise(() => undefined) : Promise.resolve())
  const delivery = await bed.of('n1').send({ source, selector: 'all', id: 'd3', dest: 'f' })
  await until(() => delivery.info().members.some((member) => member.receipt?.status === 'done'))
  bed.crash('n1')
  bed.cluster.pieceGate = undefined
  bed.cluster.disks.get('n1')?.contents.clear()
  await rm(source)
  await bed.start('n1', { role: 'web' })
  const again = bed.of('n1').find('d3')
  assert.ok(again)
  bed.crash('n3')
  await bed.start('n3', { role: 'web' })
  await passUntil(bed.clock, () => again.info().state !== 'running')
  assert.equal(again.info().state, 'done', [...bed.logged, JSON.stringify(again.info().members)].join('\n'))
  assert.deepEqual(await bed.delivered('n3', 'f'), bytes)
})

test('a late receipt corrects a delivery that has ended', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2'])
  const bytes = randomBytes(4 * KIB)
  bed.cluster.pieceGate = () => new Promise(() => undefined)
  const delivery = await bed.of('n1').send({ source: await bed.file('f', bytes), selector: 'all' })
  await until(() => bed.node('n2').transfers.size === 1)
  bed.crash('n2')
  bed.cluster.setStatus('n2', 'dead')
  await passUntil(bed.clock, () => delivery.info().state !== 'running')
  assert.equal(delivery.info().state, 'failed')
  bed.cluster.pieceGate = undefined
  await bed.start('n2', { role: 'web' })
  await passUntil(bed.clock, () => bed.of('n1').find(delivery.id)?.info().state === 'done')
})

test('a get of a URL by many nodes at once is one fetch from the source', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'seed2', 'seed3', 'n1', 'n2', 'n3', 'n4'])
  const source = bed.cluster.source(URL_A, randomBytes(10 * KIB))
  const results = await Promise.all([...bed.services.values()].map((service) => service.get({ source: URL_A }).done))
  assert.equal(source.fetches, 1)
  for (const result of results) assert.equal(result.contentId, idOf(source.bytes))
  assert.deepEqual(results.map((result) => result.from).toSorted(), [
    'cluster',
    'cluster',
    'cluster',
    'cluster',
    'cluster',
    'cluster',
    'source',
  ])
})

test('a get of what is here already makes no call', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1', 'n2'])
  const source = bed.cluster.source(URL_A, randomBytes(3 * KIB))
  const first = await bed.of('n1').get({ source: URL_A }).done
  bed.cluster.calls.length = 0
  const output = join(bed.directory, 'out.bin')
  for (const name of [URL_A, first.contentId, first.contentId.slice(0, 12)]) {
    const result = await bed.of('n1').get({ source: name, output }).done
    assert.equal(result.from, 'store')
    assert.equal(result.path, output)
  }
  assert.deepEqual(bed.cluster.calls, [])
  assert.deepEqual(await readFile(output), source.bytes)
  assert.equal(source.fetches, 1)
})

test('a get by id finds who holds it; nobody is an error', async (t) => {
  const bed = await Bed.open(t, ['n1', 'n2', 'n3'])
  bed.cluster.source(URL_A, randomBytes(KIB))
  const { contentId } = await bed.of('n3').get({ source: URL_A }).done
  const result = await bed.of('n1').get({ source: contentId.slice(0, 16) }).done
  assert.equal(result.contentId, contentId)
  assert.equal(result.from, 'cluster')
  await assert.rejects(bed.of('n1').get({ source: 'f'.repeat(64) }).done, failsWith('content-not-found'))
})

test('the owner of a URL that cannot be reached is passed over', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'seed2', 'seed3', 'n1'])
  const source = bed.cluster.source(URL_A, randomBytes(KIB))
  for (const name of ['seed1', 'seed2', 'seed3']) bed.cluster.cuts.add(`${bed.node('n1').address} ${bed.node(name).address}`)
  const result = await bed.of('n1').get({ source: URL_A }).done
  assert.equal(result.from, 'source')
  assert.equal(source.fetches, 1)
})

test('an owner that dies during the transfer is replaced by the next', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'seed2', 'n1'])
  const source = bed.cluster.source(URL_A, randomBytes(10 * KIB), new Promise(() => undefined))
  const get = bed.of('n1').get({ source: URL_A })
  await until(() => get.info().haveBytes === 4 * KIB)
  const owner = bed.cluster.calls[0]?.slice('n1>'.length).split(' ')[0] ?? ''
  bed.cluster.source(URL_A, source.bytes)
  bed.crash(owner)
  bed.cluster.setStatus(owner, 'dead')
  await passUntil(bed.clock, () => get.info().state !== 'running')
  const result = await get.done
  assert.equal(result.contentId, idOf(source.bytes))
  assert.equal(result.from, 'cluster')
  assert.equal(result.reusedBytes, 4 * KIB)
})

test('headers reach the fetching seed and nothing else', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1', 'n2'])
  const source = bed.cluster.source(URL_A, randomBytes(KIB))
  await bed.of('n1').get({ source: URL_A.replace('//', '//ann:s3cret-word@'), headers: { 'X-Token': 'another-s3cret' } }).done
  assert.deepEqual(source.headers, {
    'x-token': 'another-s3cret',
    authorization: `Basic ${Buffer.from('ann:s3cret-word').toString('base64')}`,
  })
  await bed.of('n2').get({ source: URL_A }).done
  assert.equal(source.fetches, 2, 'who has no credentials does not get what they opened')
  const written = await Promise.all(['seed1', 'n1', 'n2'].map((name) => readFile(join(bed.directory, name, 'catalog'), 'utf8')))
  for (const text of [...bed.logged, ...written]) assert.doesNotMatch(text, /s3cret|YW5uOnMzY3JldC13b3Jk/)
})

test('the digest of the bytes is checked; a new version at the source is fetched for it', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1', 'n2'])
  const sha = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`
  const source = bed.cluster.source(URL_A, randomBytes(2 * KIB))
  const old = source.bytes
  await bed.of('n1').get({ source: URL_A, digest: sha(old) }).done
  source.bytes = randomBytes(2 * KIB)
  const result = await bed.of('n1').get({ source: URL_A, digest: sha(source.bytes).toUpperCase().replace('SHA256', 'sha256') }).done
  assert.equal(result.contentId, idOf(source.bytes))
  assert.equal(source.fetches, 2)
  const output = join(bed.directory, 'never')
  await assert.rejects(bed.of('n2').get({ source: URL_A, digest: sha(Buffer.from('x')), output }).done, failsWith('digest-mismatch'))
  await assert.rejects(readFile(output))
  assert.equal((await bed.of('n1').get({ source: 'http://other/', digest: sha(old) }).done).from, 'store', 'found by its digest alone')
  assert.throws(() => bed.of('n1').get({ source: URL_A, digest: 'md5:00' }), failsWith('usage'))
})

test('fresh asks the source again', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1'])
  const source = bed.cluster.source(URL_A, randomBytes(KIB))
  await bed.of('n1').get({ source: URL_A }).done
  source.bytes = randomBytes(KIB)
  assert.notEqual((await bed.of('n1').get({ source: URL_A }).done).contentId, idOf(source.bytes))
  assert.equal((await bed.of('n1').get({ source: URL_A, fresh: true }).done).contentId, idOf(source.bytes))
  assert.equal((await bed.of('n1').get({ source: URL_A }).done).contentId, idOf(source.bytes))
})

test('a source that fails at the owner is the error of the get', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1'])
  await assert.rejects(bed.of('n1').get({ source: URL_A }).done, failsWith('source-not-found'))
  let failIt = (_error: Error): void => undefined
  bed.cluster.source(
    URL_A,
    randomBytes(8 * KIB),
    new Promise((_resolve, reject) => {
      failIt = reject
    }),
  )
  const get = bed.of('n1').get({ source: URL_A })
  await until(() => bed.cluster.calls.some((call) => call.endsWith('content.sealed')))
  const { fail } = await import('../errors.ts')
  failIt(fail('source-changed', { url: URL_A, reason: 'its ETag changed' }))
  await assert.rejects(get.done, failsWith('source-changed'))
})

test('a get that is cancelled lets the transfer go; others that want the same keep it', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1'])
  let release = (): void => undefined
  bed.cluster.source(
    URL_A,
    randomBytes(8 * KIB),
    new Promise((resolve) => {
      release = resolve
    }),
  )
  const [first, second] = [bed.of('n1').get({ source: URL_A }), bed.of('n1').get({ source: URL_A })]
  await until(() => first.info().haveBytes > 0 && second.info().haveBytes > 0)
  first.cancel('the test')
  await assert.rejects(first.done, failsWith('cancelled'))
  assert.equal(first.info().state, 'cancelled')
  assert.equal(bed.node('n1').transfers.size, 1)
  release()
  assert.equal((await second.done).totalBytes, 8 * KIB)
})

test('a get that a crash interrupted goes on after the restart', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1'])
  const source = bed.cluster.source(URL_A, randomBytes(8 * KIB))
  bed.cluster.pieceGate = (_node, piece) => (piece === 4 ? new Promise(() => undefined) : Promise.resolve())
  const output = join(bed.directory, 'resumed')
  const get = bed.of('n1').get({ source: URL_A, output, id: 'g1' })
  await until(() => get.info().haveBytes === 4 * KIB)
  bed.crash('n1')
  bed.cluster.pieceGate = undefined
  await bed.start('n1')
  const again = bed.of('n1').findGet('g1')
  assert.ok(again)
  await again.done
  assert.deepEqual(await readFile(output), source.bytes)
  assert.equal(source.fetches, 1)
})

test('another node cannot have a seed read its files', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1'])
  const call = bed.node('n1').call(bed.node('seed1').address, 'content.open', { url: 'file:///etc/hostname' }, { timeoutMs: 1000 })
  await assert.rejects(call, failsWith('source-unsupported'))
})
