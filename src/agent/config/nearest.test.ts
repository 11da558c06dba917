import assert from 'node:assert/strict'
import { test } from 'node:test'
import { editDistance, nearest } from './nearest.ts'

test('insertions, deletions, substitutions and swaps count one each', () => {
  for (const [a, b, distance] of [
    ['', '', 0],
    ['quota', 'quota', 0],
    ['quota', 'qota', 1],
    ['quota', 'quotas', 1],
    ['quota', 'quoty', 1],
    ['quota', 'qoutya', 2],
    ['seed', 'sede', 1],
    ['', 'abc', 3],
  ] as const) {
    assert.equal(editDistance(a, b), distance, `${a} ${b}`)
    assert.equal(editDistance(b, a), distance, `${b} ${a}`)
  }
})

test('the nearest word is named, and none where all are far', () => {
  const known = ['quota', 'join', 'gossip-port', 'swarm-port']
  assert.equal(nearest('qouta', known), 'quota')
  assert.equal(nearest('gosip-prot', known), 'gossip-port')
  assert.equal(nearest('kubernetes', known), undefined)
  assert.equal(nearest('x'.repeat(100_000), known), undefined)
})
