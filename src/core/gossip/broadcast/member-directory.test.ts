import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../../lib/random.ts'
import { hashText } from '../../lib/text-hash.ts'
import { MemberDirectory } from './member-directory.ts'

test('names come and go as in a set, and the ring is that of the sorted hashes', () => {
  const random = new Random('directory')
  const directory = new MemberDirectory('self')
  const expected: Set<string> = new Set()
  for (let step = 0; step < 3000; step++) {
    const name = `n${random.below(120)}`
    if (random.below(2) === 0) {
      assert.equal(directory.add(name), !expected.has(name))
      expected.add(name)
    } else {
      assert.equal(directory.delete(name), expected.delete(name))
    }
    assert.equal(directory.size, expected.size)
    if (step % 50 !== 0) continue
    for (let i = 0; i < 120; i++) assert.equal(directory.has(`n${i}`), expected.has(`n${i}`))
    const ring = [...expected, 'self'].sort((a, b) => hashText(a) - hashText(b))
    const place = ring.indexOf('self')
    const next = (offset: number): string | undefined =>
      ring.length === 1 ? undefined : ring[(place + offset + ring.length) % ring.length]
    assert.deepEqual([directory.first, directory.successor, directory.predecessor], [ring[0], next(1), next(-1)])
  }
})

test('a node is no member of its own directory; picks are members', () => {
  const directory = new MemberDirectory('self')
  assert.equal(directory.add('self'), false)
  assert.equal(directory.pick(new Random(1)), undefined)
  for (const name of ['a', 'b', 'c']) directory.add(name)
  directory.delete('a')
  const random = new Random(2)
  const picked = new Set(Array.from({ length: 50 }, () => directory.pick(random)))
  assert.deepEqual(picked, new Set(['b', 'c']))
})

test('the hash of a name is the same everywhere', () => {
  assert.deepEqual(
    ['', 'n0', 'node-17.example'].map((text) => hashText(text)),
    [2872998923, 4048229225, 2907435829],
  )
  assert.equal(new Set(Array.from({ length: 10_000 }, (_, i) => hashText(`node-${i}`))).size, 10_000)
})
