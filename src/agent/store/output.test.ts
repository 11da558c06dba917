import assert from 'node:assert/strict'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { isPolycastError } from '../errors.ts'
import { encodeRecord } from './records.ts'
import { makeSample, makeTreeSample, mountDisk, openSample, put, randomBytes, temporaryDirectory, type Sample } from './store-fixture.ts'
import type { Store, StoredContent } from './store.ts'

const code = (wanted: string) => (error: unknown) => isPolycastError(error) && error.code === wanted

interface Bed {
  readonly store: Store
  readonly content: StoredContent
  readonly sample: Sample
  /** A directory of its own for destinations. */
  readonly out: string
  readonly dest: string
}

async function makeBed(context: TestContext, sample: Sample = makeSample(randomBytes('output', 50_000))): Promise<Bed> {
  const { store } = await openSample(context, temporaryDirectory(context))
  const out = temporaryDirectory(context)
  return { store, content: await put(store, sample), sample, out, dest: join(out, 'name') }
}

const FILES = {
  'a.txt': Buffer.from('first'),
  'bin/tool': randomBytes('tool', 5000),
  'bin/large': randomBytes('large', 4 * 1024 * 1024 + 17),
  empty: new Uint8Array(0),
  'locked/inside': Buffer.from('cannot be changed'),
}

function treeSample(): Sample {
  const file = (path: string, mode: number) => ({ kind: 'file', path, mode, bytes: 0 }) as const
  const directory = (path: string, mode: number) => ({ kind: 'directory', path, mode, bytes: 0 }) as const
  const link = (path: string, target: string) => ({ kind: 'symlink', path, mode: 0o777, bytes: 0, target }) as const
  return makeTreeSample(
    [
      file('a.txt', 0o640),
      directory('bin', 0o755),
      file('bin/tool', 0o755),
      file('bin/large', 0o600),
      file('empty', 0o444),
      directory('locked', 0o555),
      file('locked/inside', 0o400),
      link('link', 'bin/tool'),
      link('outside', '/etc/passwd'),
      link('bin/up', '../a.txt'),
      directory('nothing', 0o700),
    ],
    FILES,
  )
}

function modeOf(path: string): number {
  return fs.lstatSync(path).mode & 0o7777
}

function checkTree(path: string): void {
  for (const [name, bytes] of Object.entries(FILES)) assert.ok(fs.readFileSync(join(path, name)).equals(bytes), name)
  assert.deepEqual(
    ['a.txt', 'bin', 'bin/tool', 'bin/large', 'empty', 'locked', 'locked/inside', 'nothing'].map((name) => modeOf(join(path, name))),
    [0o640, 0o755, 0o755, 0o600, 0o444, 0o555, 0o400, 0o700],
  )
  assert.equal(fs.readlinkSync(join(path, 'link')), 'bin/tool')
  assert.equal(fs.readlinkSync(join(path, 'outside')), '/etc/passwd')
  assert.equal(fs.readlinkSync(join(path, 'bin/up')), '../a.txt')
  assert.deepEqual(fs.readdirSync(path).toSorted(), ['a.txt', 'bin', 'empty', 'link', 'locked', 'nothing', 'outside'])
}

test('a file arrives whole, with its mode, and a name in between is never seen', async (context) => {
  const { content, sample, out, dest } = await makeBed(context)
  const { method } = await content.output(dest)
  assert.ok(method === 'copy' || method === 'reflink')
  assert.ok(fs.readFileSync(dest).equals(sample.bytes))
  assert.equal(modeOf(dest), 0o644)
  assert.notEqual(fs.statSync(dest).ino, fs.statSync(content.path).ino, 'an edited output must not edit the store')
  await content.output(join(out, 'tool'), { mode: 0o750 })
  assert.equal(modeOf(join(out, 'tool')), 0o750)
  assert.deepEqual(fs.readdirSync(out).toSorted(), ['name', 'tool'])
})

test('a hard link is made only when it is allowed', async (context) => {
  const { content, sample, out, dest } = await makeBed(context)
  const { method } = await content.output(dest, { allowHardLink: true })
  if (method === 'link') assert.equal(fs.statSync(dest).ino, fs.statSync(content.path).ino)
  await content.output(dest, { allowHardLink: true, overwrite: true })
  assert.ok(fs.readFileSync(dest).equals(sample.bytes))
  assert.deepEqual(fs.readdirSync(out), ['name'], 'a rename onto the same inode leaves nothing aside')
})

