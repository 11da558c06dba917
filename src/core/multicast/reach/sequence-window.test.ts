import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../../lib/random.ts'
import { SequenceWindow } from './sequence-window.ts'

test('none counts twice, and what is too old to tell counts as a repeated one', () => {
  const window = new SequenceWindow()
  assert.deepEqual(
    [5, 5, 7, 6, 6, 7, 40, 7, 9, 9, 4_000_000_000].map((sequence) => window.accept(sequence)),
    [true, false, true, true, false, false, true, false, true, false, true],
  )
})

test('the share of lost datagrams, and late ones are not lost', () => {
  for (const loss of [0, 0.1, 0.5]) {
    const random = new Random(`loss ${loss}`)
    const window = new SequenceWindow()
    let sum = 0
    for (let sequence = 0; sequence < 4000; sequence++) {
      if (random.float() >= loss) window.accept(sequence)
      if (sequence >= 100) sum += window.lossShare
    }
    assert.ok(Math.abs(sum / 3900 - loss) < 0.05, `${sum / 3900} of ${loss}`)
  }
  const window = new SequenceWindow()
  for (let sequence = 0; sequence < 100; sequence += 2) {
    window.accept(sequence + 1)
    window.accept(sequence)
  }
  assert.ok(window.lossShare < 0.05, String(window.lossShare))
})
