import assert from 'node:assert/strict'
import { mkdir, mkdtemp, realpath, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'node:test'
import * as fc from 'fast-check'
import { isPolycastError } from '../errors.ts'
import { plainName, resolveDestination } from './destination.ts'

interface Place {
  root: string
  outside: string
  to: (dest: string, createDirectories?: boolean) => Promise<string>
}

/** A root with a directory `in`, a link `out` that leads outside, and a link `within` that doesn't. */
async function place(t: { after: (clean: () => Promise<void>) => void }): Promise<Place> {
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'polycast-dest-')))
  t.after(() => rm(directory, { recursive: true, force: true }))
  const [root, outside] = [join(directory, 'root'), join(directory, 'outside')]
  await mkdir(join(root, 'in'), { recursive: true })
  await mkdir(outside)
  await symlink(outside, join(root, 'out'))
  await symlink('in', join(root, 'within'))
  await writeFile(join(root, 'file'), 'x')
  return {
    root,
    outside,
    to: (dest, createDirectories = false) => resolveDestination([root], { dest, name: 'app.bin', createDirectories }),
  }
}

function failsWith(code: string): (error: unknown) => boolean {
  return (error) => isPolycastError(error) && error.code === code
}

test('destinations below the root', async (t) => {
  const { root, to } = await place(t)
  assert.equal(await to('a'), join(root, 'a'))
  assert.equal(await to(''), join(root, 'app.bin'))
  assert.equal(await to('in/'), join(root, 'in', 'app.bin'))
  assert.equal(await to('in/b'), join(root, 'in', 'b'))
  assert.equal(await to('within/b'), join(root, 'in', 'b'), 'a link that stays inside')
  assert.equal(await to(join(root, 'in', 'b')), join(root, 'in', 'b'))
  assert.equal(await to('./in//b'), join(root, 'in', 'b'))
})

test('destinations that lead out are refused', async (t) => {
  const { root, outside, to } = await place(t)
  for (const dest of [
    '../x',
    'in/../../x',
    '/etc/passwd',
    outside,
    join(outside, 'x'),
    `${root}x/y`,
    'out/x',
    'a\0b',
    'a\nb',
    'in/../x',
    'x'.repeat(5000),
  ]) {
    await assert.rejects(to(dest), failsWith('dest-outside-root'), dest)
    await assert.rejects(to(dest, true), failsWith('dest-outside-root'), dest)
  }
})

test('the root itself, a file on the way, a directory that is missing', async (t) => {
  const { root, to } = await place(t)
  await assert.rejects(to('.'), failsWith('dest-exists-as-directory'))
  await assert.rejects(to(root), failsWith('dest-exists-as-directory'))
  await assert.rejects(to('file/x'), failsWith('dest-missing-directory'))
  await assert.rejects(to('new/x'), failsWith('dest-missing-directory'))
})

test('missing directories are created only where that is asked for, never through a link that leads out', async (t) => {
  const { root, outside, to } = await place(t)
  assert.equal(await to('new/deep/x', true), join(root, 'new', 'deep', 'x'))
  assert.ok((await stat(join(root, 'new', 'deep'))).isDirectory())
  await assert.rejects(to('out/new/x', true), failsWith('dest-outside-root'))
  await assert.rejects(stat(join(outside, 'new')))
  await assert.rejects(to('file/new/x', true), failsWith('dest-missing-directory'))
})

test('absolute destinations may be below any root, relative ones are below the first', async (t) => {
  const { root, outside } = await place(t)
  const to = (dest: string): Promise<string> => resolveDestination([root, outside], { dest, name: 'n', createDirectories: false })
  assert.equal(await to(join(outside, 'x')), join(outside, 'x'))
  assert.equal(await to('x'), join(root, 'x'))
})

test('no text at all leads out of the root', async (t) => {
  const { root, to } = await place(t)
  const part = fc.oneof(fc.constantFrom('..', '.', '', 'in', 'out', 'within', '~', '%2e%2e', '/', '\\', '\0', 'a'), fc.string())
  const dests = fc.array(part, { maxLength: 6 }).map((parts) => parts.join('/'))
  await fc.assert(
    fc.asyncProperty(dests, async (dest) => {
      const path = await to(dest).catch((error: unknown) => {
        assert.ok(isPolycastError(error), String(error))
        return undefined
      })
      if (path !== undefined) assert.ok(path.startsWith(`${root}/`), path)
    }),
    { numRuns: 300 },
  )
})

test('names that are plain', () => {
  assert.equal(plainName('a/b/c.txt'), 'c.txt')
  assert.equal(plainName('dir/'), 'dir')
  for (const name of ['', '..', '.', '/', '../..']) assert.equal(plainName(name), 'content')
  assert.equal(plainName('a\0b'), 'a_b')
  assert.ok(Buffer.byteLength(plainName('ü'.repeat(400))) <= 255)
})
