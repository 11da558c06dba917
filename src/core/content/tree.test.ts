import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { Random } from '../lib/random.ts'
import { Writer } from '../wire/writer.ts'
import { assertRefused, valid } from './fixtures.test.ts'
import { decodeTree, encodeTree, MAX_PATH_BYTES, sortTree, treeFileBytes, treeProblem, type TreeEntry } from './tree.ts'

const file = (path: string, bytes: number = 1): TreeEntry => ({ kind: 'file', path, mode: 0o644, bytes })
const directory = (path: string): TreeEntry => ({ kind: 'directory', path, mode: 0o755, bytes: 0 })
const symlink = (path: string, target: string): TreeEntry => ({ kind: 'symlink', path, mode: 0o777, bytes: 0, target })

/** A tree's bytes in the order given, without the checks of `encodeTree`. */
function forged(entries: readonly TreeEntry[], count: number = entries.length): Uint8Array {
  const writer = new Writer()
  writer.u32(0x50435401)
  writer.varint(count)
  for (const entry of entries) {
    writer.u8(['file', 'directory', 'symlink'].indexOf(entry.kind))
    writer.text(entry.path)
    writer.varint(entry.mode)
    if (entry.kind === 'file') writer.varint(entry.bytes)
    if (entry.kind === 'symlink') writer.text(entry.target ?? '')
  }
  return writer.finish()
}

/** A tree that a file system could hold, as `seed` has it: names with every sort of odd characters. */
function randomTree(seed: number, names: readonly string[]): TreeEntry[] {
  const random = new Random(seed)
  const fill = (parent: string, depth: number): TreeEntry[] => {
    const chosen = new Set(Array.from({ length: random.below(5) }, () => random.pick(names)))
    return [...chosen].flatMap((name) => {
      const path = parent === '' ? name : `${parent}/${name}`
      if (random.below(4) === 0) return [symlink(path, random.pick(['../x', '/etc/passwd', 'a b']))]
      if (depth === 3 || random.below(2) === 0) return [{ ...file(path, random.below(2 ** 32)), mode: random.below(0o1000) }]
      return [directory(path), ...fill(path, depth + 1)]
    })
  }
  return random.shuffle(fill('', 0))
}

const ODD_NAMES = [
  'a',
  'b',
  'a-b',
  'a.b',
  'a b',
  '...',
  '.hidden',
  'ä',
  '😀',
  '\uffff',
  'a\nb',
  'a\\b',
  'C:',
  'con',
  '\u0001',
  'x'.repeat(255),
]

test('a tree is read back in its order, whatever order it was given in', () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const entries = randomTree(seed, ODD_NAMES)
      const decoded = valid(decodeTree(encodeTree(entries)))
      assert.deepEqual(decoded, sortTree(entries))
      assert.deepEqual(new Set(decoded.map(({ path }) => path)), new Set(entries.map(({ path }) => path)))
      assert.equal(treeFileBytes(decoded), treeFileBytes(entries))
      assert.equal(treeProblem(entries), undefined)
    }),
  )
})

test('a directory comes before what is in it, and both before a longer name', () => {
  const paths = sortTree([file('a-b'), file('a/c'), file('a.b'), directory('a'), file('a/b'), file('Z'), file('é')]).map(({ path }) => path)
  assert.deepEqual(paths, ['Z', 'a', 'a/b', 'a/c', 'a-b', 'a.b', 'é'])
})

test('a directory may be empty, and so may a tree', () => {
  assert.deepEqual(decodeTree(encodeTree([])), [])
  assert.deepEqual(decodeTree(encodeTree([directory('a')])), [directory('a')])
})

test('set-uid, set-gid and sticky bits are not carried', () => {
  const decoded = valid(
    decodeTree(
      encodeTree([
        { ...file('a'), mode: 0o6755 },
        { ...directory('b'), mode: 0o1777 },
      ]),
    ),
  )
  assert.deepEqual(
    decoded.map(({ mode }) => mode),
    [0o755, 0o777],
  )
  assertRefused(decodeTree(forged([{ ...file('a'), mode: 0o4755 }])), 'disconnect', /mode beyond 0777/)
})

