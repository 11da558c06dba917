import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Manifest } from '../../core/content/manifest.ts'
import { toHex } from '../../core/lib/bytes.ts'
import { isPolycastError } from '../errors.ts'
import {
  fill,
  hash,
  makeAuthor,
  makeSample,
  openSample,
  partsOf,
  put,
  randomBytes,
  temporaryDirectory,
  verifySignature,
  type Sample,
} from './store-fixture.ts'
import { openStore, type Store, type StoredContent } from './store.ts'

const code = (wanted: string) => (error: unknown) => isPolycastError(error) && error.code === wanted

function sampleOf(seed: string, bytes: number = 20_000): Sample {
  return makeSample(randomBytes(seed, bytes))
}

async function readAll(content: { readBytes(offset: number, length: number): Promise<Uint8Array> }, { bytes }: Sample): Promise<boolean> {
  return Buffer.from(await content.readBytes(0, bytes.length)).equals(bytes)
}

test('chunks are written in any order, read back, and there after a restart', async (context) => {
  const directory = temporaryDirectory(context)
  const sample = sampleOf('order')
  const { store } = await openSample(context, directory)
  const content = await store.create(sample.manifest, { name: 'a file' })
  const count = sample.manifest.knownChunks
  assert.equal(content.isComplete, false)
  await Promise.all(
    Array.from({ length: count }, (_, i) => (i * 7) % count).map((chunk) => content.write(chunk, 1, partsOf(sample, chunk, 1))),
  )
  assert.ok(content.isComplete && content.have.isFull())
  await content.finish()
  assert.deepEqual(fs.readFileSync(content.path), Buffer.from(sample.bytes))
  const third = await content.read(3, 2)
  assert.deepEqual(Buffer.from(third), Buffer.concat(partsOf(sample, 3, 2)))
  const into = new Uint8Array(third.length)
  assert.equal(await content.read(3, 2, into), into)
  assert.deepEqual(into, new Uint8Array(third))
  await store.close()

  const again = (await openSample(context, directory)).store
  assert.equal(again.contents().length, 1)
  const info = again.contents()[0]
  assert.equal(info?.state, 'complete')
  assert.equal(info.name, 'a file')
  assert.equal(info.haveBytes, sample.bytes.length)
  const found = again.find(info.id)
  assert.ok(found !== undefined && found.isComplete && (await readAll(found, sample)))
})

test('a partial content goes on after a restart where it was', async (context) => {
  const directory = temporaryDirectory(context)
  const sample = sampleOf('partial')
  const { store } = await openSample(context, directory)
  const content = await store.create(sample.manifest, { name: 'x' })
  await content.write(2, 3, partsOf(sample, 2, 3))
  await assert.rejects(content.read(1, 2), code('content-incomplete'))
  await assert.rejects(content.finish(), code('content-incomplete'))
  await assert.rejects(content.output(join(directory, 'out')), code('content-incomplete'))
  await store.close()
  await assert.rejects(content.write(0, 1, partsOf(sample, 0, 1)), code('shutting-down'))

  const again = (await openSample(context, directory)).store
  const found = await again.create(sample.manifest, { name: 'x' })
  assert.deepEqual(found.have.ranges(), [[2, 3]])
  await fill(found, sample)
  assert.ok(await readAll(found, sample))
  assert.equal(again.contents()[0]?.haveBytes, sample.bytes.length)
})

test('a content without a byte is a content', async (context) => {
  const directory = temporaryDirectory(context)
  const { store } = await openSample(context, directory)
  const content = await put(store, makeSample(new Uint8Array(0)))
  assert.ok(content.isComplete)
  assert.equal((await content.readBytes(0, 0)).length, 0)
  await content.output(join(directory, 'empty'))
  assert.equal(fs.statSync(join(directory, 'empty')).size, 0)
})

