import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { Manifest } from '../../core/content/manifest.ts'
import {
  copyDataDirectory,
  hash,
  makeAuthor,
  makeEvenSample,
  makeSample,
  openSample,
  partsOf,
  randomBytes,
  fastDirectory,
  verifySignature,
  type Sample,
} from './store-fixture.ts'
import { openStore, type Store, type StoreEvent } from './store.ts'

const OPTIONS = { hash, verify: verifySignature }
const PARALLEL = 4
/** A file is cut off at every byte; of a long one, one byte in so many is damaged. */
const FLIP_STRIDE = 5
const SHORT_BYTES = 64

/** What the tests damage: a complete content, a partial one, and one that grows. */
interface Bed {
  readonly directory: string
  readonly complete: Sample
  readonly partial: Sample
  readonly growing: Sample
}

/** A data directory as a crash leaves it, or a closing in order. */
async function makeBed(context: TestContext, end: 'crash' | 'close'): Promise<Bed> {
  const directory = fastDirectory(context)
  const complete = makeEvenSample(randomBytes('complete', 500), 100)
  const partial = makeEvenSample(randomBytes('partial', 550), 100)
  const author = makeAuthor(256)
  const growing = { manifest: author.manifest, bytes: randomBytes('growing', 500) }
  const store = await openStore({ ...OPTIONS, directory })
  const full = await store.create(complete.manifest, { name: 'c' })
  await full.write(0, complete.manifest.knownChunks, partsOf(complete, 0, complete.manifest.knownChunks))
  fs.utimesSync(full.path, 1000, 1000) // a time that copies keep
  await full.finish()
  const half = await store.create(partial.manifest, { name: 'p' })
  await half.write(1, 2, partsOf(partial, 1, 2))
  const open = await store.create(author.manifest, { name: 'g' })
  for (let at = 0; at < 400; at += 100) {
    author.append(100, hash(growing.bytes.subarray(at, at + 100)))
    author.flush()
    await open.manifestGrew()
    await open.write(at / 100, 1, [growing.bytes.subarray(at, at + 100)])
  }
  for (const content of [half, open]) fs.utimesSync(content.path, 2000, 2000)
  if (end === 'close') {
    await store.close()
    return { directory, complete, partial, growing }
  }
  // Side files as the batches of a running node leave them: closing writes them, and the journal of before is put back.
  const journal = fs.readFileSync(join(directory, 'journal'))
  await store.close()
  fs.writeFileSync(join(directory, 'journal'), journal)
  return { directory, complete, partial, growing }
}

/** Opens a damaged directory and holds every byte that it serves against what was put in; then completes what is named. */
async function checkSound(
  directory: string,
  bed: Bed,
  what: string,
  completed: readonly Sample[] = [bed.complete, bed.partial],
): Promise<StoreEvent[]> {
  const events: StoreEvent[] = []
  const store = await openStore({ ...OPTIONS, directory, onEvent: (event) => events.push(event) })
  try {
    await store.settled()
    for (const sample of [bed.complete, bed.partial, bed.growing]) await checkServed(store, sample, what)
    for (const sample of completed) {
      const content = await store.create(sample.manifest, { name: 'again' })
      const count = sample.manifest.knownChunks
      await content.write(0, count, partsOf(sample, 0, count))
      for (let chunk = 0; chunk < count; chunk++) {
        if (!content.have.has(chunk)) assert.fail(`${what}: chunk ${chunk} is missing after it was written`)
      }
      await content.finish()
      assert.ok(Buffer.from(await content.readBytes(0, sample.bytes.length)).equals(sample.bytes), what)
    }
  } finally {
    await store.close()
  }
  assert.deepEqual(
    events.filter((event) => event.type === 'failed'),
    [],
    what,
  )
  return events
}