test('every path that could leave the destination or hit another entry is refused, and not encoded (§6.2)', () => {
  const cases: [TreeEntry[], RegExp][] = [
    [[file('')], /empty path/],
    [[file('/etc/passwd')], /absolute/],
    [[file('..')], /the name ".."/],
    [[file('../a')], /the name ".."/],
    [[directory('a'), file('a/..')], /the name ".."/],
    [[directory('a'), file('a/../b')], /the name ".."/],
    [[file('.')], /the name "."/],
    [[file('./a')], /the name "."/],
    [[directory('a'), file('a//b')], /the name ""/],
    [[file('a/')], /the name ""/],
    [[file('a\0b')], /NUL/],
    [[file('a'), file('a')], /twice/],
    [[directory('a'), file('a')], /twice/],
    [[file('a'), file('a/b')], /not listed as a directory/],
    [[symlink('a', '/etc'), file('a/passwd')], /not listed as a directory/],
    [[file('a/b')], /not listed as a directory/],
    [[directory('a'), file('a/b/c')], /not listed as a directory/],
    [[directory('a'), file('ab/c')], /not listed as a directory/],
    [[symlink('a', '')], /without a proper target/],
    [[symlink('a', 'x\0y')], /without a proper target/],
    [[file('x'.repeat(256))], /more than 255 bytes/],
    [[file('ä'.repeat(128))], /more than 255 bytes/],
    [[file('a', 2 ** 48), file('b', 1)], /longer together/],
  ]
  for (const [entries, message] of cases) {
    assertRefused(decodeTree(forged(entries)), 'disconnect', message)
    assert.match(treeProblem(entries)!, message)
    assert.throws(() => encodeTree(entries), message)
  }
})

test('entries out of order are refused', () => {
  assertRefused(decodeTree(forged([file('b'), file('a')])), 'disconnect', /not in order/)
  assertRefused(decodeTree(forged([directory('a'), file('a-b'), file('a/b')])), 'disconnect', /not in order/)
})

test('a path or target of more than 4096 bytes is refused', () => {
  const names = Array.from({ length: 17 }, () => 'x'.repeat(240))
  const deep = names.map((_, i) => directory(names.slice(0, i + 1).join('/')))
  assert.equal(deep.at(-1)!.path.length, 4096)
  assert.ok(valid(decodeTree(encodeTree(deep))))
  const tooDeep = [...deep.slice(0, -1), directory(`${deep.at(-1)!.path}x`)]
  assertRefused(decodeTree(forged(tooDeep)), 'disconnect', /malformed/)
  assert.match(treeProblem(tooDeep)!, /more than 4096 bytes/)
  assert.ok(valid(decodeTree(encodeTree([symlink('a', 'x'.repeat(MAX_PATH_BYTES))]))))
  assert.match(treeProblem([symlink('a', 'x'.repeat(MAX_PATH_BYTES + 1))])!, /target of more than/)
  assertRefused(decodeTree(forged([symlink('a', 'x'.repeat(MAX_PATH_BYTES + 1))])), 'disconnect', /malformed/)
})

test('what is no entry is refused', () => {
  assert.match(treeProblem([{ ...directory('a'), bytes: 1 }])!, /length that is none/)
  assert.match(treeProblem([{ ...file('a'), bytes: -1 }])!, /length that is none/)
  assert.match(treeProblem([{ ...file('a'), bytes: 0.5 }])!, /length that is none/)
  assert.match(treeProblem([{ ...file('a'), target: 'b' }])!, /no symbolic link/)
  assert.match(treeProblem([file('\ud800')])!, /not Unicode/)
  const unknownKind = forged([file('a')])
  unknownKind[5] = 3
  assertRefused(decodeTree(unknownKind), 'disconnect', /malformed/)
})

test('a count above what the bytes can hold is refused at once', () => {
  assertRefused(decodeTree(forged([file('a')], 2)), 'disconnect', /malformed/)
  assertRefused(decodeTree(forged([file('a'), file('b')], 1)), 'disconnect', /malformed/)
  assertRefused(decodeTree(forged([], 2 ** 52)), 'disconnect', /malformed/)
})

test('a path in a message carries nothing that a terminal acts on', () => {
  const problem = treeProblem([file('\u001b[2J\u009b\u202e/x')])!
  assert.doesNotMatch(problem, /[\p{Cc}\p{Cf}]/u)
})