test('a content grows, is known by both its ids once it is sealed, and comes back', async (context) => {
  const directory = temporaryDirectory(context)
  const bytes = randomBytes('growing', 8000)
  const author = makeAuthor()
  const manifest = Manifest.growing(author.headerBytes, hash, verifySignature) as Manifest
  const { store } = await openSample(context, directory)
  const content = await store.create(manifest, { name: 'growing' })
  for (let at = 0; at < bytes.length; at += 1000) {
    const part = bytes.subarray(at, at + 1000)
    author.append(1000, hash(part))
    manifest.addSegment(author.flush() as Uint8Array)
    await content.manifestGrew()
    await content.write(at / 1000, 1, [part])
  }
  assert.equal(content.isComplete, false, 'it may go on')
  const { sealBytes, contentId } = author.finish()
  assert.equal(manifest.seal(sealBytes), undefined)
  await content.manifestGrew()
  assert.ok(content.isComplete)
  await content.finish()
  const ids = [toHex(contentId), toHex(manifest.swarmId)]
  for (const id of ids) for (const name of [id, id.slice(0, 8), id.toUpperCase()]) assert.equal(store.find(name)?.id, ids[1])
  await store.close()

  const again = (await openSample(context, directory)).store
  for (const id of ids) assert.equal(again.find(id)?.isComplete, true)
  const found = await again.create(manifest, { name: 'growing' })
  assert.deepEqual(Buffer.from(await found.readBytes(0, bytes.length)), Buffer.from(bytes))
  assert.equal(again.contents()[0]?.id, ids[0])
})

/** A content as one that was published growing and has ended: each time with another swarm id. */
async function putGrown(store: Store, bytes: Uint8Array, name: string): Promise<StoredContent> {
  const author = makeAuthor()
  const manifest = Manifest.growing(author.headerBytes, hash, verifySignature) as Manifest
  const content = await store.create(manifest, { name })
  author.append(bytes.length, hash(bytes))
  manifest.addSegment(author.flush() as Uint8Array)
  manifest.seal(author.finish().sealBytes)
  await content.manifestGrew()
  await content.write(0, 1, [bytes])
  await content.finish()
  return content
}