async function checkServed(store: Store, sample: Sample, what: string): Promise<void> {
  const content = store.find(Buffer.from(sample.manifest.swarmId).toString('hex'))
  if (content === undefined) return
  assert.ok(content.have.length <= sample.manifest.knownChunks, what)
  for (const [first, count] of content.have.ranges()) {
    const start = sample.manifest.chunkOffset(first)
    const bytes = await content.read(first, count)
    assert.ok(
      Buffer.from(bytes).equals(sample.bytes.subarray(start, start + bytes.length)),
      `${what}: a wrong byte in chunks ${first} to ${first + count - 1}`,
    )
  }
}

/** Damages one file of the bed in every way: cut at every length, bits flipped. */
async function damageEverywhere(context: TestContext, bed: Bed, file: string, completed: readonly Sample[]): Promise<void> {
  const whole = fs.readFileSync(join(bed.directory, file))
  const variants: { what: string; bytes: Uint8Array }[] = []
  for (let length = 0; length < whole.length; length++)
    variants.push({ what: `${file} cut at ${length}`, bytes: whole.subarray(0, length) })
  // In a short file every bit; in a long one a bit of every so many bytes.
  const stride = whole.length < SHORT_BYTES ? 1 : 8 * FLIP_STRIDE + 1
  for (let bit = 0; bit < whole.length * 8; bit += stride) {
    const bytes = Buffer.from(whole)
    bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
    variants.push({ what: `${file} with bit ${bit} flipped`, bytes })
  }
  const base = fastDirectory(context)
  let next = 0
  const work = async (): Promise<void> => {
    while (next < variants.length) {
      const directory = join(base, String(next))
      const { what, bytes } = variants[next++] as (typeof variants)[0]
      fs.mkdirSync(directory)
      copyDataDirectory(bed.directory, directory)
      fs.writeFileSync(join(directory, file), bytes)
      await checkSound(directory, bed, what, completed)
      fs.rmSync(directory, { recursive: true })
    }
  }
  await Promise.all(Array.from({ length: PARALLEL }, work))
}

function fileOf(sample: Sample, name: string): string {
  return join('contents', Buffer.from(sample.manifest.swarmId).toString('hex'), name)
}

test('untouched, a bed comes back as it was', async (context) => {
  for (const end of ['crash', 'close'] as const) {
    const bed = await makeBed(context, end)
    const { store, events } = await openSample(context, bed.directory)
    await store.settled()
    assert.deepEqual(
      store
        .contents()
        .map((info) => `${info.name} ${info.state}`)
        .toSorted(),
      ['c complete', 'g partial', 'p partial'],
    )
    assert.deepEqual(store.find(Buffer.from(bed.partial.manifest.swarmId).toString('hex'))?.have.ranges(), [[1, 2]])
    assert.deepEqual(store.find(Buffer.from(bed.growing.manifest.swarmId).toString('hex'))?.have.ranges(), [[0, 4]])
    const recovered = events.filter((event) => event.type === 'recovered').length
    assert.equal(recovered, end === 'crash' ? 2 : 0, 'what was closed in order is not read again')
    await store.close()
  }
})

for (const end of ['crash', 'close'] as const) {
  test(`damage of the journal anywhere, after a ${end}`, async (context) => {
    const bed = await makeBed(context, end)
    await damageEverywhere(context, bed, 'journal', [bed.partial])
  })
}

test("damage anywhere of a complete content's manifest", async (context) => {
  const bed = await makeBed(context, 'crash')
  await damageEverywhere(context, bed, fileOf(bed.complete, 'manifest'), [bed.complete])
})

test("damage anywhere of a growing content's manifest", async (context) => {
  const bed = await makeBed(context, 'close')
  await damageEverywhere(context, bed, fileOf(bed.growing, 'manifest'), [])
})

for (const end of ['crash', 'close'] as const) {
  test(`damage anywhere of a partial content's side files, after a ${end}`, async (context) => {
    const bed = await makeBed(context, end)
    await damageEverywhere(context, bed, fileOf(bed.partial, 'have'), [bed.partial])
    await damageEverywhere(context, bed, fileOf(bed.partial, 'manifest'), [bed.partial])
  })
}

