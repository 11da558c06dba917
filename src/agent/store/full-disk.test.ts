import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { isPolycastError } from '../errors.ts'
import { fill, hash, makeAuthor, makeSample, mountDisk, openSample, partsOf, put, randomBytes } from './store-fixture.ts'

const NO_SPACE = (error: unknown): boolean => isPolycastError(error, 'no-space')

test('a content that cannot fit is refused before its first byte; contents that may go make way', async (context) => {
  const disk = mountDisk(context, 'size=4m')
  if (disk === undefined) return
  let now = 0
  const { store, events } = await openSample(context, join(disk, 'data'), { now: () => ++now })
  const pinned = await put(store, makeSample(randomBytes('pinned', 1_000_000)), 'pinned')
  await store.pin(pinned.id)
  await put(store, makeSample(randomBytes('old', 1_000_000)), 'old')
  await assert.rejects(store.create(makeSample(randomBytes('large', 3_500_000)).manifest, { name: 'large' }), NO_SPACE)
  assert.deepEqual(
    store.contents().map((info) => info.name),
    ['pinned', 'old'],
  )
  await put(store, makeSample(randomBytes('fits', 2_400_000)), 'fits')
  assert.deepEqual(
    store.contents().map((info) => info.name),
    ['pinned', 'fits'],
  )
  assert.deepEqual(
    events.map((event) => event.type),
    ['evicted'],
  )
})

test('a disk that fills up in the middle fails the write by name; nothing false is offered, then or after a restart', async (context) => {
  const disk = mountDisk(context, 'size=2m')
  if (disk === undefined) return
  const directory = join(disk, 'data')
  const { store } = await openSample(context, directory)
  const kept = makeSample(randomBytes('kept', 300_000))
  const keptContent = await put(store, kept, 'kept')
  const author = makeAuthor(64 * 1024)
  const bytes = randomBytes('growing', 4_000_000)
  const content = await store.create(author.manifest, { name: 'growing' })
  const results: PromiseSettledResult<void>[] = []
  for (let at = 0; at < bytes.length; at += 50_000) {
    author.append(50_000, hash(bytes.subarray(at, at + 50_000)))
    author.flush()
    const saved = content.manifestGrew()
    const written = content.write(at / 50_000, 1, [bytes.subarray(at, at + 50_000)])
    results.push(...(await Promise.allSettled([saved, written])))
  }
  const failures = results.filter((result) => result.status === 'rejected')
  assert.ok(failures.length > 20)
  assert.ok(failures.every((failure) => NO_SPACE(failure.reason)))
  assert.ok(content.have.count > 20 && content.have.count < 40, `${content.have.count} chunks fitted`)
  for (const [first, count] of content.have.ranges()) {
    const read = await content.read(first, count)
    assert.ok(Buffer.from(read).equals(bytes.subarray(first * 50_000, (first + count) * 50_000)))
  }
  await assert.rejects(content.finish(), (error) => isPolycastError(error, 'content-incomplete'))
  await store.close()

  const again = await openSample(context, directory)
  await again.store.settled()
  const found = again.store.find(content.id)
  for (const [first, count] of found?.have.ranges() ?? []) {
    const read = await found?.read(first, count)
    assert.ok(Buffer.from(read ?? []).equals(bytes.subarray(first * 50_000, (first + count) * 50_000)))
  }
  assert.deepEqual(Buffer.from((await again.store.find(keptContent.id)?.readBytes(0, 300_000)) ?? []), Buffer.from(kept.bytes))
  await again.store.remove(content.id)
  const after = makeSample(randomBytes('after', 1_000_000))
  await fill(await again.store.create(after.manifest, { name: 'after' }), after)
})

test('on a disk without a free byte an agent comes up, so that space can be freed through it', async (context) => {
  const disk = mountDisk(context, 'size=2m')
  if (disk === undefined) return
  const directory = join(disk, 'data')
  const { store } = await openSample(context, directory)
  const content = await put(store, makeSample(randomBytes('content', 500_000)), 'content')
  await store.pin(content.id)
  await store.close()
  const fd = fs.openSync(join(disk, 'ballast'), 'w')
  assert.throws(() => {
    for (;;) fs.writeSync(fd, Buffer.alloc(4096))
  }, /ENOSPC/)
  fs.closeSync(fd)
  const again = await openSample(context, directory)
  await again.store.settled()
  assert.ok(again.store.find(content.id)?.isComplete)
  const sample = makeSample(randomBytes('more', 100_000))
  await assert.rejects(
    again.store.create(sample.manifest, { name: 'more' }).then((created) => created.write(0, 1, partsOf(sample, 0, 1))),
    NO_SPACE,
  )
  await again.store.remove(content.id, { force: true })
  await put(again.store, sample, 'more')
  await again.store.close()
  await (await openSample(context, directory)).store.close()
  assert.ok(fs.existsSync(join(directory, 'reserve')), 'for the next time')
})
