import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Bitfield } from '../../core/lib/bitfield.ts'
import { equalBytes, toHex } from '../../core/lib/bytes.ts'
import { Manifest } from '../../core/content/manifest.ts'
import { isPolycastError } from '../errors.ts'
import { HaveFile, readHave } from './have-file.ts'
import { ManifestFile, readManifest } from './manifest-file.ts'
import { readSideFile, SideFile } from './side-file.ts'
import { hash, makeAuthor, makeSample, randomBytes, temporaryDirectory, verifySignature } from './store-fixture.ts'

const CHECKS = { hash, verify: verifySignature }
const LABEL = { name: 'a name', createdAt: 7 }
const onFailed = (error: unknown): void => assert.fail(String(error))

/** Whether all that `found` knows is what `whole` says. */
function isPartOf(found: Manifest, whole: Manifest): boolean {
  if (found.knownChunks > whole.knownChunks) return false
  for (let chunk = 0; chunk < found.knownChunks; chunk++) {
    if (found.chunkOffset(chunk) !== whole.chunkOffset(chunk) || !equalBytes(found.chunkHash(chunk), whole.chunkHash(chunk))) return false
  }
  return true
}

/** Calls `check` with the file at `path` cut at every length, and with each of its bytes flipped. */
function withEveryDamage(path: string, check: (what: string) => void): void {
  const whole = fs.readFileSync(path)
  for (let length = 0; length <= whole.length; length++) {
    fs.writeFileSync(path, whole.subarray(0, length))
    check(`cut at ${length}`)
  }
  for (let at = 0; at < whole.length; at++) {
    const damaged = Buffer.from(whole)
    damaged[at] = (damaged[at] as number) ^ 0x41
    fs.writeFileSync(path, damaged)
    check(`flipped at ${at}`)
  }
  fs.writeFileSync(path, whole)
}

test('appends that wait for each other are written in order, after the last good record', async (context) => {
  const path = join(temporaryDirectory(context), 'side')
  const file = new SideFile(path, 0)
  await Promise.all(['a', 'bb', 'ccc'].map((text) => file.append([Buffer.from(text)])))
  fs.appendFileSync(path, 'half a record')
  await file.append([Buffer.from('d')])
  const { bodies, validBytes } = readSideFile(path)
  assert.deepEqual(bodies.map(String), ['a', 'bb', 'ccc', 'd'])
  assert.equal(fs.statSync(path).size, validBytes, 'what is behind the good records is cut off')
})

test('an append that fails names the reason, and the next one is on its own', async (context) => {
  const directory = join(temporaryDirectory(context), 'not there yet')
  const file = new SideFile(join(directory, 'side'), 0)
  await assert.rejects(file.append([Buffer.from('a')]), (error) => isPolycastError(error, 'data-dir-unusable'))
  fs.mkdirSync(directory)
  await file.append([Buffer.from('b')])
  assert.deepEqual(readSideFile(join(directory, 'side')).bodies.map(String), ['b'])
})

test('a side file that was shut touches its name no more', async (context) => {
  const path = join(temporaryDirectory(context), 'side')
  const file = new SideFile(path, 0)
  await file.shut()
  await file.append([Buffer.from('a')])
  await file.replace([Buffer.from('a')])
  assert.equal(fs.existsSync(path), false)
})

test('written chunks are noted as ranges; damage anywhere claims fewer, never others', async (context) => {
  const path = join(temporaryDirectory(context), 'have')
  const have = new HaveFile(path, 0, onFailed)
  const written = new Bitfield(1000)
  for (const [first, count] of [
    [5, 2],
    [7, 1],
    [100, 50],
    [3, 2],
    [999, 1],
  ] as const) {
    have.note(first, count, count)
    written.setRange(first, count)
    if (first === 7) await have.flush()
  }
  await have.flush()
  assert.deepEqual(readHave(path, 1000).claims.ranges(), [
    [3, 5],
    [100, 50],
    [999, 1],
  ])
  withEveryDamage(path, (what) => {
    for (const [first, count] of readHave(path, 1000).claims.ranges()) assert.ok(written.hasRange(first, count), what)
  })
  assert.deepEqual(
    readHave(path, 120).claims.ranges(),
    [
      [3, 5],
      [100, 20],
    ],
    'chunks that the manifest does not know are left out',
  )
})

test('a batch that could not be written is in the next one', async (context) => {
  const directory = join(temporaryDirectory(context), 'not there yet')
  const have = new HaveFile(join(directory, 'have'), 0, onFailed)
  have.note(1, 2, 2)
  await assert.rejects(have.flush())
  fs.mkdirSync(directory)
  have.note(10, 1, 1)
  await have.flush()
  assert.deepEqual(readHave(join(directory, 'have'), 20).claims.ranges(), [
    [1, 2],
    [10, 1],
  ])
})