test('damage anywhere of the bytes, complete or partial, however the store was closed', async (context) => {
  const crashed = await makeBed(context, 'crash')
  await damageEverywhere(context, crashed, fileOf(crashed.partial, 'data'), [crashed.partial])
  const closed = await makeBed(context, 'close')
  await damageEverywhere(context, closed, fileOf(closed.complete, 'data'), [closed.complete])
})

test('files that vanished, one at a time', async (context) => {
  for (const end of ['crash', 'close'] as const) {
    const bed = await makeBed(context, end)
    const files = [
      'journal',
      ...[bed.complete, bed.partial, bed.growing].flatMap((sample) =>
        ['data', 'manifest', 'have', '.'].map((name) => fileOf(sample, name)),
      ),
    ]
    for (const file of files) {
      const directory = fastDirectory(context)
      copyDataDirectory(bed.directory, directory)
      fs.rmSync(join(directory, file), { recursive: true, force: true })
      await checkSound(directory, bed, `without ${file}`)
    }
  }
})

test('a side file that claims chunks which were never written is not believed after a crash', async (context) => {
  const bed = await makeBed(context, 'crash')
  fs.copyFileSync(join(bed.directory, fileOf(bed.complete, 'have')), join(bed.directory, fileOf(bed.partial, 'have')))
  const events = await checkSound(bed.directory, bed, 'claims of another content')
  assert.ok(events.some((event) => event.type === 'recovered' && event.droppedChunks > 0))
})

test('a content whose journal was lost is found, verified and complete again, with its name', async (context) => {
  const bed = await makeBed(context, 'crash')
  fs.rmSync(join(bed.directory, 'journal'))
  const { store } = await openSample(context, bed.directory)
  await store.settled()
  assert.deepEqual(
    store
      .contents()
      .map((info) => `${info.name} ${info.state}`)
      .toSorted(),
    ['c complete', 'g partial', 'p partial'],
  )
})

test('a crash between the last chunk and the journal is made good at the start', async (context) => {
  const bed = await makeBed(context, 'crash')
  const journal = fs.readFileSync(join(bed.directory, 'journal'))
  const { store } = await openSample(context, bed.directory)
  const content = await store.create(bed.partial.manifest, { name: 'p' })
  await content.write(0, bed.partial.manifest.knownChunks, partsOf(bed.partial, 0, bed.partial.manifest.knownChunks))
  await store.close()
  fs.writeFileSync(join(bed.directory, 'journal'), journal)
  const again = await openSample(context, bed.directory)
  await again.store.settled()
  assert.deepEqual(
    again.store
      .contents()
      .filter((info) => info.name === 'p')
      .map((info) => info.state),
    ['complete'],
  )
})

test('a manifest that lost its end is known as far as it is good, its bytes kept, and completed from others', async (context) => {
  const directory = fastDirectory(context)
  const sample = makeSample(randomBytes('two pages', 600_000), 256)
  const { store } = await openSample(context, directory)
  const content = await store.create(sample.manifest, { name: 'x' })
  await content.write(0, sample.manifest.knownChunks, partsOf(sample, 0, sample.manifest.knownChunks).slice(0, sample.manifest.knownChunks))
  await content.finish()
  await store.close()
  const path = join(directory, 'contents', content.id, 'manifest')
  fs.truncateSync(path, fs.statSync(path).size - 1)
  const again = await openSample(context, directory)
  await again.store.settled()
  const found = again.store.find(content.id)
  assert.ok(found !== undefined && !found.isComplete)
  assert.equal(found.have.count, found.manifest.knownChunks)
  assert.ok(found.have.count >= 1024 && found.have.count < sample.manifest.knownChunks)
  const whole = await again.store.create(Manifest.sealed(sample.manifest.rootBytes() as Uint8Array, hash) as Manifest, { name: 'x' })
  assert.equal(whole, found)
  await again.store.create(sample.manifest, { name: 'x' })
  const missing = found.have.nextClear(0)
  await found.write(missing, sample.manifest.knownChunks - missing, partsOf(sample, missing, sample.manifest.knownChunks - missing))
  await found.finish()
  assert.equal(again.store.contents()[0]?.state, 'complete')
})
