import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import { decodeTree, isWireError } from '../../core/content/index.ts'
import { isPolycastError } from '../errors.ts'
import { openTree, type TreeStream } from './tree-source.ts'

async function folderFor(t: { after: (clean: () => Promise<void>) => void }): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'polycast-tree-'))
  t.after(() => rm(folder, { recursive: true, force: true }))
  return folder
}

function opened(folder: string): Promise<TreeStream> {
  return openTree(folder, new AbortController().signal)
}

async function bytesOf(stream: TreeStream): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const part of stream.chunks) parts.push(Uint8Array.from(part))
  return Buffer.concat(parts)
}

function failsWith(code: string): (error: unknown) => boolean {
  return (error) => isPolycastError(error) && error.code === code
}

test('a tree is its list, with modes and links, and then the bytes of its files', async (t) => {
  const folder = await folderFor(t)
  await mkdir(join(folder, 'empty'))
  await mkdir(join(folder, 'bin'))
  await writeFile(join(folder, 'bin/run'), 'abc')
  await chmod(join(folder, 'bin/run'), 0o755)
  await writeFile(join(folder, 'big'), Buffer.alloc(700_000, 7))
  await writeFile(join(folder, 'none'), '')
  for (const name of ['big', 'none']) await chmod(join(folder, name), 0o644)
  await symlink('bin/run', join(folder, 'link'))
  const stream = await opened(folder)
  const bytes = await bytesOf(stream)
  assert.equal(bytes.length, stream.totalBytes)
  const tree = decodeTree(bytes.subarray(0, stream.treeBytes))
  assert.ok(!isWireError(tree))
  const seen = tree.map(({ kind, path, mode, bytes: length }) => `${kind} ${path} ${kind === 'file' ? mode.toString(8) : ''} ${length}`)
  assert.deepEqual(seen.toSorted(), [
    'directory bin  0',
    'directory empty  0',
    'file big 644 700000',
    'file bin/run 755 3',
    'file none 644 0',
    'symlink link  0',
  ])
  let at = stream.treeBytes
  for (const { kind, path, bytes: length } of tree) {
    if (kind !== 'file') continue
    if (path === 'bin/run') assert.equal(bytes.toString('latin1', at, at + length), 'abc')
    if (path === 'big') assert.ok(bytes.subarray(at, at + length).every((byte) => byte === 7))
    at += length
  }
})

test('a file that changes its length between the list and the reading ends it', async (t) => {
  for (const length of [0, 10, 500_000]) {
    const folder = await folderFor(t)
    await writeFile(join(folder, 'a'), Buffer.alloc(300_000))
    const stream = await opened(folder)
    await truncate(join(folder, 'a'), length)
    await assert.rejects(bytesOf(stream), failsWith('path-changed'), `${length} bytes`)
  }
})

test('what a tree cannot hold is refused by name', async (t) => {
  const folder = await folderFor(t)
  execFileSync('mkfifo', [join(folder, 'pipe')])
  await assert.rejects(opened(folder), (error) => failsWith('path-not-readable')(error) && String(error).includes('pipe'))
  await assert.rejects(opened(join(folder, 'missing')), failsWith('path-not-found'))
})
