import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { test } from 'node:test'
import { concatBytes } from '../../core/lib/bytes.ts'
import { makeSample, openSample, partsOf, put, randomBytes, temporaryDirectory, type Sample } from './store-fixture.ts'
import type { StoredContent } from './store.ts'

const OLD = randomBytes('old version', 300_000)
/** The old version with a few bytes inserted, some changed, some appended. */
const NEW = concatBytes([
  OLD.subarray(0, 100_000),
  Buffer.from('inserted'),
  OLD.subarray(100_000, 200_000),
  randomBytes('changed', 5000),
  OLD.subarray(205_000),
])

function missing(content: StoredContent): number {
  return content.have.length - content.have.count
}

async function isWhole(content: StoredContent, sample: Sample): Promise<boolean> {
  for (let chunk = content.have.nextClear(0); chunk < content.have.length; chunk = content.have.nextClear(chunk)) {
    await content.write(chunk, 1, partsOf(sample, chunk, 1))
  }
  await content.finish()
  return Buffer.from(await content.readBytes(0, sample.bytes.length)).equals(sample.bytes)
}

test('a new version takes what did not change from the old one, and says how much', async (context) => {
  const directory = temporaryDirectory(context)
  const [old, fresh] = [makeSample(OLD), makeSample(NEW)]
  const { store } = await openSample(context, directory)
  await put(store, old, 'old')
  await store.close()

  const again = (await openSample(context, directory)).store
  const content = await again.create(fresh.manifest, { name: 'new' })
  const { chunks, bytes } = await content.reuse(0)
  assert.equal(chunks, content.have.count)
  assert.ok(bytes > 280_000 && missing(content) < 20, `${bytes} bytes reused, ${missing(content)} chunks missing`)
  assert.ok(await isWhole(content, fresh))
  assert.deepEqual(await content.reuse(0), { chunks: 0, bytes: 0 })
})

test('only what is asked for from a chunk on is filled, and what is there is left alone', async (context) => {
  const { store } = await openSample(context, temporaryDirectory(context))
  const [old, fresh] = [makeSample(OLD), makeSample(concatBytes([OLD, Buffer.from('.')]))]
  await put(store, old)
  const content = await store.create(fresh.manifest, { name: 'new' })
  await content.write(7, 1, partsOf(fresh, 7, 1))
  const { chunks } = await content.reuse(5)
  assert.equal(content.have.nextSet(0), 5)
  assert.equal(chunks, content.have.count - 1)
})

test('a chunk that a content holds already fills its other places too', async (context) => {
  const { store } = await openSample(context, temporaryDirectory(context))
  const block = randomBytes('block', 30_000)
  const sample = makeSample(concatBytes([block, block, block, block]))
  const content = await store.create(sample.manifest, { name: 'repeating' })
  const quarter = sample.manifest.chunkAt(31_000) + 1
  await content.write(0, quarter, partsOf(sample, 0, quarter))
  await content.reuse(0)
  assert.ok(missing(content) < content.have.length / 4, `${missing(content)} of ${content.have.length} missing`)
  assert.ok(await isWhole(content, sample))
})

test('partial contents give what they have', async (context) => {
  const { store } = await openSample(context, temporaryDirectory(context))
  const [old, fresh] = [makeSample(OLD), makeSample(NEW)]
  const half = await store.create(old.manifest, { name: 'given up' })
  const count = Math.floor(old.manifest.knownChunks / 2)
  await half.write(0, count, partsOf(old, 0, count))
  const content = await store.create(fresh.manifest, { name: 'new' })
  assert.ok((await content.reuse(0)).bytes > 120_000)
  assert.ok(await isWhole(content, fresh))
})

test('bytes that rotted on the disk are not taken over', async (context) => {
  const { store } = await openSample(context, temporaryDirectory(context))
  const [old, fresh] = [makeSample(OLD), makeSample(NEW)]
  const source = await put(store, old)
  const fd = fs.openSync(source.path, 'r+')
  for (let at = 0; at < OLD.length; at += 10_000) fs.writeSync(fd, 'rotten', at)
  fs.closeSync(fd)
  const content = await store.create(fresh.manifest, { name: 'new' })
  const { bytes } = await content.reuse(0)
  assert.ok(bytes > 100_000 && bytes < 280_000, `${bytes} bytes`)
  assert.ok(await isWhole(content, fresh))
})

test('when the old version goes away meanwhile, the rest is left to the network', async (context) => {
  const { store } = await openSample(context, temporaryDirectory(context))
  const [old, fresh] = [makeSample(OLD), makeSample(NEW)]
  const source = await put(store, old)
  const content = await store.create(fresh.manifest, { name: 'new' })
  const [reused] = await Promise.all([content.reuse(0), store.remove(source.id)])
  assert.equal(reused.chunks, content.have.count)
  assert.ok(await isWhole(content, fresh))
  assert.deepEqual(await (await store.create(old.manifest, { name: 'old' })).reuse(0).then(({ bytes }) => bytes > 280_000), true)
})