test('eight megabytes of chunks are written down without waiting for the clock', async (context) => {
  const path = join(temporaryDirectory(context), 'have')
  const have = new HaveFile(path, 0, onFailed)
  have.note(1, 1, 8 * 1024 * 1024)
  await have.sync() // stands behind the append that the note began
  assert.deepEqual(readHave(path, 20).claims.ranges(), [[1, 1]])
})

test('after a small batch the next one is gathered for longer, as each costs the process as much as a large one', async (context) => {
  const path = join(temporaryDirectory(context), 'have')
  const have = new HaveFile(path, 0, onFailed)
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const claimed = async (): Promise<number> => {
    await have.sync()
    return fs.existsSync(path) ? readHave(path, 20).claims.count : 0
  }
  have.note(1, 1, 16_384)
  context.mock.timers.tick(100)
  assert.equal(await claimed(), 1)
  have.note(3, 1, 256 * 1024)
  context.mock.timers.tick(999)
  assert.equal(await claimed(), 1)
  context.mock.timers.tick(1)
  assert.equal(await claimed(), 2)
  have.note(5, 1, 256 * 1024)
  context.mock.timers.tick(100)
  assert.equal(await claimed(), 3, 'as quickly as ever where much comes')
})

test('a sealed manifest comes back; damage anywhere gives the first of its pages, or nothing', async (context) => {
  const path = join(temporaryDirectory(context), 'manifest')
  const { manifest } = makeSample(randomBytes('pages', 600_000), 256)
  assert.ok(manifest.knownChunks > 1024, 'more than one page')
  await new ManifestFile(path, manifest, 0).create(LABEL)
  const id = toHex(manifest.swarmId)
  const found = readManifest(path, id, CHECKS)
  assert.ok(found?.manifest.isComplete && isPartOf(found.manifest, manifest))
  assert.deepEqual(found.label, LABEL)
  assert.equal(readManifest(path, id.replace(/./, 'x'), CHECKS), undefined, 'of another content')
  const whole = fs.readFileSync(path)
  for (let at = 0; at < whole.length; at += 211) {
    fs.writeFileSync(path, whole.subarray(0, at))
    const cut = readManifest(path, id, CHECKS)
    assert.ok(cut === undefined ? at < 200 : isPartOf(cut.manifest, manifest), `cut at ${at}`)
  }
})

test('a growing manifest is saved as it grows; damage anywhere gives what was known before', async (context) => {
  const path = join(temporaryDirectory(context), 'manifest')
  const author = makeAuthor(256)
  const bytes = randomBytes('growing', 2000)
  const file = new ManifestFile(path, author.manifest, 0)
  await file.create(LABEL)
  for (let at = 0; at < bytes.length; at += 250) {
    author.append(250, hash(bytes.subarray(at, at + 250)))
    if (at % 500 === 0) author.flush()
    await file.save()
  }
  author.finish()
  await file.save()
  const id = toHex(author.manifest.swarmId)
  const found = readManifest(path, id, CHECKS)
  assert.ok(found?.manifest.isComplete && isPartOf(found.manifest, author.manifest))
  assert.equal(found.manifest.segmentsFrom(0).length, author.manifest.segmentsFrom(0).length, 'others can still join in the middle')
  withEveryDamage(path, (what) => {
    const damaged = readManifest(path, id, CHECKS)
    assert.ok(damaged === undefined || isPartOf(damaged.manifest, author.manifest), what)
  })
})

test('what came as pages after the seal is saved as pages; a finished manifest needs no segments', async (context) => {
  const directory = temporaryDirectory(context)
  const author = makeAuthor(256)
  for (let chunk = 0; chunk < 3000; chunk++) author.append(100, hash(Buffer.from(String(chunk))))
  author.finish()
  const id = toHex(author.manifest.swarmId)
  const first = author.manifest.segmentsFrom(0, 1)[0] as Uint8Array
  // A node that saw the first segment only, then the seal, then fetched pages.
  await new ManifestFile(join(directory, 'first'), author.manifest, 0).create(LABEL)
  const node = readManifest(join(directory, 'first'), id, CHECKS)?.manifest as Manifest
  assert.equal(node.knownChunks, 3000)
  const late = Manifest.growing(author.headerBytes, hash, verifySignature) as Manifest
  const path = join(directory, 'manifest')
  const file = new ManifestFile(path, late, 0)
  await file.create(LABEL)
  late.addSegment(first)
  await file.save()
  late.seal(author.manifest.sealBytes() as Uint8Array)
  for (let page = 0; page < 3; page++) late.addPage(page, author.manifest.page(page) as Uint8Array)
  await file.save()
  assert.ok(late.isComplete)
  for (const bytes of [fs.statSync(path).size, 0]) {
    if (bytes === 0) await file.finish(LABEL)
    const found = readManifest(path, id, CHECKS)
    assert.ok(found?.manifest.isComplete && isPartOf(found.manifest, author.manifest))
    assert.deepEqual(found.manifest.contentId(), author.manifest.contentId())
  }
  assert.ok(fs.statSync(path).size < 3000 * 36 + 1000, 'one copy of the entries')
})