test('what is there is replaced only when that is asked for, and never followed', async (context) => {
  const { content, sample, out, dest } = await makeBed(context)
  fs.writeFileSync(dest, 'old')
  await assert.rejects(content.output(dest), code('dest-exists'))
  assert.equal(fs.readFileSync(dest, 'utf8'), 'old')
  await content.output(dest, { overwrite: true })
  assert.ok(fs.readFileSync(dest).equals(sample.bytes))
  const target = join(out, 'target')
  fs.writeFileSync(target, 'not to be touched')
  fs.symlinkSync('target', join(out, 'link'))
  await assert.rejects(content.output(join(out, 'link')), code('dest-exists'))
  await content.output(join(out, 'link'), { overwrite: true })
  assert.ok(fs.lstatSync(join(out, 'link')).isFile())
  assert.equal(fs.readFileSync(target, 'utf8'), 'not to be touched')
})

test('a destination that cannot be is named with its reason, and nothing is left there', async (context) => {
  const { content, out } = await makeBed(context)
  fs.mkdirSync(join(out, 'directory'))
  fs.writeFileSync(join(out, 'file'), '')
  for (const overwrite of [false, true]) {
    await assert.rejects(content.output(join(out, 'directory'), { overwrite }), code('dest-exists-as-directory'))
  }
  await assert.rejects(content.output('/'), code('dest-exists-as-directory'))
  await assert.rejects(
    content.output(join(out, 'missing', 'x')),
    (error) => code('dest-missing-directory')(error) && /missing of the destination does not exist/.test(String(error)),
  )
  await assert.rejects(content.output(join(out, 'file', 'x')), code('dest-missing-directory'))
  await assert.rejects(content.output(join(out, 'n'.repeat(256))), code('dest-not-writable'))
  await content.output(join(out, 'n'.repeat(255)))
  assert.deepEqual(fs.readdirSync(out).toSorted(), ['directory', 'file', 'n'.repeat(255)])
})

test('a read-only or full disk is named, nothing is left there, and the store is as it was', async (context) => {
  const full = mountDisk(context, 'size=32k')
  if (full === undefined) return
  const { content, sample, dest } = await makeBed(context)
  await assert.rejects(
    content.output(join(full, 'x')),
    (error) => isPolycastError(error, 'no-space') && error.params['path'] === join(full, 'x'),
  )
  assert.deepEqual(fs.readdirSync(full), [])
  await content.output(dest)
  assert.ok(fs.readFileSync(dest).equals(sample.bytes))
  const readOnly = mountDisk(context, 'ro') ?? ''
  await assert.rejects(
    content.output(join(readOnly, 'x')),
    (error) => isPolycastError(error, 'dest-not-writable') && /read-only/.test(error.message),
  )
})

test('a destination must really lie below one of the roots', async (context) => {
  const { content, out } = await makeBed(context)
  const root = join(out, 'root')
  for (const name of ['root', 'root/inside', 'elsewhere', 'root-not']) fs.mkdirSync(join(out, name))
  fs.symlinkSync('../elsewhere', join(root, 'way-out'))
  fs.symlinkSync('inside', join(root, 'way-in'))
  const roots = [join(out, 'none'), root]
  for (const dest of ['root/way-out/x', 'elsewhere/x', 'root-not/x', 'x', 'root/../x', 'root']) {
    await assert.rejects(
      content.output(join(out, dest), { roots, overwrite: true }),
      (error) => code('dest-outside-root')(error) || code('dest-exists-as-directory')(error),
      dest,
    )
  }
  for (const dest of ['root/x', 'root/inside/x', 'root/way-in/y']) await content.output(join(out, dest), { roots })
  assert.deepEqual(fs.readdirSync(join(root, 'inside')).toSorted(), ['x', 'y'])
  assert.deepEqual(fs.readdirSync(join(out, 'elsewhere')), [])
})

test("the store's own files are no destination", async (context) => {
  const { store, content, sample } = await makeBed(context)
  for (const name of ['journal', 'lock', 'reserve', 'contents', 'contents/x', `contents/${content.id}/data`]) {
    await assert.rejects(
      content.output(join(store.directory, name), { overwrite: true }),
      (error) => code('dest-not-writable')(error) || code('dest-exists-as-directory')(error),
      name,
    )
  }
  await content.output(join(store.directory, 'delivered'))
  assert.ok(fs.readFileSync(content.path).equals(sample.bytes))
})

