import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Random } from '../lib/random.ts'
import { ParityAhead } from './parity-ahead.ts'

/** What the unluckiest of 100 receivers lacks of a block, more or less. */
function needed(random: Random): number {
  return 8 + random.below(4)
}

test('as many blocks go unasked as the quantile says, soon and from then on', () => {
  for (const quantile of [0.15, 0.5, 0.85]) {
    const random = new Random(`quantile ${quantile}`)
    const ahead = new ParityAhead()
    let asked = 0
    for (let block = 0; block < 2000; block++) {
      const sent = ahead.symbols
      const need = needed(random)
      if (need > sent) {
        if (block >= 50) asked++
        ahead.asked(need, quantile)
      } else ahead.unasked(quantile)
    }
    assert.ok(Math.abs(asked / 1950 - (1 - quantile)) < 0.15, `${asked} of 1950 asked, with ${quantile}`)
  }
})

test('what was asked of blocks before the estimate rose does not raise it further', () => {
  const ahead = new ParityAhead()
  for (let block = 0; block < 100; block++) ahead.asked(10, 0.25)
  assert.ok(ahead.symbols <= 10 && ahead.symbols >= 6, `${ahead.symbols}`)
})

test('without loss nothing goes ahead any more', () => {
  const ahead = new ParityAhead()
  for (let block = 0; block < 20; block++) ahead.asked(10, 0.25)
  for (let block = 0; block < 40; block++) ahead.unasked(0.25)
  assert.equal(ahead.symbols, 0)
})