async function untilOne(store: Store): Promise<void> {
  for (let tries = 0; store.contents().length > 1; tries++) {
    assert.ok(tries < 5000, 'the other one goes')
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

test('the same bytes published twice take their place once: the older one goes when nobody holds it, and its pin stays', async (context) => {
  const directory = temporaryDirectory(context)
  const { store } = await openSample(context, directory)
  const bytes = randomBytes('twice', 1000)
  const first = await putGrown(store, bytes, 'first')
  const id = store.contents()[0]!.id
  await store.pin(id)
  const release = first.hold('a transfer')
  const second = await putGrown(store, bytes, 'second')
  assert.notEqual(first.id, second.id)
  assert.equal(store.contents().length, 2, 'one that is in use stays')
  release()
  await untilOne(store)
  assert.equal(store.find(id)?.id, second.id)
  assert.equal(store.contents()[0]?.pinned, true)
  const third = await putGrown(store, bytes, 'third')
  await untilOne(store)
  assert.equal(store.find(id)?.id, third.id)
  await store.close()
  const again = (await openSample(context, directory)).store
  assert.deepEqual(
    again.contents().map((info) => [info.id, info.state, info.name, info.pinned]),
    [[id, 'complete', 'third', true]],
  )
  assert.equal(fs.readdirSync(join(directory, 'contents')).length, 1)
})

test('creating what is there gives what is there, and teaches it what it did not know', async (context) => {
  const { store } = await openSample(context, temporaryDirectory(context))
  const sample = sampleOf('twice')
  const rootOnly = Manifest.sealed(sample.manifest.rootBytes() as Uint8Array, hash) as Manifest
  const [first, second] = await Promise.all([store.create(rootOnly, { name: 'a' }), store.create(rootOnly, { name: 'b' })])
  assert.equal(first, second)
  assert.equal(first.manifest.knownChunks, 0)
  const third = await store.create(sample.manifest, { name: 'c' })
  assert.equal(third, first)
  assert.equal(first.manifest.knownChunks, sample.manifest.knownChunks)
  assert.equal(first.have.length, sample.manifest.knownChunks)
  await fill(third, sample)
  assert.equal(store.contents().length, 1)
})

test('ids are found by a prefix of 8 digits and more, unless several have it', async (context) => {
  const { store } = await openSample(context, temporaryDirectory(context))
  const content = await put(store, sampleOf('prefix'))
  assert.equal(store.find(content.id.slice(0, 8)), content)
  assert.equal(store.find(content.id.slice(0, 63)), content)
  assert.equal(store.find(content.id.slice(0, 7)), undefined)
  assert.equal(store.find(`${content.id}0`), undefined)
  await assert.rejects(store.remove('0123456789'), code('content-not-found'))
})

test('a removed content is gone from disk and table, also while it was in use, and can come again', async (context) => {
  const directory = temporaryDirectory(context)
  const { store } = await openSample(context, directory)
  const sample = sampleOf('removed')
  const content = await put(store, sample)
  await store.pin(content.id)
  await assert.rejects(store.remove(content.id), code('content-pinned'))
  await store.unpin(content.id)
  const release = content.hold('the delivery of x')
  await assert.rejects(
    store.remove(content.id),
    (error) => isPolycastError(error, 'content-in-use') && /the delivery of x/.test(error.message),
  )
  const removal = store.remove(content.id, { force: true })
  assert.equal(store.find(content.id), undefined, 'at once')
  const anew = await store.create(sample.manifest, { name: 'again' })
  await removal
  assert.notEqual(anew, content)
  assert.equal(anew.have.count, 0)
  await assert.rejects(content.read(0, 1), code('content-not-found'))
  await assert.rejects(
    content.write(0, 1, partsOf(sample, 0, 1)).then(() => content.finish()),
    code('content-not-found'),
  )
  release()
  await store.remove(anew.id)
  assert.deepEqual(fs.readdirSync(join(directory, 'contents')), [])
  assert.equal(store.usedBytes(), 0)
})

test('pins, names and times of use outlast a restart', async (context) => {
  const directory = temporaryDirectory(context)
  let now = 1000
  const { store } = await openSample(context, directory, { now: () => now })
  const content = await put(store, sampleOf('pin'), 'pinned')
  await store.pin(content.id)
  now = 5000
  content.touch()
  await store.close()
  const info = (await openSample(context, directory)).store.contents()[0]
  assert.deepEqual([info?.pinned, info?.name, info?.createdAt, info?.usedAt], [true, 'pinned', 1000, 5000])
})

test('beyond the quota, what was not used for longest goes; what is pinned or held stays', async (context) => {
  let now = 0
  const { store, events } = await openSample(context, temporaryDirectory(context), { quotaBytes: 65_000, now: () => ++now })
  const contents = []
  for (const seed of ['a', 'b', 'c']) contents.push(await put(store, sampleOf(seed), seed))
  const [a, b, c] = contents as [(typeof contents)[0], (typeof contents)[0], (typeof contents)[0]]
  a?.touch()
  await put(store, sampleOf('d'), 'd')
  const names = (): string[] =>
    store
      .contents()
      .map((info) => info.name)
      .toSorted()
  assert.deepEqual(names(), ['a', 'c', 'd'])
  assert.deepEqual(
    events.map((event) => event.type === 'evicted' && event.name),
    ['b'],
  )
  await assert.rejects(b?.read(0, 1) ?? Promise.resolve(), code('content-not-found'))
  await store.pin(a?.id ?? '')
  const release = c?.hold()
  await put(store, sampleOf('e'), 'e')
  assert.deepEqual(names(), ['a', 'c', 'e'])
  await assert.rejects(
    store.create(sampleOf('f', 30_000).manifest, { name: 'f' }),
    (error) => isPolycastError(error, 'quota-exceeded') && error.params['free'] === 25_000,
  )
  assert.deepEqual(names(), ['a', 'c', 'e'], 'what would not be enough is not evicted')
  release?.()
  await put(store, sampleOf('f', 30_000), 'f')
  assert.deepEqual(names(), ['a', 'f'])
  assert.equal(store.usedBytes(), 50_000)
})

test('a content that grows beyond the quota is refused when it does, and keeps what it has', async (context) => {
  const { store } = await openSample(context, temporaryDirectory(context), { quotaBytes: 2500 })
  const author = makeAuthor()
  const content = await store.create(author.manifest, { name: 'growing' })
  const part = randomBytes('part', 1000)
  for (let chunk = 0; chunk < 2; chunk++) {
    author.append(1000, hash(part))
    author.flush()
    await content.manifestGrew()
    await content.write(chunk, 1, [part])
  }
  author.append(1000, hash(part))
  author.flush()
  await assert.rejects(content.manifestGrew(), code('quota-exceeded'))
  await assert.rejects(content.write(2, 1, [part]), code('quota-exceeded'))
  assert.equal(content.have.count, 2)
  assert.ok((await content.read(1, 1)).length === 1000)
})

test('a smaller quota after a restart evicts', async (context) => {
  const directory = temporaryDirectory(context)
  const { store } = await openSample(context, directory)
  for (const seed of ['a', 'b', 'c']) await put(store, sampleOf(seed), seed)
  await store.close()
  const again = await openSample(context, directory, { quotaBytes: 45_000 })
  await again.store.settled()
  assert.deepEqual(
    again.store
      .contents()
      .map((info) => info.name)
      .toSorted(),
    ['b', 'c'],
  )
})

test('gc removes partial contents that nobody used for long and what crashes left, nothing else', async (context) => {
  const directory = temporaryDirectory(context)
  let now = 0
  const { store } = await openSample(context, directory, { now: () => now, partialMaxAgeMs: 1000 })
  const old = sampleOf('old')
  const held = sampleOf('held')
  const expired = await store.create(old.manifest, { name: 'old' })
  await expired.write(0, 5, partsOf(old, 0, 5))
  const release = (await store.create(held.manifest, { name: 'held' })).hold()
  await put(store, sampleOf('complete'), 'complete')
  now = 1001
  await store.create(sampleOf('young').manifest, { name: 'young' })
  fs.mkdirSync(join(directory, 'contents', '.trash-01234567'))
  fs.writeFileSync(join(directory, 'contents', '.trash-01234567', 'data'), 'x'.repeat(10_000))
  fs.mkdirSync(join(directory, 'contents', 'a'.repeat(64)))
  fs.mkdirSync(join(directory, 'contents', 'of another program'))
  const { removed, bytes } = await store.gc()
  assert.equal(removed, 3)
  assert.ok(bytes >= 10_000)
  assert.deepEqual(
    store
      .contents()
      .map((info) => info.name)
      .toSorted(),
    ['complete', 'held', 'young'],
  )
  assert.equal(fs.readdirSync(join(directory, 'contents')).length, 4)
  assert.ok(fs.existsSync(join(directory, 'contents', 'of another program')))
  release()
})

test('verify finds bad chunks, drops them, and they can be fetched again', async (context) => {
  const directory = temporaryDirectory(context)
  const sample = sampleOf('rot')
  const { store, events } = await openSample(context, directory)
  const content = await put(store, sample)
  assert.deepEqual(await store.verify(content.id), { chunks: sample.manifest.knownChunks, bad: [] })
  const fd = fs.openSync(content.path, 'r+')
  fs.writeSync(fd, 'rotten', sample.manifest.chunkOffset(4) + 3)
  fs.closeSync(fd)
  assert.deepEqual(await store.verify(content.id), { chunks: sample.manifest.knownChunks, bad: [4] })
  assert.equal(store.contents()[0]?.state, 'partial')
  assert.equal(store.contents()[0]?.haveBytes, sample.bytes.length - sample.manifest.chunkBytes(4))
  assert.ok(events.some((event) => event.type === 'damaged'))
  await assert.rejects(content.read(4, 1), code('content-incomplete'))
  await store.close()

  const again = (await openSample(context, directory)).store
  const found = await again.create(sample.manifest, { name: 'x' })
  assert.deepEqual([found.have.has(4), found.have.count], [false, sample.manifest.knownChunks - 1])
  await found.write(4, 1, partsOf(sample, 4, 1))
  await found.finish()
  assert.ok(await readAll(found, sample))
})

test('a content that another program wrote to is verified before it is written out', async (context) => {
  const directory = temporaryDirectory(context)
  const sample = sampleOf('edited')
  const { store } = await openSample(context, directory)
  const content = await put(store, sample)
  fs.appendFileSync(content.path, 'more')
  await content.output(join(directory, 'fine'))
  assert.deepEqual(fs.readFileSync(join(directory, 'fine')), Buffer.from(sample.bytes), 'what was appended is cut off')
  fs.writeFileSync(content.path, randomBytes('other', sample.bytes.length))
  await assert.rejects(content.output(join(directory, 'never')), code('content-damaged'))
  assert.equal(fs.existsSync(join(directory, 'never')), false)
  assert.equal(content.isComplete, false)
})

test('many contents need few open files and keep few manifests in memory', async (context) => {
  const directory = temporaryDirectory(context)
  const { store } = await openSample(context, directory)
  const samples = Array.from({ length: 100 }, (_, i) => sampleOf(`many ${i}`, 2000))
  const contents = []
  for (const sample of samples) contents.push(await put(store, sample))
  const open = fs.readdirSync('/proc/self/fd').length
  assert.ok(open < 64 + 40, `${open} open files`)
  for (const [i, sample] of samples.entries()) assert.ok(await readAll(contents[i] as (typeof contents)[0], sample))
})

test('a data directory that is open, or cannot be one, is refused by name', async (context) => {
  const directory = temporaryDirectory(context)
  const { store } = await openSample(context, directory)
  const options = { hash, verify: verifySignature }
  await assert.rejects(
    openStore({ ...options, directory }),
    (error) => isPolycastError(error, 'data-dir-locked') && error.params['pid'] === process.pid,
  )
  await store.close()
  await (await openStore({ ...options, directory })).close()
  fs.writeFileSync(join(directory, 'file'), '')
  await assert.rejects(openStore({ ...options, directory: join(directory, 'file') }), code('data-dir-unusable'))
})
