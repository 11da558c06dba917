import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashText } from './text-hash.ts'

test('the vectors of docs/specs/06-broadcast.md, unsigned, and another basis gives others', () => {
  assert.deepEqual(
    ['', 'n0', 'node-17.example'].map((text) => hashText(text)),
    [2872998923, 4048229225, 2907435829],
  )
  assert.notEqual(hashText('n0', 0x9e3779b9), hashText('n0'))
  // Both bytes of a unit count.
  assert.notEqual(hashText('\u0161'), hashText('a'))
})

test('names that differ in the last letter alone have hashes of their own', () => {
  assert.equal(new Set(Array.from({ length: 10_000 }, (_, i) => hashText(`node-${i}`))).size, 10_000)
})
