import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { idOf } from './fake-content.ts'
import { Bed, KIB, receiptOf, URL_A } from './test-bed.ts'
import { pass, passUntil, until } from './test-time.ts'

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

test('a member that answers before it knows what an offer is gets it again', async (t) => {
  const bed = await Bed.open(t, ['n1'])
  bed.cluster.announce(await bed.cluster.start('n2', { role: 'web' }))
  const delivery = await bed.of('n1').send({ source: await bed.file('f', randomBytes(KIB)), selector: 'all', dest: 'f' })
  await until(() => bed.logged.some((line) => line.includes('no method delivery.offer')))
  await bed.start('n2', { role: 'web' })
  await passUntil(bed.clock, () => delivery.info().state !== 'running')
  assert.equal(delivery.info().state, 'done')
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

test('a get that a crash interrupted goes on after the restart', async (t) => {
  const bed = await Bed.open(t, ['seed1', 'n1'])
  const source = bed.cluster.source(URL_A, randomBytes(8 * KIB))
  bed.cluster.pieceGate = (_node, piece) => (piece === 4 ? new Promise(() => undefined) : Promise.resolve())
  const output = join(bed.directory, 'resumed')
  const get = bed.of('n1').get({ source: URL_A, output, id: 'g1' })
  await until(() => get.info().haveBytes === 4 * KIB)
  const catalog = join(bed.node('n1').disk.directory, 'catalog')
  await until(() => readFileSync(catalog, 'utf8').includes('"g1"'))
  bed.crash('n1')
  bed.cluster.pieceGate = undefined
  await bed.start('n1')
  const again = bed.of('n1').findGet('g1')
  assert.ok(again)
  await again.done
  assert.deepEqual(await readFile(output), source.bytes)
  assert.equal(source.fetches, 1)
})