test('a directory arrives with its modes and links, small files and large ones', async (context) => {
  const { content, out, dest } = await makeBed(context, treeSample())
  assert.deepEqual(await content.output(dest), { method: 'copy' })
  checkTree(dest)
  assert.equal(modeOf(dest), 0o755)
  assert.deepEqual(fs.readdirSync(out), ['name'])
  await content.output(join(out, 'strict'), { mode: 0o500 })
  assert.equal(modeOf(join(out, 'strict')), 0o500)
})

test('a directory replaces what is there as a whole, when that is asked for', async (context) => {
  const { content, out, dest } = await makeBed(context, treeSample())
  fs.mkdirSync(join(dest, 'old', 'locked'), { recursive: true })
  fs.writeFileSync(join(dest, 'old', 'locked', 'file'), '')
  fs.chmodSync(join(dest, 'old', 'locked'), 0o500)
  await assert.rejects(content.output(dest), code('dest-exists'))
  assert.deepEqual(fs.readdirSync(dest), ['old'])
  for (let round = 0; round < 2; round++) {
    await content.output(dest, { overwrite: true })
    checkTree(dest)
  }
  fs.writeFileSync(join(out, 'file'), '')
  fs.symlinkSync('name', join(out, 'link'))
  for (const name of ['file', 'link']) {
    await content.output(join(out, name), { overwrite: true })
    checkTree(join(out, name))
  }
  assert.deepEqual(fs.readdirSync(out).toSorted(), ['file', 'link', 'name'])
})

test('a directory for which the disk is too small leaves what was there before', async (context) => {
  const full = mountDisk(context, 'size=1m')
  if (full === undefined) return
  const { content } = await makeBed(context, treeSample())
  const dest = join(full, 'name')
  fs.mkdirSync(dest)
  fs.writeFileSync(join(dest, 'old'), 'old')
  await assert.rejects(content.output(dest, { overwrite: true }), code('no-space'))
  assert.deepEqual(fs.readdirSync(full), ['name'])
  assert.equal(fs.readFileSync(join(dest, 'old'), 'utf8'), 'old')
})

test('a directory whose author lied about it is refused, and nothing is left there', async (context) => {
  const honest = treeSample()
  const treeBytes = honest.manifest.treeBytes
  const { store, out, dest } = await makeBed(context)
  const short = await put(store, makeSample(honest.bytes.subarray(0, honest.bytes.length - 1), 1024, treeBytes))
  const garbled = await put(store, makeSample(randomBytes('no tree', 3000), 1024, 100))
  for (const content of [short, garbled]) await assert.rejects(content.output(dest), code('content-damaged'))
  assert.deepEqual(fs.readdirSync(out), [])
})

test("outputs that happen at the same time don't meet", async (context) => {
  const { content, sample, out } = await makeBed(context)
  await Promise.all(Array.from({ length: 20 }, (_, i) => content.output(join(out, `n${i % 5}`), { overwrite: true })))
  assert.deepEqual(fs.readdirSync(out).toSorted(), ['n0', 'n1', 'n2', 'n3', 'n4'])
  for (const name of fs.readdirSync(out)) assert.ok(fs.readFileSync(join(out, name)).equals(sample.bytes))
})

test('what a crash left aside of a destination is removed at the next start; other files are not', async (context) => {
  const { store, content, out, dest } = await makeBed(context)
  await content.output(dest)
  const journal = join(store.directory, 'journal')
  await store.close()
  const asides = {
    file: '.name.polycast-01234567',
    tree: '.tree.polycast-89abcdef',
    replaced: '.replaced.polycast-old-00000000',
    stuck: '.back.polycast-old-00000000',
    foreign: 'foreign',
  }
  fs.writeFileSync(join(out, asides.file), 'half')
  for (const name of [asides.tree, asides.replaced, asides.stuck]) {
    fs.mkdirSync(join(out, name))
    fs.writeFileSync(join(out, name, 'file'), name)
    fs.chmodSync(join(out, name), 0o500)
  }
  fs.mkdirSync(join(out, 'replaced'))
  fs.writeFileSync(join(out, asides.foreign), 'mine')
  const records = Object.values(asides).map((name) => encodeRecord(Buffer.from(JSON.stringify({ t: 'aside', path: join(out, name) }))))
  fs.appendFileSync(journal, Buffer.concat(records))
  const again = await openSample(context, store.directory)
  await again.store.settled()
  assert.deepEqual(fs.readdirSync(out).toSorted(), ['back', 'foreign', 'name', 'replaced'])
  assert.equal(fs.readFileSync(join(out, 'back', 'file'), 'utf8'), asides.stuck, 'a directory whose replacement never came is back')
  assert.deepEqual(
    again.events.filter((event) => event.type === 'failed'),
    [],
  )
})
